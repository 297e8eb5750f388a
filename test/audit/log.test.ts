import * as fc from 'fast-check'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { SEVERITY } from '../../src/core/event.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { appended, gapsOf, makeFolder, openLog, recordsOf, segmentsOf, someEvent } from './folder.ts'

test('AUD-01 a record is one line of JSON with sequence, id, time, event, severity, instance and attributes', async () => {
  using folder = makeFolder()
  await using log = await openLog(folder.dir)
  const trace = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', flags: 1 }
  await appended(log, {
    ...someEvent({ text: 'a', list: ['b', 'c'], yes: true, count: 3, gone: undefined }),
    trace,
  })
  expect(segmentsOf(folder.dir)).toEqual(['audit-00000000000000000001.ndjson'])
  const text = readFileSync(join(folder.dir, 'audit-00000000000000000001.ndjson'), 'utf8')
  expect(text).toBe(
    `{"seq":1,"id":"${log.id}-1","time":"2026-01-02T03:04:05.006Z","event":"sallyport.admin.action",` +
      `"severity":"INFO2","instance":"test-instance","trace_id":"${trace.traceId}","span_id":"${trace.spanId}",` +
      `"trace_flags":1,"attributes":{"text":"a","list":["b","c"],"yes":true,"count":3}}\n`,
  )
  expect(log.id).toMatch(/^[0-9a-f]{20}$/)
  expect(log.sequence).toBe(1)
})

test('AUD-02 what one turn of the event loop appends is one write, and only after it the callbacks are called', async () => {
  using folder = makeFolder()
  await using log = await openLog(folder.dir)
  let writes = 0
  const stop = log.onWritten(() => writes++)
  const sequences: number[] = []
  const all = [1, 2, 3].map((n) => appended(log, someEvent({ n })).then(() => sequences.push(log.sequence)))
  expect(log.sequence).toBe(0)
  expect(statSync(join(folder.dir, segmentsOf(folder.dir)[0]!)).size).toBe(0)
  await Promise.all(all)
  expect(writes).toBe(1)
  expect(sequences).toEqual([3, 3, 3])
  await appended(log, someEvent())
  expect(writes).toBe(2)
  stop()
  await appended(log, someEvent())
  expect(writes).toBe(2)
})

test('AUD-03 sequence numbers and the id of the log go on over restarts, so that no record id is given out twice', async () => {
  using folder = makeFolder()
  const ids = new Set<string>()
  for (let run = 0; run < 3; run++) {
    await using log = await openLog(folder.dir, { instance: `run-${run}` })
    expect(log.defects).toEqual([])
    await Promise.all([1, 2].map(() => appended(log, someEvent())))
    ids.add(log.id)
  }
  const records = recordsOf(folder.dir)
  expect(records.map((record) => record.seq)).toEqual([1, 2, 3, 4, 5, 6])
  expect(records.map((record) => record.instance)).toEqual([
    'run-0',
    'run-0',
    'run-1',
    'run-1',
    'run-2',
    'run-2',
  ])
  expect(ids.size).toBe(1)
  expect(records.map((record) => record.id)).toEqual(records.map((record) => `${[...ids][0]}-${record.seq}`))
  expect(segmentsOf(folder.dir)).toHaveLength(1)
})

test('AUD-04 segments are closed before they outgrow their size, are named by their first record, and lose nothing', async () => {
  using folder = makeFolder()
  await using log = await openLog(folder.dir, { segmentBytes: 4096 })
  for (let i = 0; i < 100; i++) await appended(log, someEvent({ i, filling: 'x'.repeat(i * 7) }))
  await log.flush()
  const records = recordsOf(folder.dir)
  expect(records.map((record) => record.attributes['i'])).toEqual(Array.from({ length: 100 }, (_, i) => i))
  expect(records.map((record) => record.seq)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
  const names = segmentsOf(folder.dir)
  expect(names.length).toBeGreaterThan(8)
  for (const name of names) {
    const path = join(folder.dir, name)
    expect(statSync(path).size).toBeLessThanOrEqual(4096)
    const first = JSON.parse(readFileSync(path, 'utf8').split('\n')[0]!) as { seq: number }
    expect(name).toBe(`audit-${String(first.seq).padStart(20, '0')}.ndjson`)
  }
})

test('AUD-05 the directory is 0700 and every file in it 0600', async () => {
  using folder = makeFolder()
  await using log = await openLog(folder.dir, { segmentBytes: 1024 })
  for (let i = 0; i < 10; i++) await appended(log, someEvent({ filling: 'x'.repeat(200) }))
  expect(statSync(folder.dir).mode & 0o777).toBe(0o700)
  for (const name of [...segmentsOf(folder.dir), 'log-id'])
    expect([name, statSync(join(folder.dir, name)).mode & 0o777]).toEqual([name, 0o600])
})

test('AUD-06 any text comes back as it was, on one line without control, separator or reordering characters', async () => {
  using folder = makeFolder()
  const log = await openLog(folder.dir)
  const nasty = fc.constantFrom(
    '\u2028',
    '\u2029',
    '\ud800',
    '\udfff',
    '\u0000',
    '\n',
    '\u007f',
    '\u0085',
    '\u202e',
    '\ufeff',
    '"',
    '\\',
    'é',
    '𝕏',
  )
  const text = fc.array(fc.oneof(nasty, fc.string({ unit: 'binary', maxLength: 5 })), { maxLength: 12 })
  const written: Record<string, string>[] = []
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(text, text), { maxLength: 4 }), async (pairs) => {
      const attributes: Record<string, string> = {}
      for (const [key, value] of pairs)
        if (key.join('') !== '__proto__') attributes[key.join('')] = value.join('')
      written.push(attributes)
      await appended(log, someEvent(attributes))
    }),
    { numRuns: 100 },
  )
  await log[Symbol.asyncDispose]()
  expect(recordsOf(folder.dir).map((record) => record.attributes)).toEqual(written)
  const raw = readFileSync(join(folder.dir, segmentsOf(folder.dir)[0]!))
  const decoded = new TextDecoder('utf8', { fatal: true, ignoreBOM: true }).decode(raw)
  expect(decoded.replaceAll('\n', '')).not.toMatch(
    /[\p{Cc}\u2028-\u202e\u2066-\u2069\ufeff\u061c\u200e\u200f]/u,
  )
  expect(decoded.split('\n')).toHaveLength(written.length + 1)
})

test('AUD-07 a record that is longer than a line may be fails alone, and the log says that one is missing', async () => {
  using folder = makeFolder()
  const troubles: string[] = []
  await using log = await openLog(folder.dir, { onError: (error) => troubles.push(error.message) })
  const outcomes = await Promise.allSettled([
    appended(log, someEvent({ n: 1 })),
    appended(log, someEvent({ filling: 'x'.repeat(300_000) })),
    appended(log, someEvent({ n: 2 })),
  ])
  expect(outcomes.map((each) => each.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(troubles).toEqual([expect.stringContaining('longer than a line may be')])
  expect(log.failure).toBeUndefined()
  const records = recordsOf(folder.dir)
  expect(records.map((record) => record.event)).toEqual([
    'sallyport.audit.gap',
    'sallyport.admin.action',
    'sallyport.admin.action',
  ])
  expect(records[0]).toMatchObject({
    severity: 'ERROR',
    attributes: { 'sallyport.audit.gap.reason': 'write_failed', 'sallyport.audit.gap.count': 1 },
  })
})

test('AUD-08 a log that is closed writes what it has, and takes nothing more', async () => {
  using folder = makeFolder()
  const log = await openLog(folder.dir, { onError: () => {} })
  const before = appended(log, someEvent({ n: 1 }))
  await log[Symbol.asyncDispose]()
  await before
  await expect(appended(log, someEvent({ n: 2 }))).rejects.toThrow('the audit log is closed')
  await log[Symbol.asyncDispose]()
  expect(recordsOf(folder.dir).map((record) => record.attributes)).toEqual([{ n: 1 }])
})

test('AUD-09 with a limit the oldest segments go, the log says which, and what is not delivered stays', async () => {
  using folder = makeFolder()
  let delivered = 0
  await using log = await openLog(folder.dir, {
    segmentBytes: 4096,
    keepBytes: 8192,
    delivered: () => delivered,
  })
  const fill = async (): Promise<void> => {
    for (let i = 0; i < 40; i++) await appended(log, someEvent({ filling: 'x'.repeat(800) }))
  }
  await fill()
  expect(recordsOf(folder.dir)[0]?.seq).toBe(1)
  expect(gapsOf(folder.dir)).toEqual([])
  delivered = log.sequence
  const told = new Promise<void>((resolve) => {
    const stop = log.onWritten(() => {
      if (gapsOf(folder.dir).length === 0) return
      stop()
      resolve()
    })
  })
  await fill()
  await told
  const [gap] = gapsOf(folder.dir)
  expect(gap).toMatchObject({ 'sallyport.audit.gap.reason': 'retention', 'sallyport.audit.gap.first': 1 })
  const last = gap!['sallyport.audit.gap.last'] as number
  expect(gap!['sallyport.audit.gap.count']).toBe(last)
  expect(recordsOf(folder.dir)[0]?.seq).toBeGreaterThan(last)
  expect(recordsOf(folder.dir).at(-1)?.seq).toBe(log.sequence)
})

test('AUD-10 a segment that others remove, cut or write to is noticed, told, and left behind', async () => {
  const { appendFileSync, renameSync, truncateSync, unlinkSync } = await import('node:fs')
  const deeds: [string, (path: string) => void][] = [
    ['removed or replaced', (path) => unlinkSync(path)],
    ['removed or replaced', (path) => renameSync(path, `${path}.1`)],
    ['bytes instead of', (path) => truncateSync(path, 0)],
    ['bytes instead of', (path) => appendFileSync(path, '{"seq":99}\n')],
  ]
  for (const [problem, deed, atRest] of deeds.flatMap(([problem, deed]) => [
    [problem, deed, true] as const,
    [problem, deed, false] as const,
  ])) {
    using folder = makeFolder()
    const clock = createFakeClock()
    const troubles: string[] = []
    await using log = await openLog(folder.dir, { clock, onError: (error) => troubles.push(error.message) })
    await appended(log, someEvent({ n: 1 }))
    const [name] = segmentsOf(folder.dir)
    if (atRest) clock.advance(1000)
    deed(join(folder.dir, name!))
    if (!atRest) clock.advance(1000)
    await appended(log, someEvent({ n: 2 }))
    expect(troubles).toEqual([expect.stringContaining(problem)])
    expect(segmentsOf(folder.dir).at(-1)).toBe('audit-00000000000000000002.ndjson')
    const fresh = readFileSync(join(folder.dir, 'audit-00000000000000000002.ndjson'), 'utf8')
    const lines = fresh
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines.map((line) => line['seq'])).toEqual([2, 3])
    const [gap, two] = atRest ? lines.toReversed() : lines
    expect(gap).toMatchObject({
      event: 'sallyport.audit.gap',
      attributes: { 'sallyport.audit.gap.reason': 'changed_by_others', 'sallyport.audit.gap.segment': name },
    })
    expect(two?.['attributes']).toEqual({ n: 2 })
  }
})

test('AUD-11 a directory that is gone makes appends fail until it is back: nothing is written into a removed file', async () => {
  const { mkdirSync, rmSync } = await import('node:fs')
  using folder = makeFolder()
  const clock = createFakeClock()
  const troubles: Error[] = []
  await using log = await openLog(folder.dir, { clock, onError: (error) => troubles.push(error) })
  await appended(log, someEvent({ n: 1 }))
  rmSync(folder.dir, { recursive: true })
  clock.advance(1000)
  await expect(appended(log, someEvent({ n: 2 }))).rejects.toMatchObject({ code: 'ENOENT' })
  expect(log.failure).toMatchObject({ code: 'ENOENT' })
  mkdirSync(folder.dir, { mode: 0o700 })
  await appended(log, someEvent({ n: 3 }))
  expect(log.failure).toBeUndefined()
  const records = recordsOf(folder.dir)
  expect(
    records.map((record) => [
      record.seq,
      record.attributes['n'] ?? record.attributes['sallyport.audit.gap.reason'],
    ]),
  ).toEqual([
    [2, 'write_failed'],
    [3, 3],
  ])
  expect(records[0]?.attributes).toMatchObject({ 'sallyport.audit.gap.count': 2, 'error.type': 'ENOENT' })
  expect(troubles).toHaveLength(2)
})

test('AUD-12 a record says its severity in the words of OpenTelemetry', async () => {
  using folder = makeFolder()
  await using log = await openLog(folder.dir)
  for (const severity of Object.values(SEVERITY)) await appended(log, { ...someEvent(), severity })
  expect(recordsOf(folder.dir).map((record) => record.severity)).toEqual(['INFO', 'INFO2', 'WARN', 'ERROR'])
})
