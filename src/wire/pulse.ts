import type { Clock } from '../core/clock.ts'
import { Roster } from './roster.ts'

/**
 * A coarse clock and the sweep that goes with it: reading a field costs nothing, so every read and write can note when
 * it was, and one timer finds the idle among ten thousand connections without a timer for each.
 */
export interface Pulse extends Disposable {
  /** Milliseconds (monotonic) at the last beat. */
  readonly now: number
  /** Calls `beat` after every beat until the returned function is called. */
  onBeat(beat: (now: number) => void): () => void
}

/** `interval`: milliseconds between beats, which is how coarse idle limits are (default 1,000). */
export function createPulse(clock: Clock, interval = 1000): Pulse {
  const beats = new Roster<(now: number) => void>()
  let now = clock.monotonic()
  let alarm = clock.after(interval, tick)
  function tick(): void {
    now = clock.monotonic()
    alarm = clock.after(interval, tick)
    beats.forEach((beat) => beat(now))
  }
  return {
    get now() {
      return now
    },
    onBeat(beat) {
      const seat = beats.add(beat)
      return () => seat.leave()
    },
    [Symbol.dispose]() {
      alarm.cancel()
    },
  }
}
