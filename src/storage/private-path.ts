// storage: opening what is kept on this machine, safely. It knows files, directories and SQLite; it never knows what is
// kept in them (each slice brings its own tables) and never deletes or repairs what it cannot read.

import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  type Stats,
} from 'node:fs'
import { errnoOf } from '../core/errors.ts'

/** A file or directory that is not safe, or not possible, to use. The message names it and the remedy. */
export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly path: string
  readonly problem: string
  readonly remedy: string
  constructor(path: string, problem: string, remedy: string, options?: ErrorOptions) {
    super(`${path}: ${problem}; ${remedy}`, options)
    this.path = path
    this.problem = problem
    this.remedy = remedy
  }
}

const OTHERS_MAY_WRITE = 0o022

/**
 * Makes the directory (and missing parents) with mode 0700, or accepts the one that is there if nobody else can put or
 * replace files in it. Throws StorageError.
 */
export function ensurePrivateDirectory(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (error) {
    const errno = errnoOf(error) ?? 'unknown error'
    const remedy = 'create it for the user that runs sallyport, or choose another place'
    if (errno !== 'EEXIST')
      throw new StorageError(dir, `the directory cannot be created (${errno})`, remedy, { cause: error })
  }
  const stats = lstatSync(dir)
  if (stats.isSymbolicLink())
    throw new StorageError(dir, 'it is a symbolic link', 'name the directory that it points to')
  if (!stats.isDirectory())
    throw new StorageError(dir, 'it is not a directory', 'move it away or choose another place')
  checkOwnership(dir, stats)
}

/**
 * Opens a regular file for reading and writing without following a symbolic link, made with mode 0600 where it is
 * missing; a file that others may write is refused, one that others may read is tightened. Returns whether it was made.
 */
export function ensurePrivateFile(file: string): { created: boolean } {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  let descriptor: number
  let created = true
  try {
    descriptor = openSync(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw cannotOpen(file, error)
    created = false
    descriptor = openExisting(file)
  }
  try {
    const stats = fstatSync(descriptor)
    checkRegular(file, stats)
    checkOwnership(file, stats)
    if ((stats.mode & 0o777) !== 0o600) fchmodSync(descriptor, 0o600)
  } finally {
    closeSync(descriptor)
  }
  return { created }
}

function openExisting(file: string): number {
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK } = constants
  try {
    // Not blocking: a FIFO in the file's place must be an error, not a start that hangs.
    return openSync(file, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    throw cannotOpen(file, error)
  }
}

function cannotOpen(file: string, error: unknown): StorageError {
  const errno = errnoOf(error) ?? 'unknown error'
  if (errno === 'ELOOP')
    return new StorageError(
      file,
      'it is a symbolic link',
      'name the file that it points to, or move the link away',
    )
  if (errno === 'EISDIR')
    return new StorageError(file, 'it is a directory', 'move it away or choose another place')
  const remedy = 'check that the directory exists and that the user that runs sallyport may write there'
  return new StorageError(file, `it cannot be opened (${errno})`, remedy, { cause: error })
}

export function checkRegular(file: string, stats: Stats): void {
  if (!stats.isFile())
    throw new StorageError(file, 'it is not a regular file', 'move it away or choose another place')
}

/** Whoever can write here can approve anything: only the user that runs Sallyport (or root) may. */
export function checkOwnership(path: string, stats: Stats): void {
  const uid = process.getuid?.()
  if (uid !== undefined && stats.uid !== uid && stats.uid !== 0)
    throw new StorageError(
      path,
      `it belongs to user ${stats.uid}, not to user ${uid} that runs sallyport`,
      `change its owner (chown ${uid} ${path}) or choose another place`,
    )
  if ((stats.mode & OTHERS_MAY_WRITE) !== 0)
    throw new StorageError(
      path,
      `other users may write it (mode ${(stats.mode & 0o7777).toString(8).padStart(4, '0')})`,
      `take that away (chmod go-w ${path})`,
    )
}
