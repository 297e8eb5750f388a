// tls: what Sallyport must understand of TLS. Here: the first message of a client, which names the server it means.

/** What the first bytes of a tunnel are, as far as they have come. */
export type Opening =
  | { readonly kind: 'incomplete' }
  /** Not TLS, or not a ClientHello that RFC 8446 §4.1.2 would accept. */
  | { readonly kind: 'not_tls'; readonly problem: string }
  | {
      readonly kind: 'hello'
      /** Host name of the server_name extension (RFC 6066 §3) as sent; undefined where there is none. */
      readonly serverName: string | undefined
      /** Protocols offered (RFC 7301). */
      readonly alpn: readonly string[]
      /** An encrypted_client_hello extension is there: real or GREASE, which nobody can tell from outside (RFC 9849). */
      readonly encrypted: boolean
    }

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const EXTENSION_SERVER_NAME = 0
const EXTENSION_ALPN = 16
const EXTENSION_ENCRYPTED_CLIENT_HELLO = 0xfe0d
const RECORD_LIMIT = 16_384
/** Post-quantum key shares make ClientHellos of 2 KB; nothing honest comes near this. */
const HELLO_LIMIT = 65_536

const INCOMPLETE: Opening = { kind: 'incomplete' }

/**
 * Reads the ClientHello at the start of `bytes`, over as many records as it was split into, without keeping state: call
 * it again with more bytes while it says `incomplete`. Never throws.
 */
export function readClientHello(bytes: Buffer): Opening {
  const fragments: Buffer[] = []
  let collected = 0
  let needed = -1
  let offset = 0
  while (needed === -1 || collected < needed) {
    if (offset < bytes.length && bytes[offset] !== HANDSHAKE)
      return notTls('the first record is not a TLS handshake')
    if (offset + 1 < bytes.length && bytes[offset + 1] !== 3)
      return notTls('the TLS record has an unknown version')
    if (bytes.length < offset + 5) return INCOMPLETE
    const length = bytes.readUInt16BE(offset + 3)
    if (length === 0 || length > RECORD_LIMIT) return notTls('the TLS record has an invalid length')
    const fragment = bytes.subarray(offset + 5, Math.min(offset + 5 + length, bytes.length))
    fragments.push(fragment)
    collected += fragment.length
    if (needed === -1) {
      const start = fragments.length === 1 ? fragment : Buffer.concat(fragments)
      if (start.length > 0 && start[0] !== CLIENT_HELLO)
        return notTls('the first message is not a ClientHello')
      if (start.length >= 4) {
        needed = 4 + start.readUIntBE(1, 3)
        if (needed > HELLO_LIMIT) return notTls('the ClientHello is too long')
      }
    }
    if (fragment.length < length) return INCOMPLETE
    offset += 5 + length
  }
  const message = fragments.length === 1 ? fragments[0]! : Buffer.concat(fragments)
  // A ClientHello ends its record: bytes of another message behind it would be a handshake that nobody may send yet.
  if (collected > needed) return notTls('something follows the ClientHello in its record')
  return parseHello(message.subarray(4, needed))
}

function notTls(problem: string): Opening {
  return { kind: 'not_tls', problem }
}

/** A cursor over length-prefixed vectors; reading past the end throws Truncated, which ends as `not_tls`. */
class Vector {
  readonly #bytes: Buffer
  #at = 0
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }
  get isEmpty(): boolean {
    return this.#at >= this.#bytes.length
  }
  skip(count: number): void {
    if (this.#at + count > this.#bytes.length) throw new Truncated()
    this.#at += count
  }
  number(size: 1 | 2): number {
    this.skip(size)
    return this.#bytes.readUIntBE(this.#at - size, size)
  }
  vector(size: 1 | 2): Vector {
    return new Vector(this.opaque(size))
  }
  opaque(size: 1 | 2): Buffer {
    const length = this.number(size)
    this.skip(length)
    return this.#bytes.subarray(this.#at - length, this.#at)
  }
}

class Truncated extends Error {}

function parseHello(body: Buffer): Opening {
  try {
    const hello = new Vector(body)
    hello.skip(2 + 32) // legacy_version, random
    hello.opaque(1) // legacy_session_id
    hello.opaque(2) // cipher_suites
    hello.opaque(1) // legacy_compression_methods
    let serverName: string | undefined
    let alpn: string[] = []
    let encrypted = false
    if (!hello.isEmpty) {
      const extensions = hello.vector(2)
      const seen = new Set<number>()
      while (!extensions.isEmpty) {
        const type = extensions.number(2)
        const content = extensions.vector(2)
        // RFC 8446 §4.2: no type twice. Two server names would let two readers see two hosts.
        if (seen.has(type)) return notTls('an extension is there twice')
        seen.add(type)
        if (type === EXTENSION_SERVER_NAME) serverName = readServerName(content)
        else if (type === EXTENSION_ALPN) alpn = readAlpn(content)
        else if (type === EXTENSION_ENCRYPTED_CLIENT_HELLO) encrypted = true
      }
      if (!hello.isEmpty) return notTls('something follows the extensions')
    }
    return { kind: 'hello', serverName, alpn, encrypted }
  } catch (error) {
    if (error instanceof Truncated) return notTls('the ClientHello is malformed')
    throw error
  }
}

function readServerName(content: Vector): string {
  const names = content.vector(2)
  const type = names.number(1)
  const name = names.opaque(2)
  // One name of type host_name is all that RFC 6066 defines; more would be a second meaning.
  if (type !== 0 || !names.isEmpty || !content.isEmpty || name.length === 0) throw new Truncated()
  return name.toString('latin1')
}

function readAlpn(content: Vector): string[] {
  const list = content.vector(2)
  const protocols: string[] = []
  while (!list.isEmpty) protocols.push(list.opaque(1).toString('latin1'))
  return protocols
}
