import type { Field } from '../core/fields.ts'
import { unreachable } from '../core/decision.ts'
import { parseFieldLines, refuseUnclean } from './field-lines.ts'
import type { Framing } from './framing.ts'
import type { MessageLimits } from './limits.ts'
import { ProtocolError } from './protocol-error.ts'
import type { ReceiveBuffer } from './receive-buffer.ts'

export interface DataEvent {
  readonly kind: 'data'
  /** A subarray of what was pushed, never empty. */
  readonly bytes: Buffer
}

export interface EndEvent {
  readonly kind: 'end'
  readonly trailers: readonly Field[]
}

const END: EndEvent = { kind: 'end', trailers: [] }
const CRLF = Buffer.from('\r\n')
const SIZE_DIGITS = 15

const TOKENS = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+"
const QUOTED = '"[\\t !#-\\[\\]-~\\x80-\\xff]*"'
// RFC 9112 §7.1.1 without its optional white space and without `\` in a quoted string, which nobody sends and parsers
// disagree on: who takes `"\""` for one string and the beginning of the next looks for its end in the content.
const CHUNK_LINE = new RegExp(`^([0-9A-Fa-f]{1,15})((?:;${TOKENS}(?:=(?:${TOKENS}|${QUOTED}))?)*)$`)

/**
 * Trailer fields that say where a message ends, whom it is for, who asks, or how it is to be cached or read: whoever merges
 * trailers into the head would be told so by somebody who was not asked then (RFC 9110 §6.5.1). They are dropped.
 */
const NEVER_TRAILERS: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expect',
  'expires',
  'host',
  'http2-settings',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'via',
  'www-authenticate',
])

type State = 'counted' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailers' | 'until-close'

/** Reads the content of one message after another. */
export class BodyDecoder {
  readonly #input: ReceiveBuffer
  readonly #limits: MessageLimits
  #state: State = 'counted'
  /** Bytes that the length, or the size of the current chunk, still promises. */
  #left = 0
  #extensionBytes = 0
  #trailerBytes = 0
  #trailers: Field[] = []

  constructor(input: ReceiveBuffer, limits: MessageLimits) {
    this.#input = input
    this.#limits = limits
  }

  begin(framing: Framing): void {
    this.#left = framing.kind === 'length' ? framing.length : 0
    switch (framing.kind) {
      case 'none':
      case 'length':
        this.#state = 'counted'
        return
      case 'chunked':
        this.#state = 'chunk-size'
        this.#extensionBytes = 0
        this.#trailerBytes = 0
        return
      case 'close':
        this.#state = 'until-close'
        return
      default:
        unreachable(framing)
    }
  }

  /** Whether the end of the connection is the end of this content. */
  get endsAtClose(): boolean {
    return this.#state === 'until-close'
  }

  /** Undefined: more bytes are needed. Throws ProtocolError. */
  next(): DataEvent | EndEvent | undefined {
    for (;;) {
      switch (this.#state) {
        case 'counted':
          return this.#left === 0 ? END : this.#data()
        case 'until-close': {
          const bytes = this.#input.take(Infinity)
          return bytes && { kind: 'data', bytes }
        }
        case 'chunk-size': {
          const size = this.#chunkSize()
          if (size === undefined) return undefined
          this.#left = size
          this.#state = size === 0 ? 'trailers' : 'chunk-data'
          break
        }
        case 'chunk-data': {
          const data = this.#data()
          if (this.#left === 0) this.#state = 'chunk-end'
          return data
        }
        case 'chunk-end':
          if (!this.#chunkEnd()) return undefined
          this.#state = 'chunk-size'
          break
        case 'trailers':
          return this.#trailerSection()
        default:
          return unreachable(this.#state)
      }
    }
  }

  #data(): DataEvent | undefined {
    const bytes = this.#input.take(this.#left)
    if (bytes === undefined) return undefined
    this.#left -= bytes.length
    return { kind: 'data', bytes }
  }

  #chunkSize(): number | undefined {
    const input = this.#input
    let size = 0
    let digits = 0
    for (; digits < SIZE_DIGITS; digits++) {
      const digit = hexDigit(input.peek(digits))
      if (digit === -1) break
      size = size * 16 + digit
    }
    if (digits > 0 && input.peek(digits) === 0x0d && input.peek(digits + 1) === 0x0a) {
      input.skip(digits + 2)
      return safeSize(size)
    }
    return this.#chunkSizeLine()
  }

  /** A size line that has an extension, is split over two reads, or is wrong. */
  #chunkSizeLine(): number | undefined {
    const room = this.#limits.chunkExtensionBytes - this.#extensionBytes
    const line = this.#input.takeThrough(CRLF, SIZE_DIGITS + room + 2, chunkLineTooLong)
    if (line === undefined) return undefined
    const match = CHUNK_LINE.exec(line)
    if (match === null) {
      refuseUnclean(line)
      throw new ProtocolError('bad_chunk', 'a chunk size is not 1 to 15 hexadecimal digits')
    }
    this.#extensionBytes += match[2]!.length
    if (this.#extensionBytes > this.#limits.chunkExtensionBytes) throw extensionTooLarge()
    return safeSize(Number.parseInt(match[1]!, 16))
  }

  #chunkEnd(): boolean {
    const input = this.#input
    if (input.peek(0) === 0x0d && input.peek(1) === 0x0a) {
      input.skip(2)
      return true
    }
    return input.takeThrough(CRLF, 2, chunkOverrun) !== undefined
  }

  #trailerSection(): EndEvent | undefined {
    for (;;) {
      const room = this.#limits.trailerBytes - this.#trailerBytes
      const line = this.#input.takeThrough(CRLF, room + 2, trailerTooLarge)
      if (line === undefined) return undefined
      if (line === '') break
      this.#trailerBytes += line.length + 2
      if (this.#trailerBytes > this.#limits.trailerBytes) throw trailerTooLarge()
      refuseUnclean(line)
      if (this.#trailers.length === this.#limits.fieldCount)
        throw new ProtocolError('too_many_fields', `there are more than ${this.#limits.fieldCount} trailers`)
      this.#trailers.push(...parseFieldLines(line, 0, 1))
    }
    if (this.#trailers.length === 0) return END
    const trailers = this.#trailers.filter(({ key }) => !NEVER_TRAILERS.has(key))
    this.#trailers = []
    return { kind: 'end', trailers }
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return byte !== -1 && lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

/** 15 digits reach beyond what a number counts exactly. */
function safeSize(size: number): number {
  if (Number.isSafeInteger(size)) return size
  throw new ProtocolError('bad_chunk', 'a chunk is larger than 2^53 - 1 bytes')
}

function chunkLineTooLong(beginning: string): ProtocolError {
  if (/^[0-9A-Fa-f]{1,15};/.test(beginning)) return extensionTooLarge()
  return new ProtocolError('bad_chunk', 'a chunk size is not 1 to 15 hexadecimal digits')
}

function extensionTooLarge(): ProtocolError {
  return new ProtocolError('chunk_extension_too_large', 'the chunk extensions are too large')
}

function chunkOverrun(): ProtocolError {
  return new ProtocolError('bad_chunk', 'a chunk is longer than its size')
}

function trailerTooLarge(): ProtocolError {
  return new ProtocolError('trailer_too_large', 'the trailer section is too large')
}
