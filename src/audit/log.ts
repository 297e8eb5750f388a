// audit: the record. An append-only log of what was decided, and its export; nothing here decides anything, and nothing
// here is read back to decide. Secrets, bodies and queries never come in: whoever hands an event in has left them out.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Alarm, Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { errnoOf } from '../core/errors.ts'
import type { AuditEvent } from '../core/event.ts'
import { readCursor } from './cursor.ts'
import { defectGaps, gapEvent } from './gap.ts'
import { escapeLines, lineHead, lineTail } from './line.ts'
import { openPrivateDirectory, readSmallFile, replaceDurably, syncDirectory } from './private-files.ts'
import { type Defect, recoverSegment } from './recovery.ts'
import { removeOldSegments } from './retention.ts'
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
  /** Writes what is pending and waits until the disk has it. */
  flush(): Promise<void>
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
  readonly clock?: Clock
}

/** A power failure loses at most what was appended in this time, in milliseconds. */
const SYNC_EVERY = 1000
const BUFFER_BYTES = 262_144

/** Opens the log of a directory, or makes it, and repairs what a crash left. One process at a time may have it open. */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  const dir = await openPrivateDirectory(options.dir)
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
  const log = new SegmentLog(options, dir, id, sequence, writer, defects)
  for (const event of defectGaps(defects, (options.clock ?? systemClock).now())) log.append(event)
  await log.flush()
  return log
}

async function logId(dir: string): Promise<string> {
  const there = (await readSmallFile(dir, 'log-id'))?.trim()
  if (there !== undefined && /^[0-9a-f]{20}$/.test(there)) return there
  const made = randomBytes(10).toString('hex')
  await replaceDurably(join(dir, 'log-id'), `${made}\n`)
  return made
}

class SegmentLog implements AuditLog {
  readonly dir: string
  readonly defects: readonly Defect[]
  readonly #options: AuditLogOptions
  readonly #clock: Clock
  readonly #id: string
  readonly #instance: string
  readonly #writer: SegmentWriter
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  readonly #listeners = new Set<() => void>()
  #sequence: number
  #tails: string[] = []
  #callbacks: (((error?: Error) => void) | undefined)[] = []
  #scheduled = false
  #closed = false
  #mustRotate = false
  #failure: Error | undefined
  /** Events that could not be written and that the log does not yet say are missing. */
  #lost = 0
  #lostSince = 0
  #syncAlarm: Alarm | undefined
  #retention: Promise<void> | undefined

  constructor(
    options: AuditLogOptions,
    dir: string,
    id: string,
    sequence: number,
    writer: SegmentWriter,
    defects: readonly Defect[],
  ) {
    this.dir = dir
    this.defects = defects
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#id = id
    this.#instance = escapeLines(JSON.stringify(options.instance))
    this.#sequence = sequence
    this.#writer = writer
  }

  get sequence(): number {
    return this.#sequence
  }

  get end(): LogEnd {
    return { segment: this.#writer.name, size: this.#writer.size, sequence: this.#sequence }
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  append(event: AuditEvent, written?: (error?: Error) => void): void {
    try {
      if (this.#closed) throw new Error('the audit log is closed')
      this.#tails.push(lineTail(event, this.#instance))
      this.#callbacks.push(written)
    } catch (error) {
      this.#fail(error, 1)
      setImmediate(() => written?.(error as Error))
      return
    }
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#write())
  }

  onWritten(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async flush(): Promise<void> {
    this.#write()
    await this.#sync()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#write()
    this.#closed = true
    this.#syncAlarm?.cancel()
    await this.#retention
    await this.#writer.close()
  }

  /**
   * One synchronous write for a whole turn of the event loop. Into the page cache that costs a few microseconds, which
   * all records of the turn share; handing it to a thread would cost more than it and delay every decision. It can
   * block where the system throttles writers of a slow disk: then the decisions must wait in any case.
   */
  #write(): void {
    this.#scheduled = false
    if (this.#tails.length === 0 && this.#lost === 0) return
    const tails = this.#tails
    const callbacks = this.#callbacks
    this.#tails = []
    this.#callbacks = []
    let failure: Error | undefined
    try {
      this.#writeLines(tails)
      this.#failure = undefined
    } catch (error) {
      failure = this.#fail(error, tails.length)
    }
    for (const callback of callbacks) if (callback) settle(callback, failure)
    if (failure) return
    for (const listener of this.#listeners) settle(listener)
    this.#syncAlarm ??= this.#clock.after(SYNC_EVERY, () => this.#tick())
  }

  #writeLines(tails: readonly string[]): void {
    let sequence = this.#sequence
    let text = ''
    if (this.#lost > 0) text = lineHead(this.#id, ++sequence) + lineTail(this.#lostGap(), this.#instance)
    for (const tail of tails) text += lineHead(this.#id, ++sequence) + tail
    const [bytes, length] = this.#encode(text)
    const full = this.#writer.size > 0 && this.#writer.size + length > this.#options.segmentBytes
    if (full || this.#mustRotate) this.#rotate()
    this.#writer.write(bytes, length)
    this.#sequence = sequence
    this.#lost = 0
  }

  #encode(text: string): [Buffer, number] {
    if (text.length <= BUFFER_BYTES) {
      const length = this.#buffer.write(text)
      // As many bytes as characters: it is ASCII, in which DEL is the only dangerous one that JSON leaves alone.
      if (length === text.length && !text.includes('\u007f')) return [this.#buffer, length]
    }
    const bytes = Buffer.from(escapeLines(text))
    return [bytes, bytes.length]
  }

  #rotate(): void {
    try {
      this.#writer.rotate(this.#sequence + 1)
      this.#mustRotate = false
    } catch (error) {
      // A segment that grows too large loses nothing; one that is no longer in its place would.
      if (this.#mustRotate) throw error
      this.#options.onError(new Error('the audit log could not begin a new segment', { cause: error }))
      return
    }
    const { keepBytes = 0, delivered } = this.#options
    if (keepBytes === 0 || this.#retention) return
    this.#retention = removeOldSegments({ dir: this.dir, keepBytes, delivered })
      .then((removed) => {
        if (!removed) return
        this.append(gapEvent({ reason: 'retention', ...removed }, this.#clock.now()))
      })
      .catch((error: unknown) => this.#report('old segments could not be removed', error))
      .finally(() => {
        this.#retention = undefined
      })
  }

  #lostGap(): AuditEvent {
    const error = this.#failure && (errnoOf(this.#failure) ?? this.#failure.message)
    return gapEvent(
      { reason: 'write_failed', count: this.#lost, since: this.#lostSince, error },
      this.#clock.now(),
    )
  }

  #fail(error: unknown, events: number): Error {
    const failure = error instanceof Error ? error : new Error(String(error))
    if (this.#lost === 0) this.#lostSince = this.#clock.now()
    this.#lost += events
    if (!this.#failure) this.#options.onError(failure)
    this.#failure = failure
    return failure
  }

  #report(problem: string, cause: unknown): void {
    this.#options.onError(new Error(problem, { cause }))
  }

  #tick(): void {
    this.#syncAlarm = undefined
    if (this.#closed) return
    const changed = this.#writer.changedByOthers()
    if (changed !== undefined) {
      this.#mustRotate = true
      const segment = this.#writer.name
      this.#report(`audit segment ${segment}: ${changed}`, undefined)
      this.append(gapEvent({ reason: 'changed_by_others', segment, error: changed }, this.#clock.now()))
    }
    void this.#sync()
  }

  async #sync(): Promise<void> {
    try {
      await this.#writer.sync()
    } catch (error) {
      this.#report('the audit log could not be synced to disk', error)
      if (this.#closed) return
      this.append(
        gapEvent({ reason: 'sync_failed', error: errnoOf(error) ?? String(error) }, this.#clock.now()),
      )
    }
  }
}

/** A caller that throws must not keep the others from hearing of their record. */
function settle(callback: (error?: Error) => void, failure?: Error): void {
  try {
    callback(failure)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
