import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { constants, fstatSync, openSync, closeSync, readFileSync, writeSync, fsyncSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { errnoOf } from '../core/errors.ts'
import {
  checkOwnership,
  checkRegular,
  ensurePrivateDirectory,
  StorageError,
} from '../storage/private-path.ts'
import { Problem } from './problem.ts'

/** 256 bits in base64url. */
const SHORTEST_TOKEN = 43

/** Wrong tokens within a window after which the next ones are only told to wait. */
const FAILURES = 10
const WINDOW_MS = 60_000

/**
 * Reads the bearer token, or makes one of 256 random bits. Throws StorageError for a file that others may read or write,
 * a link, or a token that could be guessed.
 */
export function readTokenFile(file: string): string {
  ensurePrivateDirectory(dirname(file))
  const { O_RDONLY, O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants
  let descriptor: number
  try {
    descriptor = openSync(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    const token = randomBytes(32).toString('base64url')
    try {
      writeSync(descriptor, `${token}\n`)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    return token
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw cannotUse(file, error)
  }
  try {
    descriptor = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    throw cannotUse(file, error)
  }
  try {
    const stats = fstatSync(descriptor)
    checkRegular(file, stats)
    checkOwnership(file, stats)
    if ((stats.mode & 0o077) !== 0)
      throw new StorageError(
        file,
        'other users may read the token',
        `take that away (chmod 600 ${file}), and delete it to get a new token if somebody may have`,
      )
    if (stats.size > 4096)
      throw new StorageError(file, 'it is too long for a token', 'delete it to get a new token')
    return checkToken(file, readFileSync(descriptor, 'utf8').trim())
  } finally {
    closeSync(descriptor)
  }
}

function checkToken(file: string, token: string): string {
  if (!/^[A-Za-z0-9._~+/-]+=*$/.test(token))
    throw new StorageError(file, 'it does not hold a bearer token (RFC 6750)', 'delete it to get a new token')
  if (token.length < SHORTEST_TOKEN)
    throw new StorageError(
      file,
      `the token has ${token.length} characters, fewer than the ${SHORTEST_TOKEN} that 256 bits need`,
      'delete the file to get a new token',
    )
  return token
}

function cannotUse(file: string, error: unknown): StorageError {
  const errno = errnoOf(error) ?? 'unknown error'
  const problem = errno === 'ELOOP' ? 'it is a symbolic link' : `it cannot be opened (${errno})`
  return new StorageError(file, problem, 'move it away, or name another token_file', { cause: error })
}

export interface BearerGate {
  /** Throws Problem: 401, or 429 after too many failures. The right token always passes. */
  check(authorization: string | undefined): void
}

/** `failed` is told of each failure up to the limit of a window, and then no more: a guesser must not fill the log. */
export function createBearerGate(parts: {
  readonly token: string
  readonly clock: Clock
  readonly failed: (reason: 'missing' | 'wrong', throttled: boolean) => void
}): BearerGate {
  const expected = digest(parts.token)
  let windowEnds = Number.NEGATIVE_INFINITY
  let failures = 0

  function check(authorization: string | undefined): void {
    const given = /^Bearer +([^\s]+)$/i.exec(authorization ?? '')?.[1]
    // Digests have one length, so that the comparison tells nothing, not even that of the token.
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return
    const now = parts.clock.monotonic()
    if (now >= windowEnds) {
      windowEnds = now + WINDOW_MS
      failures = 0
    }
    failures++
    const throttled = failures > FAILURES
    if (failures <= FAILURES + 1) parts.failed(given === undefined ? 'missing' : 'wrong', throttled)
    if (throttled) {
      const seconds = Math.max(1, Math.ceil((windowEnds - now) / 1000))
      throw new Problem(
        'too_many_failures',
        `more than ${FAILURES} wrong or missing tokens within a minute`,
        { retry_after: seconds, remedy: 'wait, then send the token of the file that admin.token_file names' },
        { 'Retry-After': String(seconds) },
      )
    }
    throw new Problem(
      'unauthorized',
      given === undefined
        ? 'there is no bearer token in the Authorization field'
        : 'the bearer token is wrong',
      { field: 'Authorization', remedy: 'send the token of the file that admin.token_file names' },
      { 'WWW-Authenticate': 'Bearer realm="sallyport"' },
    )
  }

  return { check }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
