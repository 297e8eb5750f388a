import { parse } from 'tldts'
import type { SourceLocation } from '../core/decision.ts'
import type { Host, Hostname } from '../core/hostname.ts'
import { ipAddressFromBytes } from '../core/ip-address.ts'
import { classifyAddress } from './addresses.ts'
import type { ParsedEntry } from './lists.ts'
import type { PatternSet } from './pattern-set.ts'
import { type Pattern, patternText } from './pattern.ts'
import type { PolicyProblem } from './problem.ts'

/** What is valid, and probably not what its author meant. */
export function warningsOf(
  policy: { readonly allowed: PatternSet; readonly denied: PatternSet },
  allowed: readonly ParsedEntry[],
  denied: readonly ParsedEntry[],
): PolicyProblem[] {
  const warnings: PolicyProblem[] = []
  const warn = (field: string, entry: ParsedEntry, told: Told | undefined) => {
    if (told) warnings.push({ field, value: entry.text, source: entry.source, ...told })
  }
  for (const [entry, before] of withEarlier(allowed)) {
    if (before) warn('allowed_domains', entry, repeated(before))
    else {
      warn('allowed_domains', entry, neverReached(policy.denied, entry.pattern))
      warn('allowed_domains', entry, withoutApex(policy.allowed, entry.pattern))
      warn('allowed_domains', entry, openToAnybody(entry.pattern))
      warn('allowed_domains', entry, notPublic(entry.pattern))
    }
  }
  for (const [entry, before] of withEarlier(denied))
    warn('denied_domains', entry, before ? repeated(before) : withoutApex(policy.denied, entry.pattern))
  return warnings
}

type Told = Pick<PolicyProblem, 'problem' | 'remedy'>

/** Each entry, with the earlier one that means the same. */
function withEarlier(entries: readonly ParsedEntry[]): (readonly [ParsedEntry, ParsedEntry | undefined])[] {
  const first = new Map<string, ParsedEntry>()
  return entries.map((entry) => {
    const key = patternText(entry.pattern)
    const before = first.get(key)
    if (!before) first.set(key, entry)
    return [entry, before]
  })
}

function repeated(before: ParsedEntry): Told {
  return {
    problem: `the same entry stands in ${placeOf(before.source)}`,
    remedy: 'leave one of them out',
  }
}

function neverReached(denied: PatternSet, pattern: Pattern): Told | undefined {
  // No pattern names port -1: an entry for every port is covered by denials of every port only.
  const port = pattern.port === 0 ? -1 : pattern.port
  const rules = samples(pattern).map((host) => denied.match(host, port))
  const rule = rules[0]
  if (!rule || rules.includes(undefined)) return undefined
  const place = rule.source ? ` (${placeOf(rule.source)})` : ''
  return {
    problem: `it is also denied, by ${rule.text}${place}, and a denial always wins`,
    remedy: 'take it out of one of the two lists',
  }
}

/** Hosts such that a rule that matches them all covers the pattern. */
function samples(pattern: Pattern): Host[] {
  if (pattern.kind !== 'name') return []
  const apex: Host = { kind: 'name', text: pattern.name }
  // Two labels that nobody has: what matches them matches every subdomain.
  const below: Host = { kind: 'name', text: `--.--.${pattern.name}` as Hostname }
  if (pattern.scope === 'exact') return [apex]
  return pattern.scope === 'subdomains' ? [below] : [apex, below]
}

function withoutApex(set: PatternSet, pattern: Pattern): Told | undefined {
  if (pattern.kind !== 'name' || pattern.scope !== 'subdomains' || isPublicSuffix(pattern.name))
    return undefined
  const port = pattern.port === 0 ? -1 : pattern.port
  if (set.match({ kind: 'name', text: pattern.name }, port)) return undefined
  return {
    problem: `it does not cover ${pattern.name} itself, only its subdomains`,
    remedy: `write **.${patternText(pattern).slice(2)} if both are meant`,
  }
}

/** Wildcards in the place where names are sold. */
function openToAnybody(pattern: Pattern): Told | undefined {
  if (pattern.kind === 'name') {
    if (pattern.scope === 'exact' || !isPublicSuffix(pattern.name)) return undefined
    return anybody(`anybody can register a name under ${pattern.name}`)
  }
  if (pattern.kind !== 'glob') return undefined
  const end = pattern.labels.slice(pattern.labels.findLastIndex((label) => /[*?]/.test(label)) + 1)
  if (end.length === 0 || !isPublicSuffix(end.join('.'))) return undefined
  return anybody('anybody can register a name that matches')
}

function anybody(problem: string): Told {
  return {
    problem: `${problem}, and whatever is put there is allowed`,
    remedy: 'name the hosts, or the domains of those whom you trust',
  }
}

function notPublic(pattern: Pattern): Told | undefined {
  if (pattern.kind !== 'network') return undefined
  const { bytes, bits, text } = pattern.network
  const kind = classifyAddress(ipAddressFromBytes(bytes))
  if (kind === 'public' || bits === 0) return undefined
  return {
    problem: `it is not on the public internet (${kind}), and the address guard comes first`,
    remedy: `add an exception to private: { host = "…", cidr = "${text}", ports = [443] }`,
  }
}

/** Names that are on the public suffix list; a last label that nobody knows (`corp`, `internal`) is not. */
function isPublicSuffix(name: string): boolean {
  const { publicSuffix, isIcann, isPrivate } = parse(name, {
    allowPrivateDomains: true,
    validateHostname: false,
  })
  return publicSuffix === name && (isIcann === true || isPrivate === true)
}

function placeOf(source: SourceLocation): string {
  return `${source.file}:${source.line}`
}
