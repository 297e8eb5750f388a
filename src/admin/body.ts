import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { IncomingMessage } from 'node:http'
import type { z } from 'zod'
import { nearest } from '../config/suggestion.ts'
import type { Actor } from '../approvals/approval.ts'
import { shown } from './gate.ts'
import { type FieldProblem, invalid, Problem } from './problem.ts'

/** What the routes know of a request besides itself. */
export interface AdminEnv {
  Bindings: HttpBindings & {
    /** How the request got here: `socket` or `token`. */
    readonly via: string
  }
}

const BODY_LIMIT = 65_536

/** A body that is JSON, says so, and is what the schema wants. Throws Problem. */
export async function readBody<T extends z.ZodType>(
  context: Context<AdminEnv>,
  schema: T,
): Promise<z.output<T>> {
  const type = context.req.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  // A form or plain text is all that a page of another site can send without asking first.
  if (type !== 'application/json')
    throw new Problem('unsupported_media_type', 'the body of a change must be JSON', {
      field: 'Content-Type',
      value: shown(type ?? ''),
      remedy: 'send Content-Type: application/json',
    })
  const text = await readText(context.env.incoming)
  return checked(schema, text === '' ? {} : parseJson(text), 'body')
}

async function readText(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = Number(incoming.headers['content-length'] ?? 0)
  if (size > BODY_LIMIT) throw tooLarge()
  size = 0
  // Left whole on an early end, so that the refusal still reaches the sender.
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer)
    size += (chunk as Buffer).length
    if (size > BODY_LIMIT) throw tooLarge()
  }
  return Buffer.concat(chunks).toString('utf8')
}

function tooLarge(): Problem {
  return new Problem(
    'body_too_large',
    `the body is longer than ${BODY_LIMIT} bytes`,
    { field: 'body', remedy: 'send less' },
    { Connection: 'close' },
  )
}

export function readQuery<T extends z.ZodType>(context: Context<AdminEnv>, schema: T): z.output<T> {
  return checked(schema, context.req.query(), 'query')
}

/** The API knows the way; the name is only what the caller says. */
export function actorOf(context: Context<AdminEnv>, name: string | undefined): Actor {
  const { via } = context.env
  if (name !== undefined && /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(name))
    throw invalid({
      field: 'by',
      value: shown(name),
      problem: 'it contains control characters',
      remedy: 'write it on one line of plain text',
    })
  return name === undefined || name === '' ? { via } : { via, name }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    // The parser's own words repeat the body; the position is all that helps.
    const position = error instanceof Error ? /position \d+/.exec(error.message)?.[0] : undefined
    throw new Problem('malformed_json', `the body is not JSON${position ? ` (at ${position})` : ''}`, {
      field: 'body',
      remedy: 'send one JSON object',
    })
  }
}

function checked<T extends z.ZodType>(schema: T, value: unknown, where: 'body' | 'query'): z.output<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw invalid(...result.error.issues.flatMap((issue) => problemsOf(issue, value, schema, where)))
}

function problemsOf(
  issue: z.core.$ZodIssue,
  value: unknown,
  schema: z.ZodType,
  where: 'body' | 'query',
): FieldProblem[] {
  const known = 'shape' in schema ? Object.keys(schema.shape as object) : []
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => {
      const near = nearest(key, known)
      return {
        field: shown(key),
        problem: `it is not known in this ${where}`,
        remedy: near === undefined ? `leave it out; known are ${known.join(', ')}` : `did you mean ${near}?`,
      }
    })
  const field = issue.path.map(String).join('.') || where
  const given = issue.path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown>)?.[key],
    value,
  )
  const text =
    given === undefined ? undefined : shown(typeof given === 'string' ? given : (JSON.stringify(given) ?? ''))
  return [{ field, ...(text === undefined ? {} : { value: text }), ...explain(issue, given) }]
}

function explain(issue: z.core.$ZodIssue, given: unknown): { problem: string; remedy: string } {
  switch (issue.code) {
    case 'invalid_value': {
      const words = issue.values.map(String).join(', ')
      const problem = given === undefined ? 'it is missing' : 'it is not one of its words'
      return { problem, remedy: `use one of ${words}` }
    }
    case 'invalid_type':
      if (given === undefined) return { problem: 'it is missing', remedy: `add it, as ${issue.expected}` }
      return { problem: `it is not of type ${issue.expected}`, remedy: `send ${issue.expected}` }
    case 'too_big':
      return { problem: `it is larger than ${issue.maximum}`, remedy: 'make it smaller' }
    case 'too_small':
      return { problem: `it is smaller than ${issue.minimum}`, remedy: 'make it larger' }
    default:
      return { problem: issue.message.toLowerCase(), remedy: 'see /openapi.json' }
  }
}
