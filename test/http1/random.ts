/** Random numbers that a seed repeats (mulberry32): for a fuzzer whose failure somebody else must be able to see again. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** 0 to `below` - 1. */
  int(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4_294_967_296) * below)
  }

  chance(probability: number): boolean {
    return this.int(1_000_000) < probability * 1_000_000
  }

  pick<T>(from: readonly T[]): T {
    return from[this.int(from.length)]!
  }

  /** `least` to `most` times. */
  many<T>(least: number, most: number, make: () => T): T[] {
    return Array.from({ length: least + this.int(most - least + 1) }, make)
  }
}

export interface FuzzRun {
  readonly seed: number
  readonly count: number
}

/**
 * HTTP1_FUZZ_SEED (`random`: a seed of the moment) and HTTP1_FUZZ_COUNT, or a seed that is always the same and `count`: a
 * normal run fails for what was changed and not by chance. Printed, so that a failure can be repeated.
 */
export function fuzzRun(what: string, count: number): FuzzRun {
  const said = process.env['HTTP1_FUZZ_SEED'] ?? '20261125'
  const seed = said === 'random' ? Date.now() % 1_000_000_000 : Number(said)
  const run = { seed, count: Number(process.env['HTTP1_FUZZ_COUNT'] ?? count) }
  process.stdout.write(`${what}: HTTP1_FUZZ_SEED=${run.seed} HTTP1_FUZZ_COUNT=${run.count}\n`)
  return run
}
