import { join } from 'node:path'
import type { Alarm, Clock } from '../core/clock.ts'
import { unreachable } from '../core/decision.ts'
import { readCursor, writeCursor } from './cursor.ts'
import type { Exporter, ExportOutcome } from './exporter.ts'
import { type Gap, gapEvent } from './gap.ts'
import { escapeLines, type StoredRecord } from './line.ts'
import type { AuditLog } from './log.ts'
import { appendDurably } from './private-files.ts'
import { type Batch, oldestPosition, type Position, readBatch } from './reader.ts'
import { type Blamed, sift } from './sift.ts'

/** Carries the log to the collector: every record at least once, whatever happens to either side. */
export interface Shipper extends AsyncDisposable {
  readonly state: ShipperState
  /**
   * Tries once more to deliver what is in the log, for at most `ms` milliseconds, and ends. What is left is delivered
   * after the next start. Disposing of it stops it with a limit of five seconds.
   */
  stop(ms: number): Promise<void>
}

export interface ShipperState {
  /** Records that are in the log and not yet confirmed by the collector. */
  readonly lagRecords: number
  /** Last sequence number up to which everything is confirmed, or rejected. */
  readonly delivered: number
  /** Records that the collector took since the start, repeated ones included. */
  readonly exported: number
  /** Records that it refused for good since the start; they are in `rejected.ndjson`. */
  readonly rejected: number
  /** Exports that failed since the start. */
  readonly failures: number
  /** Of the last attempt, where it failed. */
  readonly lastError: Error | undefined
}

export interface ShipperParts {
  readonly log: Pick<AuditLog, 'dir' | 'id' | 'sequence' | 'append' | 'sync' | 'onWritten'>
  /** Disposed of with the shipper. */
  readonly exporter: Exporter
  readonly clock: Clock
  /** The most records of one export. */
  readonly batchSize: number
  /** How long records wait for more of them, in milliseconds. */
  readonly interval: number
  /** Called when exports begin to fail, and when the reason changes. */
  readonly onTrouble: (error: Error) => void
  /** Called when one succeeds after that. */
  readonly onRecovery?: () => void
  /** 0 up to 1, for the spread of retries. */
  readonly random?: () => number
}

type Refusal = ExportOutcome & { readonly kind: 'refused' | 'failed' }

/** Half of what a gRPC server takes by default (4 MiB). */
const BATCH_BYTES = 2_097_152
const FIRST_PAUSE = 1000
const LONGEST_PAUSE = 60_000
/** A collector that asks for more patience than this is asked again all the same. */
const LONGEST_RETRY_AFTER = 600_000
/** So many failures that are nobody's fault make us look whether it is one record after all. */
const SIFT_EVERY = 8
const STOP_LIMIT = 5000
const REJECTED = 'rejected.ndjson'

/** Begins to follow the log where the last shipper of this directory ended. */
export async function startShipper(parts: ShipperParts): Promise<Shipper> {
  const { log, clock } = parts
  const cursor = await readCursor(log.dir)
  let start: Position
  if (cursor.kind === 'at' && cursor.log === log.id) start = { sequence: cursor.sequence, offset: 0 }
  else start = await oldestPosition(log.dir)
  if (cursor.kind === 'unreadable')
    log.append(gapEvent({ reason: 'cursor_lost', error: cursor.problem }, clock.now()))
  const shipper = new LogShipper(parts, start)
  shipper.start()
  return shipper
}

class LogShipper implements Shipper {
  readonly #parts: ShipperParts
  readonly #random: () => number
  /** Aborted when even the last attempt has to end. */
  readonly #hardStop = new AbortController()
  #position: Position
  #running: Promise<void> | undefined
  #stopping = false
  /** Wakes whoever waits in `#wait`. */
  #wake: () => void = () => {}
  #attempts = 0
  #exported = 0
  #rejected = 0
  #failures = 0
  #lastError: Error | undefined

  constructor(parts: ShipperParts, start: Position) {
    this.#parts = parts
    this.#random = parts.random ?? Math.random
    this.#position = start
  }

  get state(): ShipperState {
    const delivered = this.#position.sequence
    return {
      lagRecords: this.#lag,
      delivered,
      exported: this.#exported,
      rejected: this.#rejected,
      failures: this.#failures,
      lastError: this.#lastError,
    }
  }

  get #lag(): number {
    return Math.max(0, this.#parts.log.sequence - this.#position.sequence)
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(ms: number): Promise<void> {
    if (this.#stopping) return await this.#running
    this.#stopping = true
    const limit = this.#parts.clock.after(ms, () => this.#hardStop.abort())
    this.#wake()
    try {
      await this.#running
    } finally {
      limit.cancel()
      await this.#parts.exporter[Symbol.asyncDispose]()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop(STOP_LIMIT)
  }

  async #run(): Promise<void> {
    const { batchSize, interval } = this.#parts
    const unsubscribe = this.#parts.log.onWritten(() => this.#wake())
    for (;;) {
      await this.#wait(() => this.#lag > 0)
      await this.#wait(() => this.#lag >= batchSize, interval)
      const last = this.#stopping
      if (this.#lag === 0 && last) break
      const pause = await this.#shipOnce()
      if (this.#hardStop.signal.aborted || (last && pause > 0)) break
      if (pause > 0) await this.#wait(() => false, pause)
    }
    unsubscribe()
  }

  /** Until the condition holds, the time has passed, or the shipper is to stop. */
  #wait(condition: () => boolean, ms?: number): Promise<void> {
    return new Promise((resolve) => {
      let alarm: Alarm | undefined
      const end = (): void => {
        alarm?.cancel()
        this.#wake = () => {}
        resolve()
      }
      this.#wake = () => {
        if (this.#stopping || condition()) end()
      }
      if (ms !== undefined) alarm = this.#parts.clock.after(ms, end)
      this.#wake()
    })
  }

  /** One batch, delivered or not; returns how long to pause before the next, in milliseconds. */
  async #shipOnce(): Promise<number> {
    const { log, batchSize } = this.#parts
    try {
      // What the collector has must be on our disk too, or its sequence numbers could be given out a second time.
      const end = await log.sync()
      const batch = await readBatch(log.dir, this.#position, end, { records: batchSize, bytes: BATCH_BYTES })
      const after = batch.records.length === 0 ? 0 : await this.#deliver(batch.records)
      if (after > 0) return after
      await this.#advance(batch)
      return 0
    } catch (error) {
      return this.#failed(error)
    }
  }

  /** 0 where every record is settled, else the pause before the next attempt. */
  async #deliver(records: readonly StoredRecord[]): Promise<number> {
    const outcome = await this.#parts.exporter.export(records, this.#hardStop.signal)
    switch (outcome.kind) {
      case 'accepted':
        this.#exported += records.length - outcome.rejected
        if (outcome.rejected > 0) this.#partlyRejected(records, outcome.rejected, outcome.message)
        this.#succeeded()
        return 0
      case 'retry':
        return this.#failed(outcome.error, outcome.after)
      case 'failed':
        if ((this.#attempts + 1) % SIFT_EVERY !== 0) return this.#failed(outcome.error)
        return await this.#sift(records, outcome)
      case 'refused':
        return await this.#sift(records, outcome)
      default:
        return unreachable(outcome)
    }
  }

  /** Finds the records that the collector will not take, and puts them aside, so that the others go on. */
  async #sift(records: readonly StoredRecord[], refusal: Refusal): Promise<number> {
    const found = await sift(records, refusal, (some) =>
      this.#parts.exporter.export(some, this.#hardStop.signal),
    )
    this.#exported += found.accepted
    if (found.kind === 'interrupted') return this.#failed(found.error, found.after)
    await this.#putAside(found.blamed)
    if (found.unnamed > 0) this.#partlyRejected(records, found.unnamed, '')
    this.#succeeded()
    return 0
  }

  async #putAside(blamed: readonly Blamed[]): Promise<void> {
    if (blamed.length === 0) return
    const { log, clock } = this.#parts
    const rejected = new Date(clock.now()).toISOString()
    const lines = blamed.map(({ record, error }) =>
      escapeLines(JSON.stringify({ rejected, error: error.message, record })),
    )
    await appendDurably(join(log.dir, REJECTED), `${lines.join('\n')}\n`)
    this.#rejected += blamed.length
    const records = blamed.map((each) => each.record)
    const [first, last] = [records[0]?.seq, records.at(-1)?.seq]
    const error = blamed[0]?.error.message
    this.#tell(records, { reason: 'rejected', count: records.length, first, last, error })
  }

  #partlyRejected(records: readonly StoredRecord[], count: number, message: string): void {
    this.#rejected += count
    const [first, last] = [records[0]?.seq, records.at(-1)?.seq]
    this.#tell(records, { reason: 'partly_rejected', count, first, last, error: message || undefined })
  }

  /** A collector that takes no gap events must not be told so for ever. */
  #tell(records: readonly StoredRecord[], gap: Gap): void {
    if (records.every((each) => each.event === 'sallyport.audit.gap')) return
    this.#parts.log.append(gapEvent(gap, this.#parts.clock.now()))
  }

  async #advance(batch: Batch): Promise<void> {
    const { log, clock } = this.#parts
    this.#position = batch.next
    for (const gap of batch.gaps) log.append(gapEvent(gap, clock.now()))
    try {
      await writeCursor(log.dir, log.id, batch.next.sequence)
    } catch (error) {
      // Going on costs duplicates after a crash; going back would send the same batch for ever.
      this.#trouble(new Error('the export cursor could not be written', { cause: error }))
    }
  }

  #succeeded(): void {
    this.#attempts = 0
    if (this.#lastError === undefined) return
    this.#lastError = undefined
    this.#parts.onRecovery?.()
  }

  #failed(cause: unknown, after = 0): number {
    const error = cause instanceof Error ? cause : new Error(String(cause))
    this.#failures++
    const longest = Math.min(FIRST_PAUSE * 2 ** Math.min(this.#attempts++, 16), LONGEST_PAUSE)
    if (!this.#hardStop.signal.aborted) this.#trouble(error)
    // Spread, so that many proxies do not come back to one collector at the same moment.
    return Math.max(longest * (0.5 + this.#random() / 2), Math.min(after, LONGEST_RETRY_AFTER))
  }

  #trouble(error: Error): void {
    const known = this.#lastError?.message === error.message
    this.#lastError = error
    if (!known) this.#parts.onTrouble(error)
  }
}
