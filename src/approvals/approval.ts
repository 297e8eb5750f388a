// approvals: holding what policy does not know, asking people, and remembering what they said. Never here: whether a
// host is unfamiliar (policy), what the client is sent (proxy), how people reach us (admin, cli). An answer can only
// ever decide a question that policy left open.

import type { Authority } from '../core/authority.ts'
import type { Client, ClientId } from '../core/client.ts'
import type { Rule } from '../core/decision.ts'
import type { Door } from '../core/exchange.ts'

/** What the proxy asks when policy says hold. */
export interface ApprovalQuestion {
  readonly client: Client
  readonly authority: Authority
  readonly door: Door
  readonly method: string
  /** Without query. */
  readonly path?: string
  readonly userAgent?: string
  /** Id of the exchange that waits. */
  readonly exchange: string
}

/** How a wait ended. `heldMs` is how long the exchange was held, in whole milliseconds. */
export type ApprovalOutcome =
  | {
      readonly kind: 'allow' | 'deny'
      readonly approval: string
      readonly rule: Rule
      readonly heldMs: number
      /** Who answered, for people: `alice via socket`. */
      readonly by: string
    }
  | {
      /** Nobody answered in time; the approval lives on and a later answer becomes a grant. */
      readonly kind: 'pending'
      readonly approval: string
      readonly heldMs: number
      /** Seconds. */
      readonly retryAfter: number
    }
  | { readonly kind: 'too_many' }
  | { readonly kind: 'no_reviewer' }
  | { readonly kind: 'gone'; readonly approval: string; readonly heldMs: number }
  | { readonly kind: 'draining' }

/** One of the requests that asked. Its texts come from the client: printable ASCII only, cut to length. */
export interface ApprovalRequest {
  readonly at: number
  readonly exchange: string
  readonly door: Door
  readonly method: string
  readonly path?: string
  readonly userAgent?: string
}

export type ApprovalStatus = 'open' | 'answered' | 'expired' | 'cancelled'

/** The question of one client about one host and port, as it stands now. Times are milliseconds since the epoch. */
export interface Approval {
  /** 130 random bits; any unique beginning of at least four characters finds it. */
  readonly id: string
  readonly status: ApprovalStatus
  readonly client: ClientId
  readonly authority: Authority
  readonly openedAt: number
  readonly expiresAt: number
  /** Exchanges that wait now. */
  readonly waiting: number
  /** Open, but nobody waits any more: an answer becomes a grant for the retry. */
  readonly requesterLeft: boolean
  /** When the first of those that wait gives up. */
  readonly patienceUntil?: number
  /** Exchanges that ever asked. */
  readonly asked: number
  /** The first of them, at most ten. */
  readonly requests: readonly ApprovalRequest[]
  readonly closedAt?: number
  readonly answer?: GivenAnswer
}

/** Who did something. `via` is what the admin API knows; `name` is only what the caller said. */
export interface Actor {
  readonly via: string
  readonly name?: string
}

export function actorText(actor: Actor): string {
  return actor.name === undefined ? actor.via : `${actor.name} via ${actor.via}`
}

export type AnswerVerdict = 'allow' | 'deny'

/**
 * - `once`: the exchanges that wait now; when none does, the next one within the life of the approval.
 * - `session`: this client, until it has had no open connection for `sessionIdleMs`.
 * - `for`: a duration. - `always`: until revoked.
 */
export type AnswerScope = 'once' | 'session' | 'for' | 'always'

/** The host and port that were asked for, the host with any permitted port, or `**.` its registrable domain. */
export type AnswerTarget = 'host_port' | 'host' | 'domain'

/** What a reviewer says. */
export interface ApprovalAnswer {
  readonly verdict: AnswerVerdict
  /** Default: `once` for allow; `for` the life of an approval for deny, so that a refused client cannot ask on and on. */
  readonly scope?: AnswerScope
  /** Milliseconds, with scope `for`: one second to 366 days. */
  readonly forMs?: number
  /** Default `client`. `all` needs scope `for` or `always`. */
  readonly who?: 'client' | 'all'
  /** Default `host_port`. Wider needs another scope than `once`. */
  readonly what?: AnswerTarget
  /** At most 500 characters, no control characters. */
  readonly note?: string
  readonly by: Actor
}

/** An answer with its defaults filled in, as it was stored. */
export interface GivenAnswer {
  readonly verdict: AnswerVerdict
  readonly scope: AnswerScope
  readonly forMs?: number
  readonly who: 'client' | 'all'
  readonly what: AnswerTarget
  readonly note?: string
  readonly by: Actor
  readonly at: number
  /** How many waiting exchanges it let go on. */
  readonly released: number
  /** Id of the grant that it made. */
  readonly grant?: string
  /** Id of the approval whose wider answer settled this one too. */
  readonly settledBy?: string
}

/** The requests of an approval that are kept: enough to judge by, few enough to bound memory. */
export const KEPT_REQUESTS = 10

/** What the reviewer is shown of a question. */
export function describeRequest(question: ApprovalQuestion, at: number): ApprovalRequest {
  return {
    at,
    exchange: question.exchange,
    door: question.door,
    method: harmless(question.method, 32),
    ...(question.path === undefined ? {} : { path: harmless(question.path, 200) }),
    ...(question.userAgent === undefined ? {} : { userAgent: harmless(question.userAgent, 200) }),
  }
}

/** A reviewer's terminal or page shows this: no escape sequence, line break or look-alike letter may reach it. */
function harmless(text: string, limit: number): string {
  const cut = text.length > limit ? `${text.slice(0, limit - 3)}...` : text
  return cut.replace(/[^\x20-\x7e]/g, '?')
}
