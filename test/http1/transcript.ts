import type { Field } from '../../src/core/fields.ts'
import type { MessageLimits } from '../../src/http1/limits.ts'
import { DEFAULT_MESSAGE_LIMITS } from '../../src/http1/limits.ts'
import { ProtocolError, type ProtocolErrorCode } from '../../src/http1/protocol-error.ts'
import { type RequestHead, RequestReader } from '../../src/http1/request-reader.ts'
import { type ResponseHead, ResponseReader } from '../../src/http1/response-reader.ts'

/** One message as a reader told it. `body` is latin1; `trailers` are there once the message is whole. */
export interface Told<Head> {
  head: Head
  body: string
  trailers?: readonly Field[]
}

/**
 * How the reading ended: `idle` between two messages, `partial` within one, `released` (a tunnel, an upgrade, or a head after
 * which the connection closes: whoever reads for real stops there too), or the code of the error.
 */
export type Outcome = 'idle' | 'partial' | 'released' | ProtocolErrorCode

export interface Transcript<Head> {
  messages: Told<Head>[]
  interim: Head[]
  outcome: Outcome
  rest: string
}

export interface Feeding {
  /** Lengths of the pieces in which the bytes are pushed; what remains comes as one piece. Default: all at once. */
  readonly pieces?: readonly number[]
  readonly limits?: Partial<MessageLimits>
  /** Each piece stands in one and the same buffer, which is overwritten as soon as the reader wants more. Default false. */
  readonly scribble?: boolean
  /** Stop after a message that does not keep the connection alive. Default true. */
  readonly stopAtClose?: boolean
}

interface Pushed {
  push(bytes: Buffer): void
  takeRest(): Buffer
}

/** Pushes piece by piece and calls `drain` after each, which returns false to stop. Returns what `takeRest` had then. */
function feed(reader: Pushed, wire: Buffer, feeding: Feeding, drain: () => boolean): string | undefined {
  const pool = feeding.scribble ? Buffer.alloc(wire.length) : undefined
  const pieces = [...(feeding.pieces ?? [])]
  let at = 0
  while (at < wire.length) {
    const end = Math.min(wire.length, at + Math.max(1, pieces.shift() ?? wire.length))
    let piece = wire.subarray(at, end)
    if (pool) {
      piece.copy(pool)
      piece = pool.subarray(0, piece.length)
    }
    reader.push(piece)
    const goOn = drain()
    if (!goOn) {
      const rest = reader.takeRest().toString('latin1')
      pool?.fill(0x58)
      return rest + wire.toString('latin1', end)
    }
    pool?.fill(0x58)
    at = end
  }
  return undefined
}

export function bytesOf(wire: string | Buffer): Buffer {
  return typeof wire === 'string' ? Buffer.from(wire, 'latin1') : wire
}

export function readRequests(wire: string | Buffer, feeding: Feeding = {}): Transcript<RequestHead> {
  const reader = new RequestReader({ ...DEFAULT_MESSAGE_LIMITS, ...feeding.limits })
  const messages: Told<RequestHead>[] = []
  const stopAtClose = feeding.stopAtClose ?? true
  const drain = (): boolean => {
    for (;;) {
      const event = reader.next()
      if (event === undefined) return true
      if (event.kind === 'head') {
        messages.push({ head: event.head, body: '' })
        continue
      }
      const message = messages.at(-1)!
      if (event.kind === 'data') message.body += event.bytes.toString('latin1')
      else {
        message.trailers = event.trailers
        const { head } = message
        if (head.method === 'CONNECT' || (stopAtClose && !head.keepAlive)) return false
      }
    }
  }
  try {
    const rest = feed(reader, bytesOf(wire), feeding, drain)
    if (rest !== undefined) return { messages, interim: [], outcome: 'released', rest }
    return { messages, interim: [], outcome: reader.atMessageStart ? 'idle' : 'partial', rest: '' }
  } catch (error) {
    return { messages, interim: [], outcome: codeOf(error), rest: '' }
  }
}

export interface Asking extends Feeding {
  readonly method?: string
  readonly upgradeAsked?: boolean
  /** The connection ends after the bytes. Default true. */
  readonly eof?: boolean
}

/** Reads the one response to one request. */
export function readResponse(wire: string | Buffer, asking: Asking = {}): Transcript<ResponseHead> {
  const reader = new ResponseReader({ ...DEFAULT_MESSAGE_LIMITS, ...asking.limits })
  const messages: Told<ResponseHead>[] = []
  const interim: ResponseHead[] = []
  let done = false
  const take = (event: ReturnType<ResponseReader['next']>): boolean => {
    if (event === undefined) return false
    if (event.kind === 'interim') interim.push(event.head)
    else if (event.kind === 'head') messages.push({ head: event.head, body: '' })
    else if (event.kind === 'data') messages.at(-1)!.body += event.bytes.toString('latin1')
    else {
      messages.at(-1)!.trailers = event.trailers
      done = true
    }
    return true
  }
  const drain = (): boolean => {
    for (;;) {
      if (!take(reader.next())) return true
      if (done) return false
    }
  }
  try {
    reader.expect(asking.method ?? 'GET', asking.upgradeAsked ?? false)
    const rest = feed(reader, bytesOf(wire), asking, drain)
    if (rest === undefined && (asking.eof ?? true)) take(reader.eof())
    return { messages, interim, outcome: done ? 'idle' : 'partial', rest: rest ?? '' }
  } catch (error) {
    return { messages, interim, outcome: codeOf(error), rest: '' }
  }
}

function codeOf(error: unknown): ProtocolErrorCode {
  if (error instanceof ProtocolError) return error.code
  throw error
}

/** `name: value` of each field, as sent. */
export function fieldLines(fields: readonly Field[]): string[] {
  return fields.map(({ name, value }) => `${name}: ${value}`)
}
