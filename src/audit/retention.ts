import { stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from './private-files.ts'
import { listSegments } from './segments.ts'

export interface Retention {
  readonly dir: string
  /** The newest segments that fit in this stay; the one that is written to stays in any case. */
  readonly keepBytes: number
  /** Nothing after this sequence number is removed; absent where nobody exports the log. */
  readonly delivered?: (() => number) | undefined
}

export interface Removed {
  readonly first: number
  readonly last: number
  readonly count: number
  readonly bytes: number
}

/** Removes the oldest segments. Undefined where none had to go, or none could. */
export async function removeOldSegments(retention: Retention): Promise<Removed | undefined> {
  const { dir, keepBytes, delivered } = retention
  const segments = await listSegments(dir)
  const sizes = await Promise.all(segments.map(async ({ name }) => (await stat(join(dir, name))).size))
  let total = sizes.reduce((sum, size) => sum + size, 0)
  let bytes = 0
  let last = 0
  for (let i = 0; i < segments.length - 1 && total > keepBytes; i++) {
    const end = segments[i + 1]!.first - 1
    if (delivered && end > delivered()) break
    try {
      await unlink(join(dir, segments[i]!.name))
    } catch (error) {
      // What is gone must be told; the trouble comes again at the next rotation.
      if (bytes === 0) throw error
      break
    }
    total -= sizes[i]!
    bytes += sizes[i]!
    last = end
  }
  if (bytes === 0) return undefined
  await syncDirectory(dir)
  const first = segments[0]!.first
  return { first, last, count: last - first + 1, bytes }
}
