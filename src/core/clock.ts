/** Time as an argument, so that tests own it. */
export interface Clock {
  /** Milliseconds since the Unix epoch (wall time: for records, grants and deadlines that survive a restart). */
  now(): number
  /** Milliseconds from an arbitrary start that never goes back (for durations and limits). */
  monotonic(): number
  /** Calls `wake` once, not before `ms` milliseconds have passed. `cancel()` after the call does nothing. */
  after(ms: number, wake: () => void): Alarm
}

export interface Alarm {
  cancel(): void
}

/** Longest delay that a timer of Node can take (2^31 - 1 ms, about 24.8 days). */
const LONGEST_TIMER = 2_147_483_647

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, wake) => {
    const timer = setTimeout(wake, Math.min(Math.max(0, ms), LONGEST_TIMER))
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}
