import {
  closeSync,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  statSync,
  writeSync,
  constants,
} from 'node:fs'
import { join } from 'node:path'
import { errnoOf } from '../core/errors.ts'
import { APPEND_FLAGS, checkPrivateFile, syncDirectory } from './private-files.ts'
import { segmentName } from './segments.ts'

/**
 * The one open file at the end of the log. A write is whole or it is not there: what a failed one left behind is cut
 * off again before anything else is written.
 */
export class SegmentWriter {
  readonly #dir: string
  #fd: number
  #name: string
  /** Bytes up to the end of the last whole write. */
  #size: number
  /** A failed write may have left bytes after `#size`. */
  #ragged = false
  /** Of files that are no longer written to but not yet closed, and of the open one. */
  #syncing = new Set<Promise<void>>()
  #syncError: unknown

  /** Opens a segment to go on with, or makes it. Throws what the file system throws, or says what is wrong with it. */
  constructor(dir: string, name: string) {
    this.#dir = dir
    this.#name = name
    this.#fd = openSegment(dir, name, 0)
    this.#size = fstatSync(this.#fd).size
  }

  get name(): string {
    return this.#name
  }

  get size(): number {
    return this.#size
  }

  /** All of it or an error. Synchronous, into the page cache: see AuditLog.append. */
  write(bytes: Buffer, length: number): void {
    if (this.#ragged) this.#trim()
    let written = 0
    try {
      while (written < length) written += writeSync(this.#fd, bytes, written, length - written)
    } catch (error) {
      this.#ragged = true
      try {
        this.#trim()
      } catch {
        // Tried again before the next write, which fails as long as this does: nothing is appended to a torn line.
      }
      throw error
    }
    this.#size += length
  }

  #trim(): void {
    ftruncateSync(this.#fd, this.#size)
    this.#ragged = false
  }

  /**
   * Goes on in a new file, whose first record will be `first`. Where that cannot be made, the old one stays in use and
   * the error is thrown.
   */
  rotate(first: number): void {
    const name = segmentName(first)
    const fd = openSegment(this.#dir, name, constants.O_EXCL)
    const old = this.#fd
    this.#fd = fd
    this.#name = name
    this.#size = 0
    this.#ragged = false
    const earlier = [...this.#syncing]
    this.#track(
      Promise.allSettled([...earlier, datasync(old)]).then(async ([...results]) => {
        closeSync(old) // Not before every sync of it has ended: the number may be given to another file at once.
        const failed = results.find((each) => each.status === 'rejected')
        if (failed) throw failed.reason
        await syncDirectory(this.#dir)
      }),
    )
  }

  /** Whatever was written until now is on disk when the promise resolves, in this segment and in those before it. */
  async sync(): Promise<void> {
    this.#track(datasync(this.#fd))
    await Promise.allSettled(this.#syncing)
    const error = this.#syncError
    this.#syncError = undefined
    if (error !== undefined) throw error
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => {
        this.#syncError = error
      })
      .finally(() => this.#syncing.delete(tracked))
    this.#syncing.add(tracked)
  }

  /** Whether somebody removed, replaced, cut or wrote the file behind our back; says what. */
  changedByOthers(): string | undefined {
    if (this.#ragged) return undefined
    try {
      const there = statSync(join(this.#dir, this.#name), { throwIfNoEntry: false })
      const ours = fstatSync(this.#fd)
      if (!there || there.ino !== ours.ino) return 'it was removed or replaced'
      if (ours.size !== this.#size) return `its size is ${ours.size} bytes instead of ${this.#size}`
      return undefined
    } catch (error) {
      return `it cannot be examined (${errnoOf(error) ?? String(error)})`
    }
  }

  async close(): Promise<void> {
    try {
      await this.sync()
    } finally {
      closeSync(this.#fd)
    }
  }
}

function openSegment(dir: string, name: string, flags: number): number {
  const path = join(dir, name)
  const fd = openSync(path, APPEND_FLAGS | flags, 0o600)
  try {
    checkPrivateFile(path, fstatSync(fd))
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return fd
}

/** fdatasync writes the size too, where it changed (POSIX); only times may stay behind. */
function datasync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (error) => (error ? reject(error) : resolve()))
  })
}
