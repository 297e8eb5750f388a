import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StoredRecord } from '../../src/audit/line.ts'
import { createOtlpEncoder, type OtlpScope } from '../../src/audit/otlp-encode.ts'
import type { AttributeValue } from '../../src/core/event.ts'
import { decodeRequest } from '../kit/collector.ts'

const SCOPE: OtlpScope = {
  resource: { 'service.name': 'sallyport', 'process.pid': 42 },
  version: '1.2.3',
  attributeCount: 128,
  valueLength: Infinity,
}

function record(attributes: Record<string, AttributeValue>, more: Partial<StoredRecord> = {}): StoredRecord {
  return {
    seq: 7,
    id: 'abc-7',
    time: '2026-01-02T03:04:05.006Z',
    event: 'sallyport.egress.decision',
    severity: 'WARN',
    instance: 'i-1',
    attributes,
    ...more,
  }
}

function through(scope: OtlpScope, ...records: StoredRecord[]) {
  return decodeRequest(createOtlpEncoder(scope)(records), {})
}

test('OTLP-01 a record is encoded with time, severity, event name three times, id, sequence and trace context', () => {
  const trace = { trace_id: '0af7651916cd43dd8448eb211c80319c', span_id: 'b7ad6b7169203331', trace_flags: 1 }
  const { resource, scope, records } = through(SCOPE, record({ 'server.port': 443 }, trace))
  expect(resource).toEqual({ 'service.name': 'sallyport', 'process.pid': 42n })
  expect(scope).toMatchObject({ name: 'sallyport', version: '1.2.3' })
  expect(records).toEqual([
    {
      time: `${Date.UTC(2026, 0, 2, 3, 4, 5, 6)}000000`,
      observedTime: `${Date.UTC(2026, 0, 2, 3, 4, 5, 6)}000000`,
      severityNumber: 13,
      severityText: 'WARN',
      body: 'sallyport.egress.decision',
      eventName: 'sallyport.egress.decision',
      attributes: {
        'event.name': 'sallyport.egress.decision',
        'log.record.uid': 'abc-7',
        'sallyport.record.sequence': 7n,
        'sallyport.instance': 'i-1',
        'server.port': 443n,
      },
      dropped: 0,
      traceId: trace.trace_id,
      spanId: trace.span_id,
      flags: 1,
    },
  ])
})

test('OTLP-02 whatever is encoded decodes to the same: texts of any length, integers, doubles, lists', () => {
  const text = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 200 }),
    fc.nat({ max: 40_000 }).map((length) => 'é'.repeat(length)),
    fc
      .constantFrom(0, 1, 126, 127, 128, 129, 16_382, 16_383, 16_384, 70_000)
      .map((length) => 'a'.repeat(length)),
  )
  const value: fc.Arbitrary<AttributeValue> = fc.oneof(
    text,
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.constantFrom(
      0,
      -1,
      127,
      128,
      2 ** 31,
      2 ** 32,
      -(2 ** 31),
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
    ),
    fc.double({ noNaN: true }).filter((each) => !Number.isInteger(each) || !Number.isSafeInteger(each)),
    fc.array(fc.string({ maxLength: 40 }), { maxLength: 5 }),
  )
  const key = fc.string({ minLength: 1, maxLength: 150 }).map((each) => `k${each}`)
  const encode = createOtlpEncoder(SCOPE)
  fc.assert(
    fc.property(
      fc.array(fc.dictionary(key, value, { maxKeys: 8 }), { minLength: 1, maxLength: 6 }),
      (all) => {
        const { records } = decodeRequest(encode(all.map((attributes) => record(attributes))), {})
        expect(records).toHaveLength(all.length)
        for (const [index, attributes] of all.entries()) {
          const expected = Object.entries(attributes).map(([key, each]) => [
            key,
            typeof each === 'number' && Number.isSafeInteger(each) ? BigInt(each) : each,
          ])
          expect(Object.entries(records[index]!.attributes).slice(4)).toEqual(expected)
        }
      },
    ),
    { numRuns: 150 },
  )
})

test('OTLP-03 the limits of the specification cut values and count what is left out; our own names always go', () => {
  const limited = { ...SCOPE, attributeCount: 6, valueLength: 3 }
  const { records } = through(limited, record({ a: 'abcdef', b: ['uvwxyz', 'x'], c: 'gone', d: 1 }))
  expect(Object.keys(records[0]!.attributes)).toEqual([
    'event.name',
    'log.record.uid',
    'sallyport.record.sequence',
    'sallyport.instance',
    'a',
    'b',
  ])
  expect(records[0]).toMatchObject({
    attributes: { a: 'abc', b: ['uvw', 'x'], 'log.record.uid': 'abc-7' },
    dropped: 2,
  })
  const { records: none } = through({ ...SCOPE, attributeCount: 1 }, record({ a: 'a' }))
  expect(none[0]).toMatchObject({ dropped: 1, attributes: { 'log.record.uid': 'abc-7' } })
})

test('OTLP-04 a lone surrogate becomes U+FFFD, so that the message is valid UTF-8', () => {
  const { records } = through(SCOPE, record({ short: 'a\ud800b', long: `${'x'.repeat(200)}\udfff` }))
  expect(records[0]!.attributes).toMatchObject({ short: 'a\ufffdb', long: `${'x'.repeat(200)}\ufffd` })
})

test('OTLP-05 an encoder can be used again: a small batch after a large one has nothing of it', () => {
  const encode = createOtlpEncoder(SCOPE)
  const small = encode([record({ a: 1 })])
  encode(Array.from({ length: 500 }, (_, i) => record({ filling: 'x'.repeat(i) })))
  expect(encode([record({ a: 1 })])).toEqual(small)
})
