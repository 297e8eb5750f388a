import { join } from 'node:path'
import { readSmallFile, replaceDurably } from './private-files.ts'

/** Up to where the collector has confirmed the log. */
export type Cursor =
  | { readonly kind: 'none' }
  | { readonly kind: 'at'; readonly log: string; readonly sequence: number }
  | { readonly kind: 'unreadable'; readonly problem: string }

const NAME = 'cursor.json'

export async function readCursor(dir: string): Promise<Cursor> {
  const text = await readSmallFile(dir, NAME)
  if (text === undefined) return { kind: 'none' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  if (typeof value !== 'object' || value === null || !('log' in value) || !('sequence' in value))
    return { kind: 'unreadable', problem: `${join(dir, NAME)} is not a cursor` }
  const { log, sequence } = value
  if (
    typeof log !== 'string' ||
    typeof sequence !== 'number' ||
    !Number.isSafeInteger(sequence) ||
    sequence < 0
  )
    return { kind: 'unreadable', problem: `${join(dir, NAME)} is not a cursor` }
  return { kind: 'at', log, sequence }
}

/** On disk when it resolves. A cursor that is behind costs duplicates, one that is ahead would cost records. */
export async function writeCursor(dir: string, log: string, sequence: number): Promise<void> {
  await replaceDurably(join(dir, NAME), `${JSON.stringify({ log, sequence })}\n`)
}
