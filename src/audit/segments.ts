import type { FileHandle } from 'node:fs/promises'
import { readdir } from 'node:fs/promises'
import { LINE_LIMIT } from './line.ts'

/** A file of the log, named by the sequence number of its first record, so that names in order are records in order. */
export interface Segment {
  readonly name: string
  readonly first: number
}

export function segmentName(first: number): string {
  return `audit-${String(first).padStart(20, '0')}.ndjson`
}

/** In the order of their records. */
export async function listSegments(dir: string): Promise<Segment[]> {
  const segments: Segment[] = []
  for (const name of await readdir(dir)) {
    const digits = /^audit-(\d{20})\.ndjson$/.exec(name)?.[1]
    if (digits !== undefined) segments.push({ name, first: Number(digits) })
  }
  return segments.toSorted((a, b) => a.first - b.first)
}

/** A line between two line ends. */
export interface Line {
  /** Where it begins in the file. */
  readonly offset: number
  /** Bytes in the file, its end included. */
  readonly length: number
  /** Without its end; undefined where it is longer than any line of the log can be. */
  readonly text: string | undefined
  /** False for what stands after the last line end. */
  readonly whole: boolean
}

const CHUNK = 131_072
/** A character is at most three bytes of UTF-8 for each UTF-16 unit. */
const LINE_BYTES = LINE_LIMIT * 3

/**
 * The lines of a file from `from` (the beginning of a line) to `to`, some at a time, in bounded memory. What follows
 * the last line end is reported as a line that is not whole.
 */
export async function* readLines(file: FileHandle, from: number, to: number): AsyncGenerator<Line[]> {
  const chunk = Buffer.allocUnsafe(CHUNK)
  let rest: Buffer[] = []
  let restBytes = 0
  let lineStart = from
  for (let at = from; at < to;) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK, to - at), at)
    if (bytesRead === 0) break
    const lines: Line[] = []
    let begin = 0
    for (;;) {
      const end = chunk.indexOf(0x0a, begin)
      if (end === -1 || end >= bytesRead) break
      const length = at + end + 1 - lineStart
      lines.push({ offset: lineStart, length, text: lineText(rest, length, chunk, begin, end), whole: true })
      rest = []
      restBytes = 0
      lineStart += length
      begin = end + 1
    }
    if (begin < bytesRead && restBytes <= LINE_BYTES) {
      rest.push(Buffer.from(chunk.subarray(begin, bytesRead)))
      restBytes += bytesRead - begin
    }
    at += bytesRead
    if (lines.length > 0) yield lines
    if (at >= to && lineStart < at) {
      const length = at - lineStart
      yield [{ offset: lineStart, length, text: lineText(rest, length, chunk, 0, 0), whole: false }]
    }
  }
}

function lineText(
  rest: readonly Buffer[],
  length: number,
  chunk: Buffer,
  begin: number,
  end: number,
): string | undefined {
  if (length > LINE_BYTES) return undefined
  if (rest.length === 0) return chunk.toString('utf8', begin, end)
  return Buffer.concat([...rest, chunk.subarray(begin, end)]).toString('utf8')
}
