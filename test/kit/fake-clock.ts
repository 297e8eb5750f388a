import type { Clock } from '../../src/core/clock.ts'

export interface FakeClock extends Clock {
  /** Moves time on and calls, in order, whatever falls due on the way. */
  advance(ms: number): void
  /** How many alarms are set. */
  readonly pending: number
  /** How many of them fall due in exactly so many milliseconds from now. */
  pendingAt(ms: number): number
}

/** Time that stands still until the test moves it. */
export function createFakeClock(start = Date.UTC(2026, 0, 1)): FakeClock {
  let elapsed = 0
  let alarms: { at: number; wake: () => void }[] = []
  return {
    now: () => start + elapsed,
    monotonic: () => elapsed,
    after(ms, wake) {
      const alarm = { at: elapsed + Math.max(0, ms), wake }
      alarms.push(alarm)
      return {
        cancel() {
          alarms = alarms.filter((each) => each !== alarm)
        },
      }
    },
    advance(ms) {
      const end = elapsed + ms
      for (;;) {
        const due = alarms.filter((each) => each.at <= end).toSorted((a, b) => a.at - b.at)[0]
        if (!due) break
        alarms = alarms.filter((each) => each !== due)
        elapsed = Math.max(elapsed, due.at)
        due.wake()
      }
      elapsed = end
    },
    get pending() {
      return alarms.length
    },
    pendingAt: (ms) => alarms.filter(({ at }) => at === elapsed + ms).length,
  }
}
