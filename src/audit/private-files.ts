import { constants, type Stats } from 'node:fs'
import { type FileHandle, open, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf } from '../core/errors.ts'
import { checkOwnership, checkRegular, StorageError } from '../storage/private-path.ts'

/** Written to the end only, never through a symbolic link, and without waiting where somebody left a pipe. */
export const APPEND_FLAGS =
  constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK

export const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** What holds for every file of the log that is already there. Throws StorageError, which says the remedy. */
export function checkPrivateFile(path: string, found: Stats): void {
  checkRegular(path, found)
  checkOwnership(path, found)
}

/** Appends and waits until it is on disk. */
export async function appendDurably(path: string, bytes: Uint8Array | string): Promise<void> {
  await using file = await open(path, APPEND_FLAGS, 0o600)
  checkPrivateFile(path, await file.stat())
  await file.appendFile(bytes)
  await file.sync()
}

/** Whoever reads the file, also after a crash at any instant, sees the old content or the new, never a part. */
export async function replaceDurably(path: string, content: string): Promise<void> {
  const temporary = `${path}.tmp`
  {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW
    await using file = await open(temporary, flags, 0o600)
    await file.writeFile(content)
    await file.sync()
  }
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}

/** A new name in a directory survives a power failure only once the directory itself is on disk. */
export async function syncDirectory(dir: string): Promise<void> {
  await using handle = await open(dir, constants.O_RDONLY)
  await handle.sync()
}

/** Undefined where there is no such file. */
export async function readSmallFile(dir: string, name: string): Promise<string | undefined> {
  let file: FileHandle
  try {
    file = await open(join(dir, name), READ_FLAGS)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
  await using handle = file
  const found = await handle.stat()
  if (!found.isFile() || found.size > 65_536)
    throw new StorageError(join(dir, name), 'it is not a file that Sallyport wrote', 'move it away')
  return await handle.readFile('utf8')
}
