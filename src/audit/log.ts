// audit: the record. An append-only log of what was decided, and its export; nothing here decides anything, and nothing
// here is read back to decide. Secrets, bodies and queries never come in: whoever hands an event in has left them out.

import { randomBytes } from 'node:crypto'
import { join, resolve } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import type { AuditEvent } from '../core/event.ts'
import { ensurePrivateDirectory } from '../storage/private-path.ts'
import { readCursor } from './cursor.ts'
import { defectGaps } from './gap.ts'
import { lockDirectory } from './lock.ts'
import { readSmallFile, replaceDurably, syncDirectory } from './private-files.ts'
import { type Defect, recoverSegment } from './recovery.ts'
import { SegmentLog } from './segment-log.ts'
import { SegmentWriter } from './segment-writer.ts'
import { listSegments, segmentName } from './segments.ts'

export interface AuditLog extends AsyncDisposable {
  /**
   * Takes an event into the log. Everything that is appended in one turn of the event loop is one write, after which
   * `written` is called: without an error the record is in the page cache of the system, where it survives the death of
   * this process in any manner; with one it is not in the log, and what it stands for must not happen. Never throws.
   */
  append(event: AuditEvent, written?: (error?: Error) => void): void
  /** Of the last record that is in the log; 0 before the first. */
  readonly sequence: number
  /** Up to where the log may be read; bytes beyond it may be taken back. */
  readonly end: LogEnd
  /** What was found wrong when the log was opened; each is in the log as an event too. */
  readonly defects: readonly Defect[]
  /** The error of the last write, as long as no write has succeeded since. */
  readonly failure: Error | undefined
  readonly dir: string
  /** Random, made with the directory: the first part of the id of each record. */
  readonly id: string
  /** Writes what is pending and waits until the disk has it. */
  flush(): Promise<void>
  /** Waits until the disk has what is written, and says up to where. Does not reject: a disk that fails is reported. */
  sync(): Promise<LogEnd>
  /** Calls `listener` after each write that succeeded; returns how to stop that. */
  onWritten(listener: () => void): () => void
}

export interface LogEnd {
  readonly segment: string
  readonly size: number
  readonly sequence: number
}

export interface AuditLogOptions {
  /** Made with mode 0700 where it is missing; refused where it is a link or others may write to it. */
  readonly dir: string
  /** A segment is closed before it would grow beyond this. */
  readonly segmentBytes: number
  /** The oldest segments are removed while all together are larger; 0 (the default) keeps everything. */
  readonly keepBytes?: number
  /** With an exporter: the last sequence number that is delivered. A segment beyond it is never removed. */
  readonly delivered?: () => number
  /** Names this process in each record. */
  readonly instance: string
  /** Trouble that no caller sees: a failed sync, a file changed by others, and a failed write (once until one succeeds). */
  readonly onError: (error: Error) => void
  /** A loss of power loses at most what was appended in this time, in milliseconds (default 1,000); 0: the system's own. */
  readonly syncEvery?: number
  readonly clock?: Clock
}

/** Opens the log of a directory, or makes it, and repairs what a crash left. One process at a time may have it open. */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const dir = resolve(options.dir)
  ensurePrivateDirectory(dir)
  using stack = new DisposableStack()
  const lock = stack.use(lockDirectory(dir))
  const id = await logId(dir)
  const last = (await listSegments(dir)).at(-1)
  const recovered = last && (await recoverSegment(dir, last))
  const defects = [...(recovered?.defects ?? [])]
  let sequence = recovered?.sequence ?? 0
  const cursor = await readCursor(dir)
  if (cursor.kind === 'at' && cursor.log === id && cursor.sequence > sequence) {
    // The disk lost what the collector has (a restored snapshot): giving those numbers out again would make the
    // collector drop the new records as duplicates.
    const segment = last?.name ?? segmentName(1)
    const missing = { first: sequence + 1, last: cursor.sequence }
    defects.push({ kind: 'lost_tail', segment, offset: recovered?.size ?? 0, bytes: 0, ...missing })
    sequence = cursor.sequence
  }
  // A damaged segment is left behind as it is, so that its damage is found and told once.
  const leave = !last || defects.some((each) => each.kind !== 'torn_line' && each.kind !== 'nul_tail')
  const writer = new SegmentWriter(dir, leave ? segmentName(sequence + 1) : last.name)
  await syncDirectory(dir)
  const log = new SegmentLog(options, { dir, id, sequence, writer, lock, defects })
  for (const event of defectGaps(defects, (options.clock ?? systemClock).now())) log.append(event)
  await log.flush()
  stack.move() // From here on the lock ends with the log.
  return log
}

async function logId(dir: string): Promise<string> {
  const there = (await readSmallFile(dir, 'log-id'))?.trim()
  if (there !== undefined && /^[0-9a-f]{20}$/.test(there)) return there
  const made = randomBytes(10).toString('hex')
  await replaceDurably(join(dir, 'log-id'), `${made}\n`)
  return made
}
