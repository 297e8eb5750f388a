import { chmodSync, lstatSync, type Stats, unlinkSync } from 'node:fs'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { errnoOf } from '../core/errors.ts'
import { checkOwnership, ensurePrivateDirectory, StorageError } from '../storage/private-path.ts'

/** The size of sun_path without its end mark. */
const LONGEST_PATH = process.platform === 'darwin' ? 103 : 107

/**
 * Listens on a Unix socket that only this user can connect to (mode 0600 from the first instant, in a directory where
 * nobody else can put anything). What a dead daemon left is replaced; a live one, or a file that is no socket, is an error.
 */
export async function listenOnSocket(server: Server, path: string): Promise<void> {
  const length = Buffer.byteLength(path)
  if (length > LONGEST_PATH)
    throw new StorageError(
      path,
      `the path of a socket may have ${LONGEST_PATH} bytes, this has ${length}`,
      'choose a shorter admin.socket',
    )
  ensurePrivateDirectory(dirname(path))
  await removeStale(path)
  // listen() binds before it returns, so this umask is seen by nobody else.
  const mask = process.umask(0o177)
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(path, () => {
        server.off('error', reject)
        resolve()
      })
      process.umask(mask)
    })
  } catch (error) {
    const errno = errnoOf(error) ?? 'unknown error'
    throw new StorageError(path, `cannot listen there (${errno})`, 'choose another admin.socket', {
      cause: error,
    })
  } finally {
    process.umask(mask)
  }
  chmodSync(path, 0o600)
}

async function removeStale(path: string): Promise<void> {
  let stats: Stats
  try {
    stats = lstatSync(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  if (!stats.isSocket())
    throw new StorageError(
      path,
      'it is there and is not a socket',
      'move it away, or choose another admin.socket',
    )
  checkOwnership(path, stats)
  if (await answers(path))
    throw new StorageError(
      path,
      'another sallyport listens there',
      'stop it first, or choose another state_dir (or admin.socket) for this one',
    )
  unlinkSync(path)
}

/** Whether somebody accepts connections there. Anything but a clear no is a yes: a live daemon is never cut off. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error) => {
      socket.destroy()
      resolve(!['ECONNREFUSED', 'ENOENT'].includes(errnoOf(error) ?? ''))
    })
  })
}
