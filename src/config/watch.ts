import { type FSWatcher, watch } from 'node:fs'
import { readlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Alarm, Clock } from '../core/clock.ts'
import { type FileState, statesOf } from './file-source.ts'

export interface FileWatch extends Disposable {
  /** From now on, tell about changes from these states. Resolves when the files were looked at once. */
  follow(files: readonly FileState[]): Promise<void>
}

export interface FileWatchParts {
  readonly clock: Clock
  /** Called once when some file differs from what is followed and has stood still for `settleMs`; follow() arms it anew. */
  readonly onChange: () => void
  /** How long a file must stand still, so that nobody loads half of what an editor is writing. */
  readonly settleMs: number
  /** How often files are looked at without a hint: file systems of containers and networks give none. */
  readonly pollMs: number
}

/**
 * Tells when files have changed. The truth is what they look like (device, inode, size, times) against what they looked
 * like when they were read; events of the file system only make it look sooner. So nothing is missed that happens while
 * a file is being loaded, or while nobody watched. Folders are watched, not files: editors put a new file in the place
 * of the old one, and Kubernetes swaps a link (`..data`) beside it.
 */
export function createFileWatch({ clock, onChange, settleMs, pollMs }: FileWatchParts): FileWatch {
  let followed: readonly FileState[] = []
  let watchers: FSWatcher[] = []
  let candidate: string | undefined
  let settled: Alarm | undefined
  let poll: Alarm | undefined
  let isDisposed = false
  let looking: Promise<void> | undefined
  let lookAgain = false

  const look = (): Promise<void> => {
    lookAgain = true
    looking ??= lookUntilDone()
    return looking
  }

  const lookUntilDone = async () => {
    while (lookAgain) {
      lookAgain = false
      await lookOnce()
    }
    looking = undefined
  }

  const lookOnce = async () => {
    const watched = followed
    const seen = await fingerprints(watched)
    if (isDisposed || watched !== followed) return
    if (watched.every(({ fingerprint }, i) => fingerprint === seen[i])) {
      candidate = undefined
      settled?.cancel()
      return
    }
    const state = seen.join('\n')
    if (state === candidate) return
    candidate = state
    settled?.cancel()
    settled = clock.after(settleMs, () => void confirm(state))
  }

  const confirm = async (state: string) => {
    const watched = followed
    const seen = await fingerprints(watched)
    if (isDisposed || watched !== followed || candidate !== state) return
    if (seen.join('\n') === state) onChange()
    else void look()
  }

  const tick = () => {
    poll = clock.after(pollMs, () => {
      void look()
      tick()
    })
  }
  tick()

  return {
    async follow(files) {
      followed = files
      candidate = undefined
      settled?.cancel()
      const folders = new Set((await Promise.all(files.map(({ path }) => foldersOf(path)))).flat())
      if (isDisposed || followed !== files) return
      // All of them anew: a folder that was removed and made again has the same name and a deaf watcher.
      const next = [...folders].flatMap((folder) => openWatcher(folder, look) ?? [])
      for (const watcher of watchers) watcher.close()
      watchers = next
      // What happened between the reading and now gave its event to nobody.
      await look()
    },
    [Symbol.dispose]() {
      isDisposed = true
      settled?.cancel()
      poll?.cancel()
      for (const watcher of watchers) watcher.close()
      watchers = []
    },
  }
}

async function fingerprints(files: readonly FileState[]): Promise<string[]> {
  const states = await statesOf(files.map(({ path }) => path))
  return states.map(({ fingerprint }) => fingerprint)
}

/** Undefined where the folder cannot be watched (gone, or out of watches): then there is still the poll. */
function openWatcher(folder: string, look: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, () => look())
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    return undefined
  }
}

const LINKS_LIMIT = 40

/** The folders in which the path, and every link on the way to the file, has its name. */
async function foldersOf(path: string): Promise<string[]> {
  const folders: string[] = []
  let at = resolve(path)
  for (let i = 0; i < LINKS_LIMIT; i++) {
    folders.push(dirname(at))
    try {
      at = resolve(dirname(at), await readlink(at))
    } catch {
      break
    }
  }
  return folders
}
