import { lstatSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { ensurePrivateDirectory, ensurePrivateFile, StorageError } from './private-path.ts'

/** `SALY`: marks a database as ours (PRAGMA application_id), so that another program's is never altered. */
const APPLICATION_ID = 0x53_41_4c_59

const SQLITE_BUSY = 5

export interface DatabaseOptions {
  /** Made with mode 0600, in a directory of mode 0700, where missing. */
  readonly file: string
  /** SQL that takes the schema from version n to n + 1, oldest first; a released one is never edited. */
  readonly migrations: readonly string[]
  /** How long to wait for a lock, in milliseconds. Default 5000. */
  readonly busyTimeoutMs?: number
}

/**
 * Opens a database that loses nothing once a transaction has returned (WAL, synchronous=FULL), for this process alone:
 * whoever opens it keeps its rows in memory too, so a second writer would make revoked grants live on. Throws
 * StorageError for a file that is unsafe, corrupt, somebody else's, of a newer version, or in use; nothing is deleted.
 */
export function openDatabase(options: DatabaseOptions): DatabaseSync {
  const { file, migrations } = options
  ensurePrivateDirectory(dirname(file))
  ensurePrivateFile(file)
  // SQLite would follow a link here; the modes of these files it copies from the database itself.
  for (const part of ['-wal', '-shm', '-journal'])
    if (lstatSync(file + part, { throwIfNoEntry: false })) ensurePrivateFile(file + part)

  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(file, {
      timeout: options.busyTimeoutMs ?? 5000,
      enableForeignKeyConstraints: true,
      enableDoubleQuotedStringLiterals: false,
      allowExtension: false,
      defensive: true,
    })
    // The lock is held until close, and goes with the process: kill -9 leaves nothing behind.
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    const mode = pragma(database, 'journal_mode = WAL')
    if (mode !== 'wal') throw new Error(`the journal mode is ${String(mode)}, not wal`)
    database.exec('PRAGMA synchronous = FULL')
    checkIntegrity(file, database)
    migrate(file, database, migrations)
    return database
  } catch (error) {
    database?.close()
    throw error instanceof StorageError ? error : unreadable(file, error)
  }
}

/** Runs `work` in one transaction: all of it is on disk when this returns, or none of it is and this throws. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

function checkIntegrity(file: string, database: DatabaseSync): void {
  const finding = pragma(database, 'quick_check(1)')
  if (finding !== 'ok') throw corrupt(file, String(finding))
}

function migrate(file: string, database: DatabaseSync, migrations: readonly string[]): void {
  const version = Number(pragma(database, 'user_version'))
  const owner = Number(pragma(database, 'application_id'))
  const tables = database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n']
  if (owner !== APPLICATION_ID && (owner !== 0 || version !== 0 || tables !== 0))
    throw new StorageError(file, 'it is the database of another program', 'choose another file')
  if (version > migrations.length)
    throw new StorageError(
      file,
      `it was written by a newer version of sallyport (schema ${version}, this one knows ${migrations.length})`,
      'start that version, or move the file away to begin with an empty one (grants in it are then not known)',
    )
  if (version === migrations.length && owner === APPLICATION_ID) return
  transaction(database, () => {
    for (const step of migrations.slice(version)) database.exec(step)
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}`)
    database.exec(`PRAGMA user_version = ${migrations.length}`)
  })
}

function pragma(database: DatabaseSync, text: string): unknown {
  const row = database.prepare(`PRAGMA ${text}`).get()
  return row === undefined ? undefined : Object.values(row)[0]
}

function corrupt(file: string, finding: string, cause?: unknown): StorageError {
  return new StorageError(
    file,
    `it is corrupt or not a database (${finding.split('\n')[0]})`,
    `restore it from a backup, or move it away together with ${file}-wal to begin with an empty one ` +
      '(open approvals and grants in it are then lost; nothing has been deleted)',
    { cause },
  )
}

const CORRUPT_CODES = new Set([11, 26]) // SQLITE_CORRUPT, SQLITE_NOTADB

function unreadable(file: string, error: unknown): Error {
  const code = typeof error === 'object' && error !== null && 'errcode' in error ? Number(error.errcode) : 0
  const text = error instanceof Error ? error.message : String(error)
  if ((code & 0xff) === SQLITE_BUSY)
    return new StorageError(
      file,
      'another process has it open',
      'stop the other sallyport (or sqlite3 shell), or choose another state_dir',
      { cause: error },
    )
  if (CORRUPT_CODES.has(code & 0xff)) return corrupt(file, text, error)
  return new StorageError(file, `it cannot be opened (${text})`, 'check the disk and the permissions', {
    cause: error,
  })
}
