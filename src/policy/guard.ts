import type { Rule } from '../core/decision.ts'
import type { Host } from '../core/hostname.ts'
import type { AddressText, IpAddress } from '../core/ip-address.ts'
import { classifyAddress, unmapped, embeddedIpv4 } from './addresses.ts'
import { type Network, contains } from './network.ts'
import { type Pattern, matchesHost } from './pattern.ts'

/** A private destination that an administrator opened: host, network and port together, none of them alone. */
export interface Exception {
  readonly host: Pattern
  readonly network: Network
  readonly ports: ReadonlySet<number>
  readonly rule: Rule
}

/** Where this proxy listens itself. A wildcard bind is reached by every address of the machine. */
export interface OwnSocket {
  readonly address: IpAddress
  readonly port: number
}

/** What the address guard knows; see `judgeName` and `judgeAddress`. */
export interface Guard {
  readonly exceptions: readonly Exception[]
  readonly own: readonly OwnSocket[]
  /** Every address of the machine's interfaces, in its canonical spelling. */
  readonly local: ReadonlySet<AddressText>
}

/** `rule` is the exception that lets it pass, or what refuses it; without one it is simply public. */
export type GuardVerdict =
  | { readonly kind: 'pass'; readonly rule?: Rule }
  | { readonly kind: 'refuse'; readonly rule: Rule }

const PASS: GuardVerdict = { kind: 'pass' }

/** The rule of the guard by which `what` is refused. Never an address: the client must not learn what a name resolves to. */
function builtIn(what: string): GuardVerdict & { kind: 'refuse' } {
  return { kind: 'refuse', rule: { list: 'built-in', text: `address guard: ${what}` } }
}

/**
 * Names that mean the machine itself, or the metadata service of its cloud, wherever they are resolved; they are refused
 * without being looked up. Other names below `internal` and the like are judged by what they resolve to.
 */
const REFUSED_NAMES: ReadonlyMap<string, GuardVerdict> = new Map([
  ['localhost', builtIn('loopback')], // RFC 6761 §6.3; *.localhost likewise, see below
  ['localhost.localdomain', builtIn('loopback')], // /etc/hosts of Fedora and its kin
  ['localhost4', builtIn('loopback')],
  ['localhost6', builtIn('loopback')],
  ['ip6-localhost', builtIn('loopback')], // /etc/hosts of Debian
  ['ip6-loopback', builtIn('loopback')],
  ['metadata', builtIn('metadata')], // Google Cloud, by its search domain
  ['metadata.google.internal', builtIn('metadata')], // Google Cloud
  ['metadata.goog', builtIn('metadata')], // Google Cloud
  ['instance-data', builtIn('metadata')], // AWS EC2, by its search domain
  ['instance-data.ec2.internal', builtIn('metadata')], // AWS EC2, us-east-1
  ['metadata.tencentyun.com', builtIn('metadata')], // Tencent Cloud
])

/** EC2 outside us-east-1: `instance-data.<region>.compute.internal`. */
const INSTANCE_DATA = /^instance-data\.[a-z0-9-]+\.compute\.internal$/

/** Judges a host before it is resolved: the names above, and addresses. */
export function judgeHost(guard: Guard, host: Host, port: number): GuardVerdict {
  if (host.kind === 'address') return judgeAddress(guard, host, host.address, port)
  const refused = refusedName(host.text)
  if (refused === undefined) return PASS
  const rule = exceptionNaming(guard, host, port)
  return rule ? { kind: 'pass', rule } : refused
}

/** The exception that names host and port; its network is judged when the address is known. */
export function exceptionNaming(guard: Guard, host: Host, port: number): Rule | undefined {
  return guard.exceptions.find((each) => each.ports.has(port) && matchesHost(each.host, host))?.rule
}

function refusedName(name: string): GuardVerdict | undefined {
  const first = name.charCodeAt(0)
  if (first === 0x6c || first === 0x69 || first === 0x6d) {
    // l, i, m: all that the table begins with, so that other names are not hashed.
    const refused = REFUSED_NAMES.get(name)
    if (refused) return refused
  }
  if (name.endsWith('.localhost')) return REFUSED_NAMES.get('localhost')
  return name.startsWith('instance-data.') && INSTANCE_DATA.test(name)
    ? REFUSED_NAMES.get('instance-data')
    : undefined
}

/** Judges one address that is the host, or that the host resolves to. */
export function judgeAddress(guard: Guard, host: Host, address: IpAddress, port: number): GuardVerdict {
  const plain = unmapped(address)
  if (isOwn(guard, plain, port)) return builtIn('own listener')
  const kind = isLocal(guard, plain) ? 'local interface' : classifyAddress(plain)
  if (kind === 'public') return PASS
  const rule = exceptionCovering(guard, host, plain, port)
  return rule ? { kind: 'pass', rule } : builtIn(kind)
}

/** Whether it is the machine itself: what listens here may trust its neighbours, though the address be a public one. */
function isLocal({ local }: Guard, address: IpAddress): boolean {
  if (local.has(address.text)) return true
  return address.family === 6 && embeddedIpv4(address).some(({ text }) => local.has(text))
}

/** The exception that names the host, the port, and a network that the address is on. */
export function exceptionCovering(
  guard: Guard,
  host: Host,
  address: IpAddress,
  port: number,
): Rule | undefined {
  return guard.exceptions.find((each) => covers(each, host, unmapped(address), port))?.rule
}

function covers(exception: Exception, host: Host, address: IpAddress, port: number): boolean {
  if (!exception.ports.has(port) || !contains(exception.network, address)) return false
  if (!matchesHost(exception.host, host)) return false
  const kind = classifyAddress(address)
  // Nothing that can be meant: 0.0.0.0 is the machine by another name, the others are not one destination.
  if (kind === 'unspecified' || kind === 'this-network' || kind === 'multicast' || kind === 'broadcast')
    return false
  // 169.254.0.0/16 or 0.0.0.0/0 must not open the credentials of the cloud by accident: only its very address does.
  return kind !== 'metadata' || exception.network.bits === address.bytes.length * 8
}

function isOwn(guard: Guard, address: IpAddress, port: number): boolean {
  if (!guard.own.some((each) => each.port === port)) return false
  const forms = [address, ...embeddedIpv4(address)]
  return guard.own.some(
    (own) => own.port === port && forms.some((form) => reaches(guard, form, unmapped(own.address))),
  )
}

function reaches(guard: Guard, address: IpAddress, own: IpAddress): boolean {
  if (address.text === own.text || classifyAddress(address) === 'unspecified') return true
  if (classifyAddress(own) !== 'unspecified') return false
  if (classifyAddress(address) === 'loopback') return true
  return guard.local.has(address.text)
}
