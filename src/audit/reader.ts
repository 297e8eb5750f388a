import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../core/errors.ts'
import type { Gap } from './gap.ts'
import { parseLine, type StoredRecord } from './line.ts'
import type { LogEnd } from './log.ts'
import { READ_FLAGS } from './private-files.ts'
import { listSegments, readLines, type Segment } from './segments.ts'

/** Up to where the log was read: everything up to `sequence`, which ends at `offset` of `segment`. */
export interface Position {
  readonly sequence: number
  /** Absent at the start, when it has to be looked for. */
  readonly segment?: Segment
  readonly offset: number
}

export interface Batch {
  readonly records: readonly StoredRecord[]
  /** Numbers that the log should have and that cannot be read. */
  readonly gaps: readonly Gap[]
  /** Where to go on once the batch is delivered. */
  readonly next: Position
}

export interface BatchLimits {
  readonly records: number
  /** Bytes of lines; one record may exceed it alone. */
  readonly bytes: number
}

/**
 * Reads on from a position, never beyond `end`: what lies there may be taken back, or is not on disk yet. Memory is
 * bounded by the limits. Safe beside the writer: segments only grow, and only delivered ones are removed.
 */
export async function readBatch(
  dir: string,
  from: Position,
  end: LogEnd,
  limits: BatchLimits,
): Promise<Batch> {
  const records: StoredRecord[] = []
  const gaps: Gap[] = []
  let { sequence } = from
  let bytes = 0
  let segment = from.segment ?? (await segmentOf(dir, sequence + 1))
  let { offset } = from

  for (;;) {
    if (segment && (await readSegment(segment)) === 'full') break
    const next: Segment | undefined =
      segment && segment.name !== end.segment ? await segmentAfter(dir, segment) : undefined
    if (!next) {
      // Read to its end, and yet not all that it should have was there.
      miss(end.sequence, end.segment)
      break
    }
    segment = next
    offset = 0
  }
  return { records, gaps, next: { sequence, offset, ...(segment && { segment }) } }

  async function readSegment({ name }: Segment): Promise<'full' | 'ended'> {
    const file = await open(join(dir, name), READ_FLAGS).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    })
    if (!file) return 'ended' // Removed behind our back: the hole shows when the next record is read.
    await using handle = file
    const { size } = await handle.stat()
    const to = name === end.segment ? Math.min(size, end.size) : size
    for await (const lines of readLines(handle, offset, to)) {
      for (const line of lines) {
        const record = line.text === undefined ? undefined : parseLine(line.text)
        if (record && record.seq > sequence) {
          if (records.length >= limits.records || (records.length > 0 && bytes + line.length > limits.bytes))
            return 'full'
          miss(record.seq - 1, name)
          records.push(record)
          sequence = record.seq
          bytes += line.length
        }
        offset = line.offset + line.length
      }
    }
    return 'ended'
  }

  function miss(last: number, name: string): void {
    if (last <= sequence) return
    gaps.push({
      reason: 'not_exported',
      segment: name,
      first: sequence + 1,
      last,
      count: last - sequence,
      error: 'unreadable',
    })
    sequence = last
  }
}

async function segmentOf(dir: string, sequence: number): Promise<Segment | undefined> {
  const segments = await listSegments(dir)
  return segments.findLast(({ first }) => first <= sequence) ?? segments[0]
}

async function segmentAfter(dir: string, { first }: Segment): Promise<Segment | undefined> {
  return (await listSegments(dir)).find((each) => each.first > first)
}

/** For who has no cursor yet: before the oldest record that is there. */
export async function oldestPosition(dir: string): Promise<Position> {
  const [oldest] = await listSegments(dir)
  return { sequence: (oldest?.first ?? 1) - 1, offset: 0 }
}
