import { DomainSet, SCOPE_NUMBER, WORDS, filterShift } from './domain-set.ts'
import type { Scope } from './glob.ts'
import { type NameHasher, withPort } from './name-hash.ts'

/** Collects names, then makes a DomainSet of them. */
export class DomainSetBuilder {
  readonly #hasher: NameHasher
  #slots: Int32Array
  #entries: Uint32Array
  #names: Uint8Array
  #mask: number
  #count = 0
  #used = 0

  /** The two sizes are guesses, exact ones save time: what does not fit makes room for itself. */
  constructor(hasher: NameHasher, entries: number, bytes: number) {
    this.#hasher = hasher
    let capacity = 16
    while (capacity < entries * 2) capacity *= 2
    this.#mask = capacity - 1
    this.#slots = signed(capacity * 2)
    this.#entries = words(Math.max(entries, 8) * WORDS)
    this.#names = new Uint8Array(new SharedArrayBuffer(Math.max(bytes, 256)))
  }

  get size(): number {
    return this.#count
  }

  /**
   * Adds the name that stands in `bytes` from `start` to `end`, canonical (lower case, A-labels, 1 to 253 bytes).
   * Returns the number of its entry, or `-1 - number` of the entry where the same name, scope and port are there already.
   */
  add(
    bytes: Uint8Array,
    start: number,
    end: number,
    scope: Scope,
    port: number,
    line: number,
    file: number,
  ): number {
    if (this.#count * 2 > this.#mask) this.#widen()
    const hash = withPort(this.#hasher.ofBytes(bytes, start, end), port)
    const packed = ((port << 16) | (SCOPE_NUMBER[scope] << 8) | (end - start)) >>> 0
    let slot = hash & this.#mask
    for (;;) {
      const index = this.#slots[slot * 2 + 1]! - 1
      if (index === -1) break
      if (this.#slots[slot * 2] === hash && this.#isEntry(index, packed, bytes, start)) return -1 - index
      slot = (slot + 1) & this.#mask
    }
    this.#slots[slot * 2] = hash
    this.#slots[slot * 2 + 1] = this.#count + 1
    return this.#append(bytes, start, end, packed, line, file)
  }

  #append(bytes: Uint8Array, start: number, end: number, packed: number, line: number, file: number): number {
    const index = this.#count++
    const at = index * WORDS
    if (at + WORDS > this.#entries.length)
      this.#entries = copied(this.#entries, words(this.#entries.length * 2))
    if (this.#used + end - start > this.#names.length)
      this.#names = copied(this.#names, new Uint8Array(new SharedArrayBuffer(this.#names.length * 2)))
    const names = this.#names
    for (let i = start, to = this.#used; i < end; i++, to++) names[to] = bytes[i]!
    this.#entries[at] = this.#used
    this.#entries[at + 1] = packed
    this.#entries[at + 2] = line
    this.#entries[at + 3] = file
    this.#used += end - start
    return index
  }

  #isEntry(index: number, packed: number, bytes: Uint8Array, start: number): boolean {
    if (this.#entries[index * WORDS + 1] !== packed) return false
    const offset = this.#entries[index * WORDS]!
    const length = packed & 0xff
    for (let i = 0; i < length; i++) if (this.#names[offset + i] !== bytes[start + i]) return false
    return true
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
    const entries = words(this.#count * WORDS)
    entries.set(this.#entries.subarray(0, entries.length))
    const names = new Uint8Array(new SharedArrayBuffer(this.#used))
    names.set(this.#names.subarray(0, this.#used))
    return new DomainSet({ filter: filterOf(this.#slots), slots: this.#slots, entries, names }, this.#hasher)
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

function words(count: number): Uint32Array {
  return new Uint32Array(new SharedArrayBuffer(count * 4))
}

function signed(count: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(count * 4))
}

function copied<T extends Uint32Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}
