import { describe, expect, test } from 'vitest'
import { DEFAULT_MESSAGE_LIMITS } from '../../src/http1/limits.ts'
import { type RequestHead, RequestReader } from '../../src/http1/request-reader.ts'
import { fieldLines, type Outcome, readRequests } from './transcript.ts'

const HOST = 'Host: a.example\r\n'
const GET = 'GET http://a.example/ HTTP/1.1\r\n'
const POST = 'POST http://a.example/ HTTP/1.1\r\n' + HOST

/** Reads one request, checks that nothing is left over, and returns its head. */
function headOf(wire: string): RequestHead {
  const { messages, outcome, rest } = readRequests(wire, { stopAtClose: false })
  expect({ outcome, rest }).toEqual({
    outcome: messages[0]?.head.method === 'CONNECT' ? 'released' : 'idle',
    rest: '',
  })
  expect(messages).toHaveLength(1)
  return messages[0]!.head
}

describe('what is accepted', () => {
  test('HTTP1-01 a request keeps order, case, duplicates and 8-bit bytes of its fields', () => {
    const head = headOf(
      GET +
        HOST +
        'X-B: 2\r\nx-a:1\r\nX-B:  two words \t\r\nEmpty:\r\nLatin: \xe4\xff\x80\r\nTab: a\tb\r\n\r\n',
    )
    expect(head).toMatchObject({ method: 'GET', target: 'http://a.example/', version: '1.1' })
    expect(fieldLines(head.fields)).toEqual([
      'Host: a.example',
      'X-B: 2',
      'x-a: 1',
      'X-B: two words',
      'Empty: ',
      'Latin: \xe4\xff\x80',
      'Tab: a\tb',
    ])
    expect(head.fields.map(({ key }) => key)).toEqual(['host', 'x-b', 'x-a', 'x-b', 'empty', 'latin', 'tab'])
  })

  test('HTTP1-02 one empty line before a request line is forgiven, also between two requests', () => {
    const { messages, outcome } = readRequests(`\r\n${GET}${HOST}\r\n\r\n${GET}${HOST}\r\n`)
    expect(messages).toHaveLength(2)
    expect(outcome).toBe('idle')
  })

  const accepted: [name: string, wire: string, expected: Partial<RequestHead>][] = [
    [
      'CONNECT of Python: 1.0 without any field',
      'CONNECT a.example:443 HTTP/1.0\r\n\r\n',
      {
        method: 'CONNECT',
        target: 'a.example:443',
        version: '1.0',
        keepAlive: false,
        framing: { kind: 'none' },
      },
    ],
    ['CONNECT without Host in 1.1', 'CONNECT a.example:443 HTTP/1.1\r\n\r\n', { keepAlive: true }],
    ['CONNECT with a Host of somebody else', 'CONNECT a.example:443 HTTP/1.1\r\nHost: b c\r\n\r\n', {}],
    [
      'CONNECT with Content-Length: 0',
      'CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
      { framing: { kind: 'none' } },
    ],
    ['1.0 without Host', 'GET / HTTP/1.0\r\n\r\n', { version: '1.0', keepAlive: false }],
    ['1.0 with keep-alive', 'GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n', { keepAlive: true }],
    [
      '1.0 with keep-alive and close',
      'GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n',
      { keepAlive: false },
    ],
    [
      '1.0 with Proxy-Connection, which says nothing',
      'GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n',
      { keepAlive: false },
    ],
    ['1.1 stays open', `${GET}${HOST}\r\n`, { keepAlive: true }],
    [
      '1.1 with close in any case, among others',
      `${GET}${HOST}Connection: TE,\tCLOSE \r\n\r\n`,
      { keepAlive: false },
    ],
    [
      '1.1 with close in a second line',
      `${GET}${HOST}Connection: TE\r\nConnection: close\r\n\r\n`,
      { keepAlive: false },
    ],
    [
      '1.1 with Proxy-Connection: close, which says nothing',
      `${GET}${HOST}Proxy-Connection: close\r\n\r\n`,
      { keepAlive: true },
    ],
    ['an option that only ends in close', `${GET}${HOST}Connection: close\xa0\r\n\r\n`, { keepAlive: true }],
    ['no framing fields: no content', `${POST}\r\n`, { framing: { kind: 'none' } }],
    ['Content-Length: 0', `${POST}Content-Length: 0\r\n\r\n`, { framing: { kind: 'length', length: 0 } }],
    ['a method that nobody knows', `BREW http://a.example/ HTTP/1.1\r\n${HOST}\r\n`, { method: 'BREW' }],
    [
      'a method in lower case is another method',
      `get http://a.example/ HTTP/1.1\r\n${HOST}\r\n`,
      { method: 'get' },
    ],
    [
      'odd but visible ASCII in the target',
      `GET http://a.example/"<>{}|\\^\`%zz?#[] HTTP/1.1\r\n${HOST}\r\n`,
      { target: 'http://a.example/"<>{}|\\^`%zz?#[]' },
    ],
    ['an empty Host', `${GET}Host:\r\n\r\n`, {}],
    ['a Host with an IPv6 address', `${GET}Host: [2001:db8::1]:8080\r\n\r\n`, {}],
    [
      'an upgrade that is nominated',
      `${GET}${HOST}Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket, h2c\r\n\r\n`,
      { upgrade: ['websocket', 'h2c'] },
    ],
    ['an upgrade that is not nominated', `${GET}${HOST}Upgrade: websocket\r\n\r\n`, { upgrade: [] }],
    [
      'an upgrade in 1.0',
      `GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n`,
      { upgrade: [] },
    ],
    [
      'Expect: 100-continue in 1.0 is ignored',
      'POST / HTTP/1.0\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n',
      { expectContinue: false },
    ],
    [
      'Expect: 100-continue without content is ignored',
      `${POST}Expect: 100-continue\r\n\r\n`,
      { expectContinue: false },
    ],
    [
      'Expect: 100-continue',
      `${POST}Content-Length: 0\r\nExpect: 100-Continue\r\n\r\n`,
      { expectContinue: true },
    ],
    [
      'an expectation that nobody knows',
      `${POST}Content-Length: 0\r\nExpect: tea\r\n\r\n`,
      { expectContinue: false },
    ],
  ]
  test.for(accepted)('HTTP1-03/%s', ([, wire, expected]) => {
    expect(headOf(wire)).toMatchObject(expected)
  })
})

describe('what is refused', () => {
  const refused: [name: string, wire: string, outcome: Outcome][] = [
    ['two empty lines before the request', `\r\n\r\n${GET}${HOST}\r\n`, 'bad_request_line'],
    ['a space before the method', ` ${GET}${HOST}\r\n`, 'bad_request_line'],
    ['two spaces after the method', `GET  / HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['two spaces before the version', `GET /  HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['a space after the version', `GET / HTTP/1.1 \r\n${HOST}\r\n`, 'bad_request_line'],
    ['a space in the target', `GET /a b HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['a tab for the space', `GET\t/ HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['a vertical tab in the target', `GET /\x0b HTTP/1.1\r\n${HOST}\r\n`, 'bad_field'],
    ['DEL in the target', `GET /\x7f HTTP/1.1\r\n${HOST}\r\n`, 'bad_field'],
    ['an 8-bit byte in the target', `GET /\xe4 HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['an 8-bit space in the target', `GET /\xa0 HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['NUL in the target', `GET /\0 HTTP/1.1\r\n${HOST}\r\n`, 'bad_field'],
    ['no target', `GET HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['an empty target', `GET  HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['HTTP/0.9', `GET /\r\n\r\n`, 'bad_request_line'],
    ['no method', `/ HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['a method that is no token', `GE(T / HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['a method with an 8-bit byte', `G\xcbT / HTTP/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['a version in lower case', `GET / http/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['HTTP/1.10', `GET / HTTP/1.10\r\n${HOST}\r\n`, 'bad_request_line'],
    ['HTTP/01.1', `GET / HTTP/01.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['HTTP/1', `GET / HTTP/1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['HTTP/1.1 with a word behind', `GET / HTTP/1.1x\r\n${HOST}\r\n`, 'bad_request_line'],
    ['ICY', `GET / ICY/1.1\r\n${HOST}\r\n`, 'bad_request_line'],
    ['HTTP/1.2', `GET / HTTP/1.2\r\n${HOST}\r\n`, 'bad_version'],
    ['HTTP/2.0', `GET / HTTP/2.0\r\n${HOST}\r\n`, 'bad_version'],
    ['the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, 'bad_version'],
    ['lines that end in LF', `GET / HTTP/1.1\nHost: a.example\n\n`, 'bad_line_ending'],
    ['one line that ends in LF', `${GET}Host: a.example\nX: y\r\n\r\n`, 'bad_line_ending'],
    ['LF LF at the end of the head', `${GET}${HOST}X: y\n\n\r\n\r\n`, 'bad_line_ending'],
    ['LF CR LF at the end of the head', `${GET}Host: a.example\n\r\n`, 'bad_line_ending'],
    ['a bare CR in a value', `${GET}${HOST}X: a\rb\r\n\r\n`, 'bad_line_ending'],
    ['a bare CR before CRLF', `${GET}${HOST}X: a\r\r\n\r\n`, 'bad_line_ending'],
    ['a bare CR in a name', `${GET}${HOST}X\r: a\r\n\r\n`, 'bad_line_ending'],
    ['a bare CR in the request line', `GET /\r HTTP/1.1\r\n${HOST}\r\n`, 'bad_line_ending'],
    ['a bare CR first of all', `\r${GET}${HOST}\r\n`, 'bad_line_ending'],
    ['a bare LF first of all', `\n${GET}${HOST}\r\n`, 'bad_line_ending'],
    ['obs-fold with a space', `${GET}${HOST}X: a\r\n b\r\n\r\n`, 'obsolete_folding'],
    ['obs-fold with a tab', `${GET}${HOST}X: a\r\n\tb\r\n\r\n`, 'obsolete_folding'],
    ['obs-fold of white space only', `${GET}${HOST}X: a\r\n \r\n\r\n`, 'obsolete_folding'],
    ['obs-fold of the request line', `${GET} x: y\r\n${HOST}\r\n`, 'obsolete_folding'],
    ['NUL in a value', `${GET}${HOST}X: a\0b\r\n\r\n`, 'bad_field'],
    ['ESC in a value', `${GET}${HOST}X: \x1b[31m\r\n\r\n`, 'bad_field'],
    ['DEL in a value', `${GET}${HOST}X: \x7f\r\n\r\n`, 'bad_field'],
    ['a form feed in a value', `${GET}${HOST}X: a\x0cb\r\n\r\n`, 'bad_field'],
    ['a space before the colon', `${GET}${HOST}X : a\r\n\r\n`, 'bad_field'],
    ['a tab before the colon', `${GET}${HOST}X\t: a\r\n\r\n`, 'bad_field'],
    ['a space before the colon of Content-Length', `${POST}Content-Length : 5\r\n\r\nhello`, 'bad_field'],
    [
      'a space before the colon of Transfer-Encoding',
      `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
      'bad_field',
    ],
    ['a space within a name', `${GET}${HOST}X Y: a\r\n\r\n`, 'bad_field'],
    ['an empty name', `${GET}${HOST}: a\r\n\r\n`, 'bad_field'],
    ['no colon', `${GET}${HOST}X\r\n\r\n`, 'bad_field'],
    ['no colon, and one in the next line', `${GET}X\r\n${HOST}\r\n`, 'bad_field'],
    ['a name with an 8-bit byte', `${GET}${HOST}X\xe4: a\r\n\r\n`, 'bad_field'],
    ['a name with a slash', `${GET}${HOST}X/Y: a\r\n\r\n`, 'bad_field'],
    ['a name in quotes', `${GET}${HOST}"X": a\r\n\r\n`, 'bad_field'],
    ['no Host in 1.1', `${GET}\r\n`, 'bad_host'],
    ['no field at all in 1.1', `GET / HTTP/1.1\r\n\r\n`, 'bad_host'],
    ['two Hosts', `${GET}${HOST}Host: b.example\r\n\r\n`, 'bad_host'],
    ['two equal Hosts', `${GET}${HOST}host: a.example\r\n\r\n`, 'bad_host'],
    ['two Hosts in 1.0', `GET / HTTP/1.0\r\n${HOST}${HOST}\r\n`, 'bad_host'],
    ['two Hosts in a CONNECT', `CONNECT a.example:443 HTTP/1.1\r\n${HOST}${HOST}\r\n`, 'bad_host'],
    ['a Host with a space', `${GET}Host: a.example b.example\r\n\r\n`, 'bad_host'],
    ['a Host with user information', `${GET}Host: u@a.example\r\n\r\n`, 'bad_host'],
    ['a Host with a path', `${GET}Host: a.example/x\r\n\r\n`, 'bad_host'],
    ['a Host with an 8-bit byte', `${GET}Host: \xe4.example\r\n\r\n`, 'bad_host'],
    [
      'Content-Length and Transfer-Encoding',
      `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'ambiguous_framing',
    ],
    [
      'Transfer-Encoding and Content-Length',
      `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
      'ambiguous_framing',
    ],
    [
      'Transfer-Encoding and Content-Length: 0',
      `${POST}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n`,
      'ambiguous_framing',
    ],
    ['two lengths', `${POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, 'bad_content_length'],
    ['two equal lengths', `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, 'bad_content_length'],
    [
      'two equal lengths, spelled in two cases',
      `${POST}content-length: 5\r\nCONTENT-LENGTH: 5\r\n\r\nhello`,
      'bad_content_length',
    ],
    ['a list of lengths', `${POST}Content-Length: 5, 5\r\n\r\nhello`, 'bad_content_length'],
    ['a list with an empty member', `${POST}Content-Length: 5,\r\n\r\nhello`, 'bad_content_length'],
    ['an empty length', `${POST}Content-Length:\r\n\r\n`, 'bad_content_length'],
    ['a length with a plus', `${POST}Content-Length: +5\r\n\r\nhello`, 'bad_content_length'],
    ['a length with a minus', `${POST}Content-Length: -0\r\n\r\n`, 'bad_content_length'],
    ['a length in hex', `${POST}Content-Length: 0x5\r\n\r\nhello`, 'bad_content_length'],
    ['a length with a leading zero', `${POST}Content-Length: 05\r\n\r\nhello`, 'bad_content_length'],
    ['a length with a point', `${POST}Content-Length: 5.0\r\n\r\nhello`, 'bad_content_length'],
    ['a length with an exponent', `${POST}Content-Length: 5e0\r\n\r\nhello`, 'bad_content_length'],
    ['a length with an underscore', `${POST}Content-Length: 1_0\r\n\r\nhellohello`, 'bad_content_length'],
    ['a length with a space within', `${POST}Content-Length: 1 0\r\n\r\nhello`, 'bad_content_length'],
    ['a length with an 8-bit space', `${POST}Content-Length: \xa05\r\n\r\nhello`, 'bad_content_length'],
    ['a length of 2^53', `${POST}Content-Length: 9007199254740992\r\n\r\n`, 'bad_content_length'],
    [
      'a length of 2^64 + 5',
      `${POST}Content-Length: 18446744073709551621\r\n\r\nhello`,
      'bad_content_length',
    ],
    [
      'a coding before chunked',
      `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      'unknown_transfer_coding',
    ],
    [
      'a coding after chunked',
      `${POST}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`,
      'unknown_transfer_coding',
    ],
    ['identity', `${POST}Transfer-Encoding: identity\r\n\r\n`, 'unknown_transfer_coding'],
    ['xchunked', `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 'unknown_transfer_coding'],
    [
      'chunked twice in a list',
      `${POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
      'bad_transfer_encoding',
    ],
    [
      'chunked twice in two lines',
      `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'bad_transfer_encoding',
    ],
    [
      'chunked, then identity in another line',
      `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
      'bad_transfer_encoding',
    ],
    [
      'a chunked coding in capitals',
      `${POST}Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n`,
      'bad_transfer_encoding',
    ],
    ['a length with an underscore in its name', `${POST}Content_Length: 5\r\n\r\nhello`, 'bad_field'],
    ['a coding with an underscore in its name', `${POST}TRANSFER_encoding: chunked\r\n\r\n`, 'bad_field'],
    ['an empty coding', `${POST}Transfer-Encoding:\r\n\r\n`, 'bad_transfer_encoding'],
    [
      'chunked and an empty member',
      `${POST}Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n`,
      'bad_transfer_encoding',
    ],
    ['chunked in quotes', `${POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`, 'bad_transfer_encoding'],
    [
      'chunked with a parameter',
      `${POST}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n`,
      'bad_transfer_encoding',
    ],
    [
      'chunked with an 8-bit space',
      `${POST}Transfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n`,
      'bad_transfer_encoding',
    ],
    ['a tab behind chunked', `${POST}Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n`, 'bad_transfer_encoding'],
    ['a tab before chunked', `${POST}Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n`, 'bad_transfer_encoding'],
    ['a tab behind a length', `${POST}Content-Length: 5\t\r\n\r\nhello`, 'bad_content_length'],
    ['a tab before a length', `${POST}Content-Length:\t5\r\n\r\nhello`, 'bad_content_length'],
    [
      'chunked in 1.0',
      `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'bad_transfer_encoding',
    ],
    [
      'CONNECT with content',
      `CONNECT a.example:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello`,
      'content_not_permitted',
    ],
    [
      'CONNECT with chunked content',
      `CONNECT a.example:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'content_not_permitted',
    ],
  ]
  test.for(refused)('HTTP1-04/%s', ([, wire, outcome]) => {
    const transcript = readRequests(wire)
    expect(transcript.outcome).toBe(outcome)
    expect(transcript.messages).toEqual([])
  })

  const statuses: [name: string, wire: string, status: number][] = [
    ['what is malformed', `GET / HTTP/1.1\r\nX : y\r\n\r\n`, 400],
    ['a target that is too long', `GET /${'x'.repeat(9000)} HTTP/1.1\r\n${HOST}\r\n`, 414],
    ['a head that is too large', `${GET}${HOST}X: ${'y'.repeat(17_000)}\r\n\r\n`, 431],
    ['too many fields', `${GET}${HOST}${'X: y\r\n'.repeat(100)}\r\n`, 431],
    ['a coding that nobody here knows', `${POST}Transfer-Encoding: gzip\r\n\r\n`, 501],
    ['a version that nobody here speaks', `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
  ]
  test.for(statuses)('HTTP1-17/%s has its own status (RFC 9110 section 15)', ([, wire, status]) => {
    const reader = new RequestReader(DEFAULT_MESSAGE_LIMITS)
    reader.push(Buffer.from(wire))
    expect(() => reader.next()).toThrow(expect.objectContaining({ status }))
  })

  test('HTTP1-05 a second request with the same fields is judged as strictly as the first', () => {
    const fields = `${HOST}Connection: keep-alive\r\n\r\n`
    const first = `${GET}${fields}`
    expect(readRequests(`${first}GET /\x0b HTTP/1.1\r\n${fields}`)).toMatchObject({
      outcome: 'bad_request_line',
    })
    expect(readRequests(`${first}GET / HTTP/3.0\r\n${fields}`)).toMatchObject({ outcome: 'bad_version' })
    expect(readRequests(`${first}\r\n\r\n${first}`)).toMatchObject({ outcome: 'bad_request_line' })
    const other = (field: string) => readRequests(`${first}${GET}${HOST}${field}\r\n\r\n`).outcome
    expect(other('X: \0')).toBe('bad_field')
    expect(other('X: a\rb')).toBe('bad_line_ending')
    expect(other('X: a\r\n b')).toBe('obsolete_folding')
    expect(other('X : a')).toBe('bad_field')
    const connect = readRequests(`${first}CONNECT a.example:1 HTTP/1.1\r\n${fields}`)
    expect(connect.messages.map(({ head }) => head.method)).toEqual(['GET', 'CONNECT'])
  })

  test('HTTP1-06 the same fields mean something else in another version or for another method', () => {
    const fields = `${HOST}Content-Length: 0\r\n\r\n`
    const { messages } = readRequests(`POST / HTTP/1.1\r\n${fields}CONNECT a.example:1 HTTP/1.1\r\n${fields}`)
    expect(messages.map(({ head }) => head.framing.kind)).toEqual(['length', 'none'])
    const old = readRequests(`POST / HTTP/1.1\r\n${fields}POST / HTTP/1.0\r\n${fields}`)
    expect(old.messages.map(({ head }) => head.keepAlive)).toEqual([true, false])
    const chunked = `${HOST}Transfer-Encoding: chunked\r\n\r\n`
    expect(readRequests(`POST / HTTP/1.1\r\n${chunked}0\r\n\r\nPOST / HTTP/1.0\r\n${chunked}`).outcome).toBe(
      'bad_transfer_encoding',
    )
  })

  test('HTTP1-07 an error repeats nothing of what the peer sent, and comes again at every call', () => {
    const reader = new RequestReader(DEFAULT_MESSAGE_LIMITS)
    reader.push(Buffer.from(`${GET}${HOST}Authorization : hunter2\r\n\r\n`))
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'bad_field', status: 400 }))
    reader.push(Buffer.from(`${GET}${HOST}\r\n`))
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'bad_field' }))
    expect(() => reader.next()).not.toThrow(/hunter2/)
    expect(reader.buffered).toBe(0)
  })
})

describe('bounds', () => {
  const limits = { headBytes: 256, targetBytes: 64, fieldCount: 5 }
  const fill = (bytes: number) => 'x'.repeat(bytes)
  const start = 'GET / HTTP/1.1\r\nHost: a\r\nX: '
  const exact = `${start}${fill(256 - start.length - 4)}\r\n\r\n`

  const rows: [name: string, wire: string, outcome: Outcome][] = [
    ['a head of exactly the limit', exact, 'idle'],
    ['a head of one byte more', exact.replace('X: ', 'X: x'), 'head_too_large'],
    ['a head whose end never comes', start + fill(100_000), 'head_too_large'],
    ['a field line without end', `GET / HTTP/1.1\r\n${fill(100_000)}`, 'head_too_large'],
    ['a request line without end', `GET /${fill(100_000)}`, 'target_too_long'],
    ['a request line without end after an empty line', `\r\nGET /${fill(100_000)}`, 'target_too_long'],
    [
      'a request line that is longer than the head may be',
      `GET /${fill(300)} HTTP/1.1\r\n${HOST}\r\n`,
      'target_too_long',
    ],
    ['garbage without end', fill(100_000), 'target_too_long'],
    ['a target of exactly the limit', `GET /${fill(63)} HTTP/1.1\r\n${HOST}\r\n`, 'idle'],
    ['a target of one byte more', `GET /${fill(64)} HTTP/1.1\r\n${HOST}\r\n`, 'target_too_long'],
    ['as many field lines as permitted', `GET / HTTP/1.1\r\nHost: a\r\n${'A: b\r\n'.repeat(4)}\r\n`, 'idle'],
    ['one field line more', `GET / HTTP/1.1\r\nHost: a\r\n${'A: b\r\n'.repeat(5)}\r\n`, 'too_many_fields'],
    ['LF without CR within the limit', `GET / HTTP/1.1\nHost: a\r\nX: ${fill(100_000)}`, 'bad_line_ending'],
  ]
  test.for(rows)('HTTP1-08/%s', ([, wire, outcome]) => {
    expect(readRequests(wire, { limits }).outcome).toBe(outcome)
    expect(readRequests(wire, { limits, pieces: Array<number>(1000).fill(1) }).outcome).toBe(outcome)
  })

  test('HTTP1-09 lines that end in LF are refused at once, not at a time limit', () => {
    expect(readRequests('GET / HTTP/1.1\n').outcome).toBe('bad_line_ending')
    expect(readRequests('GET / HTTP/1.1\r\nHost: a\r\n\n').outcome).toBe('bad_line_ending')
    expect(readRequests('GET / HTTP/1.1\r\nHost: a\r\n\r').outcome).toBe('partial')
  })
})
