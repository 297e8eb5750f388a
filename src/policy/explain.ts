import { type Authority, authorityText, InvalidTarget, parseAuthority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import { type Reason, REASONS, type Rule } from '../core/decision.ts'
import type { GrantFinder } from '../core/grant.ts'
import type { IpAddress } from '../core/ip-address.ts'
import { evaluate, type Step } from './decide.ts'
import type { Policy } from './policy.ts'

/** What would happen to an exchange, and why; the same evaluator as at the doors, nothing is sent or resolved. */
export interface Explanation {
  /** `host:port`, canonical; absent where the target does not parse. */
  readonly target?: string
  readonly door: 'http' | 'connect'
  readonly decision: 'allow' | 'deny' | 'hold'
  readonly reason?: Reason
  /** Status that the client would get at once; absent for allow and hold. */
  readonly status?: number
  /** One sentence. */
  readonly says: string
  readonly rule?: Rule
  readonly steps: readonly Step[]
  /** The host is a name and its addresses were not looked at: a private one would still be refused. */
  readonly unresolved: boolean
}

export interface ExplainQuestion {
  /** `https://host/path`, `http://host/path`, or `host:port` (a CONNECT). */
  readonly target: string
  readonly client: ClientId
  readonly addresses?: readonly IpAddress[]
}

/** Exit codes of `sallyport explain`, for scripts. */
export const DECISION_EXIT_CODES = { allow: 0, deny: 10, hold: 11 } as const

export function explain(policy: Policy, question: ExplainQuestion, findGrant: GrantFinder): Explanation {
  const door = /^http:\/\//i.test(question.target) ? 'http' : 'connect'
  let authority: Authority
  try {
    authority = targetAuthority(question.target)
  } catch (error) {
    if (!(error instanceof InvalidTarget)) throw error
    const says = `${REASONS.invalid_target.title} ${sentence(error.problem)}`
    return {
      door,
      decision: 'deny',
      reason: 'invalid_target',
      status: 400,
      says,
      steps: [],
      unresolved: false,
    }
  }
  const { client, addresses } = question
  const { decision, steps } = evaluate(
    policy,
    addresses === undefined ? { authority, client } : { authority, client, addresses },
    findGrant,
  )
  const common = {
    target: authorityText(authority),
    door,
    steps,
    unresolved: authority.host.kind === 'name' && addresses === undefined,
    ...(decision.rule === undefined ? {} : { rule: decision.rule }),
  } as const
  switch (decision.kind) {
    case 'allow':
      return { ...common, decision: 'allow', says: 'It would be let through.' }
    case 'hold':
      return { ...common, decision: 'hold', says: 'It would wait until somebody approves it.' }
    case 'deny': {
      const { status, title } = REASONS[decision.reason]
      return { ...common, decision: 'deny', reason: decision.reason, status, says: title }
    }
  }
}

function targetAuthority(text: string): Authority {
  const match = /^(https?):\/\/([^/?#]*)/i.exec(text)
  if (match) return parseAuthority(match[2]!, match[1]!.toLowerCase() === 'https' ? 443 : 80)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    throw new InvalidTarget('only http:// and https:// URLs can be explained')
  return parseAuthority(text.replace(/[/?#].*$/, ''), 443)
}

function sentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`
}
