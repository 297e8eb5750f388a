import { type IpAddress, ipAddressFromBytes, parseIpAddress } from '../core/ip-address.ts'

/** A block of addresses in CIDR notation (RFC 4632, RFC 4291 §2.3). The bits after the prefix are zero. */
export interface Network {
  readonly family: 4 | 6
  readonly bytes: Uint8Array
  /** Length of the prefix: 0 to 32, or 0 to 128. */
  readonly bits: number
  /** `10.1.2.0/24`, `2001:db8::/32`: canonical, without brackets. */
  readonly text: string
}

export type NetworkResult =
  | { readonly kind: 'network'; readonly network: Network }
  | { readonly kind: 'invalid'; readonly problem: string; readonly remedy: string }

/**
 * Reads `address/bits`; an IPv6 address may stand in brackets. An address alone is not a network. Bits set after the
 * prefix are refused, since nobody can tell whether the address or the length is the typing mistake.
 */
export function parseNetwork(text: string): NetworkResult {
  const slash = text.indexOf('/')
  const left = slash === -1 ? text : text.slice(0, slash)
  const bare = left.startsWith('[') && left.endsWith(']') ? left.slice(1, -1) : left
  const address = parseIpAddress(bare)
  if (!address || (bare !== left && address.family === 4))
    return invalid(
      'it is not a network in CIDR notation',
      "write the network's first address and the length of its prefix, such as 10.1.2.0/24",
    )
  const width = address.family === 4 ? 32 : 128
  if (slash === -1)
    return invalid(
      'the length of the prefix is missing',
      `write ${address.text}/${width} for this one address`,
    )
  const digits = text.slice(slash + 1)
  const bits = /^(?:0|[1-9][0-9]{0,2})$/.test(digits) ? Number(digits) : -1
  if (bits < 0 || bits > width)
    return invalid(
      `the length of the prefix must be a number from 0 to ${width}`,
      `write ${address.text}/${width} for this one address`,
    )
  const bytes = masked(address.bytes, bits)
  if (!sameBytes(bytes, address.bytes))
    return invalid(
      `bits are set after the first ${bits}`,
      `write ${ipAddressFromBytes(bytes).text}/${bits} for the network, or ${address.text}/${width} for the one address`,
    )
  return { kind: 'network', network: networkOf(bytes, bits) }
}

/** The network of this one address. */
export function singleAddress(address: IpAddress): Network {
  return networkOf(address.bytes, address.bytes.length * 8)
}

function networkOf(bytes: Uint8Array, bits: number): Network {
  const address = ipAddressFromBytes(bytes)
  return { family: address.family, bytes, bits, text: `${address.text}/${bits}` }
}

/** Whether the address is of the same family and inside. Mapped addresses are the caller's business: see `unmapped`. */
export function contains(network: Network, address: IpAddress): boolean {
  return network.family === address.family && hasPrefix(address.bytes, network.bytes, network.bits)
}

/** Whether the first `bits` bits of both are the same. */
export function hasPrefix(bytes: Uint8Array, prefix: Uint8Array, bits: number): boolean {
  const whole = bits >> 3
  for (let i = 0; i < whole; i++) if (bytes[i] !== prefix[i]) return false
  const rest = bits & 7
  return rest === 0 || ((bytes[whole]! ^ prefix[whole]!) & (0xff << (8 - rest)) & 0xff) === 0
}

/** A copy with all bits after the first `bits` zero. */
export function masked(bytes: Uint8Array, bits: number): Uint8Array {
  const result = new Uint8Array(bytes.length)
  const whole = bits >> 3
  result.set(bytes.subarray(0, whole))
  if ((bits & 7) !== 0) result[whole] = bytes[whole]! & (0xff << (8 - (bits & 7)))
  return result
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return hasPrefix(one, other, one.length * 8)
}

function invalid(problem: string, remedy: string): NetworkResult {
  return { kind: 'invalid', problem, remedy }
}
