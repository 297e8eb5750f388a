import type { Authority } from '../core/authority.ts'
import type { Client } from '../core/client.ts'
import { type Decision, type Reason, REASONS, type Rule, unreachable } from '../core/decision.ts'
import { ProxyError } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { GrantFinder, GrantVerdict } from '../core/grant.ts'
import type { Hostname } from '../core/hostname.ts'
import type { IpAddress } from '../core/ip-address.ts'
import { decide, type Question } from '../policy/decide.ts'
import type { Policy } from '../policy/policy.ts'
import type { Refusal } from './respond.ts'

/** What a hold came to. The same shape as the approvals slice gives; the door knows no more of it. */
export type HoldOutcome =
  | {
      readonly kind: 'allow' | 'deny'
      readonly approval: string
      readonly heldMs: number
      readonly rule: Rule
    }
  | {
      readonly kind: 'pending'
      readonly approval: string
      readonly heldMs: number
      readonly retryAfter: number
    }
  | { readonly kind: 'gone'; readonly approval: string; readonly heldMs: number }
  | { readonly kind: 'too_many' | 'no_reviewer' | 'draining' }

export interface HoldQuestion {
  readonly client: Client
  readonly authority: Authority
  readonly door: 'http' | 'connect'
  readonly method: string
  readonly path?: string
  readonly userAgent?: string
  readonly exchange: string
}

export interface AdmissionParts {
  /** The policy in force and its version. */
  readonly snapshot: () => { readonly policy: Policy; readonly version: string }
  readonly findGrant: GrantFinder
  /** Told when a door acts on a grant, which counts the use; false when it is no longer in force or was used up. */
  readonly consumeGrant: (grant: string) => boolean
  readonly hold: (question: HoldQuestion, signal: AbortSignal) => Promise<HoldOutcome>
  readonly resolver: {
    cached(name: Hostname): readonly IpAddress[] | undefined
    resolve(name: Hostname): Promise<readonly IpAddress[]>
  }
  /** `deny`: what cannot be recorded is refused; `allow`: it goes on unrecorded. */
  readonly onAuditError: () => 'deny' | 'allow'
  /** Hears of an error that should not have happened; the exchange is refused all the same. */
  readonly onFault: (error: unknown, exchange: Exchange) => void
}

/** What was admitted, with the addresses that were vetted for it. */
export interface Destination {
  readonly authority: Authority
  readonly addresses: readonly IpAddress[]
}

export type Admitted =
  | ({ readonly kind: 'go'; readonly permittedBy?: string } & Destination)
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'trouble'; readonly error: ProxyError }
  /** The client went away while it waited: there is nobody to answer. */
  | { readonly kind: 'gone' }

export interface Admission {
  /**
   * Decides an exchange whose target has been read, waits where policy holds it, resolves the name once it is permitted,
   * judges every address, and records the decision before it returns `go`. Whatever throws on the way is a refusal.
   */
  admit(exchange: Exchange, signal: () => AbortSignal): Promise<Admitted>
  /**
   * Whether a tunnel may still begin that was admitted a while ago: a policy that became stricter while it was being
   * opened closed those that ran already, and not this one.
   */
  mayStillBegin(exchange: Exchange, admitted: Destination): boolean
  /** Records and refuses what never became a question: a malformed request, a bad target, a loop. */
  refuse(exchange: Exchange, refusal: Refusal): Promise<Refusal>
}

export function createAdmission(parts: AdmissionParts): Admission {
  /** Nothing here waits before the record, where nothing must: each promise in a chain costs as much as the decision. */
  function admit(exchange: Exchange, signal: () => AbortSignal): Promise<Admitted> {
    const { policy, version } = parts.snapshot()
    exchange.policyVersion = version
    let granted: GrantVerdict | undefined
    const decision = decide(
      policy,
      questionOf(exchange),
      (client, target) => (granted = parts.findGrant(client, target)),
    )
    if (decision.kind === 'hold' || !isOurs(decision, granted, parts)) return hold(exchange, decision, signal)
    return permit(exchange, decision, policy, granted)
  }

  async function hold(exchange: Exchange, held: Decision, signal: () => AbortSignal): Promise<Admitted> {
    const outcome = await parts.hold(
      {
        client: exchange.client,
        authority: exchange.authority!,
        door: exchange.door,
        method: exchange.method,
        ...(exchange.path === undefined ? {} : { path: exchange.path }),
        ...(exchange.userAgent === undefined ? {} : { userAgent: exchange.userAgent }),
        exchange: exchange.id,
      },
      signal(),
    )
    if ('approval' in outcome) {
      exchange.approval = outcome.approval
      exchange.heldMs = outcome.heldMs
    }
    switch (outcome.kind) {
      case 'allow':
      case 'deny': {
        // An answer settles step 7 only. The policy may have become stricter while the client waited.
        const { policy, version } = parts.snapshot()
        exchange.policyVersion = version
        const granted = {
          verdict: outcome.kind,
          grant: outcome.approval,
          once: false,
          rule: outcome.rule,
        } as const
        return permit(
          exchange,
          decide(policy, questionOf(exchange), () => granted),
          policy,
          granted,
        )
      }
      case 'pending':
        return refused(exchange, held, {
          reason: 'approval_pending',
          approval: outcome.approval,
          retryAfter: outcome.retryAfter,
        })
      case 'gone':
        return recorded(exchange, { kind: 'deny', reason: 'client_gone', source: 'proxy_state' }, GONE, GONE)
      case 'too_many':
        return refused(exchange, stateDenial('too_many_pending'), {
          reason: 'too_many_pending',
          retryAfter: 30,
        })
      case 'no_reviewer':
        return refused(exchange, stateDenial('no_reviewer'), { reason: 'no_reviewer' })
      case 'draining':
        return refused(exchange, stateDenial('draining'), { reason: 'draining', retryAfter: 5 })
      default:
        return unreachable(outcome)
    }
  }

  /** What is permitted by its name is looked up. `granted`: the grant that counts; what is good for once is used up by it. */
  function permit(
    exchange: Exchange,
    decision: Decision,
    policy: Policy,
    granted: GrantVerdict | undefined,
  ): Promise<Admitted> {
    if (decision.kind === 'hold') throw new Error('an answered hold was held again')
    if (decision.kind === 'deny') return refusedBy(exchange, decision)
    const { host } = exchange.authority!
    if (host.kind === 'address') return judge(exchange, [host.address], policy, granted)
    const known = parts.resolver.cached(host.text)
    if (known !== undefined) return judge(exchange, known, policy, granted)
    return lookUp(exchange, host.text, decision, policy, granted)
  }

  async function lookUp(
    exchange: Exchange,
    name: Hostname,
    decision: Decision,
    policy: Policy,
    granted: GrantVerdict | undefined,
  ): Promise<Admitted> {
    let addresses: readonly IpAddress[]
    try {
      addresses = await parts.resolver.resolve(name)
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error
      exchange.trouble = error.code
      return recorded(exchange, decision, { kind: 'trouble', error })
    }
    return judge(exchange, addresses, policy, granted)
  }

  /** Judges every address, by the policy that permitted the name and by the one of now. */
  function judge(
    exchange: Exchange,
    addresses: readonly IpAddress[],
    policy: Policy,
    granted: GrantVerdict | undefined,
  ): Promise<Admitted> {
    const question = questionOf(exchange, addresses)
    const finder: GrantFinder = () => granted
    let current = policy
    const latest = parts.snapshot()
    if (
      latest.version !== exchange.policyVersion &&
      decide(latest.policy, question, finder).kind === 'deny'
    ) {
      // It became stricter during the look-up. One that only became more generous, or would ask, does not count here.
      current = latest.policy
      exchange.policyVersion = latest.version
    }
    const decision = decide(current, question, finder)
    if (decision.kind === 'hold') throw new Error('a permitted name was held after its resolution')
    if (decision.kind === 'deny') return refusedBy(exchange, decision)
    const permittedBy = decision.source === 'approval' ? granted?.grant : undefined
    const { authority } = question
    const go: Admitted =
      permittedBy === undefined
        ? { kind: 'go', authority, addresses }
        : { kind: 'go', authority, addresses, permittedBy }
    return recorded(exchange, decision, go)
  }

  /** `outcome`, once the decision is written; `unwritten` where it could not be and policy says that nothing goes so. */
  function recorded(
    exchange: Exchange,
    decision: Decision,
    outcome: Admitted,
    unwritten: Admitted = AUDIT_REFUSAL,
  ): Promise<Admitted> {
    return new Promise((resolve) => {
      exchange.decide(decision, (error) =>
        resolve(error !== undefined && parts.onAuditError() === 'deny' ? unwritten : outcome),
      )
    })
  }

  function refused(exchange: Exchange, decision: Decision, refusal: Refusal): Promise<Admitted> {
    exchange.status = statusOf(refusal)
    return recorded(exchange, decision, { kind: 'refused', refusal })
  }

  function refusedBy(exchange: Exchange, decision: Decision & { kind: 'deny' }): Promise<Admitted> {
    const { reason, rule } = decision
    return refused(
      exchange,
      decision,
      rule === undefined ? { reason } : { reason, rule: `${rule.list}: ${rule.text}` },
    )
  }

  /** Fail closed: whatever went wrong, nothing has left yet, and the client hears that it is our fault. */
  async function failed(error: unknown, exchange: Exchange): Promise<Admitted> {
    parts.onFault(error, exchange)
    if (exchange.isDecided) throw error
    const refusal: Admitted = { kind: 'refused', refusal: { reason: 'internal_error' } }
    return recorded(exchange, stateDenial('internal_error'), refusal, refusal)
  }

  return {
    async admit(exchange, signal) {
      try {
        return await admit(exchange, signal)
      } catch (error) {
        return failed(error, exchange)
      }
    },
    mayStillBegin(exchange, { authority, addresses }) {
      const { policy, version } = parts.snapshot()
      if (version === exchange.policyVersion) return true
      return (
        decide(policy, { authority, client: exchange.client.id, addresses }, parts.findGrant).kind !== 'deny'
      )
    },
    async refuse(exchange, refusal) {
      exchange.status = statusOf(refusal)
      const source: Decision = { kind: 'deny', reason: refusal.reason, source: 'target' }
      await recorded(exchange, source, { kind: 'refused', refusal })
      return refusal
    },
  }
}

const GONE: Admitted = { kind: 'gone' }
const AUDIT_REFUSAL: Admitted = {
  kind: 'refused',
  refusal: { reason: 'audit_unavailable', retryAfter: 30 },
}

function questionOf(exchange: Exchange, addresses?: readonly IpAddress[]): Question {
  const authority = exchange.authority!
  const client = exchange.client.id
  return addresses === undefined ? { authority, client } : { authority, client, addresses }
}

/** What the client will get, so that the record of the decision can say it. */
function statusOf({ status, reason }: Refusal): number {
  return status ?? REASONS[reason].status
}

function stateDenial(reason: Reason): Decision & { kind: 'deny' } {
  return { kind: 'deny', reason, source: 'proxy_state' }
}

/** Whether the grant that the decision rests on is ours: one that is good for one exchange may just have been used up. */
function isOurs(decision: Decision, granted: GrantVerdict | undefined, parts: AdmissionParts): boolean {
  if (decision.source !== 'approval' || granted === undefined) return true
  return parts.consumeGrant(granted.grant)
}
