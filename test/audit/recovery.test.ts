import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { writeCursor } from '../../src/audit/cursor.ts'
import { appended, gapsOf, makeFolder, openLog, recordsOf, segmentsOf, someEvent } from './folder.ts'

const CHILD = join(import.meta.dirname, 'append-child.ts')
const FIRST = 'audit-00000000000000000001.ndjson'

/** A log of three records, closed. */
async function threeRecords(dir: string): Promise<string> {
  await using log = await openLog(dir)
  for (const n of [1, 2, 3]) await appended(log, someEvent({ n }))
  return join(dir, FIRST)
}

test('AUD-20 a torn last line is cut off, kept aside, and reported; the sequence goes on', async () => {
  using folder = makeFolder()
  const path = await threeRecords(folder.dir)
  const whole = readFileSync(path, 'utf8')
  const torn = '{"seq":4,"id":"x-4","time":"2026-01-'
  appendFileSync(path, torn)
  await using log = await openLog(folder.dir)
  const place = { segment: FIRST, offset: whole.length, bytes: torn.length }
  expect(log.defects).toEqual([{ kind: 'torn_line', ...place }])
  await appended(log, someEvent({ n: 4 }))
  expect(readFileSync(path, 'utf8').startsWith(whole)).toBe(true)
  expect(readFileSync(`${path}.torn`, 'utf8')).toBe(`${torn}\n`)
  expect(recordsOf(folder.dir).map((record) => record.seq)).toEqual([1, 2, 3, 4, 5])
  expect(gapsOf(folder.dir)).toEqual([
    {
      'sallyport.audit.gap.reason': 'torn_line',
      'sallyport.audit.gap.count': 1,
      'sallyport.audit.gap.segment': FIRST,
      'sallyport.audit.gap.offset': whole.length,
      'sallyport.audit.gap.bytes': torn.length,
    },
  ])
})

test('AUD-21 a log that was cut at any byte opens, loses no whole record, and says what it cut', async () => {
  using folder = makeFolder()
  const path = await threeRecords(folder.dir)
  const whole = readFileSync(path)
  const ends = [...whole.entries()].filter(([, byte]) => byte === 0x0a).map(([index]) => index + 1)
  for (let size = 0; size <= whole.length; size += 13) {
    writeFileSync(path, whole)
    truncateSync(path, size)
    await using log = await openLog(folder.dir)
    const kept = ends.filter((end) => end <= size).length
    const isTorn = size !== 0 && !ends.includes(size)
    expect([size, log.defects.map((defect) => defect.kind)]).toEqual([size, isTorn ? ['torn_line'] : []])
    expect(log.sequence).toBe(kept + (isTorn ? 1 : 0))
  }
})

test('AUD-22 a tail of NUL bytes, as a loss of power leaves it, is cut off and reported', async () => {
  using folder = makeFolder()
  const path = await threeRecords(folder.dir)
  appendFileSync(path, Buffer.alloc(5000))
  await using log = await openLog(folder.dir)
  expect(log.defects).toMatchObject([{ kind: 'nul_tail', bytes: 5000 }])
  expect(existsSync(`${path}.torn`)).toBe(false)
  expect(recordsOf(folder.dir).map((record) => record.seq)).toEqual([1, 2, 3, 4])
  expect(gapsOf(folder.dir)).toMatchObject([{ 'sallyport.audit.gap.reason': 'nul_tail' }])
})

test('AUD-23 a corrupt line in the middle stays where it is, is reported once, and its number is not given out again', async () => {
  using folder = makeFolder()
  const path = await threeRecords(folder.dir)
  const lines = readFileSync(path, 'utf8').split('\n')
  lines[1] = lines[1]!.slice(0, 20) + '\0'.repeat(30) + lines[1]!.slice(50)
  lines[2] = 'what is this'
  const damaged = lines.join('\n')
  writeFileSync(path, damaged)
  {
    await using log = await openLog(folder.dir)
    expect(log.defects).toMatchObject([
      { kind: 'corrupt_line', segment: FIRST, first: 2, last: 2 },
      { kind: 'corrupt_line', segment: FIRST, first: 3, last: 3 },
    ])
    await appended(log, someEvent({ n: 4 }))
  }
  expect(readFileSync(path, 'utf8')).toBe(damaged)
  expect(segmentsOf(folder.dir)).toEqual([FIRST, 'audit-00000000000000000004.ndjson'])
  const fresh = readFileSync(join(folder.dir, 'audit-00000000000000000004.ndjson'), 'utf8')
  expect(
    fresh
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { seq: number }).seq),
  ).toEqual([4, 5])
  expect(JSON.parse(fresh.split('\n')[0]!)).toMatchObject({
    event: 'sallyport.audit.gap',
    attributes: {
      'sallyport.audit.gap.reason': 'corrupt_line',
      'sallyport.audit.gap.count': 2,
      'sallyport.audit.gap.first': 2,
      'sallyport.audit.gap.last': 3,
    },
  })
  await using again = await openLog(folder.dir)
  expect(again.defects).toEqual([])
})

test('AUD-24 lines that somebody took out show as a hole in the sequence', async () => {
  using folder = makeFolder()
  const path = await threeRecords(folder.dir)
  const lines = readFileSync(path, 'utf8').split('\n')
  writeFileSync(path, [lines[0], lines[2], ''].join('\n'))
  await using log = await openLog(folder.dir)
  expect(log.defects).toMatchObject([{ kind: 'sequence', first: 2, last: 2 }])
  expect(log.sequence).toBe(4)
})

test('AUD-25 numbers that the collector has confirmed are not given out again, although the log lost them', async () => {
  using folder = makeFolder()
  await threeRecords(folder.dir)
  let id = ''
  {
    await using log = await openLog(folder.dir)
    id = log.id
  }
  await writeCursor(folder.dir, id, 10)
  await using log = await openLog(folder.dir)
  expect(log.defects).toMatchObject([{ kind: 'lost_tail', first: 4, last: 10 }])
  await appended(log, someEvent({ n: 4 }))
  expect(recordsOf(folder.dir).map((record) => record.seq)).toEqual([1, 2, 3, 11, 12])
  expect(gapsOf(folder.dir)).toMatchObject([{ 'sallyport.audit.gap.count': 7 }])
})

test('AUD-26 what is not a private directory of plain files is refused with the remedy', async () => {
  using folder = makeFolder()
  const real = join(folder.root, 'real')
  mkdirSync(real)
  const link = join(folder.root, 'link')
  symlinkSync(real, link)
  await expect(openLog(link)).rejects.toThrow(
    `${link}: it is a symbolic link; name the directory that it points to`,
  )
  chmodSync(real, 0o777)
  await expect(openLog(real)).rejects.toThrow(
    `${real}: other users may write it (mode 0777); take that away (chmod go-w ${real})`,
  )
  expect(readdirSync(real)).toEqual([])
  chmodSync(real, 0o700)
  const other = join(folder.root, 'other')
  writeFileSync(other, '')
  await expect(openLog(other)).rejects.toThrow('it is not a directory; move it away')
  symlinkSync(other, join(real, FIRST))
  await expect(openLog(real)).rejects.toThrow('ELOOP')
  expect(readFileSync(other, 'utf8')).toBe('')
})

test('AUD-27 a segment that others may write to, or that is no file, is refused', async () => {
  using folder = makeFolder()
  const path = await threeRecords(folder.dir)
  chmodSync(path, 0o666)
  await expect(openLog(folder.dir)).rejects.toThrow(
    `${path}: other users may write it (mode 0666); take that away (chmod go-w ${path})`,
  )
  chmodSync(path, 0o600)
  mkdirSync(join(folder.dir, 'audit-00000000000000000009.ndjson'))
  await expect(openLog(folder.dir)).rejects.toThrow('it is not a regular file; move it away')
})

test.skipIf(process.platform === 'win32')(
  'AUD-28 a write that the system cuts short leaves no torn line, fails its records, and the next try goes on',
  { timeout: 30_000 },
  async () => {
    using folder = makeFolder()
    // 16 KiB of file, by the limit of the process: the write that meets it is short, the next one fails (EFBIG).
    const sizes = ['9000', '9000', '10', '9000', '20']
    const args = ['-c', 'ulimit -f 32; exec "$@"', 'sh', process.execPath, CHILD, folder.dir, ...sizes]
    const child = spawn('sh', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const said: unknown[] = []
    createInterface({ input: child.stdout }).on('line', (line) => said.push(JSON.parse(line)))
    const [code] = (await once(child, 'close')) as [number]
    expect(code).toBe(0)
    expect(said).toEqual([
      { written: '0' },
      { trouble: 'EFBIG' },
      { failed: '1', code: 'EFBIG' },
      { written: '2' },
      { trouble: 'EFBIG' },
      { failed: '3', code: 'EFBIG' },
      { written: '4' },
    ])
    const records = recordsOf(folder.dir)
    expect(records.map((record) => record.seq)).toEqual([1, 2, 3, 4, 5])
    expect(records.map((record) => record.attributes['name'] ?? record.attributes['error.type'])).toEqual([
      '0',
      'EFBIG',
      '2',
      'EFBIG',
      '4',
    ])
  },
)

test(
  'AUD-29 a process that is killed with -9 while it appends loses no acknowledged record and leaves no torn line',
  { timeout: 60_000 },
  async () => {
    using folder = makeFolder()
    const acknowledged: string[] = []
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, [CHILD, folder.dir, 'endless'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const wanted = acknowledged.length + 200 + round * 171
      createInterface({ input: child.stdout }).on('line', (line) => {
        const said = JSON.parse(line) as { written?: string }
        if (said.written !== undefined) acknowledged.push(said.written)
        if (acknowledged.length === wanted) child.kill('SIGKILL')
      })
      const [, signal] = (await once(child, 'close')) as [null, string]
      expect(signal).toBe('SIGKILL')
    }
    {
      await using log = await openLog(folder.dir)
      expect(log.defects.every((defect) => defect.kind === 'torn_line')).toBe(true)
    }
    const records = recordsOf(folder.dir)
    expect(records.map((record) => record.seq)).toEqual(records.map((_, index) => index + 1))
    const names = new Set(records.map((record) => record.attributes['name']))
    expect(acknowledged.filter((name) => !names.has(name))).toEqual([])
    expect(acknowledged.length).toBeGreaterThan(3000)
  },
)

test('AUD-30 a directory is open once: a second process, or a second log in this one, is refused until the first ends', async () => {
  using folder = makeFolder()
  const log = await openLog(folder.dir)
  await appended(log, someEvent({ n: 1 }))
  await expect(openLog(folder.dir)).rejects.toThrow(
    `${folder.dir}: another process writes its audit log there; stop that process`,
  )
  const child = spawn(process.execPath, [CHILD, folder.dir, '10'], { stdio: ['ignore', 'pipe', 'pipe'] })
  const said: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => said.push(line))
  const [code] = (await once(child, 'close')) as [number]
  expect(code).toBe(1)
  expect(said.join('\n')).toContain('another process writes its audit log there')
  await log[Symbol.asyncDispose]()
  await using next = await openLog(folder.dir)
  expect(next.sequence).toBe(1)
  expect(statSync(join(folder.dir, 'lock')).mode & 0o777).toBe(0o600)
})
