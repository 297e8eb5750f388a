// proxy: the front door of traffic. Here lives one client connection: it reads requests one after the other, hands each
// to its door, and carries the content of the one being served. It decides nothing and knows no origin.

import type { Authority } from '../core/authority.ts'
import type { Client } from '../core/client.ts'
import { ProtocolError } from '../http1/protocol-error.ts'
import { type RequestHead, RequestReader } from '../http1/request-reader.ts'
import type { Connection, Receiver } from '../wire/connection.ts'
import type { Seat } from '../wire/roster.ts'
import type { ContentSink, SessionHooks, SessionLimits } from './session-parts.ts'

/** `answered`: the last answer is on its way; the next request waits until it is out. */
type State = 'head' | 'serving' | 'answered' | 'passed' | 'closed'

/** How long a connection is kept on which a CONNECT was refused. */
const BRIEF_MS = 2000

export class ClientSession implements Receiver {
  readonly connection: Connection
  readonly client: Client
  /** Set once the client has opened a tunnel that carries plain HTTP: what it sends from then on is for this authority. */
  inside: Authority | undefined
  /** Left once the session is over: its connection is closed or closing, or belongs to a tunnel now. */
  seat: Seat | undefined
  readonly #limits: SessionLimits
  readonly #hooks: SessionHooks
  readonly #reader: RequestReader
  #state: State = 'head'
  #sink: ContentSink | undefined
  #blocked = false
  #pumping = false
  /** Reading stopped because too much came too early. */
  #full = false
  #contentDone = true
  #served = false
  #last = false
  #brief = false
  #waitingSince: number
  #gone: AbortController | undefined
  #onGone: (() => void) | undefined

  constructor(
    connection: Connection,
    client: Client,
    limits: SessionLimits,
    hooks: SessionHooks,
    now: number,
  ) {
    this.connection = connection
    this.client = client
    this.#limits = limits
    this.#hooks = hooks
    this.#reader = new RequestReader(limits.message)
    this.#waitingSince = now
    connection.receiver = this
  }

  /** Whether the request that is being served has been read to its end. */
  get contentDone(): boolean {
    return this.#contentDone
  }

  get isIdle(): boolean {
    return this.#state === 'head' && this.#reader.atMessageStart
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  /** Whether the connection ends after the request that is being served. */
  get isLast(): boolean {
    return this.#last
  }

  /** Serves no further request: an idle connection ends at once, another one after its answer. */
  retire(): void {
    this.#last = true
    if (this.isIdle) this.connection.destroy()
  }

  /** Aborted when the client goes away while it is being served. */
  signal(): AbortSignal {
    this.#gone ??= new AbortController()
    if (this.#state === 'closed') this.#gone.abort()
    return this.#gone.signal
  }

  /** Calls back, once and instead of any earlier one, when the client goes away while it is being served. */
  whenGone(callback: (() => void) | undefined): void {
    this.#onGone = callback
    if (this.#state === 'closed') this.#reportGone()
  }

  received(bytes: Buffer): boolean {
    // While nobody takes the content, what comes is kept, so that a client that goes away is noticed; the bytes may
    // stand in a buffer that is read into again, hence the copy.
    const waiting =
      this.#state === 'answered' || (this.#state === 'serving' && (this.#sink === undefined || this.#blocked))
    if (this.#state === 'head' && this.#reader.atMessageStart) this.#waitingSince = this.connection.activeAt
    this.#reader.push(waiting ? Buffer.from(bytes) : bytes)
    if (!waiting) this.#pump()
    if (this.#blocked) return false
    // A next request, or content that nobody takes yet, stands in the same buffer.
    if (!waiting && this.#reader.buffered > 0) this.#reader.detach()
    if (this.#state !== 'head' && this.#reader.buffered >= this.#limits.earlyBytes) {
      this.#full = true
      return false
    }
    return true
  }

  ended(): void {
    if (this.#state === 'serving') {
      // A client that was killed sends the same FIN as one that only ends its side; both are taken as gone, so that
      // nothing is fetched for nobody.
      this.#leave()
      this.connection.destroy()
      return
    }
    // Nothing is under way, so there is nothing to say any more.
    this.connection.destroy()
  }

  closed(): void {
    this.#leave()
  }

  #leave(): void {
    if (this.#state === 'closed') return
    const serving = this.#state === 'serving'
    this.#state = 'closed'
    this.#sink = undefined
    if (serving) this.#reportGone()
    this.seat?.leave()
  }

  #reportGone(): void {
    this.#gone?.abort()
    const callback = this.#onGone
    this.#onGone = undefined
    callback?.()
  }

  /** Gives the content of the current request to `sink`, beginning with what has come already. */
  content(sink: ContentSink): void {
    if (this.#state !== 'serving' || this.#contentDone) return
    this.#sink = sink
    this.#pump()
    this.#readOn()
  }

  /** Takes the content from `sink` again; what comes is kept for the next one. */
  release(sink: ContentSink): void {
    if (this.#sink !== sink) return
    this.#sink = undefined
    this.#blocked = false
  }

  /** Goes on after `flush` returned false. */
  unblock(): void {
    if (!this.#blocked) return
    this.#blocked = false
    this.#pump()
    this.#readOn()
  }

  #readOn(): void {
    if (this.#blocked || this.#state === 'closed' || this.#state === 'passed') return
    if (this.#full && this.#reader.buffered >= this.#limits.earlyBytes) return
    this.#full = false
    if (this.#reader.buffered > 0) this.#reader.detach()
    this.connection.resume()
  }

  /**
   * The request has been answered: on to the next one, which may have come already, as soon as the answer is out. A
   * client that asks and asks and reads no answer would otherwise have all of them kept for it.
   */
  finish(): void {
    if (this.#state !== 'serving') return
    if (this.#last) return this.finishAndClose()
    this.#brief = false
    this.#state = 'answered'
    this.#sink = undefined
    this.#blocked = false
    this.#gone = undefined
    this.#onGone = undefined
    this.#waitingSince = this.connection.activeAt
    if (this.connection.isFlushed) this.#next()
    else this.connection.whenFlushed(() => this.#next())
  }

  #next(): void {
    if (this.#state !== 'answered') return
    if (this.#last) return this.finishAndClose()
    this.#state = 'head'
    if (this.#reader.buffered > 0) this.#pump()
    this.#readOn()
  }

  /**
   * The same after a refused CONNECT. Few clients ask for anything else on such a connection, and some wait for its end
   * before they exit (Node's https does), so it is kept for a moment only.
   */
  finishBriefly(): void {
    this.finish()
    this.#brief = true
  }

  /** Answers and closes: `bytes` go out, then our side ends; what the client still sends is not read. */
  finishAndClose(): void {
    this.#state = 'closed'
    this.#sink = undefined
    this.#onGone = undefined
    this.seat?.leave()
    this.connection.endAndDrain()
  }

  /** Cuts the connection so that the client sees that the answer is not whole. */
  abort(): void {
    this.#onGone = undefined
    if (this.#state !== 'closed') {
      this.#state = 'closed'
      this.#sink = undefined
      this.seat?.leave()
    }
    this.connection.destroy(true)
  }

  /**
   * Passes the connection to a tunnel: returns what the client has sent already. The session hears no more of it; the
   * new owner sets the receiver.
   */
  pass(): Buffer {
    this.#state = 'passed'
    this.connection.prompt()
    this.#onGone = undefined
    this.seat?.leave()
    return Buffer.from(this.#reader.takeRest()) // a copy: the tunnel reads into the same buffer again
  }

  /** Called on every beat: closes what waits too long for a head, or for the client to take an answer. */
  beat(now: number): void {
    if (this.#state !== 'head' && this.#state !== 'answered') return
    const waited = now - this.#waitingSince
    const idle = this.#state === 'answered' || (this.#served && this.#reader.atMessageStart)
    const { idleTimeout, headerTimeout } = this.#limits
    const brief = this.#brief && this.#state === 'head' ? BRIEF_MS : Number.POSITIVE_INFINITY
    const limit = idle ? Math.min(brief, idleTimeout) : headerTimeout
    if (waited > limit) this.connection.destroy()
  }

  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (
        this.#state === 'head' ||
        (this.#state === 'serving' && this.#sink !== undefined && !this.#blocked)
      ) {
        const event = this.#reader.next()
        if (event === undefined) break
        switch (event.kind) {
          case 'head':
            this.#begin(event.head)
            break
          case 'data':
            this.#sink?.data(event.bytes)
            break
          case 'end': {
            this.#contentDone = true
            const sink = this.#sink
            this.#sink = undefined
            sink?.end(event.trailers)
            break
          }
        }
      }
      if (this.#sink !== undefined && !this.#blocked) this.#blocked = !this.#sink.flush()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#fail(error)
    } finally {
      this.#pumping = false
    }
  }

  #begin(head: RequestHead): void {
    this.#state = 'serving'
    // A second answer must not wait until the client has acknowledged the first.
    if (this.#served) this.connection.prompt()
    this.#served = true
    this.#contentDone = false
    if (head.framing.kind === 'none') {
      this.#reader.next() // the end event
      this.#contentDone = true
    }
    this.#hooks.serve(this, head)
  }

  #fail(error: ProtocolError): void {
    const sink = this.#sink
    this.#sink = undefined
    if (sink !== undefined) sink.failed(error)
    else if (this.#state === 'head') {
      this.#state = 'serving'
      this.#hooks.malformed(this, error)
    }
  }
}
