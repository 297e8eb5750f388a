import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/** Written to the end only, never through a symbolic link, and without waiting where somebody left a pipe. */
export const APPEND_FLAGS =
  constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK

export const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * Makes the directory (0700), or checks one that is there: a directory of its own, owned by this user (or root), which
 * nobody else may write to, since who can rename a file of it can rewrite history. Throws an Error that says the remedy.
 */
export async function openPrivateDirectory(path: string): Promise<string> {
  const dir = resolve(path)
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const found = await lstat(dir)
  if (found.isSymbolicLink())
    throw new Error(`audit directory ${dir} is a symbolic link: name the directory itself`)
  if (!found.isDirectory()) throw new Error(`audit directory ${dir} is not a directory`)
  const uid = process.geteuid?.()
  if (uid !== undefined && found.uid !== uid && found.uid !== 0)
    throw new Error(`audit directory ${dir} belongs to user ${found.uid}: it must belong to user ${uid}`)
  if ((found.mode & 0o022) !== 0)
    throw new Error(
      `audit directory ${dir} may be written by others (mode ${octal(found.mode)}): chmod go-w ${dir}`,
    )
  return dir
}

/** The same for a file of the log that is already there. */
export function checkPrivateFile(
  path: string,
  found: { isFile(): boolean; mode: number; uid: number; nlink: number },
): void {
  if (!found.isFile()) throw new Error(`audit file ${path} is not a regular file: move it away`)
  if ((found.mode & 0o022) !== 0)
    throw new Error(
      `audit file ${path} may be written by others (mode ${octal(found.mode)}): chmod go-w ${path}`,
    )
  const uid = process.geteuid?.()
  if (uid !== undefined && found.uid !== uid && found.uid !== 0)
    throw new Error(`audit file ${path} belongs to user ${found.uid}: it must belong to user ${uid}`)
}

function octal(mode: number): string {
  return `0${(mode & 0o7777).toString(8)}`
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
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  await using handle = file
  const found = await handle.stat()
  if (!found.isFile() || found.size > 65_536)
    throw new Error(`audit file ${join(dir, name)} is not one that Sallyport wrote: move it away`)
  return await handle.readFile('utf8')
}
