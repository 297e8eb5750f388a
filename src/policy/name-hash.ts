import { randomFillSync } from 'node:crypto'

/** A name of 253 characters has at most 127 labels. */
const MOST_LABELS = 127

/** 256 words, one for each byte: random, so that nobody can choose names, in a list or as a client, that collide. */
export function randomSeeds(): Int32Array {
  const seeds = new Int32Array(new SharedArrayBuffer(1024))
  randomFillSync(new Uint8Array(seeds.buffer))
  return seeds
}

/**
 * Hashes names from the right, label by label, so that one pass gives the hash of a name and of each domain above it.
 * The last name is remembered: the tables of one policy share a hasher, and each decision hashes its host once.
 */
export class NameHasher {
  readonly seeds: Int32Array
  /** The hash of the name's last label, of its last two, and so on up to the whole name. Valid up to `labels`. */
  readonly hashes = new Int32Array(MOST_LABELS)
  /** Where each of them begins in the name. */
  readonly starts = new Uint8Array(MOST_LABELS)
  #name = ''
  #labels = 0

  constructor(seeds: Int32Array) {
    this.seeds = seeds
  }

  /** Hashes a canonical name into `hashes` and `starts`; returns the number of labels. */
  read(name: string): number {
    if (name === this.#name) return this.#labels
    const { seeds, hashes, starts } = this
    let hash = seeds[0]!
    let labels = 0
    for (let i = name.length - 1; i >= 0; i--) {
      const code = name.charCodeAt(i)
      if (code === 0x2e) {
        hashes[labels] = hash
        starts[labels++] = i + 1
      }
      hash = mixed(hash, seeds[code & 0xff]!)
    }
    hashes[labels] = hash
    starts[labels++] = 0
    this.#name = name
    this.#labels = labels
    return labels
  }

  /** The hash that `read` would give to these bytes as a whole. */
  ofBytes(bytes: Uint8Array, start: number, end: number): number {
    const { seeds } = this
    let hash = seeds[0]!
    for (let i = end - 1; i >= start; i--) hash = mixed(hash, seeds[bytes[i]!]!)
    return hash
  }
}

function mixed(hash: number, seed: number): number {
  const next = Math.imul(hash ^ seed, 0x9e3779b1)
  return next ^ (next >>> 15)
}

/** The hash of a name together with a port, spread over all 32 bits. */
export function withPort(hash: number, port: number): number {
  let h = hash ^ Math.imul(port + 1, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
  return h ^ (h >>> 16)
}
