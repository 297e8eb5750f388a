import { constants, type BigIntStats } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { errnoOf } from '../core/errors.ts'

/** A file that was read, or that could not be, and what it looked like then. */
export interface FileState {
  readonly path: string
  /** Equal for as long as nothing was written, renamed or linked anew; `missing` or an errno where there was no file. */
  readonly fingerprint: string
}

export type FileResult =
  | {
      readonly kind: 'read'
      readonly bytes: Buffer
      readonly state: FileState
      readonly warning?: FileProblem
    }
  | { readonly kind: 'failed'; readonly problem: FileProblem; readonly state: FileState }

export interface FileProblem {
  readonly problem: string
  readonly remedy: string
}

const WORLD_WRITABLE = 0o002
/** How often a file that changes under the reader is read again before that is the problem. */
const ATTEMPTS = 5

/**
 * Reads a configuration file of at most `limit` bytes. What is judged is what is read: one descriptor is opened, looked
 * at and read, so that a link cannot be changed in between. Symbolic links themselves are fine (Kubernetes mounts
 * nothing else). Never throws.
 */
export async function readConfigFile(path: string, limit: number): Promise<FileResult> {
  // Before opening: what is changed after this look, and makes the file readable, then shows as a change.
  const seen = { path, fingerprint: await fingerprintOf(path) }
  let handle: FileHandle
  try {
    // Without O_NONBLOCK a FIFO would keep the loader waiting for a writer that never comes.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    return { kind: 'failed', problem: openProblem(error), state: seen }
  }
  try {
    return await readWhole(handle, path, limit)
  } catch (error) {
    return { kind: 'failed', problem: openProblem(error), state: seen }
  } finally {
    await handle.close()
  }
}

/** What the file at `path` looks like now. Never throws. */
export async function fingerprintOf(path: string): Promise<string> {
  try {
    return fingerprint(await stat(path, { bigint: true }))
  } catch (error) {
    return absence(error)
  }
}

/** What the files look like now. */
export async function statesOf(paths: readonly string[]): Promise<FileState[]> {
  return Promise.all(paths.map(async (path) => ({ path, fingerprint: await fingerprintOf(path) })))
}

async function readWhole(handle: FileHandle, path: string, limit: number): Promise<FileResult> {
  for (let attempt = 1; ; attempt++) {
    const before = await handle.stat({ bigint: true })
    const state = { path, fingerprint: fingerprint(before) }
    const refused = judge(before, limit)
    if (refused) return { kind: 'failed', problem: refused, state }
    const bytes = Buffer.alloc(Number(before.size))
    const length = await readInto(handle, bytes)
    const after = await handle.stat({ bigint: true })
    if (length === bytes.length && fingerprint(after) === state.fingerprint) {
      const warning = ownerWarning(before)
      return { kind: 'read', bytes, state, ...(warning && { warning }) }
    }
    if (attempt === ATTEMPTS) return { kind: 'failed', problem: UNSTABLE, state }
  }
}

async function readInto(handle: FileHandle, bytes: Buffer): Promise<number> {
  let length = 0
  while (length < bytes.length) {
    const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return length
}

const UNSTABLE: FileProblem = {
  problem: 'it changes while it is read',
  remedy: 'write a new file beside it and rename that over it',
}

function judge(stats: BigIntStats, limit: number): FileProblem | undefined {
  if (!stats.isFile())
    return {
      problem: stats.isDirectory() ? 'it is a folder' : 'it is not a regular file',
      remedy: 'name a regular file',
    }
  if ((Number(stats.mode) & WORLD_WRITABLE) !== 0)
    return { problem: 'anybody on this machine may change it', remedy: 'take that away: chmod o-w' }
  if (stats.size > BigInt(limit))
    return {
      problem: `it is longer than ${limit / 1024 ** 2} MiB`,
      remedy: 'move long lists of domains into files that policy.denied_domains_files names',
    }
  // A file that is just being written is empty for a moment; taken at its word it would be a policy without denials.
  if (stats.size === 0n)
    return { problem: 'it is empty', remedy: 'write a comment into it if nothing shall stand in it' }
  return undefined
}

function ownerWarning(stats: BigIntStats): FileProblem | undefined {
  const self = process.geteuid?.()
  const owner = Number(stats.uid)
  if (self === undefined || owner === 0 || owner === self) return undefined
  return {
    problem: `it belongs to another user (uid ${owner}), who may change it at any time`,
    remedy: 'let it belong to root, or to the user that runs the proxy',
  }
}

function fingerprint(stats: BigIntStats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':')
}

function absence(error: unknown): string {
  return errnoOf(error) === 'ENOENT' ? 'missing' : (errnoOf(error) ?? 'unreadable')
}

function openProblem(error: unknown): FileProblem {
  switch (errnoOf(error)) {
    case 'ENOENT':
      return { problem: 'there is no such file', remedy: 'check the path' }
    case 'ENOTDIR':
      return { problem: 'a part of the path is not a folder', remedy: 'check the path' }
    case 'EACCES':
    case 'EPERM':
      return {
        problem: 'the user that runs the proxy may not read it',
        remedy: 'let it belong to that user, or make it readable to it',
      }
    case 'ELOOP':
      return { problem: 'its symbolic links lead in a circle', remedy: 'check where the links lead' }
    case 'ENAMETOOLONG':
      return { problem: 'the path is too long', remedy: 'check the path' }
    default:
      return { problem: `it cannot be read (${errnoOf(error) ?? 'unknown error'})`, remedy: 'check the file' }
  }
}
