import { ProtocolError } from './protocol-error.ts'

const EMPTY = Buffer.alloc(0)
const LF = 0x0a
const CR = 0x0d

/** Makes the error for a line or head that does not end within its limit, from its beginning as latin1. */
export type TooLong = (beginning: string) => ProtocolError

/**
 * The bytes that were received and not consumed yet. Content is handed out as subarrays of what was pushed; only the
 * unfinished beginning of a line or head is copied, so that whoever pushes may reuse its buffer once nothing more can be
 * taken. Each byte is looked at a constant number of times, however small the pieces are in which it comes.
 */
export class ReceiveBuffer {
  #chunk: Buffer = EMPTY
  #at = 0
  #queue: Buffer[] = []
  #queueAt = 0
  #queuedBytes = 0
  /** The beginning of a line or head whose end has not come; it has been searched already. */
  #held: Buffer = EMPTY
  #heldLength = 0

  push(bytes: Buffer): void {
    if (bytes.length === 0) return
    if (this.#at === this.#chunk.length) {
      this.#chunk = bytes
      this.#at = 0
      return
    }
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
  }

  /** Bytes received and not consumed. */
  get length(): number {
    return this.#heldLength + this.unseen
  }

  /** The beginning of a line or head that `takeThrough` found no end of; a view, not to be kept. */
  get held(): Buffer {
    return this.#held.subarray(0, this.#heldLength)
  }

  /** Bytes that nothing was searched in yet. */
  get unseen(): number {
    return this.#chunk.length - this.#at + this.#queuedBytes
  }

  /** Whether the only thing held is one empty line, or half of it. */
  get holdsEmptyLine(): boolean {
    if (this.unseen > 0 || this.#heldLength === 0 || this.#heldLength > 2) return false
    return this.#held[0] === CR && (this.#heldLength === 1 || this.#held[1] === LF)
  }

  /** The byte `offset` places on, or -1 where it is not at hand without copying. */
  peek(offset: number): number {
    if (this.#heldLength > 0) return -1
    return this.#chunk[this.#at + offset] ?? -1
  }

  /** Consumes `count` bytes that `peek` has seen. */
  skip(count: number): void {
    this.#at += count
    if (this.#at === this.#chunk.length) this.#advance()
  }

  /** At least one and at most `max` bytes of content, without copying; undefined: none are there. */
  take(max: number): Buffer | undefined {
    const available = this.#chunk.length - this.#at
    if (available === 0) return undefined
    const count = Math.min(available, max)
    const whole = this.#at === 0 && count === available
    const bytes = whole ? this.#chunk : this.#chunk.subarray(this.#at, this.#at + count)
    this.skip(count)
    return bytes
  }

  /**
   * Consumes everything through `delimiter` (which ends in CRLF) and returns it as latin1 without the delimiter; undefined:
   * the end has not come. Throws what `tooLong` makes when it cannot come within `limit` bytes, delimiter included, and
   * bad_line_ending at the first LF without CR, so that a peer which ends its lines so need not wait for a time limit.
   */
  takeThrough(delimiter: Buffer, limit: number, tooLong: TooLong): string | undefined {
    if (this.#heldLength === 0) {
      const end = this.#chunk.indexOf(delimiter, this.#at)
      if (end !== -1 && end + delimiter.length - this.#at <= limit) {
        const text = this.#chunk.toString('latin1', this.#at, end)
        this.skip(end + delimiter.length - this.#at)
        return text
      }
    }
    while (this.#at < this.#chunk.length) {
      const text = this.#holdThrough(delimiter, limit, tooLong)
      if (text !== undefined) return text
    }
    return undefined
  }

  /** Copies what is unconsumed, so that whoever pushed it may reuse its buffers at once. */
  detach(): void {
    if (this.unseen === 0) return
    this.#chunk = Buffer.concat([this.#chunk.subarray(this.#at), ...this.#queue.slice(this.#queueAt)])
    this.#at = 0
    this.#dropQueue()
  }

  /** Everything unconsumed, in one piece: a subarray of what was pushed where it lies in one piece there. */
  takeRest(): Buffer {
    const pieces = [this.#held.subarray(0, this.#heldLength), this.#chunk.subarray(this.#at)]
    pieces.push(...this.#queue.slice(this.#queueAt))
    const filled = pieces.filter((piece) => piece.length > 0)
    this.clear()
    return filled.length === 1 ? filled[0]! : Buffer.concat(filled)
  }

  clear(): void {
    this.#chunk = EMPTY
    this.#at = 0
    this.#dropQueue()
    this.#release()
  }

  /** The slow path: holds what fits the limit of the current chunk and looks for the end in all that is held. */
  #holdThrough(delimiter: Buffer, limit: number, tooLong: TooLong): string | undefined {
    const before = this.#heldLength
    const count = Math.min(this.#chunk.length - this.#at, limit - before)
    this.#hold(count, limit)
    const held = this.#held.subarray(0, before + count)
    // The delimiter may lie across the seam; what comes before that was searched when it was held.
    const end = held.indexOf(delimiter, Math.max(0, before - delimiter.length + 1))
    if (end !== -1) {
      const text = held.toString('latin1', 0, end)
      this.#release()
      this.skip(end + delimiter.length - before)
      return text
    }
    refuseBareLineFeed(held, before)
    if (before + count >= limit) throw tooLong(held.toString('latin1', 0, limit))
    this.skip(count)
    return undefined
  }

  #hold(count: number, limit: number): void {
    const length = this.#heldLength + count
    if (length > this.#held.length) {
      // Not from the shared pool: a slow peer would pin a whole slab of it with a few bytes.
      const larger = Buffer.allocUnsafeSlow(Math.min(limit, Math.max(256, 2 * length)))
      this.#held.copy(larger, 0, 0, this.#heldLength)
      this.#held = larger
    }
    this.#chunk.copy(this.#held, this.#heldLength, this.#at, this.#at + count)
    this.#heldLength = length
  }

  #release(): void {
    this.#held = EMPTY
    this.#heldLength = 0
  }

  #advance(): void {
    this.#chunk = EMPTY
    this.#at = 0
    if (this.#queueAt === this.#queue.length) return
    this.#chunk = this.#queue[this.#queueAt]!
    this.#queue[this.#queueAt++] = EMPTY
    this.#queuedBytes -= this.#chunk.length
    if (this.#queueAt === this.#queue.length) this.#dropQueue()
  }

  #dropQueue(): void {
    if (this.#queue.length === 0) return
    this.#queue = []
    this.#queueAt = 0
    this.#queuedBytes = 0
  }
}

function refuseBareLineFeed(bytes: Buffer, from: number): void {
  for (let at = bytes.indexOf(LF, from); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (at === 0 || bytes[at - 1] !== CR)
      throw new ProtocolError('bad_line_ending', 'a line ends in LF without CR')
  }
}
