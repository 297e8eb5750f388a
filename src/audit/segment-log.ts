import type { Alarm, Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { errnoOf } from '../core/errors.ts'
import type { AuditEvent } from '../core/event.ts'
import { gapEvent } from './gap.ts'
import { escapeLines, lineHead, lineTail } from './line.ts'
import type { AuditLog, AuditLogOptions, LogEnd } from './log.ts'
import type { Defect } from './recovery.ts'
import { removeOldSegments } from './retention.ts'
import type { SegmentWriter } from './segment-writer.ts'

const SYNC_EVERY = 1000
/** How often the file is looked at, where it is not synced. */
const LOOK_EVERY = 1000
const BUFFER_BYTES = 262_144

/** What an opened log begins with. */
export interface OpenedLog {
  readonly dir: string
  readonly id: string
  /** Of the last record that is there. */
  readonly sequence: number
  readonly writer: SegmentWriter
  /** Ends when the log is closed. */
  readonly lock: Disposable
  readonly defects: readonly Defect[]
}

/** The log as it is written: collects what one turn of the event loop appends, and numbers it when it is written. */
export class SegmentLog implements AuditLog {
  readonly dir: string
  readonly defects: readonly Defect[]
  readonly #options: AuditLogOptions
  readonly #clock: Clock
  readonly #syncEvery: number
  readonly id: string
  readonly #instance: string
  readonly #writer: SegmentWriter
  readonly #lock: Disposable
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  readonly #listeners = new Set<() => void>()
  #sequence: number
  #tails: string[] = []
  #callbacks: (((error?: Error) => void) | undefined)[] = []
  #scheduled = false
  #closed = false
  #closing: Promise<void> | undefined
  #mustRotate = false
  #rotateFailing = false
  #failure: Error | undefined
  /** Events that could not be written and that the log does not yet say are missing. */
  #lost = 0
  #lostSince = 0
  #lostError = ''
  #syncFailing = false
  #syncAlarm: Alarm | undefined
  #retention: Promise<void> | undefined

  constructor(options: AuditLogOptions, opened: OpenedLog) {
    this.dir = opened.dir
    this.id = opened.id
    this.defects = opened.defects
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#syncEvery = options.syncEvery ?? SYNC_EVERY
    this.#instance = escapeLines(JSON.stringify(options.instance))
    this.#sequence = opened.sequence
    this.#writer = opened.writer
    this.#lock = opened.lock
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
      // It is this record that cannot be written, not the log that fails.
      const failure = error instanceof Error ? error : new Error(String(error))
      this.#options.onError(failure)
      this.#lose(failure, 1)
      setImmediate(() => written?.(failure))
    }
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    setImmediate(() => this.#write())
  }

  onWritten(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async flush(): Promise<void> {
    this.#write()
    await this.sync()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    using _lock = this.#lock
    await this.#retention // It may have something to tell.
    this.#write()
    this.#closed = true
    this.#syncAlarm?.cancel()
    await this.#writer.close()
  }

  /**
   * One synchronous write for a whole turn of the event loop. Into the page cache that costs a few microseconds, which
   * all records of the turn share; handing it to a thread would cost more than it and delay every decision. It can
   * block where the system throttles writers of a slow disk: then the decisions must wait in any case.
   */
  #write(): void {
    this.#scheduled = false
    if (this.#closed) return
    if (!this.#syncAlarm) this.#look()
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
    this.#syncAlarm ??= this.#clock.after(this.#syncEvery || LOOK_EVERY, () => this.#tick())
  }

  #writeLines(tails: readonly string[]): void {
    let sequence = this.#sequence
    let text = ''
    if (this.#lost > 0) text = lineHead(this.id, ++sequence) + lineTail(this.#lostGap(), this.#instance)
    for (const tail of tails) text += lineHead(this.id, ++sequence) + tail
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
      this.#rotateFailing = false
    } catch (error) {
      // A segment that grows too large loses nothing; one that is no longer in its place would.
      if (this.#mustRotate) throw error
      if (!this.#rotateFailing) this.#report('the audit log could not begin a new segment', error)
      this.#rotateFailing = true
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
    const gap = {
      reason: 'write_failed',
      count: this.#lost,
      since: this.#lostSince,
      error: this.#lostError,
    } as const
    return gapEvent(gap, this.#clock.now())
  }

  #lose(error: Error, events: number): void {
    if (this.#lost === 0) this.#lostSince = this.#clock.now()
    this.#lost += events
    this.#lostError = errnoOf(error) ?? error.message
  }

  #fail(error: unknown, events: number): Error {
    const failure = error instanceof Error ? error : new Error(String(error))
    this.#lose(failure, events)
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
    this.#look()
    if (this.#syncEvery > 0) void this.sync()
  }

  /** Once a second, and before the first write after a pause: an unlinked file takes records as well as any other. */
  #look(): void {
    if (this.#mustRotate) return
    const changed = this.#writer.changedByOthers()
    if (changed === undefined) return
    this.#mustRotate = true
    const segment = this.#writer.name
    this.#report(`audit segment ${segment}: ${changed}`, undefined)
    this.append(gapEvent({ reason: 'changed_by_others', segment, error: changed }, this.#clock.now()))
  }

  async sync(): Promise<LogEnd> {
    const { end } = this
    try {
      await this.#writer.sync()
      this.#syncFailing = false
    } catch (error) {
      if (!this.#syncFailing) this.#syncFailed(error)
      this.#syncFailing = true
    }
    return end
  }

  #syncFailed(error: unknown): void {
    this.#report('the audit log could not be synced to disk', error)
    const reason = errnoOf(error) ?? String(error)
    if (!this.#closed) this.append(gapEvent({ reason: 'sync_failed', error: reason }, this.#clock.now()))
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
