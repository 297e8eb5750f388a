import type { Field } from '../core/fields.ts'
import { BodyDecoder, type DataEvent, type EndEvent } from './body.ts'
import { parseFieldLines, refuseUnclean, TOKEN } from './field-lines.ts'
import { CHUNKED, type Claims, type Framing, NO_CONTENT, readClaims, type Version } from './framing.ts'
import type { MessageLimits } from './limits.ts'
import { ProtocolError } from './protocol-error.ts'
import { ReceiveBuffer } from './receive-buffer.ts'

export interface RequestHead {
  /** A token, as sent: methods are case-sensitive. */
  readonly method: string
  /** As sent, visible ASCII; which form it has is for the caller to judge. */
  readonly target: string
  readonly version: Version
  readonly fields: readonly Field[]
  /** Never `close`. */
  readonly framing: Framing
  /** Whether the client wants the connection to stay open after this exchange (RFC 9112 §9.3). */
  readonly keepAlive: boolean
  /** The client waits for a 100 (Continue), or for a final response, before it sends its content. */
  readonly expectContinue: boolean
  /** Protocols that the client offers to switch to, in lower case, its favourite first; mostly empty. */
  readonly upgrade: readonly string[]
}

export type RequestEvent = { readonly kind: 'head'; readonly head: RequestHead } | DataEvent | EndEvent

/** The field lines of one head, each with the CRLF before it, and what became of them. */
interface FieldSection {
  readonly text: string
  readonly version: Version
  readonly fields: readonly Field[]
  readonly claims: Claims
}

interface ParsedHead {
  readonly head: RequestHead
  readonly section: FieldSection
}

const HTTP_1_1 = 'HTTP/1.1'
const HEAD_END = Buffer.from('\r\n\r\n')
const CRLF = Buffer.from('\r\n')
const CR = 0x0d
const TARGET = /^[\x21-\x7e]+$/
// RFC 9112 §3.2: a Host that is no `uri-host [":" port]` makes the request a bad one; reg-name and IP-literal of RFC 3986.
const HOST = /^[A-Za-z0-9\-._~%!$&'()*+,;=:[\]]*$/

/**
 * Reads requests, one after the other, off the bytes of one connection. Each request is `head`, any number of `data`, `end`;
 * the next `next()` starts the next request, so a caller that does not want it yet does not call.
 *
 * After `next()` returned undefined (or threw) no pushed buffer is referred to any more; until then, and as long as the bytes
 * of a `data` event are in use, the caller leaves its buffers as they are, or calls `detach()`.
 */
export class RequestReader {
  readonly #limits: MessageLimits
  readonly #input = new ReceiveBuffer()
  readonly #body: BodyDecoder
  #state: 'head' | 'body' | 'released' = 'head'
  #lastSection: FieldSection | undefined
  #ended = false
  /** Bytes of the unfinished head that were searched for the end of its first line; Infinity once that line was judged. */
  #lineSearched = 0
  #failure: ProtocolError | undefined

  constructor(limits: MessageLimits) {
    this.#limits = limits
    this.#body = new BodyDecoder(this.#input, limits)
  }

  /** After an error, what still comes is dropped. Throws after `takeRest()`: those bytes are not HTTP. */
  push(bytes: Buffer): void {
    if (this.#state === 'released') throw new Error('push after takeRest: these bytes belong to the tunnel')
    if (this.#failure === undefined) this.#input.push(bytes)
  }

  /** Undefined: more bytes are needed. Throws ProtocolError, and the same one again from then on. */
  next(): RequestEvent | undefined {
    if (this.#failure !== undefined) throw this.#failure
    try {
      const event = this.#state === 'head' ? this.#head() : this.#content()
      if (event === undefined && this.#ended) this.#refuseTruncation()
      return event
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /**
   * Everything that was received after the head (of a CONNECT or an upgrade), which is not ours to read; a subarray of what
   * was pushed where possible, so copy what must outlive the buffer. The reader is finished then.
   */
  takeRest(): Buffer {
    this.#state = 'released'
    this.#lastSection = undefined
    return this.#input.takeRest()
  }

  /**
   * The peer has ended its side. Throws ProtocolError `unexpected_eof` in the middle of a request; where unread events are
   * left, they can still be read, and it is `next()` that throws after the last.
   */
  eof(): void {
    if (this.#failure !== undefined || this.#state === 'released') return
    this.#ended = true
    if (this.#input.unseen > 0) return
    try {
      this.#refuseTruncation()
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** Copies what was pushed and not read, so that the caller may reuse its buffers although it wants no further event yet. */
  detach(): void {
    this.#input.detach()
  }

  /** Bytes received and not read. */
  get buffered(): number {
    return this.#input.length
  }

  /** Nothing of a next request was seen yet (a stray empty line is nothing): the connection is idle. */
  get atMessageStart(): boolean {
    return this.#state === 'head' && (this.#input.length === 0 || this.#input.holdsEmptyLine)
  }

  #head(): RequestEvent | undefined {
    const text = this.#input.takeThrough(HEAD_END, this.#limits.headBytes, headTooLarge)
    if (text === undefined) {
      this.#refuseForeign()
      return undefined
    }
    this.#lineSearched = 0
    const { head, section } = parseRequestHead(text, this.#limits, this.#lastSection)
    this.#lastSection = section
    this.#body.begin(head.framing)
    this.#state = 'body'
    return { kind: 'head', head }
  }

  /**
   * What cannot become a request is refused at once: a peer that speaks TLS or SSH here waits for an answer, so it would
   * never send the end of a head.
   */
  #refuseForeign(): void {
    if (this.#lineSearched === Infinity) return
    const held = this.#input.held
    const start = held[0] === CR ? 2 : 0
    if (held.length <= start) return
    if (!TOKEN.test(String.fromCharCode(held[start]!))) throw badRequestLine()
    const lineEnd = held.indexOf(CRLF, Math.max(start, this.#lineSearched - 1))
    this.#lineSearched = lineEnd === -1 ? held.length : Infinity
    if (lineEnd === -1) return
    if (!/ HTTP\/[0-9]\.[0-9]$/.test(held.toString('latin1', start, lineEnd))) throw badRequestLine()
  }

  #content(): RequestEvent | undefined {
    if (this.#state === 'released') return undefined
    const event = this.#body.next()
    if (event?.kind === 'end') this.#state = 'head'
    return event
  }

  #refuseTruncation(): void {
    if (this.atMessageStart || this.#state === 'released') return
    throw new ProtocolError('unexpected_eof', 'the connection ended in the middle of a request')
  }

  #failed(error: unknown): unknown {
    if (error instanceof ProtocolError) {
      this.#failure = error
      this.#input.clear()
    }
    return error
  }
}

function headTooLarge(beginning: string): ProtocolError {
  const lineStart = beginning.startsWith('\r\n') ? 2 : 0
  if (!beginning.includes('\r\n', lineStart))
    return new ProtocolError('target_too_long', 'the request line does not end within the limit of a head')
  return new ProtocolError('head_too_large', 'the head of the request is too large')
}

/**
 * `last`: the fields of the request before on this connection. Most clients repeat them to the byte; then the field section is
 * compared and not parsed again (the request line never is part of it).
 */
function parseRequestHead(text: string, limits: MessageLimits, last: FieldSection | undefined): ParsedHead {
  // RFC 9112 §2.2: one empty line before a request line is forgiven (old clients end their content with one).
  const start = text.startsWith('\r\n') ? 2 : 0
  const lineBreak = text.indexOf('\r\n', start)
  const lineEnd = lineBreak === -1 ? text.length : lineBreak
  const sectionText = text.slice(lineEnd)
  const repeated = last !== undefined && sectionText === last.text
  if (!repeated) refuseUnclean(text)
  const methodEnd = text.indexOf(' ', start)
  const targetEnd = lineEnd - HTTP_1_1.length - 1
  const method = text.slice(start, methodEnd)
  const target = text.slice(methodEnd + 1, targetEnd)
  if (methodEnd === -1 || methodEnd >= targetEnd || !TOKEN.test(method) || !TARGET.test(target))
    throw badRequestLine()
  const version = parseVersion(text, targetEnd)
  if (target.length > limits.targetBytes)
    throw new ProtocolError('target_too_long', `the target is longer than ${limits.targetBytes} bytes`)
  const section = repeated && last.version === version ? last : parseSection(sectionText, version, limits)
  const { fields, claims } = section
  requireHost(method, version, claims)
  const framing = requestFraming(method, claims)
  const head: RequestHead = {
    method,
    target,
    version,
    fields,
    framing,
    keepAlive: claims.keepAlive,
    expectContinue: claims.expectContinue && framing.kind !== 'none',
    upgrade: claims.upgrade,
  }
  return { head, section }
}

function parseSection(text: string, version: Version, limits: MessageLimits): FieldSection {
  const fields = parseFieldLines(text, '\r\n'.length, limits.fieldCount)
  return { text, version, fields, claims: readClaims(fields, version, 'request') }
}

function parseVersion(text: string, targetEnd: number): Version {
  if (text.startsWith(' HTTP/1.1', targetEnd)) return '1.1'
  if (text.startsWith(' HTTP/1.0', targetEnd)) return '1.0'
  if (/^ HTTP\/[0-9]\.[0-9]$/.test(text.slice(targetEnd, targetEnd + 9)))
    throw new ProtocolError('bad_version', 'only HTTP/1.1 and HTTP/1.0 are spoken here')
  throw badRequestLine()
}

function badRequestLine(): ProtocolError {
  return new ProtocolError('bad_request_line', 'the first line is not: method, target, HTTP/1.1')
}

/** RFC 9112 §3.2. Clients send CONNECT without Host, and with one of every kind; only its target counts. */
function requireHost(method: string, version: Version, claims: Claims): void {
  if (claims.hosts > 1) throw new ProtocolError('bad_host', 'there are several Host fields')
  if (method === 'CONNECT') return
  if (claims.hosts === 0 && version === '1.1')
    throw new ProtocolError('bad_host', 'the Host field is missing')
  if (!HOST.test(claims.host)) throw new ProtocolError('bad_host', 'the Host field is not a host with a port')
}

function requestFraming(method: string, claims: Claims): Framing {
  if (method === 'CONNECT') {
    // RFC 9110 §9.3.6: content has no meaning here, and a next hop may take it for the first bytes of the tunnel.
    if (claims.chunked || (claims.contentLength ?? 0) > 0)
      throw new ProtocolError('content_not_permitted', 'a CONNECT request may not have content')
    return NO_CONTENT
  }
  if (claims.chunked) return CHUNKED
  if (claims.contentLength === undefined) return NO_CONTENT
  return { kind: 'length', length: claims.contentLength }
}
