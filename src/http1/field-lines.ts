import type { Field } from '../core/fields.ts'
import { ProtocolError } from './protocol-error.ts'

// One linear test proves a whole head clean: only CRLF ends a line, no line begins with white space (obs-fold), and
// there is no control character but HTAB. Bytes from 0x80 (obs-text, RFC 9110 §5.5) pass as they are.
// oxlint-disable-next-line no-control-regex -- control characters are the point
const CLEAN = /^[^\0-\x08\x0a-\x1f\x7f]*(?:\r\n[^\0-\x20\x7f][^\0-\x08\x0a-\x1f\x7f]*)*$/
const BARE_LINE_END = /\r(?!\n)|(?:^|[^\r])\n/
const FOLDED = /\r\n[\t ]/

/** RFC 9110 §5.6.2. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/** Names that most messages carry, as they are mostly spelled: for these neither a test nor a lower-casing is needed. */
const KNOWN_NAMES: ReadonlyMap<string, string> = new Map(
  [
    'Accept',
    'Accept-Encoding',
    'Accept-Language',
    'Accept-Ranges',
    'Access-Control-Allow-Origin',
    'Age',
    'Alt-Svc',
    'Authorization',
    'Cache-Control',
    'Connection',
    'Content-Encoding',
    'Content-Length',
    'Content-Security-Policy',
    'Content-Type',
    'Cookie',
    'DNT',
    'Date',
    'ETag',
    'Expect',
    'Expires',
    'Host',
    'If-Modified-Since',
    'If-None-Match',
    'Keep-Alive',
    'Last-Modified',
    'Link',
    'Location',
    'Origin',
    'Pragma',
    'Priority',
    'Proxy-Authorization',
    'Proxy-Connection',
    'Range',
    'Referer',
    'Sec-Fetch-Dest',
    'Sec-Fetch-Mode',
    'Sec-Fetch-Site',
    'Server',
    'Set-Cookie',
    'Strict-Transport-Security',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
    'Upgrade-Insecure-Requests',
    'User-Agent',
    'Vary',
    'Via',
    'X-Content-Type-Options',
    'X-Frame-Options',
    'X-Request-Id',
    'X-Requested-With',
  ].flatMap((name) => [
    [name, name.toLowerCase()],
    [name.toLowerCase(), name.toLowerCase()],
  ]),
)

/** Throws ProtocolError unless `text`, lines with CRLF between them, has nothing in it that two parsers may read in two ways. */
export function refuseUnclean(text: string): void {
  if (CLEAN.test(text)) return
  if (BARE_LINE_END.test(text)) throw new ProtocolError('bad_line_ending', 'a CR or LF stands alone')
  if (FOLDED.test(text))
    throw new ProtocolError('obsolete_folding', 'a line begins with white space (obs-fold, RFC 9112 §5.2)')
  throw new ProtocolError('bad_field', 'there is a control character in the head')
}

/**
 * The field lines of `text` from index `at` on, in order (RFC 9112 §5). `text` has CRLF between lines and none at its end, and
 * `refuseUnclean` has passed it.
 */
export function parseFieldLines(text: string, at: number, limit: number): Field[] {
  const fields: Field[] = []
  while (at < text.length) {
    const lineEnd = text.indexOf('\r\n', at)
    const end = lineEnd === -1 ? text.length : lineEnd
    if (fields.length === limit)
      throw new ProtocolError('too_many_fields', `there are more than ${limit} field lines`)
    fields.push(parseFieldLine(text, at, end))
    at = end + 2
  }
  return fields
}

function parseFieldLine(text: string, at: number, end: number): Field {
  const colon = text.indexOf(':', at)
  if (colon === -1 || colon >= end) throw new ProtocolError('bad_field', 'a field line has no colon')
  const name = text.slice(at, colon)
  const key = KNOWN_NAMES.get(name) ?? keyOf(name)
  const value = sliceTrimmed(text, colon + 1, end)
  if (key === 'transfer-encoding' || key === 'content-length') refuseTabs(text.slice(colon + 1, end), key)
  return { name, key, value }
}

/**
 * HTAB around a value is permitted, but a tab behind `chunked` makes llhttp read to the end of the connection, and others skip
 * only spaces before a length: for the two fields that decide where a message ends, no tab.
 */
function refuseTabs(raw: string, key: 'transfer-encoding' | 'content-length'): void {
  if (!raw.includes('\t')) return
  if (key === 'content-length')
    throw new ProtocolError('bad_content_length', 'a tab stands in Content-Length')
  throw new ProtocolError('bad_transfer_encoding', 'a tab stands in Transfer-Encoding')
}

/** Without SP and HTAB at either end (OWS). `trim()` would also take 0xa0, which is an ordinary byte of obs-text. */
export function sliceTrimmed(text: string, from: number, to: number): string {
  while (from < to && isWhiteSpace(text.charCodeAt(from))) from++
  while (to > from && isWhiteSpace(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}

function keyOf(name: string): string {
  if (TOKEN.test(name)) {
    const key = name.toLowerCase()
    // Servers in the manner of CGI take `_` for `-`: for the two fields that decide where a message ends, no such twin.
    if (key === 'content_length' || key === 'transfer_encoding')
      throw new ProtocolError('bad_field', 'a field that frames the message is spelled with an underscore')
    return key
  }
  if (name === '') throw new ProtocolError('bad_field', 'a field line has an empty name')
  // RFC 9112 §5.1: a proxy that lets this pass and a server that trims it see two different fields.
  if (/[\t ]$/.test(name)) throw new ProtocolError('bad_field', 'white space stands before a colon')
  throw new ProtocolError('bad_field', 'a field name is not a token')
}

function isWhiteSpace(code: number): boolean {
  return code === 0x20 || code === 0x09
}
