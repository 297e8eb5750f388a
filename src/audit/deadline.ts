import type { Clock } from '../core/clock.ts'

export interface Deadline extends Disposable {
  /** Aborts at the deadline, or when the outer signal does. */
  readonly signal: AbortSignal
  /** Whether it was the deadline. */
  readonly passed: boolean
}

/** A limit for one attempt, `ms` milliseconds from now, that ends with its scope. */
export function deadline(clock: Clock, ms: number, outer: AbortSignal): Deadline {
  const own = new AbortController()
  const alarm = clock.after(ms, () => own.abort(new Error(`nothing within ${ms} ms`)))
  return {
    signal: AbortSignal.any([own.signal, outer]),
    get passed() {
      return own.signal.aborted
    },
    [Symbol.dispose]: () => alarm.cancel(),
  }
}
