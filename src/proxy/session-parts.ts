import type { Field } from '../core/fields.ts'
import type { MessageLimits } from '../http1/limits.ts'
import type { ProtocolError } from '../http1/protocol-error.ts'
import type { RequestHead } from '../http1/request-reader.ts'
import type { ClientSession } from './session.ts'

/** Takes the content of the request that is being served. */
export interface ContentSink {
  /** Called for every piece, however small. */
  data(bytes: Buffer): void
  /**
   * Called after the last piece that is there for now. False stops the reading; `session.unblock()` goes on. The bytes
   * stay valid until then.
   */
  flush(): boolean
  end(trailers: readonly Field[]): void
  /** The client broke the framing of its own content. */
  failed(error: ProtocolError): void
}

export interface SessionLimits {
  readonly message: MessageLimits
  /** Milliseconds from the first byte of a head to its end, and from the connection to the first head. */
  readonly headerTimeout: number
  /** Milliseconds between two requests. */
  readonly idleTimeout: number
  /** Bytes that are kept of what a client sends before it may (behind a CONNECT, or behind a request that waits). */
  readonly earlyBytes: number
}

export interface SessionHooks {
  /** A head has come; the door serves it and calls `finish` or `close` on the session. */
  serve(session: ClientSession, head: RequestHead): void
  /** The head is malformed; the door answers and closes. */
  malformed(session: ClientSession, error: ProtocolError): void
}
