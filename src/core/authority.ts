import { type Host, InvalidHost, parseHost } from './hostname.ts'

/** Host and port of a target (RFC 3986 §3.2 without user information); both canonical. */
export interface Authority {
  readonly host: Host
  readonly port: number
}

/** A target that is malformed or ambiguous: the client gets 400 and nothing is looked up or dialled. */
export class InvalidTarget extends Error {
  override readonly name = 'InvalidTarget'
  readonly problem: string
  constructor(problem: string) {
    super(problem)
    this.problem = problem
  }
}

/**
 * Reads `host`, `host:port`, `[v6]:port`. Without `defaultPort` the port must be there (CONNECT, RFC 9112 §3.2.3).
 * Throws InvalidTarget.
 */
export function parseAuthority(text: string, defaultPort?: number): Authority {
  if (text.includes('@')) throw new InvalidTarget('user information (…@) is not permitted in a target')
  const colon = portColon(text)
  if (colon === -1) {
    if (defaultPort === undefined) throw new InvalidTarget('the port is missing')
    return { host: hostOf(text), port: defaultPort }
  }
  const host = hostOf(text.slice(0, colon))
  const digits = text.slice(colon + 1)
  if (digits === '' && defaultPort !== undefined) return { host, port: defaultPort }
  return { host, port: parsePort(digits) }
}

/** 1 to 65535, digits only: no sign, no leading zero, no white space (65561 is 25 to a 16-bit reader). */
export function parsePort(text: string): number {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new InvalidTarget('the port must be a number from 1 to 65535')
  const port = Number(text)
  if (port > 65_535) throw new InvalidTarget('the port must be a number from 1 to 65535')
  return port
}

function portColon(text: string): number {
  const colon = text.lastIndexOf(':')
  if (!text.startsWith('[')) return colon
  return colon > text.lastIndexOf(']') ? colon : -1
}

function hostOf(text: string): Host {
  try {
    return parseHost(text)
  } catch (error) {
    if (error instanceof InvalidHost) throw new InvalidTarget(error.problem)
    throw error
  }
}

/** `host:port`, with brackets around an IPv6 address; `port` is left out where it equals `defaultPort`. */
export function authorityText(authority: Authority, defaultPort?: number): string {
  const { host, port } = authority
  const text = host.kind === 'address' && host.address.family === 6 ? `[${host.text}]` : host.text
  return port === defaultPort ? text : `${text}:${port}`
}
