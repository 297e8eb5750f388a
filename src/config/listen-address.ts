import { parseIpv4, parseIpv6 } from '../core/ip-address.ts'

/** Where to listen, or a server to ask: one address and one port, both as numbers that need no lookup. */
export interface ListenAddress {
  /** Canonical, without brackets. */
  readonly address: string
  /** 0: any free port (tests, and supervisors that read it from the log). */
  readonly port: number
}

/** Reads `127.0.0.1:3128`, `[::1]:3128` and `localhost:3128` (which is 127.0.0.1). Undefined for anything else. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):(0|[1-9]\d{0,4})$/.exec(text)
  if (!parts || Number(parts[3]) > 65_535) return undefined
  const [, six, plain] = parts
  const address = six === undefined ? parseIpv4(plain === 'localhost' ? '127.0.0.1' : plain!) : parseIpv6(six)
  return address && { address: address.text, port: Number(parts[3]) }
}

/** `127.0.0.1:3128`, with brackets around an IPv6 address. */
export function listenAddressText({ address, port }: ListenAddress): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** 127.0.0.0/8 and ::1: only programs on the same machine get there. */
export function isLoopback(address: string): boolean {
  return address === '::1' || (parseIpv4(address) !== undefined && address.startsWith('127.'))
}
