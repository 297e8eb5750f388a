import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createDeadlines } from '../../src/approvals/deadlines.ts'
import { createFakeClock } from '../kit/fake-clock.ts'

test('HOLD-70 whatever is set and cancelled, each deadline falls due once, in order, in time, on one alarm', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), ms: fc.nat(1000) }),
    fc.record({ kind: fc.constant('cancel' as const), which: fc.nat(200) }),
    fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(300) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const clock = createFakeClock()
      const deadlines = createDeadlines(clock)
      const set: { at: number; alarm: { cancel(): void }; cancelled: boolean; rang?: number }[] = []
      for (const each of steps) {
        if (each.kind === 'set') {
          const entry: (typeof set)[number] = {
            at: clock.monotonic() + each.ms,
            alarm: { cancel() {} },
            cancelled: false,
          }
          entry.alarm = deadlines.after(each.ms, () => {
            expect(entry.rang).toBeUndefined()
            entry.rang = clock.monotonic()
          })
          set.push(entry)
        } else if (each.kind === 'cancel') {
          const entry = set[each.which]
          if (!entry) continue
          if (entry.rang === undefined) entry.cancelled = true
          entry.alarm.cancel()
        } else clock.advance(each.ms)
        expect(clock.pending).toBeLessThanOrEqual(1)
      }
      clock.advance(1000)
      expect(clock.pending).toBe(0)
      for (const entry of set) expect(entry.rang).toBe(entry.cancelled ? undefined : entry.at)
    }),
    { numRuns: 200 },
  )
})

test('HOLD-71 a deadline that another one cancels as it falls due does not ring', () => {
  const clock = createFakeClock()
  const deadlines = createDeadlines(clock)
  const rang: string[] = []
  deadlines.after(10, () => {
    rang.push('first')
    second.cancel()
  })
  const second = deadlines.after(10, () => rang.push('second'))
  clock.advance(20)
  expect(rang).toEqual(['first'])
})

test('HOLD-72 a clock that wakes too early, as a timer of more than 24 days does, is asked again', () => {
  const clock = createFakeClock()
  const limited = { ...clock, after: (ms: number, wake: () => void) => clock.after(Math.min(ms, 1000), wake) }
  const deadlines = createDeadlines(limited)
  let rang = 0
  deadlines.after(5500, () => rang++)
  clock.advance(5499)
  expect(rang).toBe(0)
  clock.advance(1)
  expect(rang).toBe(1)
})
