import type { Scope } from './glob.ts'
import { type NameHasher, withPort } from './name-hash.ts'

/**
 * A set of names in three flat arrays, so that a million of them are off the heap, cost the garbage collector nothing,
 * and can be posted to other threads (with the seeds of their hasher), which then share the one copy.
 */
export interface DomainTables {
  /**
   * A Bloom filter with one bit a hash, indexed by the upper bits: so small that it stays in the processor's cache, where
   * most lookups of names that are not in the set end, without a step into the large arrays.
   */
  readonly filter: Int32Array
  /** Open addressing, two words a slot: the hash, and the place of the record plus one (0: free). */
  readonly slots: Int32Array
  /** One behind the other: HEAD words, then the bytes of the name, filled up to a whole word. */
  readonly records: Uint32Array
  /** How many records there are. */
  readonly size: number
}

/** Words before the name of a record: port, scope and length; line; file. */
export const HEAD = 3
const SCOPES: readonly Scope[] = ['exact', 'subdomains', 'all']
export const SCOPE_NUMBER: Readonly<Record<Scope, number>> = { exact: 0, subdomains: 1, all: 2 }
const EXACT = 0
const SUBDOMAINS = 1

export interface DomainEntry {
  readonly name: string
  readonly scope: Scope
  readonly port: number
  /** As they were given to the builder. */
  readonly line: number
  readonly file: number
}

/** Finds the entry for a name in constant time a label, and without allocating. */
export class DomainSet {
  readonly tables: DomainTables
  readonly #hasher: NameHasher
  readonly #bytes: Uint8Array
  readonly #mask: number
  readonly #filterShift: number

  constructor(tables: DomainTables, hasher: NameHasher) {
    const { records } = tables
    this.tables = tables
    this.#hasher = hasher
    this.#bytes = new Uint8Array(records.buffer, records.byteOffset, records.byteLength)
    this.#mask = tables.slots.length / 2 - 1
    this.#filterShift = filterShift(tables.filter)
  }

  get size(): number {
    return this.tables.size
  }

  /** The place of the most specific entry for this name and exactly this port (0: entries for every port), or -1. */
  find(name: string, port: number): number {
    const last = this.#hasher.read(name) - 1
    for (let label = last; label >= 0; label--) {
      const place = this.#probe(name, label, port, label === last)
      if (place !== -1) return place
    }
    return -1
  }

  /** The same among the entries for the name itself, for what has no domains above it: an address. */
  findWhole(name: string, port: number): number {
    return this.#probe(name, this.#hasher.read(name) - 1, port, true)
  }

  /** What is known of an entry; `found` is the name that `find` was asked for, which ends in the name of the entry. */
  entry(place: number, found: string): DomainEntry {
    const { records } = this.tables
    const packed = records[place]!
    return {
      name: found.slice(found.length - (packed & 0xff)),
      scope: SCOPES[(packed >>> 8) & 3]!,
      port: packed >>> 16,
      line: records[place + 1]!,
      file: records[place + 2]!,
    }
  }

  #probe(name: string, label: number, port: number, whole: boolean): number {
    const { filter, slots, records } = this.tables
    const hash = withPort(this.#hasher.hashes[label]!, port)
    const bit = hash >>> this.#filterShift
    if ((filter[bit >>> 5]! & (1 << (bit & 31))) === 0) return -1
    const from = this.#hasher.starts[label]!
    let found = -1
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const place = slots[slot * 2 + 1]! - 1
      if (place === -1) return found
      if (slots[slot * 2] !== hash) continue
      const packed = records[place]!
      const scope = (packed >>> 8) & 3
      if (whole ? scope === SUBDOMAINS : scope === EXACT) continue
      if (packed >>> 16 !== port || !this.#isName(place, packed & 0xff, name, from)) continue
      // `x` is more specific than `**.x`, and `*.x` than `**.x`: look on behind the latter.
      if (scope === EXACT || scope === SUBDOMAINS) return place
      found = place
    }
  }

  /** A hash is a hint: only equal bytes are a match. */
  #isName(place: number, length: number, name: string, from: number): boolean {
    if (length !== name.length - from) return false
    const bytes = this.#bytes
    const offset = (place + HEAD) * 4
    for (let i = 0; i < length; i++) if (bytes[offset + i] !== name.charCodeAt(from + i)) return false
    return true
  }
}

/** By how much a hash is shifted to the right to be the number of a bit; the filter has a power of two of them. */
export function filterShift(filter: Int32Array): number {
  return Math.clz32(filter.length * 32) + 1
}
