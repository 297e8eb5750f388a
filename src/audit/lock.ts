import { closeSync, lstatSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StorageError } from '../storage/private-path.ts'
import { checkPrivateFile } from './private-files.ts'

/**
 * Keeps a second process from writing to the same log, where both would give out the same numbers and the one that
 * starts would cut what the other one is writing. Node has no file locks of its own; SQLite's are those of the kernel,
 * which end with the process however it ends, and hold between containers that share the directory.
 */
export function lockDirectory(dir: string): Disposable {
  const path = join(dir, 'lock')
  // Looked at without opening it: closing any descriptor of a file ends all locks that this process has on it (POSIX).
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found) checkPrivateFile(path, found)
  else closeSync(openSync(path, 'wx', 0o600))
  const database = new DatabaseSync(path)
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    const remedy = 'stop that process, or set another audit.dir'
    throw new StorageError(dir, 'another process writes its audit log there', remedy, { cause: error })
  }
  return { [Symbol.dispose]: () => database.close() }
}
