import type { ServerResponse } from 'node:http'

/** One thing that is wrong, and what to do about it. */
export interface FieldProblem {
  readonly field: string
  readonly value?: string
  readonly problem: string
  readonly remedy: string
}

/** Every kind of refusal of this API, with its status. */
export const PROBLEMS = {
  malformed_request: { status: 400, title: 'The request is malformed.' },
  malformed_json: { status: 400, title: 'The body is not JSON.' },
  unauthorized: { status: 401, title: 'The bearer token is missing or wrong.' },
  cross_site: { status: 403, title: 'Requests of other sites and through proxies are refused.' },
  not_found: { status: 404, title: 'There is no such thing.' },
  method_not_allowed: { status: 405, title: 'This resource does not know the method.' },
  conflict: { status: 409, title: 'The approval is closed already.' },
  too_many_grants: { status: 409, title: 'There are too many grants already.' },
  body_too_large: { status: 413, title: 'The body is too large.' },
  unsupported_media_type: { status: 415, title: 'The body must be JSON.' },
  wrong_host: { status: 421, title: 'The Host field does not name this API.' },
  invalid: { status: 422, title: 'The request asks for something that is not possible.' },
  ambiguous_id: { status: 422, title: 'Several ids begin like this.' },
  config_refused: { status: 422, title: 'The configuration is not valid; the old one stays in force.' },
  too_many_failures: { status: 429, title: 'Too many wrong tokens.' },
  internal_error: { status: 500, title: 'The request failed in the proxy.' },
  not_stored: { status: 500, title: 'The change could not be stored.' },
  too_many_watchers: { status: 503, title: 'Too many watch already.' },
} as const satisfies Record<string, { status: number; title: string }>

export type ProblemCode = keyof typeof PROBLEMS

/** A refusal on its way to the client, as problem+json (RFC 9457). */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly code: ProblemCode
  /** Extension members of the problem, such as `remedy`, `field`, `problems`. */
  readonly members: Readonly<Record<string, unknown>>
  readonly fields: Readonly<Record<string, string>>
  constructor(
    code: ProblemCode,
    detail: string,
    members: Readonly<Record<string, unknown>> = {},
    fields: Readonly<Record<string, string>> = {},
  ) {
    super(detail)
    this.code = code
    this.members = members
    this.fields = fields
  }

  get status(): number {
    return PROBLEMS[this.code].status
  }

  body(): string {
    const { status, title } = PROBLEMS[this.code]
    return `${JSON.stringify({ type: 'about:blank', title, status, code: this.code, detail: this.message, ...this.members })}\n`
  }
}

export const PROBLEM_TYPE = 'application/problem+json'

/** For what is refused before any route is looked for. The connection ends: the body may not have been read. */
export function sendProblem(response: ServerResponse, problem: Problem): void {
  const body = problem.body()
  response.writeHead(problem.status, {
    'Content-Type': PROBLEM_TYPE,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
    ...problem.fields,
  })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

/** One field is wrong. */
export function invalid(...problems: readonly FieldProblem[]): Problem {
  const [first, ...more] = problems
  if (!first) throw new RangeError('an invalid request has at least one problem')
  const detail = `${first.field}: ${first.problem}${more.length > 0 ? ` (and ${more.length} more)` : ''}`
  const { field, value, remedy } = first
  return new Problem('invalid', detail, {
    field,
    ...(value === undefined ? {} : { value }),
    remedy,
    problems,
  })
}
