import { domainToASCII, domainToUnicode } from 'node:url'
import type { Brand } from './brand.ts'
import { type AddressText, type IpAddress, parseIpv4, parseIpv6 } from './ip-address.ts'

/** A canonical host name: lower-case A-labels, no trailing dot, at most 253 characters. Only `parseHost` makes one. */
export type Hostname = Brand<string, 'Hostname'>

/**
 * What a target, a pattern, a record or a certificate may name. `text` is the one spelling that is matched, shown,
 * recorded, resolved and dialled; an IPv6 address has no brackets in it.
 */
export type Host =
  | { readonly kind: 'name'; readonly text: Hostname }
  | { readonly kind: 'address'; readonly text: AddressText; readonly address: IpAddress }

/** A host that is malformed or ambiguous. `problem` says what is wrong with it, without the value. */
export class InvalidHost extends Error {
  override readonly name = 'InvalidHost'
  readonly problem: string
  constructor(problem: string) {
    super(problem)
    this.problem = problem
  }
}

const NAME_LIMIT = 253
const LABEL_LIMIT = 63

/**
 * Reads a host as it stands in an authority: a name, a dotted-decimal IPv4 address, or an IPv6 address in brackets.
 * This is the only parser of hosts in Sallyport: what it does not accept does not exist for any other part, and what
 * it returns is what is matched, resolved and dialled (CVE-2022-24825 and CVE-2022-29188 are what two spellings cost).
 * Idempotent on its own output. Throws InvalidHost.
 */
export function parseHost(text: string): Host {
  if (text === '') throw new InvalidHost('the host is empty')
  if (text.charCodeAt(0) === 0x5b) return bracketedHost(text)
  const canonical = isPlainLowerCase(text) ? text : canonicalName(text)
  const name = canonical.endsWith('.') ? canonical.slice(0, -1) : canonical
  return checkedHost(name)
}

function bracketedHost(text: string): Host {
  if (!text.endsWith(']')) throw new InvalidHost('a bracket is not closed')
  const inner = text.slice(1, -1)
  if (inner.includes('%'))
    throw new InvalidHost('an IPv6 address with a zone id is only meaningful on one machine')
  const address = parseIpv6(inner)
  if (!address) throw new InvalidHost('brackets may hold an IPv6 address only')
  return { kind: 'address', text: address.text, address }
}

/** The common case, decided in one pass without allocating: nothing but a-z, 0-9, hyphen, underscore and dots. */
function isPlainLowerCase(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x61 && code <= 0x7a) continue
    if (code >= 0x30 && code <= 0x39) continue
    if (code === 0x2e || code === 0x2d || code === 0x5f) continue
    return false
  }
  return true
}

function canonicalName(text: string): string {
  if (text.length > 4 * NAME_LIMIT) throw new InvalidHost('the host is longer than 253 characters')
  let ascii = true
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) ascii = false
    else if (!/[A-Za-z0-9._-]/.test(text[i]!)) throw new InvalidHost(describeCharacter(code))
  }
  if (ascii) return text.toLowerCase()
  // A writer uses one form or the other; both in one name is how a look-alike is put together.
  if (/(?:^|[.\u3002\uff0e\uff61])xn--/i.test(text))
    throw new InvalidHost('it mixes Unicode labels and labels that begin with xn--')
  const converted = domainToASCII(text)
  if (converted === '') throw new InvalidHost('it is not a valid internationalised name (UTS 46)')
  // Full-width digits and the like map to ASCII: a name may become another name, never an address.
  if (!isPlainLowerCase(converted) || endsInNumber(converted.replace(/\.$/, '')))
    throw new InvalidHost('it is not a valid internationalised name (UTS 46)')
  return converted
}

function describeCharacter(code: number): string {
  if (code === 0x20 || code === 0x09) return 'a host may not contain white space'
  if (code < 0x20 || code === 0x7f) return 'a host may not contain control characters'
  if (code === 0x40) return 'user information (…@) is not permitted'
  if (code === 0x3a) return 'an IPv6 address must stand in brackets'
  return `a host may not contain '${String.fromCharCode(code)}'`
}

function checkedHost(name: string): Host {
  if (name.length > NAME_LIMIT) throw new InvalidHost('the host is longer than 253 characters')
  let start = 0
  let punycode = false
  for (let i = 0; i <= name.length; i++) {
    if (i < name.length && name.charCodeAt(i) !== 0x2e) continue
    const length = i - start
    if (length === 0) throw new InvalidHost('a label is empty')
    if (length > LABEL_LIMIT) throw new InvalidHost('a label is longer than 63 characters')
    if (name.charCodeAt(start) === 0x2d || name.charCodeAt(i - 1) === 0x2d)
      throw new InvalidHost('a label begins or ends with a hyphen')
    if (name.startsWith('xn--', start)) punycode = true
    start = i + 1
  }
  if (endsInNumber(name)) {
    const address = parseIpv4(name)
    if (!address)
      throw new InvalidHost('a numeric host must be a dotted-decimal IPv4 address such as 192.0.2.1')
    return { kind: 'address', text: address.text, address }
  }
  // An A-label that does not decode, or that encodes something else than its canonical form, has a second spelling.
  if (punycode && !hasValidALabels(name)) throw new InvalidHost('a label that begins with xn-- is not valid')
  return { kind: 'name', text: name as Hostname }
}

/**
 * `domainToASCII` passes any `xn--` label that is ASCII already, and `domainToUnicode` leaves one that is not valid as it
 * is: only the way there and back shows that every label is the one spelling of what it stands for (RFC 5891 §4.2.1).
 */
function hasValidALabels(name: string): boolean {
  const unicode = domainToUnicode(name)
  return !/(?:^|\.)xn--/.test(unicode) && domainToASCII(unicode) === name
}

/** As resolvers and URL parsers see it: a last label of digits only, or `0x…`, makes the whole host an IPv4 number. */
function endsInNumber(name: string): boolean {
  const last = name.slice(name.lastIndexOf('.') + 1)
  return /^(?:[0-9]+|0x[0-9a-f]*)$/.test(last)
}
