/** Wire types of Protocol Buffers (encoding.html, «Message structure»). */
const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5

/**
 * Writes one protobuf message, forwards, into a buffer that grows. An embedded message is written first and its length
 * put in front of it afterwards: one byte is left free for it, and the message is moved on where one is not enough.
 */
export class ProtobufWriter {
  #buffer: Buffer
  #at = 0

  constructor(initialBytes: number) {
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  /** What was written since the last call, as a copy; the writer can be used again. */
  take(): Buffer {
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#at))
    this.#at = 0
    return bytes
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType)
  }

  /** Non-negative, up to 2^53 - 1. */
  #varint(value: number): void {
    this.#reserve(10)
    let rest = value
    while (rest > 0x7f) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#at++] = rest
  }

  uint32(field: number, value: number): void {
    this.#tag(field, VARINT)
    this.#varint(value)
  }

  bool(field: number, value: boolean): void {
    this.uint32(field, value ? 1 : 0)
  }

  /** Any safe integer; a negative one takes ten bytes (two's complement of 64 bits). */
  int64(field: number, value: number): void {
    if (value >= 0) return this.uint32(field, value)
    this.#tag(field, VARINT)
    this.#reserve(10)
    let rest = BigInt.asUintN(64, BigInt(value))
    while (rest > 0x7fn) {
      this.#buffer[this.#at++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#buffer[this.#at++] = Number(rest)
  }

  double(field: number, value: number): void {
    this.#tag(field, FIXED64)
    this.#reserve(8)
    this.#at = this.#buffer.writeDoubleLE(value, this.#at)
  }

  fixed64(field: number, value: bigint): void {
    this.#tag(field, FIXED64)
    this.#reserve(8)
    this.#at = this.#buffer.writeBigUInt64LE(value, this.#at)
  }

  fixed32(field: number, value: number): void {
    this.#tag(field, FIXED32)
    this.#reserve(4)
    this.#at = this.#buffer.writeUInt32LE(value, this.#at)
  }

  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, LENGTH)
    this.#varint(value.length)
    this.#reserve(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }

  /** UTF-8, in which a lone surrogate becomes U+FFFD. */
  string(field: number, value: string): void {
    this.#tag(field, LENGTH)
    this.#reserve(value.length * 3 + 5)
    if (value.length < 128) {
      // Short and ASCII is the rule, and a call into native code costs more than copying it.
      const start = this.#at
      let at = start + 1
      let i = 0
      for (; i < value.length; i++) {
        const code = value.charCodeAt(i)
        if (code > 0x7f) break
        this.#buffer[at++] = code
      }
      if (i === value.length) {
        this.#buffer[start] = i
        this.#at = at
        return
      }
    }
    const length = Buffer.byteLength(value)
    this.#varint(length)
    this.#at += this.#buffer.write(value, this.#at)
  }

  /**
   * `{ 1: key, 2: { 1: value } }` as an embedded message: the KeyValue of OTLP, which is most of what is written. The
   * key comes with its tag and length in front (`encodedKey`). False, with nothing written, where the short form does
   * not do: all lengths below 128, and ASCII.
   */
  shortText(field: number, key: Uint8Array, value: string): boolean {
    const keyLength = key.length
    const { length } = value
    const total = keyLength + length + 4
    if (total > 0x7f || field > 15) return false
    this.#reserve(total + 2)
    const buffer = this.#buffer
    let at = this.#at
    buffer[at++] = field * 8 + LENGTH
    buffer[at++] = total
    for (let i = 0; i < keyLength; i++) buffer[at++] = key[i]!
    buffer[at++] = 2 * 8 + LENGTH
    buffer[at++] = length + 2
    buffer[at++] = 1 * 8 + LENGTH
    buffer[at++] = length
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code > 0x7f) return false
      buffer[at++] = code
    }
    this.#at = at
    return true
  }

  /** Bytes that are a whole field, or several. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    for (let i = 0; i < bytes.length; i++) this.#buffer[this.#at + i] = bytes[i]!
    this.#at += bytes.length
  }

  /** Begins an embedded message; give what it returns to `end`. */
  begin(field: number): number {
    this.#tag(field, LENGTH)
    this.#reserve(1)
    return ++this.#at
  }

  end(start: number): void {
    const length = this.#at - start
    let width = 1
    for (let rest = length; rest > 0x7f; rest = Math.floor(rest / 0x80)) width++
    if (width > 1) {
      this.#reserve(width)
      this.#buffer.copyWithin(start - 1 + width, start, this.#at)
    }
    this.#at = start - 1
    this.#varint(length)
    this.#at += length
  }
}
