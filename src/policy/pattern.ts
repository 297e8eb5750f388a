// policy: what may leave, decided from a compiled policy, pure. Nothing here opens a socket or a file, resolves a name,
// reads a clock, or knows who asked by which door; it gets texts and bytes, and answers with values.
//
// This file reads one pattern. `*.example.com` means every subdomain and NOT example.com itself, which products disagree
// about; `**.example.com` means both.

import { InvalidTarget, parsePort } from '../core/authority.ts'
import { type Host, type Hostname, InvalidHost, parseHost } from '../core/hostname.ts'
import { parseIpv6 } from '../core/ip-address.ts'
import { unmapped } from './addresses.ts'
import { type Scope, matchesLabels } from './glob.ts'
import { type Network, contains, parseNetwork, singleAddress } from './network.ts'

/** `port` 0 stands for every port. */
export type Pattern =
  | { readonly kind: 'any'; readonly port: number }
  | { readonly kind: 'name'; readonly scope: Scope; readonly name: Hostname; readonly port: number }
  | {
      readonly kind: 'glob'
      readonly scope: Scope
      /** From left to right; the prefix `*.` or `**.` is in `scope`. */
      readonly labels: readonly string[]
      readonly port: number
    }
  | { readonly kind: 'network'; readonly network: Network; readonly port: number }

/** An entry that is not a pattern. `remedy` says what to write instead, ready to be copied where that can be known. */
export class InvalidPattern extends Error {
  override readonly name = 'InvalidPattern'
  readonly problem: string
  readonly remedy: string
  constructor(problem: string, remedy: string) {
    super(`${problem}: ${remedy}`)
    this.problem = problem
    this.remedy = remedy
  }
}

const FORMS =
  'write a host (example.com), *.example.com for its subdomains, **.example.com for both, an address, or a network (10.1.2.0/24)'

/** Longest text that is looked at: four times the longest name (as percent-less UTF-8), a prefix and a port. */
const TEXT_LIMIT = 1100

/** Reads one entry of a list. Throws InvalidPattern. */
export function parsePattern(text: string): Pattern {
  if (text.length > TEXT_LIMIT) throw new InvalidPattern('it is longer than any host', FORMS)
  const trimmed = text.trim()
  if (trimmed === '') throw new InvalidPattern('the entry is empty', FORMS)
  refuseForeignSyntax(trimmed)
  if (trimmed.includes('/')) return networkPattern(trimmed)
  if (trimmed.startsWith('[') || isBareIpv6(trimmed)) return addressPattern(trimmed)
  const colon = trimmed.indexOf(':')
  if (colon !== trimmed.lastIndexOf(':'))
    throw new InvalidPattern('it has several colons', `${FORMS}; an IPv6 address stands in brackets`)
  const host = colon === -1 ? trimmed : trimmed.slice(0, colon)
  const port = colon === -1 ? 0 : portOf(trimmed.slice(colon + 1), host)
  return hostPattern(host, port)
}

/** Whether the pattern matches the host, whatever the port. */
export function matchesHost(pattern: Pattern, host: Host): boolean {
  switch (pattern.kind) {
    case 'network':
      return host.kind === 'address' && contains(pattern.network, unmapped(host.address))
    case 'any':
      return host.kind === 'name'
    case 'name':
      return host.kind === 'name' && inScope(pattern.scope, pattern.name, host.text)
    case 'glob':
      return host.kind === 'name' && matchesLabels(pattern.labels, pattern.scope, host.text)
  }
}

function inScope(scope: Scope, name: Hostname, host: Hostname): boolean {
  if (host === name) return scope !== 'subdomains'
  return scope !== 'exact' && host.endsWith(name) && host[host.length - name.length - 1] === '.'
}

/** The canonical spelling: equal for two patterns exactly where they mean the same. */
export function patternText(pattern: Pattern): string {
  const port = pattern.port === 0 ? '' : `:${pattern.port}`
  switch (pattern.kind) {
    case 'any':
      return `*${port}`
    case 'name':
      return `${SCOPE_PREFIX[pattern.scope]}${pattern.name}${port}`
    case 'glob':
      return `${SCOPE_PREFIX[pattern.scope]}${pattern.labels.join('.')}${port}`
    case 'network': {
      const { family, bits, text } = pattern.network
      const [address, length] = text.split('/')
      const shown = family === 6 ? `[${address}]` : address
      return `${shown}${bits === (family === 4 ? 32 : 128) ? '' : `/${length}`}${port}`
    }
  }
}

export const SCOPE_PREFIX: Readonly<Record<Scope, string>> = { exact: '', subdomains: '*.', all: '**.' }

/** What people paste from other products and from browsers, each with the entry that they meant. */
function refuseForeignSyntax(text: string): void {
  const url = /^([a-z][a-z0-9+.-]*):\/\/(?:[^/?#@]*@)?([^/?#]*)/i.exec(text)
  if (url)
    throw new InvalidPattern(
      'it is a URL; a pattern has no scheme and no path',
      `write ${url[2] || 'the host alone'}`,
    )
  const adblock = /^(?:@@)?\|\|([^/^$]+)/.exec(text)
  if (adblock) throw new InvalidPattern('it is a rule of an ad blocker', `write **.${adblock[1]}`)
  if (/\s/.test(text)) throw new InvalidPattern('it contains white space', 'write one pattern an entry')
  const at = text.lastIndexOf('@')
  if (at !== -1)
    throw new InvalidPattern(
      'it contains user information (…@)',
      `write ${text.slice(at + 1) || 'the host alone'}`,
    )
  if (/[{}]/.test(text))
    throw new InvalidPattern('braces are not part of a pattern', 'write one entry for each alternative')
  if (text.includes('\\')) throw new InvalidPattern('a backslash is not part of a pattern', FORMS)
  if (text.includes('%')) throw new InvalidPattern("'%' is not part of a pattern", FORMS)
  if (text.startsWith('!') || text.startsWith('~'))
    throw new InvalidPattern(
      'a pattern cannot be negated',
      'write the entry without the sign in the other list',
    )
}

function networkPattern(text: string): Pattern {
  const match = /^(\[[^\]]*\]|[^/]*)\/([^:]*)(?::(.*))?$/.exec(text)
  const looksNumeric = match !== null && (/^\[?[0-9.]+\]?$/.test(match[1]!) || match[1]!.includes(':'))
  if (!looksNumeric) {
    const host = text.slice(0, text.indexOf('/'))
    throw new InvalidPattern('it contains a path; a pattern is a host', `write ${host || 'the host alone'}`)
  }
  const block = `${match[1]}/${match[2]}`
  const result = parseNetwork(block)
  if (result.kind === 'invalid') throw new InvalidPattern(result.problem, result.remedy)
  const port = match[3] === undefined ? 0 : portOf(match[3], block)
  return plainNetwork(result.network, port)
}

/** ::ffff:10.0.0.0/104 is 10.0.0.0/8: targets are compared with their IPv4 address, so must patterns be. */
function plainNetwork(network: Network, port: number): Pattern {
  if (network.family === 6 && network.bits >= 96 && /^::ffff:[0-9a-f]+:[0-9a-f]+\//.test(network.text)) {
    const result = parseNetwork(`${network.bytes.subarray(12).join('.')}/${network.bits - 96}`)
    if (result.kind === 'network') return { kind: 'network', network: result.network, port }
  }
  return { kind: 'network', network, port }
}

function isBareIpv6(text: string): boolean {
  return text.indexOf(':') !== text.lastIndexOf(':') && parseIpv6(text) !== undefined
}

function addressPattern(text: string): Pattern {
  if (!text.startsWith('['))
    throw new InvalidPattern(
      'an IPv6 address must stand in brackets',
      `write [${parseIpv6(text)?.text ?? text}]`,
    )
  const end = text.indexOf(']')
  const rest = text.slice(end + 1)
  if (end === -1) throw new InvalidPattern('a bracket is not closed', `write ${text}]`)
  if (rest !== '' && !rest.startsWith(':'))
    throw new InvalidPattern('only a port may follow the bracket', `write ${text.slice(0, end + 1)}`)
  const host = hostOf(text.slice(0, end + 1))
  if (host.kind !== 'address') throw new InvalidPattern('brackets may hold an IPv6 address only', FORMS)
  return addressOf(host, rest === '' ? 0 : portOf(rest.slice(1), text.slice(0, end + 1)))
}

function addressOf(host: Host & { kind: 'address' }, port: number): Pattern {
  return { kind: 'network', network: singleAddress(unmapped(host.address)), port }
}

function portOf(digits: string, host: string): number {
  try {
    return parsePort(digits)
  } catch (error) {
    if (!(error instanceof InvalidTarget)) throw error
    if (digits === '*' || digits === '')
      throw new InvalidPattern('the port is not a number', `write ${host} for every port`)
    if (/^[0-9]+[-,][0-9,-]+$/.test(digits))
      throw new InvalidPattern(
        'a pattern names one port, not several',
        `write one entry a port, such as ${host}:${/^[0-9]+/.exec(digits)![0]}`,
      )
    throw new InvalidPattern(error.problem, `write ${host}:443, or ${host} for every port`)
  }
}

function hostPattern(text: string, port: number): Pattern {
  if (text === '') throw new InvalidPattern('the host is missing', 'write *:443 for one port of every host')
  if (text === '*') return { kind: 'any', port }
  if (/^\*+$/.test(text)) throw new InvalidPattern('it is not a pattern', 'write * for every host')
  // What UTS 46 takes for dots: split as it would, so that a pattern has the labels that its targets have.
  const dotted = text.replace(/[\u3002\uff0e\uff61]/g, '.')
  if (dotted.startsWith('.')) {
    const name = dotted.replace(/^\.+/, '')
    const meant = `write **.${name} for the host and its subdomains, or *.${name} for the subdomains alone`
    throw new InvalidPattern('it begins with a dot', name === '' ? FORMS : meant)
  }
  const scope: Scope = dotted.startsWith('**.') ? 'all' : dotted.startsWith('*.') ? 'subdomains' : 'exact'
  const rest = dotted.slice(SCOPE_PREFIX[scope].length)
  if (rest === '' || rest === '.')
    throw new InvalidPattern(`nothing follows ${SCOPE_PREFIX[scope]}`, 'write * for every host')
  if (rest.includes('**')) throw new InvalidPattern('** may only be the first label', suggestApex(rest))
  if (!/[*?]/.test(rest)) return nameOrAddress(rest, scope, port)
  return { kind: 'glob', scope, labels: globLabels(rest), port }
}

function suggestApex(rest: string): string {
  const after = rest.slice(rest.lastIndexOf('**') + 2).replace(/^[^.]*\./, '')
  return after === '' || after.includes('*')
    ? 'write **.example.com for example.com and its subdomains'
    : `write **.${after} for ${after} and its subdomains, or one * for one label`
}

function nameOrAddress(text: string, scope: Scope, port: number): Pattern {
  const host = hostOf(text)
  if (host.kind === 'name') return { kind: 'name', scope, name: host.text, port }
  if (scope === 'exact') return addressOf(host, port)
  throw new InvalidPattern(
    'an address has no subdomains',
    `write ${host.text}, or a network such as 10.1.2.0/24`,
  )
}

function globLabels(text: string): string[] {
  const labels = text
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    .replace(/\.$/, '')
    .split('.')
  const isGlob = (label: string) => /[*?]/.test(label)
  if (labels.every((label) => /^[0-9*?]*$/.test(label)) && labels.length <= 4 && /[0-9]/.test(text))
    throw new InvalidPattern('a wildcard never matches an address', suggestNetwork(labels))
  const last = labels.at(-1)!
  if (/^\*+$/.test(last))
    throw new InvalidPattern(
      'the last label may not be a wildcard',
      'write one entry for each name that you mean',
    )
  if (/^[*?]*[0-9][0-9*?]*$/.test(last)) throw new InvalidPattern('a name does not end in a number', FORMS)
  for (const label of labels) {
    if (isGlob(label) && !/^[a-z0-9_*?-]+$/.test(label))
      throw new InvalidPattern(
        'a label with a wildcard may hold a to z, 0 to 9, hyphen and underscore only',
        'write internationalised labels as xn--…, or without the wildcard',
      )
    if (isGlob(label) && /^-|-$/.test(label))
      throw new InvalidPattern('a label begins or ends with a hyphen', FORMS)
    if (isGlob(label) && label.replaceAll('*', '').length > 63)
      throw new InvalidPattern('a label is longer than 63 characters', FORMS)
  }
  // The other labels go through the one parser of hosts, with a plain letter in the place of each glob.
  const host = hostOf(labels.map((label) => (isGlob(label) ? 'x' : label)).join('.'))
  const parsed = host.text.split('.')
  if (host.kind !== 'name' || parsed.length !== labels.length)
    throw new InvalidPattern('it is not a valid host', FORMS)
  return labels.map((label, i) => (isGlob(label) ? label.replace(/\*{2,}/g, '*') : parsed[i]!))
}

function suggestNetwork(labels: readonly string[]): string {
  const fixed = labels.findIndex((label) => !/^[0-9]+$/.test(label))
  const known = labels.slice(0, fixed)
  if (known.length === 0) return FORMS
  return `write the network, such as ${[...known, '0', '0', '0', '0'].slice(0, 4).join('.')}/${known.length * 8}`
}

function hostOf(text: string): Host {
  try {
    return parseHost(text)
  } catch (error) {
    if (error instanceof InvalidHost) throw new InvalidPattern(error.problem, FORMS)
    throw error
  }
}
