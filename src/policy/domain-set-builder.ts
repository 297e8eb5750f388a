import { DomainSet, HEAD, SCOPE_NUMBER, filterShift } from './domain-set.ts'
import type { Scope } from './glob.ts'
import { type NameHasher, withPort } from './name-hash.ts'

/** Collects names, then makes a DomainSet of them. */
export class DomainSetBuilder {
  readonly #hasher: NameHasher
  #slots: Int32Array
  #mask: number
  #records: Uint32Array
  /** The same memory. */
  #bytes: Uint8Array
  #size = 0
  #used = 0

  /** The two sizes are guesses, exact ones save time: what does not fit makes room for itself. */
  constructor(hasher: NameHasher, entries: number, bytes: number) {
    this.#hasher = hasher
    let capacity = 16
    while (capacity < entries * 2) capacity *= 2
    this.#slots = signed(capacity * 2)
    this.#mask = capacity - 1
    this.#records = unsigned(Math.ceil(bytes / 4) + entries * (HEAD + 1) + 64)
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
    this.#slots[slot * 2 + 1] = this.#append(bytes, start, end, packed, line, file) + 1
    return true
  }

  #append(bytes: Uint8Array, start: number, end: number, packed: number, line: number, file: number): number {
    const place = this.#used
    const next = place + HEAD + ((end - start + 3) >>> 2)
    if (next > this.#records.length) this.#lengthen()
    this.#records[place] = packed
    this.#records[place + 1] = line
    this.#records[place + 2] = file
    const own = this.#bytes
    for (let i = start, to = (place + HEAD) * 4; i < end; i++, to++) own[to] = bytes[i]!
    this.#used = next
    this.#size++
    return place
  }

  #isEntry(place: number, packed: number, bytes: Uint8Array, start: number): boolean {
    if (this.#records[place] !== packed) return false
    const offset = (place + HEAD) * 4
    const length = packed & 0xff
    for (let i = 0; i < length; i++) if (this.#bytes[offset + i] !== bytes[start + i]) return false
    return true
  }

  #lengthen(): void {
    // Twice as much, and no record is longer than what a name of 255 bytes needs.
    const records = unsigned(this.#records.length * 2 + HEAD + 64)
    records.set(this.#records)
    this.#records = records
    this.#bytes = new Uint8Array(records.buffer)
  }

  #widen(): void {
    const old = this.#slots
    const slots = signed(old.length * 2)
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
    const records = unsigned(this.#used)
    records.set(this.#records.subarray(0, this.#used))
    const tables = { filter: filterOf(this.#slots), slots: this.#slots, records, size: this.#size }
    return new DomainSet(tables, this.#hasher)
  }
}

/** Eight bits a slot, which are sixteen or more an entry: at most one lookup in sixteen passes without need. */
function filterOf(slots: Int32Array): Int32Array {
  const filter = signed(slots.length / 8)
  const shift = filterShift(filter)
  for (let slot = 0; slot < slots.length; slot += 2) {
    if (slots[slot + 1] === 0) continue
    const bit = slots[slot]! >>> shift
    filter[bit >>> 5]! |= 1 << (bit & 31)
  }
  return filter
}

function unsigned(words: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(words * 4))
}

function signed(words: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(words * 4))
}
