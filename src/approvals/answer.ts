import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import type { ApprovalAnswer, AnswerScope, AnswerTarget, GivenAnswer } from './approval.ts'
import type { Grant } from './grant.ts'
import { registrableDomain } from './registrable.ts'

const SECOND = 1000
const DAY = 86_400_000
const LONGEST_FOR = 366 * DAY
const LONGEST_NOTE = 500
const LONGEST_NAME = 64

/** What is wrong with an answer: one field, its value, and what would be right. */
export interface AnswerProblem {
  readonly field: 'scope' | 'for' | 'who' | 'what' | 'note' | 'by'
  readonly value: string
  readonly problem: string
  readonly remedy: string
}

/** An answer with its defaults, before it is known whom it releases. */
export type CheckedAnswer = Omit<GivenAnswer, 'at' | 'released' | 'grant' | 'settledBy'>

export type AnswerCheck =
  | { readonly kind: 'ok'; readonly answer: CheckedAnswer; readonly target: Authority }
  | { readonly kind: 'invalid'; readonly problem: AnswerProblem }

/** Fills in the defaults and refuses what would mean something else than it says. Pure. */
export function checkAnswer(answer: ApprovalAnswer, authority: Authority, ttlMs: number): AnswerCheck {
  const scope = answer.scope ?? defaultScope(answer)
  const forMs =
    scope === 'for' ? (answer.forMs ?? (answer.verdict === 'deny' ? ttlMs : undefined)) : undefined
  const who = answer.who ?? 'client'
  const what = answer.what ?? 'host_port'
  const target = targetOf(what, authority)
  const problem =
    durationProblem(scope, forMs, answer.forMs) ??
    widthProblem(scope, who, what) ??
    (target === undefined ? domainProblem(authority) : undefined) ??
    textProblem('note', answer.note, LONGEST_NOTE) ??
    textProblem('by', answer.by.name, LONGEST_NAME)
  if (problem) return { kind: 'invalid', problem }
  return {
    kind: 'ok',
    target: target!,
    answer: {
      verdict: answer.verdict,
      scope,
      who,
      what,
      by: answer.by,
      ...(forMs === undefined ? {} : { forMs }),
      ...(answer.note === undefined || answer.note === '' ? {} : { note: answer.note }),
    },
  }
}

function defaultScope(answer: ApprovalAnswer): AnswerScope {
  if (answer.forMs !== undefined || answer.verdict === 'deny') return 'for'
  return 'once'
}

function targetOf(what: AnswerTarget, authority: Authority): Authority | undefined {
  if (what !== 'domain') return authority
  const host = registrableDomain(authority.host)
  return host && { host, port: authority.port }
}

function durationProblem(
  scope: AnswerScope,
  forMs: number | undefined,
  given: number | undefined,
): AnswerProblem | undefined {
  if (scope !== 'for') {
    if (given === undefined) return undefined
    return {
      field: 'for',
      value: `${given} ms`,
      problem: `a duration means nothing with scope ${scope}`,
      remedy: 'leave it out, or use scope for',
    }
  }
  if (forMs === undefined)
    return { field: 'for', value: '', problem: 'scope for needs a duration', remedy: 'add one, such as 1h' }
  if (Number.isFinite(forMs) && forMs >= SECOND && forMs <= LONGEST_FOR) return undefined
  return {
    field: 'for',
    value: `${forMs} ms`,
    problem: 'a duration is from 1 second to 366 days',
    remedy: 'use scope always for what should stay until it is revoked',
  }
}

function widthProblem(
  scope: AnswerScope,
  who: 'client' | 'all',
  what: AnswerTarget,
): AnswerProblem | undefined {
  if (who === 'all' && (scope === 'once' || scope === 'session'))
    return {
      field: 'who',
      value: who,
      problem: `scope ${scope} is about the client that asked`,
      remedy: 'use scope for or always for all clients',
    }
  if (what !== 'host_port' && scope === 'once')
    return {
      field: 'what',
      value: what,
      problem: 'scope once is about the requests that were made',
      remedy: 'use scope session, for or always for more than this host and port',
    }
  return undefined
}

function domainProblem(authority: Authority): AnswerProblem {
  const address = authority.host.kind === 'address'
  return {
    field: 'what',
    value: 'domain',
    problem: address
      ? `${authority.host.text} is an address, which has no domain`
      : `${authority.host.text} is a public suffix: everybody's names are below it`,
    remedy: 'answer for host or host_port',
  }
}

function textProblem(
  field: 'note' | 'by',
  text: string | undefined,
  limit: number,
): AnswerProblem | undefined {
  if (text === undefined) return undefined
  if (text.length > limit)
    return {
      field,
      value: `${text.length} characters`,
      problem: `it is longer than ${limit} characters`,
      remedy: 'shorten it',
    }
  // Others read it in a terminal: no escape sequences, no line breaks, no direction marks.
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(text))
    return {
      field,
      value: JSON.stringify(text.replace(/[^\x20-\x7e]/g, '?')),
      problem: 'it contains control characters',
      remedy: 'write it on one line of plain text',
    }
  return undefined
}

/** The grant that remembers an answer; a late `once` becomes one too, good for one exchange while the approval lives. */
export function grantFrom(
  answer: CheckedAnswer,
  question: { id: string; client: ClientId; expiresAt: number },
  target: Authority,
  id: string,
  now: number,
): Grant {
  const expiresAt = expiry(answer, question.expiresAt, now)
  return {
    id,
    verdict: answer.verdict,
    scope: answer.scope,
    ...(answer.who === 'all' ? {} : { client: question.client }),
    what: answer.what,
    authority: target,
    createdAt: now,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    approval: question.id,
    by: answer.by,
    ...(answer.note === undefined ? {} : { note: answer.note }),
    uses: 0,
  }
}

function expiry(answer: CheckedAnswer, approvalEnds: number, now: number): number | undefined {
  if (answer.scope === 'once') return approvalEnds
  return answer.forMs === undefined ? undefined : now + answer.forMs
}
