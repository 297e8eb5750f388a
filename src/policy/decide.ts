import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import { type Decision, type Rule, unreachable } from '../core/decision.ts'
import type { GrantFinder, GrantVerdict } from '../core/grant.ts'
import type { Host } from '../core/hostname.ts'
import type { IpAddress } from '../core/ip-address.ts'
import { classifyAddress, embeddedIpv4 } from './addresses.ts'
import { type GuardVerdict, exceptionCovering, exceptionNaming, judgeAddress, judgeHost } from './guard.ts'
import type { Policy } from './policy.ts'

export interface Question {
  readonly authority: Authority
  readonly client: ClientId
  /** All that the host resolved to, once it did. Absent before. */
  readonly addresses?: readonly IpAddress[]
}

/** One step of the order, for people who ask why. */
export interface Step {
  readonly step: 'port' | 'denied' | 'address' | 'allowed' | 'grant' | 'unfamiliar'
  /** `pass`: this step has nothing against it, or nothing to say; the others end the matter. */
  readonly outcome: 'pass' | 'allow' | 'deny' | 'hold'
  /** What matched, also where it lets the question pass on (a permitted port, a private exception). */
  readonly rule?: Rule
}

export interface Evaluation {
  readonly decision: Decision
  /** In their order; the last one decided. */
  readonly steps: readonly Step[]
}

type Note = (step: Step['step'], outcome: Step['outcome'], rule: Rule | undefined) => void

/**
 * May this exchange leave? The only evaluator: every door, every cache hit and every dry run asks here. The target was
 * parsed (step 1 of the order); here are the others, first match wins. Only the last one can become an allow by an
 * approval. Pure, and synchronous.
 */
export function decide(policy: Policy, question: Question, findGrant: GrantFinder): Decision {
  return run(policy, question, findGrant, undefined)
}

/** The same, with the way to the decision. */
export function evaluate(policy: Policy, question: Question, findGrant: GrantFinder): Evaluation {
  const steps: Step[] = []
  const decision = run(policy, question, findGrant, (step, outcome, rule) =>
    steps.push(rule === undefined ? { step, outcome } : { step, outcome, rule }),
  )
  return { decision, steps }
}

function run(policy: Policy, question: Question, findGrant: GrantFinder, note: Note | undefined): Decision {
  const { authority } = question

  const portRule = permittingPort(policy, question)
  note?.('port', portRule ? 'pass' : 'deny', portRule ?? policy.portsRule)
  if (!portRule) return { kind: 'deny', reason: 'port_not_allowed', source: 'port', rule: policy.portsRule }

  const denying = denyingRule(policy, question)
  note?.('denied', denying ? 'deny' : 'pass', denying)
  if (denying) return { kind: 'deny', reason: 'denied', source: 'deny_rule', rule: denying }

  const guarded = guardVerdict(policy, question)
  note?.('address', guarded.kind === 'refuse' ? 'deny' : 'pass', guarded.rule)
  if (guarded.kind === 'refuse')
    return { kind: 'deny', reason: 'not_allowed_local', source: 'address_guard', rule: guarded.rule }

  const allowing = policy.allowed.match(authority.host, authority.port)
  note?.('allowed', allowing ? 'allow' : 'pass', allowing)
  if (allowing) return { kind: 'allow', source: 'allow_rule', rule: allowing }

  const grant = grantFor(question, findGrant)
  note?.('grant', grant?.verdict ?? 'pass', grant?.rule)
  if (grant)
    return grant.verdict === 'allow'
      ? { kind: 'allow', source: 'approval', rule: grant.rule }
      : { kind: 'deny', reason: 'approval_denied', source: 'approval', rule: grant.rule }

  const last = unfamiliarDecision(policy, authority.host)
  note?.('unfamiliar', last.kind, last.rule)
  return last
}

/** What permits the port: the setting, an allowed pattern that names it, or a private exception for this host. */
function permittingPort(policy: Policy, question: Question): Rule | undefined {
  const { host, port } = question.authority
  if (policy.allowedPorts.has(port)) return policy.portsRule
  return policy.allowed.matchNamingPort(host, port) ?? exceptionForPort(policy, question)
}

/** An exception opens its ports on its network only, so not for a public answer; the guard judges the others. */
function exceptionForPort(policy: Policy, question: Question): Rule | undefined {
  const { host, port } = question.authority
  const rule = exceptionNaming(policy.guard, host, port)
  if (!rule) return undefined
  const stray = addressesOf(question).some(
    (each) => classifyAddress(each) === 'public' && !exceptionCovering(policy.guard, host, each, port),
  )
  return stray ? undefined : rule
}

const NONE: readonly IpAddress[] = []

/** The host itself, where it is an address, and what it resolved to. */
function addressesOf({ authority: { host }, addresses }: Question): readonly IpAddress[] {
  if (host.kind === 'name') return addresses ?? NONE
  return addresses === undefined ? [host.address] : [host.address, ...addresses]
}

/**
 * What denies the host, or an address: one that the host is, that hides in it (64:ff9b::192.0.2.1), or that it resolved
 * to, since a denied network must not be reachable by giving it a name.
 */
function denyingRule(policy: Policy, question: Question): Rule | undefined {
  const { host, port } = question.authority
  const byName = policy.denied.match(host, port)
  if (byName) return byName
  if (!policy.denied.namesAddresses) return undefined
  for (const address of addressesOf(question)) {
    for (const form of [address, ...embeddedIpv4(address)]) {
      const rule = policy.denied.matchAddress(form, port)
      if (rule) return rule
    }
  }
  return undefined
}

/** One bad answer among several refuses the whole name: otherwise the order of a resolver would decide. */
function guardVerdict(policy: Policy, { authority, addresses }: Question): GuardVerdict {
  const { host, port } = authority
  let verdict = judgeHost(policy.guard, host, port)
  if (addresses === undefined || verdict.kind === 'refuse') return verdict
  if (addresses.length === 0) return NO_ADDRESS
  for (const address of addresses) {
    const next = judgeAddress(policy.guard, host, address, port)
    if (next.kind === 'refuse') return next
    if (next.rule) verdict = next
  }
  return verdict
}

/** Nothing to dial is nothing that was judged: refused, so that a resolver's oddity never becomes a pass. */
const NO_ADDRESS: GuardVerdict = {
  kind: 'refuse',
  rule: { list: 'built-in', text: 'address guard: no address' },
}

/** A name says to a reviewer whom it belongs to, an address says nothing: answers count for names, and denials for both. */
function grantFor({ authority, client }: Question, findGrant: GrantFinder): GrantVerdict | undefined {
  const grant = findGrant(client, authority)
  return authority.host.kind === 'address' && grant?.verdict === 'allow' ? undefined : grant
}

/** So nobody is asked about an address either. */
const NOT_HELD: Rule = { list: 'built-in', text: 'addresses are not held: an entry must allow one' }

function unfamiliarDecision(policy: Policy, host: Host): Decision {
  const { unfamiliar, unfamiliarRule: rule } = policy
  switch (unfamiliar) {
    case 'hold':
      return host.kind === 'address'
        ? { kind: 'deny', reason: 'not_allowed', source: 'default', rule: NOT_HELD }
        : { kind: 'hold', source: 'default', rule }
    case 'deny':
      return { kind: 'deny', reason: 'not_allowed', source: 'default', rule }
    case 'allow':
      return { kind: 'allow', source: 'default', rule }
    default:
      return unreachable(unfamiliar)
  }
}
