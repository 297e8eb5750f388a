import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { StorageError } from '../../src/storage/private-path.ts'
import { openDatabase, transaction } from '../../src/storage/sqlite.ts'

const FIRST = ['CREATE TABLE words (word TEXT PRIMARY KEY) STRICT']
const SQLITE_MODULE = new URL('../../src/storage/sqlite.ts', import.meta.url).pathname

let dir: string
let file: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'storage-'))
  file = join(dir, 'state', 'state.db')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)

function refusal(open: () => unknown): StorageError {
  try {
    open()
  } catch (error) {
    expect(error).toBeInstanceOf(StorageError)
    return error as StorageError
  }
  throw new Error('it was opened')
}

test('STORE-01 a new database is 0600 in a 0700 directory and syncs each transaction', () => {
  using database = openDatabase({ file, migrations: FIRST })
  expect(mode(file)).toBe('600')
  expect(mode(join(dir, 'state'))).toBe('700')
  expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 })
  expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
  expect(database.prepare('PRAGMA foreign_keys').get()).toEqual({ foreign_keys: 1 })
  database.exec(`INSERT INTO words VALUES ('sally')`)
  expect(mode(`${file}-wal`)).toBe('600')
})

test('STORE-02 what was written is there when it is opened again', () => {
  const first = openDatabase({ file, migrations: FIRST })
  first.exec(`INSERT INTO words VALUES ('sally')`)
  first.close()
  using second = openDatabase({ file, migrations: FIRST })
  expect(second.prepare('SELECT word FROM words').all()).toEqual([{ word: 'sally' }])
})

test('STORE-03 a symbolic link in the place of the file, of its log, or of the directory is refused', () => {
  const elsewhere = join(dir, 'elsewhere')
  mkdirSync(join(dir, 'state'), { mode: 0o700 })
  writeFileSync(elsewhere, '')
  symlinkSync(elsewhere, file)
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).message).toMatch(
    /state\.db: it is a symbolic link/,
  )
  rmSync(file)
  symlinkSync(elsewhere, `${file}-wal`)
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).message).toMatch(
    /-wal: it is a symbolic link/,
  )
  rmSync(`${file}-wal`)
  symlinkSync(join(dir, 'not', 'there'), `${file}-journal`)
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).message).toMatch(
    /-journal: it is a symbolic link/,
  )
  symlinkSync(join(dir, 'state'), join(dir, 'link'))
  const linked = join(dir, 'link', 'state.db')
  expect(refusal(() => openDatabase({ file: linked, migrations: FIRST })).message).toMatch(
    /link: it is a symbolic/,
  )
  expect(readFileSync(elsewhere, 'utf8')).toBe('')
})

test('STORE-04 a file or directory that others may write is refused; one that others may only read is tightened', () => {
  openDatabase({ file, migrations: FIRST }).close()
  chmodSync(file, 0o660)
  const error = refusal(() => openDatabase({ file, migrations: FIRST }))
  expect(error.message).toMatch(/other users may write it \(mode 0660\); take that away \(chmod go-w /)
  chmodSync(file, 0o644)
  openDatabase({ file, migrations: FIRST }).close()
  expect(mode(file)).toBe('600')
  chmodSync(join(dir, 'state'), 0o777)
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).path).toBe(join(dir, 'state'))
})

test.skipIf(process.getuid?.() !== 0)('STORE-05 a file of another user is refused', () => {
  openDatabase({ file, migrations: FIRST }).close()
  chownSync(file, 12_345, 12_345)
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).message).toMatch(/belongs to user 12345/)
})

test('STORE-06 a file that is no database is named with the remedy, and left as it is', () => {
  mkdirSync(join(dir, 'state'), { mode: 0o700 })
  const garbage = 'no database, but something that somebody may want back\n'.repeat(100)
  writeFileSync(file, garbage, { mode: 0o600 })
  const error = refusal(() => openDatabase({ file, migrations: FIRST }))
  expect(error.message).toContain(file)
  expect(error.problem).toMatch(/corrupt or not a database/)
  expect(error.remedy).toMatch(/restore it from a backup, or move it away .* nothing has been deleted/)
  expect(readFileSync(file, 'utf8')).toBe(garbage)
})

test('STORE-07 a damaged page is found at the start', () => {
  const database = openDatabase({ file, migrations: FIRST })
  transaction(database, () => {
    const insert = database.prepare('INSERT INTO words VALUES (?)')
    for (let i = 0; i < 2000; i++) insert.run(`word-${i}-${'x'.repeat(50)}`)
  })
  database.close()
  const bytes = readFileSync(file)
  bytes.fill(0xa5, 4096 * 3 + 8, 4096 * 3 + 600)
  writeFileSync(file, bytes)
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).problem).toMatch(/corrupt/)
  expect(existsSync(file)).toBe(true)
})

test('STORE-08 a database of a newer version is refused and keeps its rows', () => {
  const newer = openDatabase({ file, migrations: [...FIRST, 'CREATE TABLE more (x TEXT) STRICT'] })
  newer.exec(`INSERT INTO words VALUES ('new')`)
  newer.close()
  const error = refusal(() => openDatabase({ file, migrations: FIRST }))
  expect(error.problem).toMatch(/newer version of sallyport \(schema 2, this one knows 1\)/)
  using again = openDatabase({ file, migrations: [...FIRST, 'CREATE TABLE more (x TEXT) STRICT'] })
  expect(again.prepare('SELECT word FROM words').all()).toEqual([{ word: 'new' }])
})

test('STORE-09 the database of another program is not touched', () => {
  mkdirSync(join(dir, 'state'), { mode: 0o700 })
  const other = new DatabaseSync(file)
  other.exec('CREATE TABLE theirs (x TEXT)')
  other.close()
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).problem).toBe(
    'it is the database of another program',
  )
  using theirs = new DatabaseSync(file)
  expect(theirs.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'theirs' }])
})

test('STORE-10 an older schema is brought up to date, step by step, in one transaction', () => {
  openDatabase({ file, migrations: FIRST }).close()
  const broken = [...FIRST, 'CREATE TABLE second (x TEXT) STRICT', 'CREATE TABLE words (x TEXT)']
  refusal(() => openDatabase({ file, migrations: broken }))
  using database = openDatabase({ file, migrations: FIRST })
  expect(database.prepare('PRAGMA user_version').get()).toEqual({ user_version: 1 })
  expect(database.prepare(`SELECT name FROM sqlite_schema WHERE name = 'second'`).all()).toEqual([])
})

test('STORE-11 a second process is told that the first has it open, and a dead one leaves no lock', async () => {
  const script = `import { openDatabase } from ${JSON.stringify(SQLITE_MODULE)}
    const database = openDatabase({ file: ${JSON.stringify(file)}, migrations: ${JSON.stringify(FIRST)} })
    database.exec("INSERT INTO words VALUES ('first')")
    console.log('open')
    setInterval(() => database.isOpen, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script])
  try {
    await once(child.stdout, 'data')
    const error = refusal(() => openDatabase({ file, migrations: FIRST, busyTimeoutMs: 50 }))
    expect(error.message).toMatch(/another process has it open; stop the other sallyport/)
  } finally {
    child.kill('SIGKILL')
  }
  await once(child, 'exit')
  using database = openDatabase({ file, migrations: FIRST })
  expect(database.prepare('SELECT word FROM words').all()).toEqual([{ word: 'first' }])
})

test('STORE-12 kill -9 keeps what was committed and nothing of what was not', () => {
  const script = `import { openDatabase, transaction } from ${JSON.stringify(SQLITE_MODULE)}
    const database = openDatabase({ file: ${JSON.stringify(file)}, migrations: ${JSON.stringify(FIRST)} })
    transaction(database, () => database.exec("INSERT INTO words VALUES ('committed')"))
    transaction(database, () => {
      database.exec("INSERT INTO words VALUES ('not committed')")
      process.kill(process.pid, 'SIGKILL')
      for (;;);
    })`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script])
  expect(child.signal).toBe('SIGKILL')
  using database = openDatabase({ file, migrations: FIRST })
  expect(database.prepare('SELECT word FROM words').all()).toEqual([{ word: 'committed' }])
})

test('STORE-13 a transaction that throws leaves nothing behind', () => {
  using database = openDatabase({ file, migrations: FIRST })
  const insert = database.prepare('INSERT INTO words VALUES (?)')
  expect(() =>
    transaction(database, () => {
      insert.run('once')
      insert.run('once')
    }),
  ).toThrow(/UNIQUE/)
  expect(database.prepare('SELECT word FROM words').all()).toEqual([])
  expect(transaction(database, () => insert.run('again').changes)).toBe(1)
})

test('STORE-14 what is not a regular file is refused without waiting for it', () => {
  mkdirSync(file, { recursive: true })
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).problem).toBe('it is a directory')
  rmSync(file, { recursive: true })
  expect(spawnSync('mkfifo', ['-m', '600', file]).status).toBe(0)
  expect(refusal(() => openDatabase({ file, migrations: FIRST })).problem).toBe('it is not a regular file')
  const inFile = join(dir, 'plain', 'state.db')
  writeFileSync(join(dir, 'plain'), '')
  expect(refusal(() => openDatabase({ file: inFile, migrations: FIRST })).message).toMatch(
    /it is not a directory/,
  )
})
