import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { editDistance, nearest } from '../../src/config/suggestion.ts'
import { createConfigFolder, problemsOf } from './folder.ts'

test.each([
  ['kitten', 'sitting', 3],
  ['wait', 'wiat', 1],
  ['', 'abc', 3],
  ['same', 'same', 0],
])('CFG-60 %j is %3$d edits from %j', (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance)
})

test('CFG-61 the distance is symmetric, and zero for equal words only', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a))
      expect(editDistance(a, b) === 0).toBe(a === b)
    }),
  )
})

test('CFG-62 a word that is like none has no suggestion', () => {
  expect(nearest('zzzzzz', ['wait', 'total'])).toBeUndefined()
  expect(nearest('x'.repeat(10_000), ['wait'])).toBeUndefined()
  expect(nearest('', ['wait'])).toBeUndefined()
})

test.each([
  ['[policy]\nallowed_domain = []', 'did you mean allowed_domains?'],
  ['[policy]\nallowedDomains = []', 'did you mean allowed_domains?'],
  ['[policy]\ndenied-domains = []', 'did you mean denied_domains?'],
  ['[policy]\nwait = "1s"', 'move it into [hold]'],
  ['[hold]\nstate_dir = "x"', 'move it above all sections'],
  ['[hold]\nlisten = "x"', 'move it into [proxy] or [admin]'],
  ['[limits]\ntimeout = "1s"', 'move it into [telemetry] or [drain]'],
  ['[hold]\nallowed_domain = []', 'did you mean allowed_domains in [policy]?'],
  ['[telemetry]\nheaders = {}', 'did you mean headers_file?'],
  ['stat_dir = "x"', 'did you mean state_dir?'],
  ['[hold]\nstat_dir = "x"', 'did you mean state_dir, above all sections?'],
  ['[aproval]\nttl = "1m"', 'did you mean [approval]?'],
  [
    '[hold]\nzzzzzzzzz = 1',
    'the settings of [hold] are wait, per_client, total, waiters_per_approval, when_unattended',
  ],
  [
    '[zzzzzzzzz]\na = 1',
    'the sections are proxy, policy, tunnel, hold, approval, admin, audit, telemetry, upstream, limits, drain, log',
  ],
  ['[policy]\nunfamiliar = "Hold"', 'did you mean "hold"?'],
  ['[policy]\nunfamiliar = "block"', 'write one of "hold", "deny", "allow"'],
  ['[log]\nlevel = "warning"', 'did you mean "warn"?'],
])('CFG-63 %j: %s', async (text, remedy) => {
  await using folder = await createConfigFolder()
  expect(problemsOf(await folder.load(`${text}\n`)).map((problem) => problem.remedy)).toEqual([remedy])
})
