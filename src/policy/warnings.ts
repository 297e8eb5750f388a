import { getPublicSuffix } from 'tldts'
import type { SourceLocation } from '../core/decision.ts'
import type { Host, Hostname } from '../core/hostname.ts'
import type { PatternSet } from './pattern-set.ts'
import { type Pattern, patternText } from './pattern.ts'
import type { PolicyProblem } from './problem.ts'

export interface ParsedEntry {
  readonly pattern: Pattern
  readonly text: string
  readonly source: SourceLocation
}

/** What is valid, and probably not what its author meant. */
export function warningsOf(
  policy: { readonly allowed: PatternSet; readonly denied: PatternSet },
  allowed: readonly ParsedEntry[],
  denied: readonly ParsedEntry[],
): PolicyProblem[] {
  return [
    ...repeated('allowed_domains', allowed),
    ...repeated('denied_domains', denied),
    ...allowed.flatMap((entry) => [
      ...neverReached(policy.denied, entry),
      ...withoutApex('allowed_domains', policy.allowed, entry),
      ...publicSuffix(entry),
    ]),
    ...denied.flatMap((entry) => withoutApex('denied_domains', policy.denied, entry)),
  ]
}

function repeated(field: string, entries: readonly ParsedEntry[]): PolicyProblem[] {
  const first = new Map<string, ParsedEntry>()
  const warnings: PolicyProblem[] = []
  for (const entry of entries) {
    const key = patternText(entry.pattern)
    const before = first.get(key)
    if (!before) {
      first.set(key, entry)
      continue
    }
    warnings.push({
      ...at(field, entry),
      problem: `the same entry stands in ${placeOf(before.source)}`,
      remedy: 'leave one of them out',
    })
  }
  return warnings
}

function neverReached(denied: PatternSet, entry: ParsedEntry): PolicyProblem[] {
  const { pattern } = entry
  // A port that no entry can name: only denials of every port cover an entry for every port.
  const port = pattern.port === 0 ? -1 : pattern.port
  const rules = samples(pattern).map((host) => denied.match(host, port))
  const rule = rules[0]
  if (!rule || rules.includes(undefined)) return []
  const place = rule.source ? ` (${placeOf(rule.source)})` : ''
  return [
    {
      ...at('allowed_domains', entry),
      problem: `it is also denied, by ${rule.text}${place}, and a denial always wins`,
      remedy: 'take it out of one of the two lists',
    },
  ]
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

function withoutApex(field: string, set: PatternSet, entry: ParsedEntry): PolicyProblem[] {
  const { pattern } = entry
  if (pattern.kind !== 'name' || pattern.scope !== 'subdomains') return []
  if (isPublicSuffix(pattern.name)) return []
  if (set.match({ kind: 'name', text: pattern.name }, pattern.port)) return []
  return [
    {
      ...at(field, entry),
      problem: `it does not cover ${pattern.name} itself, only its subdomains`,
      remedy: `write **.${patternText(pattern).slice(2)} if both are meant`,
    },
  ]
}

function publicSuffix(entry: ParsedEntry): PolicyProblem[] {
  const { pattern } = entry
  if (pattern.kind !== 'name' || pattern.scope === 'exact' || !isPublicSuffix(pattern.name)) return []
  return [
    {
      ...at('allowed_domains', entry),
      problem: `anybody can register a name under ${pattern.name}, so this allows whatever somebody puts there`,
      remedy: 'name the hosts, or the domains of the people whom you trust',
    },
  ]
}

function isPublicSuffix(name: string): boolean {
  return getPublicSuffix(name, { allowPrivateDomains: true, validateHostname: false }) === name
}

function at(field: string, entry: ParsedEntry): Pick<PolicyProblem, 'field' | 'value' | 'source'> {
  return { field, value: entry.text, source: entry.source }
}

function placeOf(source: SourceLocation): string {
  return `${source.file}:${source.line}`
}
