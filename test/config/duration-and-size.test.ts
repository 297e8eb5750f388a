import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatDuration, parseDuration } from '../../src/config/duration.ts'
import { formatSize, parseSize } from '../../src/config/size.ts'

test.each([
  ['0', 0],
  ['0s', 0],
  ['500ms', 500],
  ['25s', 25_000],
  ['15m', 900_000],
  ['1h30m', 5_400_000],
  ['2d', 172_800_000],
  ['1d2h3m4s5ms', 93_784_005],
])('CFG-01 the duration %s is %d milliseconds', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each([
  '',
  '25',
  '25 s',
  '1.5s',
  '-1s',
  '+1s',
  '30m1h',
  '1s1s',
  '1S',
  '1w',
  'forever',
  '1h 30m',
  '٣s',
  '99999999999d',
])('CFG-02 %j is not a duration', (text) => {
  expect(parseDuration(text)).toBeUndefined()
})

test('CFG-03 every duration is read back as it was written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 400 * 86_400_000 }), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBe(ms)
    }),
  )
})

test.each([
  ['0', 0],
  ['1024', 1024],
  ['512B', 512],
  ['16KiB', 16_384],
  ['1MiB', 1_048_576],
  ['2GiB', 2_147_483_648],
  ['1TiB', 1_099_511_627_776],
])('CFG-04 the size %s is %d bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

test.each(['', '16KB', '16kib', '16 KiB', '1.5MiB', '-1', '1e3', 'KiB', '0x10', '999999999999999TiB'])(
  'CFG-05 %j is not a size',
  (text) => {
    expect(parseSize(text)).toBeUndefined()
  },
)

test('CFG-06 every size is read back as it was written', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 50 }), fc.constantFrom(1, 1024, 1024 ** 2), (count, unit) => {
      const bytes = (count % 2 ** 20) * unit
      expect(parseSize(formatSize(bytes))).toBe(bytes)
    }),
  )
})
