import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { parseLine } from './line.ts'
import { appendDurably, checkPrivateFile, READ_FLAGS } from './private-files.ts'
import { type Line, readLines, type Segment } from './segments.ts'

/** Something that is not as the log wrote it. Nothing of it is ever repaired in silence. */
export interface Defect {
  /**
   * - `torn_line`: the process or the machine died while it wrote the last line; cut off and kept aside in `.torn`
   * - `nul_tail`: the machine died before content reached the disk (the size did); cut off
   * - `corrupt_line`: a line in the middle is not a record; left where it is
   * - `sequence`: numbers are missing, or go back, between two lines; left as it is
   * - `lost_tail`: the collector confirmed records that the log no longer has
   */
  readonly kind: 'torn_line' | 'nul_tail' | 'corrupt_line' | 'sequence' | 'lost_tail'
  readonly segment: string
  readonly offset: number
  readonly bytes: number
  /** First and last sequence number that are missing, as far as they are known. */
  readonly first?: number
  readonly last?: number
}

export interface Recovered {
  /** Bytes of the segment up to and including its last line end. */
  readonly size: number
  /** Of the last record; numbers of lines that cannot be read are counted as used, so that none is given out twice. */
  readonly sequence: number
  readonly defects: readonly Defect[]
}

/** What is kept of a torn line; what is longer is no line of ours. */
const TORN_LIMIT = 1_048_576

/** Reads the last segment through, cuts what was being written when the process died, and says all that it found. */
export async function recoverSegment(dir: string, segment: Segment): Promise<Recovered> {
  const path = join(dir, segment.name)
  await using file = await open(path, READ_FLAGS)
  const found = await file.stat()
  checkPrivateFile(path, found)
  const defects: Defect[] = []
  let sequence = segment.first - 1
  let size = 0
  for await (const lines of readLines(file, 0, found.size)) {
    for (const line of lines) {
      if (!line.whole) {
        defects.push(await cut(file, path, segment.name, line))
        break
      }
      size = line.offset + line.length
      const record = line.text === undefined ? undefined : parseLine(line.text)
      if (!record) {
        defects.push({ kind: 'corrupt_line', segment: segment.name, ...place(line), ...only(++sequence) })
        continue
      }
      if (record.seq !== sequence + 1)
        defects.push({
          kind: 'sequence',
          segment: segment.name,
          ...place(line),
          ...(record.seq > sequence + 1 ? { first: sequence + 1, last: record.seq - 1 } : {}),
        })
      sequence = Math.max(sequence, record.seq)
    }
  }
  return { size, sequence: size > 0 ? Math.max(sequence, segment.first) : sequence, defects }
}

function place(line: Line): { offset: number; bytes: number } {
  return { offset: line.offset, bytes: line.length }
}

function only(sequence: number): { first: number; last: number } {
  return { first: sequence, last: sequence }
}

async function cut(file: FileHandle, path: string, segment: string, line: Line): Promise<Defect> {
  const kept = Buffer.alloc(Math.min(line.length, TORN_LIMIT))
  const { bytesRead } = await file.read(kept, 0, kept.length, line.offset)
  const torn = kept.subarray(0, bytesRead)
  const empty = torn.every((byte) => byte === 0)
  // Aside first, then cut: a crash in between leaves it twice, never not at all.
  if (!empty) await appendDurably(`${path}.torn`, Buffer.concat([torn, Buffer.from('\n')]))
  await using writable = await open(path, constants.O_RDWR | constants.O_NOFOLLOW)
  await writable.truncate(line.offset)
  await writable.sync()
  return { kind: empty ? 'nul_tail' : 'torn_line', segment, ...place(line) }
}
