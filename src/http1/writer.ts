import type { Field } from '../core/fields.ts'
import { TOKEN } from './field-lines.ts'

const CRLF = Buffer.from('\r\n')
const TARGET = /^[\x21-\x7e]+$/
/** Field values and reason phrases: one byte a character, no control character but HTAB. */
const TEXT = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * The head of a request, HTTP/1.1, field lines as given. Throws TypeError where any part would end a line or a word early, or
 * has a character that is not one byte: values from outside are parsed long before, so that is a fault in this program.
 */
export function requestHead(method: string, target: string, fields: readonly Field[]): Buffer {
  if (!TOKEN.test(method)) throw new TypeError('the method is not a token')
  if (!TARGET.test(target)) throw new TypeError('the target has a character that is not visible ASCII')
  return Buffer.from(`${method} ${target} HTTP/1.1\r\n${fieldLines(fields)}\r\n`, 'latin1')
}

/** The head of a response. `status` is 100 to 999. Throws TypeError as `requestHead` does. */
export function responseHead(
  status: number,
  reason: string,
  fields: readonly Field[],
  version: '1.0' | '1.1' = '1.1',
): Buffer {
  return Buffer.from(`${statusLine(status, reason, version)}${fieldLines(fields)}\r\n`, 'latin1')
}

/** The first line of a response with its line end, one byte a character. Throws as `responseHead`. */
export function statusLine(status: number, reason: string, version: '1.0' | '1.1' = '1.1'): string {
  if (!Number.isInteger(status) || status < 100 || status > 999)
    throw new TypeError(`the status ${status} is not a number from 100 to 999`)
  if (!TEXT.test(reason)) throw new TypeError('the reason phrase has a character that is not permitted')
  return `HTTP/${version} ${status} ${reason}\r\n`
}

/** One chunk, to be written in this order. Throws RangeError for an empty one, which would end the content. */
export function chunk(bytes: Buffer): Buffer[] {
  if (bytes.length === 0) throw new RangeError('an empty chunk would end the content')
  return [Buffer.from(`${bytes.length.toString(16)}\r\n`, 'latin1'), bytes, CRLF]
}

/** The end of chunked content. Throws TypeError as `requestHead` does. */
export function lastChunk(trailers: readonly Field[]): Buffer {
  return Buffer.from(`0\r\n${fieldLines(trailers)}\r\n`, 'latin1')
}

/** Field lines, each with its line end, one byte a character. Throws TypeError as `requestHead` does. */
export function fieldLines(fields: readonly Field[]): string {
  let lines = ''
  for (const { name, value } of fields) {
    if (!TOKEN.test(name)) throw new TypeError('a field name is not a token')
    if (!TEXT.test(value)) throw new TypeError(`the field ${name} has a character that is not permitted`)
    lines += `${name}: ${value}\r\n`
  }
  return lines
}
