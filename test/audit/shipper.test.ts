import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import type { AuditLog } from '../../src/audit/log.ts'
import type { Protocol } from '../../src/audit/otel-settings.ts'
import { readBatch } from '../../src/audit/reader.ts'
import { type Shipper, type ShipperParts, startShipper } from '../../src/audit/shipper.ts'
import { systemClock } from '../../src/core/clock.ts'
import { type Collector, startGrpcCollector, startHttpCollector } from '../kit/collector.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { createEagerClock } from './eager-clock.ts'
import { exporterFor } from './exporters.ts'
import { appended, gapsOf, makeFolder, openLog, recordsOf, segmentsOf, someEvent } from './folder.ts'

const CHILD = join(import.meta.dirname, 'ship-child.ts')
/** Milliseconds that a stop may take. */
const STOP = 5000
const GAP = 'sallyport.audit.gap'
const DOORS = [
  ['http/protobuf', startHttpCollector],
  ['grpc', startGrpcCollector],
] as const

interface ShipOptions extends Partial<Omit<ShipperParts, 'log' | 'exporter'>> {
  readonly protocol?: Protocol
  readonly timeout?: number
}

async function ship(
  log: AuditLog,
  collector: { endpoint: string },
  options: ShipOptions = {},
): Promise<Shipper> {
  const { protocol = 'http/protobuf', timeout = 10_000, ...parts } = options
  return await startShipper({
    log,
    exporter: await exporterFor(collector, { protocol, timeout, clock: systemClock }),
    clock: createEagerClock(STOP),
    batchSize: 512,
    interval: 1000,
    onTrouble: () => {},
    ...parts,
  })
}

async function append(log: AuditLog, from: number, to: number, filling = 0): Promise<void> {
  const all: Promise<void>[] = []
  for (let n = from; n <= to; n++) all.push(appended(log, someEvent({ n, filling: 'x'.repeat(filling) })))
  await Promise.all(all)
}

/** Each in a write of its own, so that they spread over segments. */
async function appendEach(log: AuditLog, from: number, to: number): Promise<void> {
  for (let n = from; n <= to; n++) await append(log, n, n)
}

/** The numbers of the records that arrived, gap events left out. */
function numbers(collector: Collector): number[] {
  return collector.accepted.flatMap(({ attributes: { n } }) => (n === undefined ? [] : [Number(n)]))
}

function gapsAt(collector: Collector): unknown[] {
  return collector.accepted.filter((record) => record.eventName === GAP).map((record) => record.attributes)
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

function cursorOf(dir: string): unknown {
  return JSON.parse(readFileSync(join(dir, 'cursor.json'), 'utf8'))
}

test.each(DOORS)(
  'AUD-60 %s: what is in the log, and what is appended, arrives once, in order, under its id',
  async (protocol, start) => {
    using folder = makeFolder()
    await using collector = await start()
    await using log = await openLog(folder.dir, { segmentBytes: 4096 })
    await appendEach(log, 1, 50)
    {
      await using shipper = await ship(log, collector, { protocol })
      await collector.until(() => numbers(collector).length === 50)
      await append(log, 51, 60)
      await collector.until(() => numbers(collector).length === 60)
      await shipper.stop(STOP)
      expect(shipper.state).toMatchObject({
        lagRecords: 0,
        delivered: 60,
        exported: 60,
        rejected: 0,
        failures: 0,
      })
      expect(shipper.state.lastError).toBeUndefined()
    }
    expect(numbers(collector)).toEqual(range(1, 60))
    expect(collector.accepted.map((record) => record.attributes['log.record.uid'])).toEqual(
      range(1, 60).map((n) => `${log.id}-${n}`),
    )
    expect(collector.accepted.map((record) => record.attributes['sallyport.record.sequence'])).toEqual(
      range(1, 60).map(BigInt),
    )
    expect(cursorOf(folder.dir)).toEqual({ log: log.id, sequence: 60 })
    expect(statSync(join(folder.dir, 'cursor.json')).mode & 0o777).toBe(0o600)
    expect(segmentsOf(folder.dir).length).toBeGreaterThan(2)
  },
)

test('AUD-61 after a restart the export goes on where the collector had confirmed', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  for (const run of [0, 1, 2]) {
    await using log = await openLog(folder.dir)
    await using shipper = await ship(log, collector)
    await append(log, run * 10 + 1, run * 10 + 10)
    await shipper.stop(STOP)
  }
  expect(numbers(collector)).toEqual(range(1, 30))
})

test.each(DOORS)(
  'AUD-62 %s: a collector that is down for an hour misses nothing',
  async (protocol, start) => {
    using folder = makeFolder()
    const first = await start()
    await using log = await openLog(folder.dir, { segmentBytes: 65_536 })
    const clock = createEagerClock(STOP)
    const troubles: string[] = []
    let recoveries = 0
    let downFor = 0
    let backUp: (() => void) | undefined
    const anHour = new Promise<void>((resolve) => (backUp = resolve))
    const started = clock.now()
    await using shipper = await ship(log, first, {
      protocol,
      clock: {
        ...clock,
        after(ms, wake) {
          downFor = clock.now() - started
          if (downFor > 3_600_000) backUp?.()
          return clock.after(ms, wake)
        },
      },
      onTrouble: (error) => troubles.push(error.message),
      onRecovery: () => recoveries++,
    })
    await append(log, 1, 20)
    await first.until(() => numbers(first).length === 20)
    await first[Symbol.asyncDispose]()
    await append(log, 21, 1500)
    await anHour
    await append(log, 1501, 3000)
    expect(shipper.state.lagRecords).toBeGreaterThanOrEqual(2980)
    expect(shipper.state.lastError).toBeDefined()
    expect(shipper.state.failures).toBeGreaterThan(50)
    await using second = await start({ port: first.port })
    await second.until(() => numbers(second).includes(3000))
    await shipper.stop(STOP)
    expect([...new Set([...numbers(first), ...numbers(second)])]).toEqual(range(1, 3000))
    expect(shipper.state).toMatchObject({ lagRecords: 0, lastError: undefined })
    expect(recoveries).toBe(1)
    expect(troubles.length).toBeLessThan(10)
    expect(gapsOf(folder.dir)).toEqual([])
    // From about a second to at most a minute, spread by half.
    const pauses = clock.delays.filter((ms) => ms !== 1000)
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(500)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(60_000)
    expect(new Set(pauses.map((ms) => Math.round(ms))).size).toBeGreaterThan(30)
  },
)

test.each(DOORS)(
  'AUD-63 %s: a daemon that is killed with -9, also while the collector is away, loses no acknowledged record',
  { timeout: 60_000 },
  async (protocol, start) => {
    using folder = makeFolder()
    const acknowledged: string[] = []
    const arrived = new Map<string, string>()
    let collector = await start()
    const { endpoint, port } = collector
    const keep = (): void => {
      for (const { attributes } of collector.accepted) {
        const [id, name] = [
          attributes['log.record.uid'] as string,
          (attributes['name'] as string | undefined) ?? 'gap',
        ]
        // The same id twice is the same record twice.
        expect(arrived.get(id) ?? name).toBe(name)
        arrived.set(id, name)
      }
    }
    for (let round = 0; round < 4; round++) {
      const child = spawn(process.execPath, [CHILD, folder.dir, endpoint, protocol], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const before = acknowledged.length
      const enough = new Promise<void>((resolve) => {
        createInterface({ input: child.stdout }).on('line', (line) => {
          acknowledged.push(line)
          if (acknowledged.length === before + 300 + round * 77) resolve()
        })
      })
      // Killed while it ships (even rounds), or while nobody answers.
      if (round % 2 === 0) await collector.until(() => collector.accepted.length > 150)
      else {
        await collector.until(() => collector.accepted.length > 50)
        keep()
        await collector[Symbol.asyncDispose]()
      }
      await enough
      child.kill('SIGKILL')
      await once(child, 'close')
      if (round % 2 === 1) collector = await start({ port })
      else keep()
    }
    await using log = await openLog(folder.dir)
    await using shipper = await ship(log, collector, { protocol, clock: systemClock, interval: 1 })
    await collector.until(
      () =>
        shipper.state.lagRecords === 0 ||
        collector.accepted.some(
          ({ attributes }) => Number(attributes['sallyport.record.sequence']) === log.sequence,
        ),
    )
    await shipper.stop(STOP)
    keep()
    await collector[Symbol.asyncDispose]()
    const names = new Set(arrived.values())
    expect(acknowledged.length).toBeGreaterThan(1500)
    expect(acknowledged.filter((name) => !names.has(name))).toEqual([])
    expect(recordsOf(folder.dir).filter((record) => !arrived.has(record.id))).toEqual([])
  },
)

test('AUD-64 a record that the collector refuses is found, put aside and told; all others arrive', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  const bad = new Set([7n, 300n])
  collector.answer = ({ records }) =>
    records.some(({ attributes }) => bad.has(attributes['n'] as bigint))
      ? { kind: 'http', status: 400, message: 'no such field' }
      : { kind: 'ok' }
  await using log = await openLog(folder.dir)
  await append(log, 1, 512)
  await using shipper = await ship(log, collector)
  await collector.until(() => collector.accepted.some((record) => record.eventName === GAP))
  await shipper.stop(STOP)
  expect(numbers(collector).toSorted((a, b) => a - b)).toEqual(
    range(1, 512).filter((n) => n !== 7 && n !== 300),
  )
  expect(collector.requests.length).toBeLessThan(45)
  const lines = readFileSync(join(folder.dir, 'rejected.ndjson'), 'utf8').trimEnd().split('\n')
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
    [7, 300].map((n) => ({
      rejected: expect.any(String),
      error: 'the collector answered 400: no such field',
      record: expect.objectContaining({ seq: n, id: `${log.id}-${n}`, attributes: { n, filling: '' } }),
    })),
  )
  expect(statSync(join(folder.dir, 'rejected.ndjson')).mode & 0o777).toBe(0o600)
  expect(gapsOf(folder.dir)).toEqual([
    {
      'sallyport.audit.gap.reason': 'rejected',
      'sallyport.audit.gap.count': 2,
      'sallyport.audit.gap.first': 7,
      'sallyport.audit.gap.last': 300,
      'error.type': 'the collector answered 400: no such field',
    },
  ])
  expect(shipper.state).toMatchObject({ lagRecords: 0, delivered: 513, exported: 511, rejected: 2 })
})

test('AUD-65 a collector that refuses everything, gap events too, is not told so for ever', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  collector.answer = () => ({ kind: 'http', status: 400 })
  await using log = await openLog(folder.dir)
  await append(log, 1, 3)
  await using shipper = await ship(log, collector)
  await collector.until(() => collector.requests.some(({ records }) => records[0]?.eventName === GAP))
  await shipper.stop(STOP)
  expect(shipper.state).toMatchObject({ rejected: 4, lagRecords: 0 })
  expect(recordsOf(folder.dir)).toHaveLength(4)
  expect(readFileSync(join(folder.dir, 'rejected.ndjson'), 'utf8').trimEnd().split('\n')).toHaveLength(4)
})

test('AUD-66 a collector that is broken (500) loses nothing, and one record it breaks on does not block the others', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  collector.answer = () => ({ kind: 'http', status: 500 })
  await using log = await openLog(folder.dir)
  await append(log, 1, 4)
  await using shipper = await ship(log, collector)
  await collector.until(() => collector.requests.length > 60)
  expect(shipper.state).toMatchObject({ rejected: 0, exported: 0, lagRecords: 4 })
  collector.answer = ({ records }) =>
    records.some(({ attributes }) => attributes['n'] === 3n) ? { kind: 'http', status: 500 } : { kind: 'ok' }
  await collector.until(() => collector.accepted.some((record) => record.eventName === GAP))
  await shipper.stop(STOP)
  expect(new Set(numbers(collector))).toEqual(new Set([1, 2, 4]))
  expect(shipper.state).toMatchObject({ rejected: 1, lagRecords: 0 })
})

test('AUD-67 one doubtful record alone waits until others show that the collector is sound', async () => {
  using folder = makeFolder()
  await using collector = await startGrpcCollector()
  collector.answer = ({ records }) =>
    records.some(({ attributes }) => attributes['n'] === 1n) ? { kind: 'grpc', code: 13 } : { kind: 'ok' }
  await using log = await openLog(folder.dir)
  await append(log, 1, 1)
  await using shipper = await ship(log, collector, { protocol: 'grpc' })
  await collector.until(() => collector.requests.length > 20)
  expect(existsSync(join(folder.dir, 'rejected.ndjson'))).toBe(false)
  await append(log, 2, 2)
  await collector.until(() => collector.accepted.some((record) => record.eventName === GAP))
  await shipper.stop(STOP)
  expect(numbers(collector)).toEqual([2])
  expect(shipper.state).toMatchObject({ rejected: 1, lagRecords: 0 })
})

test('AUD-68 a credential that has run out (401) rejects nothing: the records wait for the right one', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  collector.answer = () => ({ kind: 'http', status: 401 })
  await using log = await openLog(folder.dir)
  await append(log, 1, 100)
  await using shipper = await ship(log, collector)
  await collector.until(() => collector.requests.length > 40)
  expect(collector.requests.every(({ records }) => records.length === 100)).toBe(true)
  collector.answer = () => ({ kind: 'ok' })
  await collector.until(() => numbers(collector).length >= 100)
  await shipper.stop(STOP)
  expect(numbers(collector)).toEqual(range(1, 100))
  expect(shipper.state.rejected).toBe(0)
})

test('AUD-69 records that are refused inside a success are counted and told', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  collector.answer = () => ({ kind: 'ok', rejected: 1, message: 'too old' })
  await using log = await openLog(folder.dir)
  await append(log, 1, 5)
  await using shipper = await ship(log, collector)
  await collector.until(() => collector.accepted.length === 6)
  await shipper.stop(STOP)
  expect(gapsOf(folder.dir)).toEqual([
    {
      'sallyport.audit.gap.reason': 'partly_rejected',
      'sallyport.audit.gap.count': 1,
      'sallyport.audit.gap.first': 1,
      'sallyport.audit.gap.last': 5,
      'error.type': 'too old',
    },
  ])
  expect(shipper.state).toMatchObject({ exported: 4, rejected: 2, lagRecords: 0 })
})

test('AUD-70 a batch is bounded in records and in bytes', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  await using log = await openLog(folder.dir, { segmentBytes: 1 << 20 })
  await append(log, 1, 40, 200_000)
  await append(log, 41, 200)
  await using shipper = await ship(log, collector, { batchSize: 30 })
  await collector.until(() => numbers(collector).length === 200)
  await shipper.stop(STOP)
  expect(numbers(collector)).toEqual(range(1, 200))
  for (const { records } of collector.requests) {
    expect(records.length).toBeLessThanOrEqual(30)
    const bytes = records.reduce((sum, { attributes }) => sum + String(attributes['filling']).length, 0)
    expect(bytes).toBeLessThan(2_097_152)
  }
})

test('AUD-71 records wait for more of them for the interval, unless the batch is full before', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  await using log = await openLog(folder.dir)
  const clock = createFakeClock()
  await using shipper = await ship(log, collector, { clock, batchSize: 10, interval: 5000 })
  await append(log, 1, 3)
  await append(log, 4, 6)
  clock.advance(4999)
  await appended(log, someEvent({ n: 7 }))
  expect(collector.requests).toEqual([])
  clock.advance(1)
  await collector.until(() => collector.requests.length === 1)
  expect(collector.requests[0]?.records).toHaveLength(7)
  await append(log, 8, 17)
  await collector.until(() => collector.requests.length === 2)
  expect(collector.requests[1]?.records).toHaveLength(10)
  await shipper.stop(0)
})

test('AUD-72 a collector that is silent never holds up the log, and the lag shows', async () => {
  using folder = makeFolder()
  await using collector = await startGrpcCollector()
  collector.answer = () => ({ kind: 'silence' })
  await using log = await openLog(folder.dir)
  const shipper = await ship(log, collector, { protocol: 'grpc', clock: systemClock, interval: 1 })
  await append(log, 1, 10)
  await collector.until(() => collector.requests.length === 1)
  await append(log, 11, 1000)
  expect(shipper.state.lagRecords).toBe(1000)
  await shipper.stop(0)
  expect(existsSync(join(folder.dir, 'cursor.json'))).toBe(false)
})

test('AUD-73 a stop delivers what is there; with the collector away it ends after one attempt, and the next start delivers', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  await using log = await openLog(folder.dir)
  const patient = createFakeClock()
  const first = await ship(log, collector, { clock: patient, interval: 3_600_000 })
  await append(log, 1, 1200)
  await first.stop(STOP)
  expect(numbers(collector)).toEqual(range(1, 1200))
  const before = collector.requests.length
  collector.answer = () => ({ kind: 'http', status: 503 })
  const second = await ship(log, collector, { clock: patient, interval: 3_600_000 })
  await append(log, 1201, 1210)
  await second.stop(STOP)
  expect(collector.requests.length - before).toBe(1)
  expect(second.state.lagRecords).toBe(10)
  expect(patient.pending).toBe(0)
  collector.answer = () => ({ kind: 'ok' })
  await using third = await ship(log, collector)
  await third.stop(STOP)
  expect(numbers(collector)).toEqual(range(1, 1210))
})

test('AUD-74 the collector says how long to wait, and is not asked before', async () => {
  using folder = makeFolder()
  await using collector = await startGrpcCollector()
  let asked = 0
  collector.answer = () => (++asked === 1 ? { kind: 'grpc', code: 14, retryMs: 123_456 } : { kind: 'ok' })
  await using log = await openLog(folder.dir)
  const clock = createEagerClock(STOP)
  await append(log, 1, 1)
  await using shipper = await ship(log, collector, { protocol: 'grpc', clock })
  await collector.until(() => collector.accepted.length === 1)
  await shipper.stop(STOP)
  expect(clock.delays).toContain(123_456)
})

test('AUD-75 a line that cannot be read is told as not exported, once, and everything else arrives', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  await using log = await openLog(folder.dir, { segmentBytes: 4096 })
  await appendEach(log, 1, 60)
  const [, second] = segmentsOf(folder.dir)
  const path = join(folder.dir, second!)
  const lines = readFileSync(path, 'utf8').split('\n')
  const lost = (JSON.parse(lines[3]!) as { seq: number }).seq
  lines[3] = '\0'.repeat(lines[3]!.length)
  writeFileSync(path, lines.join('\n'))
  await using shipper = await ship(log, collector)
  await collector.until(() => collector.accepted.some((record) => record.eventName === GAP))
  await shipper.stop(STOP)
  expect(numbers(collector)).toEqual(range(1, 60).filter((n) => n !== lost))
  expect(gapsAt(collector)).toMatchObject([
    {
      'sallyport.audit.gap.reason': 'not_exported',
      'sallyport.audit.gap.first': BigInt(lost),
      'sallyport.audit.gap.last': BigInt(lost),
      'sallyport.audit.gap.segment': second,
    },
  ])
})

test('AUD-76 a segment that is removed before it was delivered is told as not exported', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  await using log = await openLog(folder.dir, { segmentBytes: 4096 })
  await appendEach(log, 1, 60)
  const [first, second, third] = segmentsOf(folder.dir).map((name) => Number(/\d+/.exec(name)![0]))
  expect(first).toBe(1)
  unlinkSync(join(folder.dir, segmentsOf(folder.dir)[1]!))
  await using shipper = await ship(log, collector)
  await collector.until(() => collector.accepted.some((record) => record.eventName === GAP))
  await shipper.stop(STOP)
  expect(numbers(collector)).toEqual(range(1, 60).filter((n) => n < second! || n >= third!))
  expect(gapsOf(folder.dir)).toMatchObject([
    {
      'sallyport.audit.gap.reason': 'not_exported',
      'sallyport.audit.gap.first': second,
      'sallyport.audit.gap.last': third! - 1,
    },
  ])
})

test('AUD-77 without a readable cursor everything is sent again under the same ids, and that is told', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  {
    await using log = await openLog(folder.dir)
    await using shipper = await ship(log, collector)
    await append(log, 1, 10)
    await shipper.stop(STOP)
  }
  writeFileSync(join(folder.dir, 'cursor.json'), '{"log":')
  const before = collector.accepted.map((record) => record.attributes['log.record.uid'])
  await using log = await openLog(folder.dir)
  await using shipper = await ship(log, collector)
  await collector.until(() => collector.accepted.some((record) => record.eventName === GAP))
  await shipper.stop(STOP)
  const again = collector.accepted.slice(10).map((record) => record.attributes['log.record.uid'])
  expect(again.slice(0, 10)).toEqual(before)
  expect(gapsOf(folder.dir)).toMatchObject([{ 'sallyport.audit.gap.reason': 'cursor_lost' }])
})

test('AUD-78 only delivered segments are removed, and nothing that was delivered is missing', async () => {
  using folder = makeFolder()
  await using collector = await startHttpCollector()
  collector.answer = () => ({ kind: 'http', status: 503 })
  let shipper: Shipper | undefined
  await using log = await openLog(folder.dir, {
    segmentBytes: 4096,
    keepBytes: 8192,
    delivered: () => shipper?.state.delivered ?? 0,
  })
  shipper = await ship(log, collector)
  await appendEach(log, 1, 200)
  expect(recordsOf(folder.dir)[0]?.seq).toBe(1)
  collector.answer = () => ({ kind: 'ok' })
  await collector.until(() => new Set(numbers(collector)).size === 200)
  await appendEach(log, 201, 300)
  await collector.until(() => new Set(numbers(collector)).size === 300)
  await collector.until(() => collector.accepted.some((record) => record.eventName === GAP))
  await shipper.stop(STOP)
  expect([...new Set(numbers(collector))]).toEqual(range(1, 300))
  expect(gapsAt(collector)[0]).toMatchObject({
    'sallyport.audit.gap.reason': 'retention',
    'sallyport.audit.gap.first': 1n,
  })
  expect(recordsOf(folder.dir)[0]?.seq).toBeGreaterThan(100)
  expect(readdirSync(folder.dir).some((name) => name.endsWith('.tmp'))).toBe(false)
})

test('AUD-79 what lies beyond the confirmed end of the log is not read: a failed write may take it back', async () => {
  using folder = makeFolder()
  await using log = await openLog(folder.dir)
  await appendEach(log, 1, 3)
  const { end } = log
  const path = join(folder.dir, end.segment)
  appendFileSync(
    path,
    `${readFileSync(path, 'utf8').split('\n')[0]!.replace('"seq":1,', '"seq":4,')}\n{"seq":5`,
  )
  const limits = { records: 10, bytes: 1 << 20 }
  const batch = await readBatch(folder.dir, { sequence: 0, offset: 0 }, end, limits)
  expect(batch.records.map((record) => record.seq)).toEqual([1, 2, 3])
  expect(batch.gaps).toEqual([])
  expect(batch.next).toMatchObject({ sequence: 3, offset: end.size })
  truncateSync(path, end.size)
})
