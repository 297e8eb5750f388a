import { chunk } from '../http1/writer.ts'

/** Pieces smaller than this, on average, cost less to copy together than to write one by one. */
const WORTH_WRITING_ALONE = 2048

/**
 * Content of one read, which may stand in very many pieces: a peer that sends each byte as a chunk of its own (six bytes
 * each) must not make us write it so, which would cost a thousand times more than it costs the peer.
 */
export class Pieces {
  #pieces: Buffer[] = []
  #length = 0

  add(bytes: Buffer): void {
    this.#pieces.push(bytes)
    this.#length += bytes.length
  }

  /** Forgets and returns what was added, framed, in few pieces. */
  take(framing: 'chunked' | 'plain'): readonly Buffer[] {
    if (this.#length === 0) return []
    let pieces = this.#pieces
    if (pieces.length > 1 && this.#length < pieces.length * WORTH_WRITING_ALONE)
      pieces = [Buffer.concat(pieces, this.#length)]
    this.#pieces = []
    this.#length = 0
    return framing === 'chunked' ? pieces.flatMap(chunk) : pieces
  }
}
