import type { Scope } from './glob.ts'

/**
 * A set of names in four flat arrays, so that a million of them are off the heap, cost the garbage collector nothing,
 * and can be posted to other threads, which then share the one copy.
 */
export interface DomainTables {
  /** 256 random words: who chooses names, in a list or as a client, cannot choose them to collide. */
  readonly seeds: Uint32Array
  /** Open addressing, two words a slot: the hash, and the number of the entry plus one (0: free). */
  readonly slots: Uint32Array
  /** WORDS words an entry, see below. */
  readonly entries: Uint32Array
  readonly names: Uint8Array
}

/** Of an entry: offset of its name; length, scope and port; line; file. */
export const WORDS = 4
const SCOPES: readonly Scope[] = ['exact', 'subdomains', 'all']
export const SCOPE_NUMBER: Readonly<Record<Scope, number>> = { exact: 0, subdomains: 1, all: 2 }
const EXACT = 0
const SUBDOMAINS = 1

export interface DomainEntry {
  readonly name: string
  readonly scope: Scope
  readonly port: number
  /** From 1. */
  readonly line: number
  /** As it was given to `add`. */
  readonly file: number
}

/** Finds the entry for a name in constant time a label: the hash runs from the right, so each suffix has its own on the way. */
export class DomainSet {
  readonly tables: DomainTables
  readonly #mask: number

  constructor(tables: DomainTables) {
    this.tables = tables
    this.#mask = tables.slots.length / 2 - 1
  }

  get size(): number {
    return this.tables.entries.length / WORDS
  }

  /**
   * The number of the most specific entry for this canonical name and exactly this port (0: entries for every port),
   * or -1. With `suffixes` false only entries for the name itself are looked for.
   */
  find(name: string, port: number, suffixes = true): number {
    const { seeds } = this.tables
    let hash = seeds[0]!
    let found = -1
    for (let i = name.length - 1; i >= 0; i--) {
      const code = name.charCodeAt(i)
      if (code === 0x2e && suffixes) {
        const entry = this.#probe(finished(hash, port), name, i + 1, port, false)
        if (entry !== -1) found = entry
      }
      hash = mixed(hash, seeds[code & 0xff]!)
    }
    const entry = this.#probe(finished(hash, port), name, 0, port, true)
    return entry === -1 ? found : entry
  }

  entry(index: number): DomainEntry {
    const { entries, names } = this.tables
    const at = index * WORDS
    const offset = entries[at]!
    const packed = entries[at + 1]!
    return {
      name: Buffer.from(names.buffer, names.byteOffset + offset, packed & 0xff).toString('latin1'),
      scope: SCOPES[(packed >>> 8) & 3]!,
      port: packed >>> 16,
      line: entries[at + 2]!,
      file: entries[at + 3]!,
    }
  }

  #probe(hash: number, name: string, from: number, port: number, whole: boolean): number {
    const { slots, entries } = this.tables
    let found = -1
    for (let slot = hash & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const index = slots[slot * 2 + 1]! - 1
      if (index === -1) return found
      if (slots[slot * 2] !== hash) continue
      const packed = entries[index * WORDS + 1]!
      const scope = (packed >>> 8) & 3
      if (whole ? scope === SUBDOMAINS : scope === EXACT) continue
      if (packed >>> 16 !== port || !this.#isName(index, name, from)) continue
      if (scope !== 2) return index
      found = index
    }
  }

  /** A hash is a hint: only equal bytes are a match. */
  #isName(index: number, name: string, from: number): boolean {
    const { entries, names } = this.tables
    const length = entries[index * WORDS + 1]! & 0xff
    if (length !== name.length - from) return false
    const offset = entries[index * WORDS]!
    for (let i = 0; i < length; i++) if (names[offset + i] !== name.charCodeAt(from + i)) return false
    return true
  }
}

/** One byte into a running hash; `seed` is the random word of that byte. */
export function mixed(hash: number, seed: number): number {
  const next = Math.imul(hash ^ seed, 0x9e3779b1)
  return next ^ (next >>> 15)
}

/** The hash of a name that ends here, with the port in it. */
export function finished(hash: number, port: number): number {
  let h = hash ^ Math.imul(port + 1, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
  return (h ^ (h >>> 16)) >>> 0
}
