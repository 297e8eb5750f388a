import type { Rule, SourceLocation } from '../core/decision.ts'
import { type IpAddress, parseIpAddress } from '../core/ip-address.ts'
import { unmapped } from './addresses.ts'
import { type PrivateException, parsedExceptions, portProblems } from './exceptions.ts'
import type { Guard } from './guard.ts'
import { type ListFile, type PatternEntry, parsedEntries, patternSet } from './lists.ts'
import { NameHasher, randomSeeds } from './name-hash.ts'
import type { PatternSet } from './pattern-set.ts'
import type { PolicyProblem } from './problem.ts'
import { warningsOf } from './warnings.ts'

export interface OwnListener {
  /** An address literal; `0.0.0.0` and `::` stand for every address of the machine. */
  readonly address: string
  readonly port: number
}

export interface PolicyInput {
  readonly allowed: readonly PatternEntry[]
  readonly denied: readonly PatternEntry[]
  readonly deniedFiles: readonly ListFile[]
  readonly allowedPorts: readonly number[]
  readonly unfamiliar: Unfamiliar
  readonly private: readonly PrivateException[]
  readonly own: readonly OwnListener[]
  /** Every address of the machine's interfaces, for listeners that are bound to all of them. */
  readonly localAddresses: readonly string[]
  /** Where the settings stand; a default stands nowhere. */
  readonly sources?: {
    readonly allowedPorts?: SourceLocation | undefined
    readonly unfamiliar?: SourceLocation | undefined
  }
}

/** What becomes of a host that no list names. */
export type Unfamiliar = 'hold' | 'deny' | 'allow'

/** A compiled policy: immutable, and all that `decide` needs. */
export interface Policy {
  readonly allowed: PatternSet
  readonly denied: PatternSet
  readonly allowedPorts: ReadonlySet<number>
  readonly portsRule: Rule
  readonly unfamiliar: Unfamiliar
  readonly unfamiliarRule: Rule
  readonly guard: Guard
  /** Different patterns, those of list files included. */
  readonly counts: { readonly allowed: number; readonly denied: number }
}

export interface CompiledPolicy {
  /** Must not be used where there are problems. */
  readonly policy: Policy
  readonly problems: readonly PolicyProblem[]
  /** Entries that are valid and probably not what was meant. */
  readonly warnings: readonly PolicyProblem[]
}

/** Compiles what the settings and the list files say. Never throws for bad input: that is what `problems` is for. */
export function compilePolicy(input: PolicyInput): CompiledPolicy {
  const problems: PolicyProblem[] = []
  const allowedEntries = parsedEntries('allowed_domains', input.allowed, problems)
  const deniedEntries = parsedEntries('denied_domains', input.denied, problems)
  const hasher = new NameHasher(randomSeeds())
  const allowed = patternSet('allowed_domains', hasher, allowedEntries, [], problems)
  const denied = patternSet('denied_domains', hasher, deniedEntries, input.deniedFiles, problems)
  const guard: Guard = {
    exceptions: parsedExceptions(input.private, problems),
    ...ownSockets(input.own, input.localAddresses),
  }
  problems.push(...portProblems('allowed_ports', input.allowedPorts, input.sources?.allowedPorts))
  const policy: Policy = {
    allowed,
    denied,
    allowedPorts: new Set(input.allowedPorts),
    portsRule: ruleOf('allowed_ports', input.allowedPorts.join(', '), input.sources?.allowedPorts),
    unfamiliar: input.unfamiliar,
    unfamiliarRule: ruleOf('unfamiliar', input.unfamiliar, input.sources?.unfamiliar),
    guard,
    counts: { allowed: allowed.size, denied: denied.size },
  }
  return { policy, problems, warnings: warningsOf(policy, allowedEntries, deniedEntries) }
}

/** The same policy for a proxy that has found out where it listens (port 0 becomes a port when it is bound). */
export function withOwnListeners(
  policy: Policy,
  own: readonly OwnListener[],
  localAddresses: readonly string[],
): Policy {
  return { ...policy, guard: { exceptions: policy.guard.exceptions, ...ownSockets(own, localAddresses) } }
}

function ownSockets(
  own: readonly OwnListener[],
  localAddresses: readonly string[],
): Pick<Guard, 'own' | 'local'> {
  return {
    own: own.map(({ address, port }) => ({ address: literal(address), port })),
    local: new Set(localAddresses.map((each) => unmapped(literal(each)).text)),
  }
}

/** Interfaces are listed with zone ids (`fe80::1%eth0`), which say nothing about the address. */
function literal(text: string): IpAddress {
  const address = parseIpAddress(text.replace(/%.*$/, ''))
  if (!address) throw new TypeError(`not an address: ${text}`)
  return address
}

function ruleOf(list: string, text: string, source: SourceLocation | undefined): Rule {
  return source === undefined ? { list, text } : { list, text, source }
}
