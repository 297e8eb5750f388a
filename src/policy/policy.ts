import type { Rule, SourceLocation } from '../core/decision.ts'
import { type IpAddress, parseIpAddress } from '../core/ip-address.ts'
import type { Exception, Guard } from './guard.ts'
import { readList } from './list-file.ts'
import { type NetworkResult, parseNetwork } from './network.ts'
import { type PatternSet, PatternSetBuilder } from './pattern-set.ts'
import { InvalidPattern, type Pattern, parsePattern } from './pattern.ts'
import type { PolicyProblem } from './problem.ts'
import { type ParsedEntry, warningsOf } from './warnings.ts'

export interface PatternEntry {
  readonly text: string
  readonly source: SourceLocation
}

export interface PrivateException {
  /** A pattern without a port; `*` names no host and is refused. */
  readonly host: string
  readonly cidr: string
  /** At least one. */
  readonly ports: readonly number[]
  readonly source: SourceLocation
}

export interface OwnListener {
  /** An address literal; `0.0.0.0` and `::` stand for every address of the machine. */
  readonly address: string
  readonly port: number
}

export interface PolicyInput {
  readonly allowed: readonly PatternEntry[]
  readonly denied: readonly PatternEntry[]
  readonly deniedFiles: readonly { readonly file: string; readonly bytes: Uint8Array }[]
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

/** Problems that are told of one list file; more of them are counted. */
const PROBLEMS_A_FILE = 20

/** Compiles what the settings and the list files say. Never throws for bad input: that is what `problems` is for. */
export function compilePolicy(input: PolicyInput): CompiledPolicy {
  const problems: PolicyProblem[] = []
  const allowedEntries = parsedEntries('allowed_domains', input.allowed, problems)
  const deniedEntries = parsedEntries('denied_domains', input.denied, problems)
  const allowed = patternSet('allowed_domains', allowedEntries, [], problems)
  const denied = patternSet('denied_domains', deniedEntries, input.deniedFiles, problems)
  const guard: Guard = {
    exceptions: input.private.flatMap((each) => exceptionOf(each, problems) ?? []),
    ...ownSockets(input.own, input.localAddresses),
  }
  checkPorts('allowed_ports', input.allowedPorts, input.sources?.allowedPorts, problems)
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
    local: localAddresses.map(literal),
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

function parsedEntries(
  field: string,
  entries: readonly PatternEntry[],
  problems: PolicyProblem[],
): ParsedEntry[] {
  const parsed: ParsedEntry[] = []
  for (const { text, source } of entries) {
    const pattern = attempt(() => parsePattern(text), field, text, source, problems)
    if (!pattern) continue
    if (pattern.kind === 'any' && field === 'denied_domains') problems.push(denyAll(field, text, source))
    else parsed.push({ pattern, text, source })
  }
  return parsed
}

function denyAll(field: string, value: string, source: SourceLocation): PolicyProblem {
  return {
    field,
    value,
    source,
    problem: '* is permitted in allowed_domains only',
    remedy: 'leave it out and set policy.unfamiliar = "deny": then only allowed hosts pass',
  }
}

function attempt(
  parse: () => Pattern,
  field: string,
  value: string,
  source: SourceLocation,
  problems: PolicyProblem[],
): Pattern | undefined {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof InvalidPattern)) throw error
    problems.push({ field, value: shortened(value), source, problem: error.problem, remedy: error.remedy })
    return undefined
  }
}

function shortened(value: string): string {
  return value.length > 100 ? `${value.slice(0, 100)}…` : value
}

function patternSet(
  list: string,
  entries: readonly ParsedEntry[],
  files: PolicyInput['deniedFiles'],
  problems: PolicyProblem[],
): PatternSet {
  let lines = entries.length
  let bytes = entries.length * 24
  for (const file of files) {
    lines += lineCount(file.bytes)
    bytes += file.bytes.length
  }
  const builder = new PatternSetBuilder(list, lines, bytes)
  for (const { pattern, text, source } of entries) builder.add(pattern, text, source)
  for (const file of files) addFile(builder, file.file, file.bytes, problems)
  return builder.build()
}

function lineCount(bytes: Uint8Array): number {
  let count = 1
  for (let at = bytes.indexOf(0x0a); at !== -1; at = bytes.indexOf(0x0a, at + 1)) count++
  return count
}

function addFile(
  builder: PatternSetBuilder,
  file: string,
  bytes: Uint8Array,
  problems: PolicyProblem[],
): void {
  const field = 'denied_domains_files'
  const number = builder.beginFile(file)
  let bad = 0
  let firstUntold = 0
  const report = (problem: PolicyProblem, line: number) => {
    if (++bad <= PROBLEMS_A_FILE) problems.push(problem)
    else if (bad === PROBLEMS_A_FILE + 1) firstUntold = line
  }
  readList(bytes, {
    name: (from, start, end, scope, line) => builder.addName(from, start, end, scope, line, number),
    pattern: (pattern, text, line) => {
      const source = { file, line }
      if (pattern.kind === 'any') report(denyAll(field, text, source), line)
      else builder.add(pattern, text, source)
    },
    problem: (text, line, { problem, remedy }) =>
      report({ field, value: shortened(text), source: { file, line }, problem, remedy }, line),
  })
  if (bad > PROBLEMS_A_FILE)
    problems.push({
      field,
      value: file,
      source: { file, line: firstUntold },
      problem: `${bad - PROBLEMS_A_FILE} more lines of this file are not patterns`,
      remedy: 'check that the file is a list of domains or a hosts file, one pattern a line',
    })
}

function exceptionOf(exception: PrivateException, problems: PolicyProblem[]): Exception | undefined {
  const { host, cidr, ports, source } = exception
  const before = problems.length
  const pattern = attempt(() => parsePattern(host), 'private.host', host, source, problems)
  if (pattern?.kind === 'any')
    problems.push({
      field: 'private.host',
      value: host,
      source,
      problem: 'an exception must name the host',
      remedy: 'write the host, or a pattern such as **.corp.example',
    })
  else if (pattern && pattern.port !== 0)
    problems.push({
      field: 'private.host',
      value: host,
      source,
      problem: 'the port of an exception stands in ports',
      remedy: `write host = "${host.slice(0, host.lastIndexOf(':'))}" and ports = [${pattern.port}]`,
    })
  const result: NetworkResult = parseNetwork(cidr)
  if (result.kind === 'invalid')
    problems.push({
      field: 'private.cidr',
      value: cidr,
      source,
      problem: result.problem,
      remedy: result.remedy,
    })
  if (ports.length === 0)
    problems.push({
      field: 'private.ports',
      value: '[]',
      source,
      problem: 'an exception must name its ports',
      remedy: 'write ports = [443], or whichever the host serves',
    })
  checkPorts('private.ports', ports, source, problems)
  if (!pattern || result.kind === 'invalid' || problems.length > before) return undefined
  const text = `${host} ${cidr} ${ports.join(',')}`
  return {
    host: pattern,
    network: result.network,
    ports: new Set(ports),
    rule: { list: 'private', text, source },
  }
}

function checkPorts(
  field: string,
  ports: readonly number[],
  source: SourceLocation | undefined,
  problems: PolicyProblem[],
): void {
  for (const port of ports) {
    if (Number.isInteger(port) && port >= 1 && port <= 65_535) continue
    problems.push({
      field,
      value: String(port),
      source,
      problem: 'a port must be a number from 1 to 65535',
      remedy: 'write the ports that clients may ask for, such as [80, 443]',
    })
  }
}
