import { DomainSet, HEAD, SCOPE_NUMBER, bucketShift, depthBit, recordWords } from './domain-set.ts'
import type { Scope } from './glob.ts'
import { type NameHasher, withPort } from './name-hash.ts'

/** Words of a record before its name while it is collected: those of the set, and its hash behind them. */
const COLLECTED_HEAD = HEAD + 1

const DOT = 0x2e

/** Collects names, then makes a DomainSet of them. */
export class DomainSetBuilder {
  readonly #hasher: NameHasher
  /** Open addressing, two words a slot: the hash, and the place of the record plus one (0: free). */
  #slots: Int32Array
  #mask: number
  /** In the order in which they came. */
  #records: Uint32Array
  /** The same memory. */
  #bytes: Uint8Array
  #size = 0
  #used = 0
  #depths = 0

  /** The two sizes are guesses, exact ones save time: what does not fit makes room for itself. */
  constructor(hasher: NameHasher, entries: number, bytes: number) {
    this.#hasher = hasher
    const capacity = powerOfTwo(entries * 2, 16)
    this.#slots = new Int32Array(capacity * 2)
    this.#mask = capacity - 1
    this.#records = new Uint32Array(Math.ceil(bytes / 4) + entries * (COLLECTED_HEAD + 1) + 64)
    this.#bytes = new Uint8Array(this.#records.buffer)
  }

  /**
   * Adds the name that stands in `bytes` from `start` to `end`, canonical (lower case, A-labels, 1 to 253 bytes), and
   * returns true; false where the same name, scope and port are there already.
   */
  add(
    bytes: Uint8Array,
    start: number,
    end: number,
    scope: Scope,
    port: number,
    line: number,
    file: number,
  ): boolean {
    if (this.#size * 2 > this.#mask) this.#widen()
    const hash = withPort(this.#hasher.ofBytes(bytes, start, end), port)
    const packed = ((port << 16) | (SCOPE_NUMBER[scope] << 8) | (end - start)) >>> 0
    let slot = hash & this.#mask
    for (;;) {
      const place = this.#slots[slot * 2 + 1]! - 1
      if (place === -1) break
      if (this.#slots[slot * 2] === hash && this.#isEntry(place, packed, bytes, start)) return false
      slot = (slot + 1) & this.#mask
    }
    this.#slots[slot * 2] = hash
    this.#slots[slot * 2 + 1] = this.#append(bytes, start, end, packed, line, file, hash) + 1
    return true
  }

  #append(
    bytes: Uint8Array,
    start: number,
    end: number,
    packed: number,
    line: number,
    file: number,
    hash: number,
  ): number {
    const place = this.#used
    const next = place + recordWords(packed) + 1
    if (next > this.#records.length) this.#lengthen()
    this.#records[place] = packed
    this.#records[place + 1] = line
    this.#records[place + 2] = file
    this.#records[place + HEAD] = hash
    const own = this.#bytes
    let labels = 1
    for (let i = start, to = (place + COLLECTED_HEAD) * 4; i < end; i++, to++) {
      own[to] = bytes[i]!
      if (bytes[i] === DOT) labels++
    }
    this.#depths |= depthBit(labels)
    this.#used = next
    this.#size++
    return place
  }

  #isEntry(place: number, packed: number, bytes: Uint8Array, start: number): boolean {
    if (this.#records[place] !== packed) return false
    const offset = (place + COLLECTED_HEAD) * 4
    const length = packed & 0xff
    for (let i = 0; i < length; i++) if (this.#bytes[offset + i] !== bytes[start + i]) return false
    return true
  }

  #lengthen(): void {
    // Twice as much, and no record is longer than what a name of 255 bytes needs.
    const records = new Uint32Array(this.#records.length * 2 + COLLECTED_HEAD + 64)
    records.set(this.#records)
    this.#records = records
    this.#bytes = new Uint8Array(records.buffer)
  }

  #widen(): void {
    const old = this.#slots
    const slots = new Int32Array(old.length * 2)
    this.#mask = slots.length / 2 - 1
    for (let from = 0; from < old.length; from += 2) {
      if (old[from + 1] === 0) continue
      let slot = old[from]! & this.#mask
      while (slots[slot * 2 + 1] !== 0) slot = (slot + 1) & this.#mask
      slots[slot * 2] = old[from]!
      slots[slot * 2 + 1] = old[from + 1]!
    }
    this.#slots = slots
  }

  /** The set, in arrays that are no longer than it needs. The builder must not be used after it. */
  build(): DomainSet {
    const collected = this.#records
    const buckets = unsigned(powerOfTwo(this.#size / 2, 2) * 2 + 2)
    const shift = bucketShift(buckets)
    // A counting sort: the words of each bucket, then where each begins, then every record to its place.
    for (let at = 0; at < this.#used; at += recordWords(collected[at]!) + 1) {
      const hash = collected[at + HEAD]!
      const bucket = (hash >>> shift) * 2
      buckets[bucket + 2]! += recordWords(collected[at]!)
      buckets[bucket + 1]! |= 1 << (hash & 31)
    }
    const next = new Uint32Array(buckets.length / 2)
    for (let i = 2; i < buckets.length; i += 2) next[i / 2] = buckets[i]! += buckets[i - 2]!
    const records = unsigned(this.#used - this.#size)
    for (let at = 0; at < this.#used;) {
      const bucket = collected[at + HEAD]! >>> shift
      const end = at + recordWords(collected[at]!) + 1
      let to = next[bucket]!
      for (let i = at; i < end; i++) if (i !== at + HEAD) records[to++] = collected[i]!
      next[bucket] = to
      at = end
    }
    return new DomainSet({ buckets, records, size: this.#size, depths: this.#depths }, this.#hasher)
  }
}

function powerOfTwo(least: number, smallest: number): number {
  let power = smallest
  while (power < least) power *= 2
  return power
}

function unsigned(words: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(words * 4))
}
