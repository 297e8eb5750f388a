import { ProxyError } from '../core/errors.ts'
import type { Field } from '../core/fields.ts'
import { ProtocolError } from '../http1/protocol-error.ts'
import type { ResponseHead } from '../http1/response-reader.ts'
import { lastChunk, requestHead, responseHead } from '../http1/writer.ts'
import type { Receiver } from '../wire/connection.ts'
import {
  asksForWebSocket,
  type ClientFraming,
  clientFraming,
  hasUnexpectedContent,
  isResetWithContent,
  requestFields,
  responseFields,
  trailerFields,
} from './forward-fields.ts'
import { Pieces } from './pieces.ts'
import type { RelayOutcome, RelayParts } from './relay-parts.ts'
import type { ContentSink } from './session-parts.ts'

/** RFC 9110 §9.2.2: what may be sent twice without harm. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/**
 * Sends one request to an origin and its response to the client, both re-serialised and streamed with backpressure.
 * Resolves once; the client's session and the origin's connection are then the caller's again.
 */
export function relayExchange(parts: RelayParts): Promise<RelayOutcome> {
  return new Promise((resolve) => {
    new Relay(parts, resolve).start()
  })
}

class Relay implements Receiver, ContentSink {
  readonly #parts: RelayParts
  readonly #resolve: (outcome: RelayOutcome) => void
  readonly #chunkedRequest: boolean
  readonly #webSocket: boolean
  #settled = false
  /** The response is whole; at most its last bytes are on their way to the client. */
  #finished = false
  #requestSent: boolean
  #contentSent = false
  #responseStarted = false
  #framing: ClientFraming = 'none'
  #response: ResponseHead | undefined
  #keepClient = false
  /** What is collected during one read, to go out as one write: content for the origin; heads and content for the client. */
  readonly #upward = new Pieces()
  readonly #downward = new Pieces()
  #out: Buffer[] = []
  #since: number
  readonly #stopBeat: () => void

  constructor(parts: RelayParts, resolve: (outcome: RelayOutcome) => void) {
    this.#parts = parts
    this.#resolve = resolve
    this.#chunkedRequest = parts.head.framing.kind === 'chunked'
    this.#webSocket = asksForWebSocket(parts.head)
    this.#requestSent = parts.session.contentDone
    this.#since = parts.pulse.now
    this.#stopBeat = parts.pulse.onBeat((now) => this.#beat(now))
  }

  start(): void {
    const { session, head, path, authority, origin, via } = this.#parts
    session.whenGone(() => this.#settle({ kind: 'cut', trouble: 'client_gone' }))
    if (this.#settled) return
    session.connection.prompt()
    origin.reader.expect(head.method, this.#webSocket)
    origin.connection.receiver = this
    origin.connection.write(
      requestHead(head.method, path, requestFields(head, authority, via, this.#webSocket)),
    )
    origin.connection.resume()
    if (!this.#requestSent) session.content(this)
  }

  // The content of the request, from the client.

  data(bytes: Buffer): void {
    this.#contentSent = true
    this.#parts.exchange.bytesSent += bytes.length
    this.#upward.add(bytes)
  }

  flush(): boolean {
    const { origin, session } = this.#parts
    origin.connection.writeAll(this.#upward.take(this.#chunkedRequest ? 'chunked' : 'plain'))
    if (origin.connection.isFlushed) return true
    origin.connection.whenFlushed(() => session.unblock())
    return false
  }

  end(trailers: readonly Field[]): void {
    const last = this.#chunkedRequest ? [lastChunk(trailerFields(trailers))] : []
    const content = this.#upward.take(this.#chunkedRequest ? 'chunked' : 'plain')
    this.#parts.origin.connection.writeAll([...content, ...last])
    this.#requestSent = true
    this.#since = this.#parts.pulse.now
  }

  failed(error: ProtocolError): void {
    // The origin has half a request: its connection must break. What the client sent cannot be trusted any further.
    this.#fail(new ProxyError('http_request_error', error.problem))
  }

  // The response, from the origin.

  received(bytes: Buffer): boolean {
    this.#parts.origin.reader.push(bytes)
    return this.#pump()
  }

  ended(): void {
    this.#eof(undefined)
  }

  closed(error: Error | undefined): void {
    this.#eof(error)
  }

  #eof(error: Error | undefined): void {
    if (this.#settled || this.#finished) return
    if (!this.#responseStarted) {
      const { origin, head } = this.#parts
      // It was kept and is closed without a byte of an answer: most likely it was closed before the request came.
      if (
        origin.reused &&
        !this.#contentSent &&
        IDEMPOTENT.has(head.method) &&
        origin.reader.buffered === 0
      ) {
        return this.#settle({ kind: 'retry' })
      }
      return this.#fail(new ProxyError('connection_terminated'))
    }
    try {
      const event = error === undefined ? this.#parts.origin.reader.eof() : undefined
      if (event?.kind === 'end') return this.#finish(event.trailers, false)
    } catch (problem) {
      if (!(problem instanceof ProtocolError)) throw problem
    }
    this.#settle({ kind: 'cut', trouble: 'http_response_incomplete' })
  }

  /** False when reading must stop until the client has taken what there is. */
  #pump(): boolean {
    const { origin, exchange, session } = this.#parts
    try {
      while (!this.#settled && !this.#finished) {
        const event = origin.reader.next()
        if (event === undefined) break
        switch (event.kind) {
          case 'interim':
            // RFC 9110 §15.2: HTTP/1.0 clients do not know interim responses.
            if (this.#parts.head.version === '1.1') {
              this.#out.push(
                responseHead(
                  event.head.status,
                  event.head.reason,
                  responseFields(event.head, 'none', this.#parts.via, 'unsaid'),
                ),
              )
            }
            break
          case 'head':
            if (this.#begin(event.head)) return false
            break
          case 'data':
            exchange.bytesReceived += event.bytes.length
            this.#downward.add(event.bytes)
            break
          case 'end':
            this.#finish(event.trailers, true)
            break
        }
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#flush()
      if (this.#responseStarted) this.#settle({ kind: 'cut', trouble: 'http_protocol_error' })
      else this.#fail(new ProxyError('http_protocol_error', error.problem))
      return false
    }
    this.#flush()
    if (this.#settled || this.#finished) return false
    if (session.connection.isFlushed) return true
    session.connection.whenFlushed(() => {
      if (!this.#settled && this.#pump()) origin.connection.resume()
    })
    return false
  }

  #flush(): void {
    const out = this.#out
    out.push(...this.#downward.take(this.#framing === 'chunked' ? 'chunked' : 'plain'))
    if (out.length === 0) return
    this.#out = []
    this.#parts.session.connection.writeAll(out)
  }

  /** True when the protocol was switched and no more is read here. */
  #begin(response: ResponseHead): boolean {
    const { head, session, via, isDraining, exchange } = this.#parts
    if (response.status === 101 && response.upgrade.join() !== 'websocket') {
      this.#fail(new ProxyError('http_upgrade_failed'))
      return true
    }
    this.#response = response
    this.#responseStarted = true
    exchange.status = response.status
    if (response.status === 101) {
      this.#out.push(responseHead(101, response.reason, responseFields(response, 'none', via, 'upgrade')))
      this.#flush()
      this.#settle({ kind: 'upgraded', rest: Buffer.from(this.#parts.origin.reader.takeRest()) })
      return true
    }
    this.#framing = clientFraming(response, head.version)
    this.#keepClient =
      head.keepAlive &&
      this.#framing !== 'close' &&
      !isResetWithContent(response) &&
      session.contentDone &&
      this.#requestSent &&
      !isDraining()
    const connection = this.#keepClient ? (head.version === '1.0' ? 'keep-alive' : 'unsaid') : 'close'
    this.#out.push(
      responseHead(
        response.status,
        response.reason,
        responseFields(response, this.#framing, via, connection),
      ),
    )
    return false
  }

  #finish(trailers: readonly Field[], whole: boolean): void {
    const { origin, head } = this.#parts
    if (this.#framing === 'chunked')
      this.#out.push(...this.#downward.take('chunked'), lastChunk(trailerFields(trailers)))
    this.#flush()
    const reuse =
      whole &&
      this.#requestSent &&
      !hasUnexpectedContent(head) &&
      this.#response?.keepAlive === true &&
      origin.reader.buffered === 0 &&
      !origin.connection.isClosed
    this.#finished = true
    const done = () => this.#settle({ kind: 'done', reuse, keepClient: this.#keepClient })
    // The origin's read buffer may still be on its way to the client: nobody may read into it before it is out.
    const { connection } = this.#parts.session
    if (connection.isFlushed) done()
    else connection.whenFlushed(done)
  }

  #beat(now: number): void {
    const { session, origin, limits } = this.#parts
    const { responseTimeout, bodyIdleTimeout } = limits()
    if (this.#requestSent && !this.#responseStarted) {
      if (now - this.#since > responseTimeout) this.#fail(new ProxyError('http_response_timeout'))
      return
    }
    const active = Math.max(session.connection.activeAt, origin.connection.activeAt)
    if (now - active > bodyIdleTimeout) {
      if (this.#responseStarted) this.#settle({ kind: 'cut', trouble: 'connection_read_timeout' })
      else this.#fail(new ProxyError('idle_timeout'))
    }
  }

  #fail(error: ProxyError): void {
    this.#settle(this.#responseStarted ? { kind: 'cut', trouble: error.code } : { kind: 'failed', error })
  }

  #settle(outcome: RelayOutcome): void {
    if (this.#settled) return
    this.#settled = true
    this.#stopBeat()
    this.#parts.session.whenGone(undefined)
    // Content that comes between two attempts belongs to the next one.
    this.#parts.session.release(this)
    this.#parts.origin.connection.receiver = DEAF
    this.#resolve(outcome)
  }
}

const DEAF: Receiver = { received: () => false, ended: () => {}, closed: () => {} }
