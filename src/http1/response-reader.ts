import type { Field } from '../core/fields.ts'
import { BodyDecoder, type DataEvent, type EndEvent } from './body.ts'
import { parseFieldLines, refuseUnclean } from './field-lines.ts'
import {
  CHUNKED,
  type Claims,
  type Framing,
  NO_CONTENT,
  readClaims,
  UNTIL_CLOSE,
  type Version,
} from './framing.ts'
import type { MessageLimits } from './limits.ts'
import { ProtocolError } from './protocol-error.ts'
import { ReceiveBuffer } from './receive-buffer.ts'

export interface ResponseHead {
  readonly version: Version
  /** 100 to 999. */
  readonly status: number
  /** As sent, latin1, perhaps empty. */
  readonly reason: string
  readonly fields: readonly Field[]
  readonly framing: Framing
  /** Whether the connection may carry another request after this response (RFC 9112 §9.3). */
  readonly keepAlive: boolean
  readonly upgrade: readonly string[]
}

export type ResponseEvent =
  | { readonly kind: 'interim'; readonly head: ResponseHead }
  | { readonly kind: 'head'; readonly head: ResponseHead }
  | DataEvent
  | EndEvent

interface Expected {
  readonly method: string
  readonly upgradeAsked: boolean
}

const HEAD_END = Buffer.from('\r\n\r\n')
const END: EndEvent = { kind: 'end', trailers: [] }

/**
 * Reads responses off the bytes of one connection, each `interim` (any number), `head`, `data` (any number), `end`. A response
 * that nobody asked for is an error: it would be taken for the answer to the next request. The promise about buffers is that of
 * RequestReader.
 */
export class ResponseReader {
  readonly #limits: MessageLimits
  readonly #input = new ReceiveBuffer()
  readonly #body: BodyDecoder
  #state: 'idle' | 'head' | 'body' | 'switched' | 'released' = 'idle'
  #expected: Expected | undefined
  #switching = false
  #interim = 0
  #ended = false
  #failure: ProtocolError | undefined

  constructor(limits: MessageLimits) {
    this.#limits = limits
    this.#body = new BodyDecoder(this.#input, limits)
  }

  /**
   * Called once for each request, before it is sent. Bytes that are there already were not caused by it: the next `next()`
   * throws. `upgradeAsked`: a 101 is an acceptable answer.
   */
  expect(method: string, upgradeAsked = false): void {
    if (this.#state !== 'idle') throw new Error('expect: the last response is not complete')
    if (this.#input.length > 0) this.#failed(unexpectedResponse())
    this.#state = 'head'
    this.#expected = { method, upgradeAsked }
    this.#interim = 0
  }

  /** After an error, what still comes is dropped. Throws after `takeRest()`: those bytes are not HTTP. */
  push(bytes: Buffer): void {
    if (this.#state === 'released') throw new Error('push after takeRest: these bytes belong to the tunnel')
    if (this.#failure === undefined) this.#input.push(bytes)
  }

  /** Undefined: more bytes, or `expect`, are needed. Throws ProtocolError, and the same one again from then on. */
  next(): ResponseEvent | undefined {
    if (this.#failure !== undefined) throw this.#failure
    try {
      const event = this.#event()
      if (event === undefined && this.#ended) return this.#atEof()
      return event
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /**
   * The peer has ended its side. Returns the `end` of content that the end of the connection ends; throws ProtocolError
   * `unexpected_eof` while a response, or the rest of one, is owed. Where unread events are left, they can still be read,
   * and it is `next()` that returns or throws this after the last.
   */
  eof(): ResponseEvent | undefined {
    if (this.#failure !== undefined) return undefined
    this.#ended = true
    if (this.#input.unseen > 0) return undefined
    try {
      return this.#atEof()
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** Everything that was received after a 101 that was asked for, or a 2xx to CONNECT. The reader is finished then. */
  takeRest(): Buffer {
    this.#state = 'released'
    return this.#input.takeRest()
  }

  /** Copies what was pushed and not read, so that the caller may reuse its buffers although it wants no further event yet. */
  detach(): void {
    this.#input.detach()
  }

  /** Bytes received and not read. */
  get buffered(): number {
    return this.#input.length
  }

  /** No byte of a (final or interim) response is there: either none is expected, or it has not begun. */
  get atMessageStart(): boolean {
    return (this.#state === 'idle' || (this.#state === 'head' && this.#interim === 0)) && this.buffered === 0
  }

  #event(): ResponseEvent | undefined {
    switch (this.#state) {
      case 'idle':
        if (this.#input.length > 0) throw unexpectedResponse()
        return undefined
      case 'head':
        return this.#head()
      case 'body': {
        const event = this.#body.next()
        if (event?.kind === 'end') this.#state = this.#switching ? 'switched' : 'idle'
        return event
      }
      case 'switched':
        this.#input.detach()
        return undefined
      case 'released':
        return undefined
    }
  }

  #head(): ResponseEvent | undefined {
    const text = this.#input.takeThrough(HEAD_END, this.#limits.headBytes, headTooLarge)
    if (text === undefined) return undefined
    const { method, upgradeAsked } = this.#expected!
    const head = parseResponseHead(text, method, this.#limits)
    if (head.status < 200 && head.status !== 101) return this.#interimResponse(head)
    // Only a 101 that was asked for switches (compare CVE-2024-23326, which switched at a 200).
    if (head.status === 101 && !upgradeAsked)
      throw new ProtocolError('unasked_upgrade', 'the origin switched protocols although nobody asked for it')
    this.#switching = head.status === 101 || opensTunnel(method, head.status)
    this.#body.begin(head.framing)
    this.#state = 'body'
    return { kind: 'head', head }
  }

  #interimResponse(head: ResponseHead): ResponseEvent {
    if (++this.#interim > this.#limits.interimCount)
      throw new ProtocolError('too_many_interim_responses', 'the origin sends interim responses without end')
    return { kind: 'interim', head }
  }

  #atEof(): ResponseEvent | undefined {
    if (this.#state === 'idle' || this.#state === 'switched' || this.#state === 'released') return undefined
    if (this.#state === 'body' && this.#body.endsAtClose) {
      this.#state = 'idle'
      return END
    }
    throw new ProtocolError('unexpected_eof', 'the connection ended before the response was complete')
  }

  #failed(error: unknown): unknown {
    if (error instanceof ProtocolError) {
      this.#failure = error
      this.#input.clear()
    }
    return error
  }
}

function headTooLarge(): ProtocolError {
  return new ProtocolError('head_too_large', 'the head of the response is too large')
}

function unexpectedResponse(): ProtocolError {
  return new ProtocolError('unexpected_response', 'the origin sent bytes that no request asked for')
}

function parseResponseHead(text: string, method: string, limits: MessageLimits): ResponseHead {
  refuseUnclean(text)
  const lineEnd = text.indexOf('\r\n')
  const line = lineEnd === -1 ? text : text.slice(0, lineEnd)
  const version = parseVersion(line)
  // The space before an empty reason phrase (RFC 9112 §4) is forgiven: it is often missing and says nothing.
  if (!/^ [1-9][0-9]{2}(?: |$)/.test(line.slice(8, 13)))
    throw new ProtocolError('bad_status_line', 'the first line is not: HTTP/1.1, three digits, reason')
  const status = Number(line.slice(9, 12))
  if (status < 200 && version === '1.0')
    throw new ProtocolError('bad_status_line', 'HTTP/1.0 has no 1xx responses (RFC 9110 §15.2)')
  const fields = lineEnd === -1 ? [] : parseFieldLines(text, lineEnd + 2, limits.fieldCount)
  const claims = readClaims(fields, version, 'response')
  const framing = responseFraming(method, status, claims)
  const stray = isBodiless(status) && (claims.chunked || (claims.contentLength ?? 0) > 0)
  return {
    version,
    status,
    reason: line.slice(13),
    fields: isBodiless(status) ? withoutFraming(fields) : fields,
    framing,
    keepAlive: claims.keepAlive && framing.kind !== 'close' && !stray,
    upgrade: claims.upgrade,
  }
}

function parseVersion(line: string): Version {
  if (line.startsWith('HTTP/1.1')) return '1.1'
  if (line.startsWith('HTTP/1.0')) return '1.0'
  if (/^HTTP\/[0-9]/.test(line)) throw new ProtocolError('bad_version', 'the origin does not speak HTTP/1')
  throw new ProtocolError('bad_status_line', 'the first line is not: HTTP/1.1, three digits, reason')
}

/** RFC 9112 §6.3. */
function responseFraming(method: string, status: number, claims: Claims): Framing {
  if (method === 'HEAD' || isBodiless(status) || status === 304 || opensTunnel(method, status))
    return NO_CONTENT
  if (claims.chunked) return CHUNKED
  if (claims.contentLength === undefined) return UNTIL_CLOSE
  return { kind: 'length', length: claims.contentLength }
}

function opensTunnel(method: string, status: number): boolean {
  return method === 'CONNECT' && status >= 200 && status < 300
}

function isBodiless(status: number): boolean {
  return status < 200 || status === 204
}

/**
 * RFC 9110 §8.6 and RFC 9112 §6.1: neither field may stand in a 1xx or 204. Some origins send them all the same; passed on, they
 * would make a lenient client wait for content. An origin that means them owes content, so its connection is not used again.
 */
function withoutFraming(fields: readonly Field[]): readonly Field[] {
  const framed = ({ key }: Field) => key === 'content-length' || key === 'transfer-encoding'
  return fields.some(framed) ? fields.filter((each) => !framed(each)) : fields
}
