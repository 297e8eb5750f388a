import type { Clock } from '../core/clock.ts'
import { type ConfigChange, changeBetween, withoutRestarts } from './changes.ts'
import { statesOf } from './file-source.ts'
import type { LoadResult, Loaded } from './load.ts'
import type { ConfigProblem } from './problems.ts'
import type { Snapshot } from './snapshot.ts'
import { createFileWatch } from './watch.ts'

export type ReloadOutcome =
  | {
      readonly kind: 'swapped'
      readonly snapshot: Snapshot
      readonly previous: Snapshot
      /** Empty where nothing changed; the snapshot is a new one all the same (lines may have moved). */
      readonly change: ConfigChange
    }
  /** The snapshot from before stays in force. */
  | { readonly kind: 'refused'; readonly snapshot: Snapshot; readonly problems: readonly ConfigProblem[] }

export interface Reloader extends Disposable {
  readonly current: Snapshot
  /**
   * Loads anew and swaps. One at a time: a call during a reload waits for one that begins after the call, so that what
   * was written before the call is in force when it resolves.
   */
  reload(): Promise<ReloadOutcome>
}

export interface ReloaderParts {
  readonly load: () => Promise<LoadResult>
  readonly initial: Loaded
  readonly clock: Clock
  /** Told in the same turn in which `current` becomes the new snapshot. */
  readonly onSwap: (outcome: ReloadOutcome & { kind: 'swapped' }) => void
  readonly onRefused: (outcome: ReloadOutcome & { kind: 'refused' }) => void
  /** Whether changed files are loaded by themselves; default true. */
  readonly watch?: boolean
  /** Milliseconds that a changed file must stand still before it is loaded; default 200. */
  readonly settleMs?: number
  /** Milliseconds between looks at the files where the file system gives no events; default 2000. */
  readonly pollMs?: number
}

export function createReloader(parts: ReloaderParts): Reloader {
  let current = parts.initial.snapshot
  let running: Promise<ReloadOutcome> | undefined
  let next: Promise<ReloadOutcome> | undefined
  const watch =
    parts.watch === false
      ? undefined
      : createFileWatch({
          clock: parts.clock,
          settleMs: parts.settleMs ?? 200,
          pollMs: parts.pollMs ?? 2000,
          onChange: () => void reload(),
        })
  void watch?.follow(parts.initial.files)

  /** A fault of the loader is no reason to stop: the old policy stays in force, and the fault is told. */
  async function loadSafely(): Promise<LoadResult> {
    try {
      return await parts.load()
    } catch (error) {
      const problem = `the configuration could not be loaded (${String(error)})`
      const remedy = 'run sallyport config check, and report this as a bug'
      return {
        kind: 'invalid',
        problems: [{ file: current.files[0] ?? '', line: 0, field: '', problem, remedy }],
        files: await statesOf(current.files),
      }
    }
  }

  async function once(): Promise<ReloadOutcome> {
    const result = await loadSafely()
    // First of all, so that what changes from here on is a change, whether or not this load is taken.
    void watch?.follow(result.files)
    if (result.kind === 'invalid') {
      const refused = { kind: 'refused' as const, snapshot: current, problems: result.problems }
      parts.onRefused(refused)
      return refused
    }
    const previous = current
    const change = changeBetween(previous, result.snapshot)
    current = withoutRestarts(previous, result.snapshot)
    const swapped = { kind: 'swapped' as const, snapshot: current, previous, change }
    parts.onSwap(swapped)
    return swapped
  }

  function start(): Promise<ReloadOutcome> {
    running = once().finally(() => {
      running = undefined
    })
    return running
  }

  function reload(): Promise<ReloadOutcome> {
    if (next) return next
    if (!running) return start()
    next = running
      .catch(() => {})
      .then(() => {
        next = undefined
        return start()
      })
    return next
  }

  return {
    get current() {
      return current
    },
    reload,
    [Symbol.dispose]() {
      watch?.[Symbol.dispose]()
    },
  }
}
