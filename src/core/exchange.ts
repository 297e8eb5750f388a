import type { Authority } from './authority.ts'
import type { Client } from './client.ts'
import type { Decision } from './decision.ts'
import type { Trouble } from './errors.ts'
import type { TraceContext } from './event.ts'
import { randomId } from './id.ts'

/** By which door an exchange came. */
export type Door = 'http' | 'connect'

/** The part of the record that an exchange writes to. */
export interface ExchangeRecorder {
  /** Called exactly once for each exchange. `written` gets an error where the record could not be written. */
  decided(exchange: Exchange, written: (error?: Error) => void): void
  /** Called at most once, after `decided` had an allow; says how it ended. */
  completed(exchange: Exchange): void
}

/**
 * One request, or one tunnel, from its arrival to its end, with all that the record will say about it. Opening it is a
 * promise that exactly one decision is recorded: whoever forgets has it recorded as an internal error on `close`.
 */
export class Exchange {
  /** Shown to the client, in the record, and in the approval. 60 random bits. */
  readonly id: string = randomId(12)
  readonly door: Door
  readonly client: Client
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  readonly #startedAt: number
  readonly #clock: { monotonic(): number }
  readonly #recorder: ExchangeRecorder

  method = ''
  authority: Authority | undefined
  /** Path without query; http only. */
  path: string | undefined
  userAgent: string | undefined
  trace: TraceContext | undefined
  policyVersion: string | undefined

  decision: Decision | undefined
  approval: string | undefined
  heldMs: number | undefined

  /** Status sent to the client, once known. */
  status: number | undefined
  /** The vetted address that was dialled. */
  peer: { readonly address: string; readonly port: number } | undefined
  serverName: string | undefined
  trouble: Trouble | undefined
  /** Client to origin and origin to client, content or tunnel bytes only. */
  bytesSent = 0
  bytesReceived = 0

  #decided = false
  #closed = false

  constructor(
    door: Door,
    client: Client,
    recorder: ExchangeRecorder,
    clock: { now(): number; monotonic(): number },
  ) {
    this.door = door
    this.client = client
    this.#recorder = recorder
    this.receivedAt = clock.now()
    this.#clock = clock
    this.#startedAt = clock.monotonic()
  }

  get durationMs(): number {
    return this.#clock.monotonic() - this.#startedAt
  }

  /**
   * Records the decision, once; a second call throws. `written` is called when the record is on its way to disk, or
   * with an error when it could not be written: nothing may leave before.
   */
  decide(decision: Decision, written: (error?: Error) => void): void {
    if (this.#decided) throw new Error(`exchange ${this.id} was decided twice`)
    this.#decided = true
    this.decision = decision
    this.#recorder.decided(this, written)
  }

  get isDecided(): boolean {
    return this.#decided
  }

  /** Ends the exchange; later calls do nothing. */
  close(trouble?: Trouble): void {
    if (this.#closed) return
    this.#closed = true
    this.trouble ??= trouble
    if (!this.#decided) {
      this.decide({ kind: 'deny', reason: 'internal_error', source: 'proxy_state' }, () => {})
      return
    }
    if (this.decision?.kind === 'allow') this.#recorder.completed(this)
  }
}
