import type { Brand } from './brand.ts'

/** The one canonical spelling of an address: dotted decimal, or RFC 5952 for IPv6 (no brackets, no zone). */
export type AddressText = Brand<string, 'AddressText'>

export interface IpAddress {
  readonly family: 4 | 6
  /** Network order: 4 or 16 bytes. Addresses are judged by these, never by their text. */
  readonly bytes: Uint8Array
  readonly text: AddressText
}

/** Dotted decimal with exactly four parts, no leading zeros. Every other spelling is not an address here. */
export function parseIpv4(text: string): IpAddress | undefined {
  if (text.length < 7 || text.length > 15) return undefined
  const bytes = readIpv4(text)
  return bytes && { family: 4, bytes, text: text as AddressText }
}

function readIpv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4)
  let part = 0
  let digits = 0
  let value = 0
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 0x2e
    if (code === 0x2e) {
      if (digits === 0 || part > 3) return undefined
      bytes[part++] = value
      digits = 0
      value = 0
      continue
    }
    if (code < 0x30 || code > 0x39) return undefined
    if (digits > 0 && value === 0) return undefined // 01 is octal to some readers
    value = value * 10 + (code - 0x30)
    digits++
    if (value > 255) return undefined
  }
  return part === 4 ? bytes : undefined
}

/** RFC 4291 §2.2 text, with an IPv4 tail if it likes, without brackets. A zone id (`%eth0`) is not an address here. */
export function parseIpv6(text: string): IpAddress | undefined {
  if (text.length < 2 || text.length > 45 || !text.includes(':')) return undefined
  const groups: number[] = []
  let gap = -1
  let rest = text
  if (rest.startsWith('::')) {
    gap = 0
    rest = rest.slice(2)
  } else if (rest.startsWith(':')) return undefined
  while (rest !== '') {
    const colon = rest.indexOf(':')
    const group = colon === -1 ? rest : rest.slice(0, colon)
    if (group.includes('.')) {
      const tail = colon === -1 ? readIpv4(group) : undefined
      if (!tail) return undefined
      groups.push((tail[0]! << 8) | tail[1]!, (tail[2]! << 8) | tail[3]!)
      break
    }
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined
    groups.push(Number.parseInt(group, 16))
    if (groups.length > 8) return undefined
    if (colon === -1) break
    rest = rest.slice(colon + 1)
    if (rest === '') return undefined // a single colon at the end
    if (rest.startsWith(':')) {
      if (gap !== -1) return undefined
      gap = groups.length
      rest = rest.slice(1)
    }
  }
  if (gap === -1 ? groups.length !== 8 : groups.length > 7) return undefined
  if (gap !== -1) groups.splice(gap, 0, ...Array.from({ length: 8 - groups.length }, () => 0))
  const bytes = new Uint8Array(16)
  groups.forEach((group, i) => {
    bytes[i * 2] = group >> 8
    bytes[i * 2 + 1] = group & 0xff
  })
  return { family: 6, bytes, text: ipv6Text(groups) as AddressText }
}

/** An address literal of either family, as it stands in a configuration or in an answer of a resolver. */
export function parseIpAddress(text: string): IpAddress | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text)
}

/** The address that 4 or 16 bytes in network order spell. */
export function ipAddressFromBytes(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return { family: 4, bytes, text: bytes.join('.') as AddressText }
  if (bytes.length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`)
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[i * 2]! << 8) | bytes[i * 2 + 1]!)
  return { family: 6, bytes, text: ipv6Text(groups) as AddressText }
}

/** RFC 5952 §4: lower case, no leading zeros, `::` for the first longest run of two or more zero groups. */
function ipv6Text(groups: readonly number[]): string {
  let best = -1
  let bestLength = 1
  for (let i = 0; i < 8; i++) {
    let length = 0
    while (i + length < 8 && groups[i + length] === 0) length++
    if (length > bestLength) {
      best = i
      bestLength = length
    }
    i += length
  }
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':')
  return best === -1 ? hex(0, 8) : `${hex(0, best)}::${hex(best + bestLength, 8)}`
}
