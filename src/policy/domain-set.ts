import type { Scope } from './glob.ts'
import { type NameHasher, withPort } from './name-hash.ts'

/**
 * A set of names in two flat arrays, so that a million of them are off the heap, cost the garbage collector nothing, and
 * can be posted to other threads (with the seeds of their hasher), which then share the one copy. What takes time in a
 * large set is waiting for memory: a name that is in the set costs one step into each array, one that is not a step into
 * the smaller one for each of its labels.
 */
export interface DomainTables {
  /**
   * Two words a bucket, and one more pair for the end. The upper bits of a hash are its bucket. First where the records
   * of the bucket begin; then a Bloom filter of them, with one bit a record: most names that are not in the set end there.
   */
  readonly buckets: Uint32Array
  /** Those of one bucket behind each other: HEAD words, then the bytes of the name, filled up to a whole word. */
  readonly records: Uint32Array
  /** How many records there are. */
  readonly size: number
  /** One bit for each number of labels that occurs, from bit 0 for one label; bit 31 for 32 and more. */
  readonly depths: number
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
  readonly #shift: number

  constructor(tables: DomainTables, hasher: NameHasher) {
    const { records } = tables
    this.tables = tables
    this.#hasher = hasher
    this.#bytes = new Uint8Array(records.buffer, records.byteOffset, records.byteLength)
    this.#shift = bucketShift(tables.buckets)
  }

  get size(): number {
    return this.tables.size
  }

  /** The place of the most specific entry for this name and exactly this port (0: entries for every port), or -1. */
  find(name: string, port: number): number {
    const { depths } = this.tables
    const last = this.#hasher.read(name) - 1
    for (let label = last; label >= 0; label--) {
      if ((depths & depthBit(label + 1)) === 0) continue
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
    const { buckets, records } = this.tables
    const hash = withPort(this.#hasher.hashes[label]!, port)
    const bucket = (hash >>> this.#shift) * 2
    if ((buckets[bucket + 1]! & (1 << (hash & 31))) === 0) return -1
    const from = this.#hasher.starts[label]!
    const end = buckets[bucket + 2]!
    let found = -1
    for (let place = buckets[bucket]!; place < end; place += recordWords(records[place]!)) {
      const packed = records[place]!
      const scope = (packed >>> 8) & 3
      if (whole ? scope === SUBDOMAINS : scope === EXACT) continue
      if (packed >>> 16 !== port || !this.#isName(place, packed & 0xff, name, from)) continue
      // `x` is more specific than `**.x`, and `*.x` than `**.x`: look on behind the latter.
      if (scope === EXACT || scope === SUBDOMAINS) return place
      found = place
    }
    return found
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

/** The words of a record, by its first one. */
export function recordWords(packed: number): number {
  return HEAD + (((packed & 0xff) + 3) >>> 2)
}

/** By how much a hash is shifted to the right to be the number of a bucket; there is a power of two of them, two or more. */
export function bucketShift(buckets: Uint32Array): number {
  return Math.clz32(buckets.length / 2 - 1) + 1
}

export function depthBit(labels: number): number {
  return 1 << (Math.min(labels, 32) - 1)
}
