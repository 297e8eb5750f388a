import { type IpAddress, ipAddressFromBytes } from '../core/ip-address.ts'
import { type Network, contains, parseNetwork } from './network.ts'

/**
 * What an address is, by the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190). Only `public`
 * may be dialled without an exception: whatever is not known to be global unicast is not public.
 */
export type AddressClass =
  | 'public'
  | 'unspecified'
  | 'loopback'
  | 'private'
  | 'shared'
  | 'link-local'
  | 'site-local'
  | 'unique-local'
  | 'metadata'
  | 'multicast'
  | 'broadcast'
  | 'this-network'
  | 'protocol-assignment'
  | 'documentation'
  | 'benchmarking'
  | '6to4-relay'
  | 'ipv4-compatible'
  | 'ipv4-translated'
  | 'nat64-local'
  | '6to4'
  | 'teredo'
  | 'orchid'
  | 'discard-only'
  | 'segment-routing'
  | 'reserved'

type Row = readonly [network: Network, kind: AddressClass]

function rows(...table: readonly (readonly [text: string, kind: AddressClass])[]): readonly Row[] {
  return table.map(([text, kind]) => {
    const result = parseNetwork(text)
    if (result.kind === 'invalid') throw new Error(`${text}: ${result.problem}`)
    return [result.network, kind]
  })
}

/** The first row that contains the address decides, so a narrower block stands before the one around it. */
const IPV4 = rows(
  // Instance metadata and credential services of clouds: the secrets that a forged request is after.
  ['169.254.169.254/32', 'metadata'], // AWS, Azure, Google, Oracle, DigitalOcean, OpenStack, …
  ['169.254.170.2/32', 'metadata'], // AWS ECS task credentials
  ['169.254.170.23/32', 'metadata'], // AWS EKS pod identity
  ['169.254.0.23/32', 'metadata'], // Tencent Cloud
  ['169.254.42.42/32', 'metadata'], // Scaleway
  ['168.63.129.16/32', 'metadata'], // Azure wire server: a public address in form only
  ['100.100.100.200/32', 'metadata'], // Alibaba Cloud
  ['192.0.0.192/32', 'metadata'], // Oracle Cloud Classic
  ['0.0.0.0/32', 'unspecified'], // connects to the machine itself
  ['0.0.0.0/8', 'this-network'], // RFC 791 §3.2
  ['10.0.0.0/8', 'private'], // RFC 1918
  ['100.64.0.0/10', 'shared'], // RFC 6598
  ['127.0.0.0/8', 'loopback'], // RFC 1122 §3.2.1.3
  ['169.254.0.0/16', 'link-local'], // RFC 3927
  ['172.16.0.0/12', 'private'], // RFC 1918
  ['192.0.0.0/24', 'protocol-assignment'], // RFC 6890 §2.1, with the PCP and TURN anycast addresses
  ['192.0.2.0/24', 'documentation'], // RFC 5737
  ['192.88.99.0/24', '6to4-relay'], // RFC 7526
  ['192.168.0.0/16', 'private'], // RFC 1918
  ['198.18.0.0/15', 'benchmarking'], // RFC 2544
  ['198.51.100.0/24', 'documentation'], // RFC 5737
  ['203.0.113.0/24', 'documentation'], // RFC 5737
  ['224.0.0.0/4', 'multicast'], // RFC 1112
  ['255.255.255.255/32', 'broadcast'], // RFC 8190
  ['240.0.0.0/4', 'reserved'], // RFC 1112 §4
)

const IPV6 = rows(
  ['::/128', 'unspecified'], // RFC 4291 §2.5.2
  ['::1/128', 'loopback'], // RFC 4291 §2.5.3
  ['::/96', 'ipv4-compatible'], // RFC 4291 §2.5.5.1, deprecated
  ['::ffff:0:0:0/96', 'ipv4-translated'], // RFC 2765 §2.1 (SIIT)
  ['64:ff9b:1::/48', 'nat64-local'], // RFC 8215
  ['100::/64', 'discard-only'], // RFC 6666
  ['2001::/32', 'teredo'], // RFC 4380
  ['2001:2::/48', 'benchmarking'], // RFC 5180
  ['2001:10::/28', 'orchid'], // RFC 4843
  ['2001:20::/28', 'orchid'], // RFC 7343
  ['2001::/23', 'protocol-assignment'], // RFC 2928
  ['2001:db8::/32', 'documentation'], // RFC 3849
  ['2002::/16', '6to4'], // RFC 3056
  ['3fff::/20', 'documentation'], // RFC 9637
  ['5f00::/16', 'segment-routing'], // RFC 9602
  ['fd00:ec2::/32', 'metadata'], // AWS: fd00:ec2::254 (instance), fd00:ec2::23 (pod identity)
  ['fd20:ce::254/128', 'metadata'], // Google Cloud
  ['fd00:42::42/128', 'metadata'], // Scaleway
  ['fc00::/7', 'unique-local'], // RFC 4193
  ['fe80::/10', 'link-local'], // RFC 4291 §2.5.6
  ['fec0::/10', 'site-local'], // RFC 3879
  ['ff00::/8', 'multicast'], // RFC 4291 §2.7
  ['2000::/3', 'public'], // RFC 4291 §2.4: the only global unicast that IANA allocates from
)

/**
 * By the first two bytes of an address: 1 where no row but the last one of its table reaches. Most destinations are
 * there, and each is judged for every exchange.
 */
const ORDINARY_IPV4 = ordinary(IPV4, () => true)
const ORDINARY_IPV6 = ordinary(IPV6, (first) => first >>> 13 === 1) // 2000::/3, the row that is public

function ordinary(table: readonly Row[], isPublic: (first: number) => boolean): Uint8Array {
  const marks = Uint8Array.from({ length: 65_536 }, (_, first) => (isPublic(first) ? 1 : 0))
  for (const [network, kind] of table) {
    if (kind === 'public') continue
    const first = (network.bytes[0]! << 8) | network.bytes[1]!
    marks.fill(0, first, first + 2 ** (16 - Math.min(16, network.bits)))
  }
  return marks
}

/** What the address is. An IPv4 address inside an IPv6 one is judged as well: the worse of the two counts. */
export function classifyAddress(address: IpAddress): AddressClass {
  const plain = unmapped(address)
  const first = (plain.bytes[0]! << 8) | plain.bytes[1]!
  if (plain.family === 4) return ORDINARY_IPV4[first] === 1 ? 'public' : (rowOf(IPV4, plain) ?? 'public')
  if (ORDINARY_IPV6[first] === 1 && !isIsatap(plain.bytes)) return 'public'
  if (plain.text === '::' || plain.text === '::1') return rowOf(IPV6, plain) ?? 'reserved'
  for (const inner of embeddedIpv4(plain)) {
    const kind = rowOf(IPV4, inner)
    if (kind !== undefined) return kind
  }
  if (isNat64(plain)) return 'public'
  return rowOf(IPV6, plain) ?? 'reserved'
}

function rowOf(table: readonly Row[], address: IpAddress): AddressClass | undefined {
  for (const row of table) if (contains(row[0], address)) return row[1]
  return undefined
}

/** `::ffff:192.0.2.1` is `192.0.2.1` to every socket (RFC 4291 §2.5.5.2); all else is returned as it is. */
export function unmapped(address: IpAddress): IpAddress {
  if (address.family === 4 || !startsWith(address.bytes, MAPPED)) return address
  return ipAddressFromBytes(address.bytes.slice(12))
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
const COMPATIBLE = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
const TRANSLATED = [0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]
const NAT64 = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]
const NAT64_LOCAL = [0, 0x64, 0xff, 0x9b, 0, 1]

/** The well-known prefix 64:ff9b::/96 (RFC 6052 §2.1): global, so that hosts behind DNS64 reach the IPv4 internet. */
function isNat64(address: IpAddress): boolean {
  return startsWith(address.bytes, NAT64)
}

/**
 * Every IPv4 address that some router or stack would read out of an IPv6 address. Mapped addresses are not among them:
 * see `unmapped`.
 */
export function embeddedIpv4(address: IpAddress): IpAddress[] {
  const { bytes } = address
  if (address.family === 4) return []
  const at = (...places: readonly [number, number, number, number]) =>
    ipAddressFromBytes(Uint8Array.from(places, (place) => bytes[place]!))
  if (startsWith(bytes, COMPATIBLE) || startsWith(bytes, TRANSLATED) || startsWith(bytes, NAT64))
    return [at(12, 13, 14, 15)]
  // RFC 8215 leaves the length of the prefix to the network; RFC 6052 §2.2 puts the address after 96, 48, 56 or 64 bits.
  // A place that begins with a zero holds no address, but the filling of another layout.
  if (startsWith(bytes, NAT64_LOCAL))
    return [at(12, 13, 14, 15), at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12)].filter(
      (inner) => inner.bytes[0] !== 0,
    )
  if (bytes[0] === 0x20 && bytes[1] === 0x02) return [at(2, 3, 4, 5)] // RFC 3056 §2
  if (startsWith(bytes, [0x20, 0x01, 0, 0])) {
    const client = Uint8Array.from(bytes.subarray(12), (byte) => byte ^ 0xff)
    return [ipAddressFromBytes(client), at(4, 5, 6, 7)] // RFC 4380 §4: the client, inverted, and its server
  }
  return isIsatap(bytes) ? [at(12, 13, 14, 15)] : []
}

/** ISATAP (RFC 5214 §6.1): interface identifier 0000:5efe or 0200:5efe, under any prefix. */
function isIsatap(bytes: Uint8Array): boolean {
  return (bytes[8]! & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe
}

function startsWith(bytes: Uint8Array, prefix: readonly number[]): boolean {
  for (let i = 0; i < prefix.length; i++) if (bytes[i] !== prefix[i]) return false
  return true
}
