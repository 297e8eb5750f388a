import { type Opening, readClientHello } from './client-hello.ts'

const HANDSHAKE = 22
const ALERT = 21
const CLIENT_HELLO = 1
const SERVER_HELLO = 2
const HEADER_BYTES = 5
/** Header of the record, header of the message, legacy_version, and the random that tells. */
const RANDOM_AT = HEADER_BYTES + 4 + 2
/** The random of a ServerHello that is a HelloRetryRequest (RFC 8446 §4.1.3). */
const RETRY = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex')
const ANSWER_BYTES = RANDOM_AT + RETRY.length
const EMPTY = Buffer.alloc(0)

/** What becomes of bytes that the client sent behind its first ClientHello. */
export type Sequel =
  | { readonly kind: 'pass'; readonly bytes: Buffer }
  /** A second ClientHello, or what begins like one, that is not for the same host. */
  | { readonly kind: 'refused'; readonly serverName: string | undefined }

/**
 * Follows a handshake after its first ClientHello, for as long as there may be a second: a server that would like other
 * key shares asks for one (RFC 8446 §4.1.4), and takes the host from that one, so a client that named the right host at
 * first could lead the tunnel to another. Nothing of a second hello is let through before all of it is judged by
 * `agrees`. Once the server has answered without asking, `isOver`: whatever follows is not looked at.
 */
export class HelloRetry {
  readonly #agrees: (serverName: string | undefined) => boolean
  readonly #limit: number
  #answer: Buffer = EMPTY
  #settled = false
  #answered = false
  /** Bytes of a record of another kind that are still to come. */
  #skip = 0
  #pieces: Buffer[] = []
  #length = 0
  #needed = 0

  /** `limit`: bytes that are held at most. */
  constructor(agrees: (serverName: string | undefined) => boolean, limit: number) {
    this.#agrees = agrees
    this.#limit = limit
  }

  get isOver(): boolean {
    return this.#settled || (this.#answered && this.#length === 0)
  }

  get isHolding(): boolean {
    return this.#length > 0
  }

  /** Takes what the server sends. It is never held: a client can only obey what it has seen. */
  received(bytes: Buffer): void {
    if (this.#answered) return
    this.#answer = Buffer.concat([this.#answer, bytes.subarray(0, ANSWER_BYTES - this.#answer.length)])
    this.#answered = asksForNothing(this.#answer)
  }

  /** Takes what the client sends. */
  sent(more: Buffer): Sequel {
    if (this.isOver) return { kind: 'pass', bytes: more }
    // Copied where it is held: the read buffer is used again while we wait for the rest.
    const length = this.#length + more.length
    if (this.#length > 0 && length < this.#needed && length <= this.#limit)
      return this.#hold(Buffer.from(more))
    const bytes = this.#length === 0 ? more : Buffer.concat([...this.#pieces, more])
    this.#pieces = []
    this.#length = 0
    let at = 0
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at)
        this.#skip -= skipped
        at += skipped
        continue
      }
      this.#needed = bytes[at] === HANDSHAKE ? HEADER_BYTES + 1 : HEADER_BYTES
      if (bytes.length - at < this.#needed) break
      const content = bytes.readUInt16BE(at + 3)
      if (bytes[at] !== HANDSHAKE) {
        this.#skip = HEADER_BYTES + content
        continue
      }
      if (content > 0 && bytes[at + HEADER_BYTES] !== CLIENT_HELLO) {
        // The client goes on as in TLS 1.2, where no server asks for a second hello.
        this.#settled = true
        return { kind: 'pass', bytes }
      }
      const opening: Opening = readClientHello(bytes.subarray(at))
      if (opening.kind === 'incomplete' && bytes.length - at <= this.#limit) {
        this.#needed = opening.needed
        break
      }
      if (opening.kind !== 'hello') return { kind: 'refused', serverName: undefined }
      if (!this.#agrees(opening.serverName)) return { kind: 'refused', serverName: opening.serverName }
      // RFC 8446 §4.1.4: nobody asks twice.
      this.#settled = true
      return { kind: 'pass', bytes }
    }
    if (at < bytes.length) this.#hold(Buffer.from(bytes.subarray(at)))
    return { kind: 'pass', bytes: bytes.subarray(0, at) }
  }

  #hold(bytes: Buffer): Sequel {
    this.#pieces.push(bytes)
    this.#length += bytes.length
    return { kind: 'pass', bytes: EMPTY }
  }
}

/** Whether a server that begins like this has asked for no second hello; false as long as that is not known. */
function asksForNothing(answer: Buffer): boolean {
  if (answer.length === 0 || answer[0] === ALERT) return false
  if (answer[0] !== HANDSHAKE) return true
  if (answer.length <= HEADER_BYTES) return false
  if (answer[HEADER_BYTES] !== SERVER_HELLO) return true
  return answer.length === ANSWER_BYTES && !answer.subarray(RANDOM_AT).equals(RETRY)
}
