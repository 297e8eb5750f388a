import { type Clock, systemClock } from '../../src/core/clock.ts'

export interface EagerClock extends Clock {
  /** Every delay that was asked for, in milliseconds. */
  readonly delays: readonly number[]
}

/**
 * Time that passes as soon as nobody has anything else to do: whoever waits for an hour waits one turn of the loop. Only
 * `real` is waited for in real time, since it is a limit and not a pause.
 */
export function createEagerClock(real: number): EagerClock {
  const start = Date.UTC(2026, 0, 1)
  let elapsed = 0
  const delays: number[] = []
  return {
    delays,
    now: () => start + elapsed,
    monotonic: () => elapsed,
    after(ms, wake) {
      if (ms === real) return systemClock.after(ms, wake)
      delays.push(ms)
      const immediate = setImmediate(() => {
        elapsed += ms
        wake()
      })
      return { cancel: () => clearImmediate(immediate) }
    },
  }
}
