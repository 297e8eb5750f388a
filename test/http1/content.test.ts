import { describe, expect, test } from 'vitest'
import { fieldLines, type Outcome, readRequests } from './transcript.ts'

const POST = 'POST http://a.example/ HTTP/1.1\r\nHost: a.example\r\n'
const CHUNKED = `${POST}Transfer-Encoding: chunked\r\n\r\n`
const NEXT = 'GET http://a.example/next HTTP/1.1\r\nHost: a.example\r\n\r\n'

/** The content of the first request, after which `NEXT` must stand whole. */
function bodyOf(wire: string): string {
  const { messages, outcome } = readRequests(wire + NEXT)
  expect(outcome).toBe('idle')
  expect(messages.map(({ head }) => head.target)).toEqual(['http://a.example/', 'http://a.example/next'])
  return messages[0]!.body
}

describe('content', () => {
  const accepted: [name: string, wire: string, body: string][] = [
    ['none', `${POST}\r\n`, ''],
    ['a length of 0', `${POST}Content-Length: 0\r\n\r\n`, ''],
    ['a length', `${POST}Content-Length: 5\r\n\r\nhello`, 'hello'],
    ['content that looks like a head', `${POST}Content-Length: ${NEXT.length}\r\n\r\n${NEXT}`, NEXT],
    ['every byte there is', `${POST}Content-Length: 256\r\n\r\n${everyByte()}`, everyByte()],
    ['no chunk', `${CHUNKED}0\r\n\r\n`, ''],
    ['chunks', `${CHUNKED}5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\n\r\n`, 'hello, world'],
    ['a chunk with CRLF and a size line in it', `${CHUNKED}7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n`, '\r\n0\r\n\r\n'],
    [
      'hex digits in both cases',
      `${CHUNKED}A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n`,
      '01234567890123456789',
    ],
    ['a size with zeros before it, 15 digits', `${CHUNKED}000000000000005\r\nhello\r\n0\r\n\r\n`, 'hello'],
    ['a last chunk of several zeros', `${CHUNKED}000\r\n\r\n`, ''],
    ['an extension', `${CHUNKED}5;a\r\nhello\r\n0;b\r\n\r\n`, 'hello'],
    ['extensions with values', `${CHUNKED}5;a=b;c="d;\xe4,\t=";e\r\nhello\r\n0\r\n\r\n`, 'hello'],
  ]
  test.for(accepted)('HTTP1-10/%s', ([, wire, body]) => {
    expect(bodyOf(wire)).toBe(body)
  })

  const refused: [name: string, chunks: string, outcome: Outcome][] = [
    ['an empty size', '\r\n', 'bad_chunk'],
    ['a size that is no number', 'x\r\n', 'bad_chunk'],
    ['a sign', '+5\r\nhello\r\n', 'bad_chunk'],
    ['a minus', '-1\r\n', 'bad_chunk'],
    ['0x', '0x5\r\nhello\r\n', 'bad_chunk'],
    ['a space before the size', ' 5\r\nhello\r\n', 'bad_chunk'],
    ['a space after the size', '5 \r\nhello\r\n', 'bad_chunk'],
    ['a tab after the size', '5\t\r\nhello\r\n', 'bad_chunk'],
    ['an underscore', '1_0\r\nhellohellohello!\r\n', 'bad_chunk'],
    ['a full-width look-alike', '\xb2\r\nhi\r\n', 'bad_chunk'],
    ['the neighbour / of the digits for a digit', '/\r\n', 'bad_chunk'],
    ['the neighbour : of the digits for a digit', ':\r\n', 'bad_chunk'],
    ['the neighbour @ of the letters for a digit', '@\r\n', 'bad_chunk'],
    ['G for a digit', 'G\r\n', 'bad_chunk'],
    ['the neighbour ` of the letters for a digit', '`\r\n', 'bad_chunk'],
    ['g for a digit', 'g\r\n', 'bad_chunk'],
    ['16 digits', '0000000000000005\r\nhello\r\n', 'bad_chunk'],
    ['2^53', '20000000000000\r\n', 'bad_chunk'],
    ['2^53 with zeros', '020000000000000\r\n', 'bad_chunk'],
    ['15 times f', 'fffffffffffffff\r\n', 'bad_chunk'],
    ['digits without end', '5'.repeat(100_000), 'bad_chunk'],
    ['a size line that ends in LF', '5\nhello\r\n0\r\n\r\n', 'bad_line_ending'],
    ['a size line that ends in CR', '5\rhello\r\n', 'bad_line_ending'],
    ['a size line that ends in CR CR LF', '5\r\r\nhello\r\n', 'bad_line_ending'],
    ['a chunk that is longer than its size', '4\r\nhello\r\n0\r\n\r\n', 'bad_chunk'],
    ['a chunk that is shorter than its size', '6\r\nhello\r\n0\r\n\r\n', 'bad_line_ending'],
    ['a chunk that ends in LF', '5\r\nhello\n0\r\n\r\n', 'bad_line_ending'],
    ['a chunk that ends in CR', '5\r\nhello\r0\r\n\r\n', 'bad_chunk'],
    ['a chunk that ends in nothing', '5\r\nhello0\r\n\r\n', 'bad_chunk'],
    ['an extension without a name', '5;\r\nhello\r\n', 'bad_chunk'],
    ['an extension with a space before it', '5 ;a\r\nhello\r\n', 'bad_chunk'],
    ['an extension with a space within', '5;a b\r\nhello\r\n', 'bad_chunk'],
    ['an extension with LF', '5;a\nb\r\nhello\r\n', 'bad_line_ending'],
    ['an extension with CR', '5;a\rb\r\nhello\r\n', 'bad_line_ending'],
    ['an extension with CR in quotes', '5;a="\r"\r\nhello\r\n', 'bad_line_ending'],
    ['an extension with LF in quotes', '5;a="\n"\r\nhello\r\n', 'bad_line_ending'],
    ['an extension with CRLF in quotes', '5;a="\r\n"\r\nhello\r\n', 'bad_chunk'],
    ['an extension with NUL', '5;a\0\r\nhello\r\n', 'bad_field'],
    ['an extension with NUL in quotes', '5;a="\0"\r\nhello\r\n', 'bad_field'],
    ['an extension with quotes that stay open', '5;a="b\r\nhello\r\n', 'bad_chunk'],
    ['an extension with an escape in quotes', '5;a="\\""\r\nhello\r\n', 'bad_chunk'],
    ['an extension with an escaped end of quotes', '5;a="b\\"\r\nhello\r\n', 'bad_chunk'],
    ['an extension with an 8-bit name', '5;\xe4\r\nhello\r\n', 'bad_chunk'],
    ['no empty line after the last chunk', `0\r\n${NEXT}`, 'bad_field'],
    ['LF after the last chunk', '0\r\n\n', 'bad_line_ending'],
    ['CR after the last chunk', '0\r\n\rX\r\n\r\n', 'bad_line_ending'],
    ['a trailer without a colon', '0\r\nX\r\n\r\n', 'bad_field'],
    ['a trailer with a space before the colon', '0\r\nX : y\r\n\r\n', 'bad_field'],
    ['a folded trailer', '0\r\nX: y\r\n z: 1\r\n\r\n', 'bad_field'],
    ['a trailer with LF', '0\r\nX: y\nZ: 1\r\n\r\n', 'bad_line_ending'],
    ['a trailer with NUL', '0\r\nX: \0\r\n\r\n', 'bad_field'],
  ]
  test.for(refused)('HTTP1-11/%s', ([, chunks, outcome]) => {
    const whole = readRequests(CHUNKED + chunks)
    expect(whole.outcome).toBe(outcome)
    expect(whole.messages).toHaveLength(1)
    expect(whole.messages[0]!.trailers).toBeUndefined()
    const bytewise = readRequests(CHUNKED + chunks, { pieces: Array<number>(3000).fill(1) })
    expect(bytewise.outcome).toBe(outcome)
  })
})

describe('trailers', () => {
  test('HTTP1-12 trailers come with the end, in order and as sent', () => {
    const { messages, outcome } = readRequests(
      `${CHUNKED}5\r\nhello\r\n0\r\nGrpc-Status: 0\r\nx-digest:  \xe4=\r\nX-Digest: b\r\n\r\n`,
    )
    expect(outcome).toBe('idle')
    expect(fieldLines(messages[0]!.trailers!)).toEqual(['Grpc-Status: 0', 'x-digest: \xe4=', 'X-Digest: b'])
  })

  test('HTTP1-13 trailers that frame, route, authorise or control are dropped (RFC 9110 section 6.5.1)', () => {
    const dropped = [
      'Content-Length: 5',
      'transfer-encoding: chunked',
      'Host: b.example',
      'Connection: close',
      'Proxy-Authorization: Basic eDp5',
      'Authorization: Bearer x',
      'Cookie: a=b',
      'Set-Cookie: a=b',
      'Cache-Control: no-store',
      'Content-Encoding: gzip',
      'Content-Type: text/html',
      'Trailer: x',
      'TE: trailers',
      'Upgrade: h2c',
      'Expect: 100-continue',
      'Location: http://b.example/',
    ]
    const lines = ['X-Kept: 1', ...dropped, 'X-Kept: 2'].map((line) => `${line}\r\n`).join('')
    const { messages, outcome } = readRequests(`${CHUNKED}0\r\n${lines}\r\n${NEXT}`)
    expect(outcome).toBe('idle')
    expect(fieldLines(messages[0]!.trailers!)).toEqual(['X-Kept: 1', 'X-Kept: 2'])
    expect(messages[1]!.head.target).toBe('http://a.example/next')
  })

  test('HTTP1-14 the trailers of one message are not those of the next', () => {
    const one = `${CHUNKED}0\r\nX: 1\r\n\r\n`
    const { messages } = readRequests(`${one}${CHUNKED}0\r\n\r\n${one}`)
    expect(messages.map(({ trailers }) => fieldLines(trailers!))).toEqual([['X: 1'], [], ['X: 1']])
  })
})

describe('bounds', () => {
  const limits = { chunkExtensionBytes: 20, trailerBytes: 40, fieldCount: 3 }
  const rows: [name: string, chunks: string, outcome: Outcome][] = [
    [
      'extensions of exactly the limit over two chunks',
      `1;${'a'.repeat(9)}\r\n.\r\n0;${'a'.repeat(9)}\r\n\r\n`,
      'idle',
    ],
    [
      'one byte of extension more',
      `1;${'a'.repeat(9)}\r\n.\r\n0;${'a'.repeat(10)}\r\n\r\n`,
      'chunk_extension_too_large',
    ],
    ['one extension that is too large', `1;${'a'.repeat(20)}\r\n`, 'chunk_extension_too_large'],
    ['an extension without end', `1;${'a'.repeat(100_000)}`, 'chunk_extension_too_large'],
    ['small extensions without end', '1;a\r\n.\r\n'.repeat(11), 'chunk_extension_too_large'],
    ['a trailer section of exactly the limit', `0\r\nX: ${'a'.repeat(35)}\r\n\r\n`, 'idle'],
    ['a trailer section of one byte more', `0\r\nX: ${'a'.repeat(36)}\r\n\r\n`, 'trailer_too_large'],
    ['a trailer without end', `0\r\nX: ${'a'.repeat(100_000)}`, 'trailer_too_large'],
    ['as many trailers as permitted', `0\r\n${'X: y\r\n'.repeat(3)}\r\n`, 'idle'],
    ['one trailer more', `0\r\n${'X: y\r\n'.repeat(4)}\r\n`, 'too_many_fields'],
    ['one trailer more, of those that are dropped', `0\r\n${'TE: y\r\n'.repeat(4)}\r\n`, 'too_many_fields'],
  ]
  test.for(rows)('HTTP1-15/%s', ([, chunks, outcome]) => {
    expect(readRequests(CHUNKED + chunks, { limits }).outcome).toBe(outcome)
    const pieces = Array<number>(3000).fill(1)
    expect(readRequests(CHUNKED + chunks, { limits, pieces }).outcome).toBe(outcome)
  })

  test('HTTP1-16 the bounds on extensions and trailers begin anew with each message', () => {
    const one = `${CHUNKED}1;${'a'.repeat(15)}\r\n.\r\n0\r\nX: ${'a'.repeat(30)}\r\n\r\n`
    const { messages, outcome } = readRequests(one.repeat(4), { limits })
    expect(outcome).toBe('idle')
    expect(messages).toHaveLength(4)
  })
})

function everyByte(): string {
  return Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('latin1')
}
