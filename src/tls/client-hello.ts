// tls: what Sallyport must understand of TLS. Here: the first message of a client, which names the server it means.

/** What the first bytes of a tunnel are, as far as they have come. */
export type Opening =
  /** `needed`: so many bytes must be there before it is worth asking again. */
  | { readonly kind: 'incomplete'; readonly needed: number }
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
      /** Bytes that it takes, with the headers of its records; others may follow. */
      readonly length: number
    }

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const EXTENSION_SERVER_NAME = 0
const EXTENSION_ALPN = 16
const EXTENSION_ENCRYPTED_CLIENT_HELLO = 0xfe0d
const RECORD_LIMIT = 16_384
/** Post-quantum key shares make ClientHellos of 2 KB; nothing honest comes near this. */
const HELLO_LIMIT = 65_536
/** Each record is looked at again with every one that follows, so there must be an end to them. */
const RECORDS_LIMIT = 1024

/**
 * Reads the ClientHello at the start of `bytes`, over as many records as it was split into, without keeping state: call
 * it again with more bytes while it says `incomplete`. Never throws.
 */
export function readClientHello(bytes: Buffer): Opening {
  const start: number[] = [] // type and length of the message
  let records = 0
  let collected = 0
  let needed = -1
  let offset = 0
  while (needed === -1 || collected < needed) {
    if (offset < bytes.length && bytes[offset] !== HANDSHAKE)
      return notTls('the first record is not a TLS handshake')
    if (offset + 1 < bytes.length && bytes[offset + 1] !== 3)
      return notTls('the TLS record has an unknown version')
    if (bytes.length < offset + 5) return incomplete(bytes.length === offset ? offset + 1 : offset + 5)
    if (++records > RECORDS_LIMIT) return notTls('the ClientHello is split into too many records')
    const length = bytes.readUInt16BE(offset + 3)
    if (length === 0 || length > RECORD_LIMIT) return notTls('the TLS record has an invalid length')
    const end = Math.min(offset + 5 + length, bytes.length)
    for (let at = offset + 5; start.length < 4 && at < end; at++) start.push(bytes[at]!)
    if (start.length > 0 && start[0] !== CLIENT_HELLO) return notTls('the first message is not a ClientHello')
    if (needed === -1 && start.length === 4) {
      needed = 4 + ((start[1]! << 16) | (start[2]! << 8) | start[3]!)
      if (needed > HELLO_LIMIT) return notTls('the ClientHello is too long')
    }
    collected += end - (offset + 5)
    // Until it is known how long the message is, every byte may show that it is none.
    if (end < offset + 5 + length) return incomplete(needed === -1 ? end + 1 : offset + 5 + length)
    offset = end
  }
  // A ClientHello ends its record: bytes of another message behind it would be a handshake that nobody may send yet.
  if (collected > needed) return notTls('something follows the ClientHello in its record')
  return parseHello(withoutRecords(bytes.subarray(0, offset)).subarray(4), offset)
}

/** The content of whole records, in one piece. */
function withoutRecords(records: Buffer): Buffer {
  const fragments: Buffer[] = []
  for (let offset = 0; offset < records.length;) {
    const end = offset + 5 + records.readUInt16BE(offset + 3)
    fragments.push(records.subarray(offset + 5, end))
    offset = end
  }
  return fragments.length === 1 ? fragments[0]! : Buffer.concat(fragments)
}

function incomplete(needed: number): Opening {
  return { kind: 'incomplete', needed }
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

function parseHello(body: Buffer, length: number): Opening {
  try {
    const hello = new Vector(body)
    hello.skip(2 + 32) // legacy_version, random
    const session = hello.opaque(1) // legacy_session_id
    const ciphers = hello.opaque(2) // cipher_suites, of two bytes each
    const compressions = hello.opaque(1) // legacy_compression_methods
    // RFC 8446 §4.1.2: who is lenient here might find the extensions in another place than we do.
    if (session.length > 32 || ciphers.length < 2 || ciphers.length % 2 === 1 || compressions.length === 0)
      throw new Truncated()
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
    return { kind: 'hello', serverName, alpn, encrypted, length }
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
