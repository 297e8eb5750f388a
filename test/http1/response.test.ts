import { describe, expect, test } from 'vitest'
import { DEFAULT_MESSAGE_LIMITS } from '../../src/http1/limits.ts'
import { type ResponseHead, ResponseReader } from '../../src/http1/response-reader.ts'
import { type Asking, fieldLines, type Outcome, readResponse } from './transcript.ts'

const OK = 'HTTP/1.1 200 OK\r\n'

describe('what is accepted', () => {
  const accepted: [name: string, wire: string, asking: Asking, head: Partial<ResponseHead>, body: string][] =
    [
      [
        'a length',
        `${OK}Content-Length: 5\r\n\r\nhello`,
        {},
        { status: 200, reason: 'OK', version: '1.1', keepAlive: true },
        'hello',
      ],
      [
        'a length of 0',
        `${OK}Content-Length: 0\r\n\r\n`,
        {},
        { framing: { kind: 'length', length: 0 }, keepAlive: true },
        '',
      ],
      [
        'chunks',
        `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
        {},
        { framing: { kind: 'chunked' }, keepAlive: true },
        'hello',
      ],
      [
        'until close',
        `${OK}\r\nhello\r\n0\r\n\r\n`,
        {},
        { framing: { kind: 'close' }, keepAlive: false },
        'hello\r\n0\r\n\r\n',
      ],
      ['until close, nothing', `${OK}\r\n`, {}, { framing: { kind: 'close' } }, ''],
      [
        'until close from 1.0',
        'HTTP/1.0 200 OK\r\n\r\nhello',
        {},
        { version: '1.0', keepAlive: false },
        'hello',
      ],
      [
        '1.0 that stays open',
        'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello',
        {},
        { keepAlive: true },
        'hello',
      ],
      [
        '1.0 that does not',
        'HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello',
        {},
        { keepAlive: false },
        'hello',
      ],
      [
        '1.1 that closes',
        `${OK}Connection: close\r\nContent-Length: 5\r\n\r\nhello`,
        {},
        { keepAlive: false },
        'hello',
      ],
      [
        'until close although it says keep-alive',
        `${OK}Connection: keep-alive\r\n\r\nhello`,
        {},
        { keepAlive: false },
        'hello',
      ],
      [
        'HEAD with a length',
        `${OK}Content-Length: 5\r\n\r\n`,
        { method: 'HEAD' },
        { framing: { kind: 'none' }, keepAlive: true },
        '',
      ],
      [
        'HEAD with a coding',
        `${OK}Transfer-Encoding: chunked\r\n\r\n`,
        { method: 'HEAD' },
        { framing: { kind: 'none' }, keepAlive: true },
        '',
      ],
      [
        'HEAD with neither',
        `${OK}\r\n`,
        { method: 'HEAD' },
        { framing: { kind: 'none' }, keepAlive: true },
        '',
      ],
      [
        'head in lower case is another method',
        `${OK}Content-Length: 5\r\n\r\nhello`,
        { method: 'head' },
        {},
        'hello',
      ],
      [
        '304 with a length',
        'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n',
        {},
        { framing: { kind: 'none' }, keepAlive: true },
        '',
      ],
      ['204', 'HTTP/1.1 204 No Content\r\n\r\n', {}, { framing: { kind: 'none' }, keepAlive: true }, ''],
      [
        '205 with a length',
        'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n',
        {},
        { framing: { kind: 'length', length: 0 } },
        '',
      ],
      [
        'a 2xx to CONNECT, whatever it says',
        `${OK}Content-Length: 5\r\n\r\n`,
        { method: 'CONNECT' },
        { framing: { kind: 'none' } },
        '',
      ],
      [
        'a 407 to CONNECT has content',
        'HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nhello',
        { method: 'CONNECT' },
        {},
        'hello',
      ],
      [
        '101 that was asked for',
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n',
        { upgradeAsked: true },
        { status: 101, framing: { kind: 'none' }, upgrade: ['websocket'] },
        '',
      ],
      ['an empty reason', 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n', {}, { reason: '' }, ''],
      ['no reason and no space', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', {}, { reason: '' }, ''],
      [
        'a reason with spaces, tabs and 8-bit bytes',
        'HTTP/1.1 200  a\tb \xe4\r\nContent-Length: 0\r\n\r\n',
        {},
        { reason: ' a\tb \xe4' },
        '',
      ],
      [
        'a status that nobody knows',
        'HTTP/1.1 999 Request denied\r\nContent-Length: 0\r\n\r\n',
        {},
        { status: 999 },
        '',
      ],
    ]
  test.for(accepted)('HTTP1-20/%s', ([, wire, asking, head, body]) => {
    const { messages, outcome } = readResponse(wire, asking)
    expect(outcome).toBe('idle')
    expect(messages).toHaveLength(1)
    expect(messages[0]!.head).toMatchObject(head)
    expect(messages[0]!.body).toBe(body)
  })

  test('HTTP1-21 interim responses come before the final one and are told apart', () => {
    const { interim, messages } = readResponse(
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' +
        `${OK}Content-Length: 2\r\n\r\nhi`,
    )
    expect(interim.map(({ status }) => status)).toEqual([100, 103])
    expect(fieldLines(interim[1]!.fields)).toEqual(['Link: </a>'])
    expect(messages).toMatchObject([{ head: { status: 200 }, body: 'hi' }])
  })

  test('HTTP1-22 a 204 or 1xx loses its framing fields; one that owes content ends its connection', () => {
    const rows: [fields: string, keepAlive: boolean][] = [
      ['Content-Length: 0\r\n', true],
      ['Content-Length: 5\r\n', false],
      ['Transfer-Encoding: chunked\r\n', false],
    ]
    for (const [fields, keepAlive] of rows) {
      const { messages, outcome } = readResponse(`HTTP/1.1 204 No Content\r\nA: b\r\n${fields}\r\n`)
      expect(outcome).toBe('idle')
      expect(messages[0]!.head).toMatchObject({ framing: { kind: 'none' }, keepAlive })
      expect(fieldLines(messages[0]!.head.fields)).toEqual(['A: b'])
      const { interim } = readResponse(
        `HTTP/1.1 103 Early Hints\r\nA: b\r\n${fields}\r\n${OK}Content-Length: 0\r\n\r\n`,
      )
      expect(fieldLines(interim[0]!.fields)).toEqual(['A: b'])
    }
  })
})

describe('what is refused', () => {
  const refused: [name: string, wire: string, outcome: Outcome, asking?: Asking][] = [
    ['a request', 'GET / HTTP/1.1\r\n\r\n', 'bad_status_line'],
    ['HTTP/0.9', '<html>\r\n\r\n', 'bad_status_line'],
    ['ICY', 'ICY 200 OK\r\n\r\n', 'bad_status_line'],
    ['HTTP/2', 'HTTP/2 200 OK\r\n\r\n', 'bad_version'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n', 'bad_version'],
    ['a version in lower case', 'http/1.1 200 OK\r\n\r\n', 'bad_status_line'],
    ['HTTP/1.10', 'HTTP/1.10 200 OK\r\n\r\n', 'bad_status_line'],
    ['an empty line first', `\r\n${OK}\r\n`, 'bad_status_line'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', 'bad_status_line'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', 'bad_status_line'],
    ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n', 'bad_status_line'],
    ['a status with a sign', 'HTTP/1.1 +20 OK\r\n\r\n', 'bad_status_line'],
    ['two spaces before the status', 'HTTP/1.1  200 OK\r\n\r\n', 'bad_status_line'],
    ['a tab before the status', 'HTTP/1.1\t200 OK\r\n\r\n', 'bad_status_line'],
    ['a tab after the status', 'HTTP/1.1 200\tOK\r\n\r\n', 'bad_status_line'],
    ['no status', 'HTTP/1.1\r\n\r\n', 'bad_status_line'],
    ['an interim response in 1.0', 'HTTP/1.0 100 Continue\r\n\r\n' + OK + '\r\n', 'bad_status_line'],
    ['101 in 1.0', 'HTTP/1.0 101 Switching Protocols\r\n\r\n', 'bad_status_line', { upgradeAsked: true }],
    ['NUL in the reason', 'HTTP/1.1 200 \0\r\n\r\n', 'bad_field'],
    ['CR in the reason', 'HTTP/1.1 200 a\rb\r\n\r\n', 'bad_line_ending'],
    ['LF for CRLF', 'HTTP/1.1 200 OK\n\n', 'bad_line_ending'],
    ['NUL in a value', `${OK}X: \0\r\n\r\n`, 'bad_field'],
    ['obs-fold', `${OK}X: a\r\n b\r\n\r\n`, 'obsolete_folding'],
    ['a space before the colon', `${OK}Content-Length : 5\r\n\r\nhello`, 'bad_field'],
    ['two lengths', `${OK}Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello`, 'bad_content_length'],
    ['a list of lengths', `${OK}Content-Length: 5, 5\r\n\r\nhello`, 'bad_content_length'],
    ['a bad length to HEAD', `${OK}Content-Length: 5, 6\r\n\r\n`, 'bad_content_length', { method: 'HEAD' }],
    [
      'length and coding',
      `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'ambiguous_framing',
    ],
    [
      'length and coding in a 304',
      'HTTP/1.1 304 Not\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
      'ambiguous_framing',
    ],
    ['another coding', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 'unknown_transfer_coding'],
    [
      'a coding in 1.0',
      'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'bad_transfer_encoding',
    ],
    [
      '101 that nobody asked for',
      'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
      'unasked_upgrade',
    ],
    ['the end in the head', `${OK}Content-Le`, 'unexpected_eof'],
    ['the end before the head', '', 'unexpected_eof'],
    ['the end after an interim response', 'HTTP/1.1 100 Continue\r\n\r\n', 'unexpected_eof'],
    ['the end in a length', `${OK}Content-Length: 5\r\n\r\nhell`, 'unexpected_eof'],
    ['the end in a chunk', `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhell`, 'unexpected_eof'],
    ['the end after a chunk', `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`, 'unexpected_eof'],
    ['the end in the trailers', `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n`, 'unexpected_eof'],
  ]
  test.for(refused)('HTTP1-23/%s', ([, wire, outcome, asking = {}]) => {
    const transcript = readResponse(wire, asking)
    expect(transcript.outcome).toBe(outcome)
    expect(transcript.messages.every(({ trailers }) => trailers === undefined)).toBe(true)
  })

  test('HTTP1-24 interim responses are counted', () => {
    const final = `${OK}Content-Length: 0\r\n\r\n`
    const interim = 'HTTP/1.1 102 Processing\r\n\r\n'
    const limits = { interimCount: 3 }
    expect(readResponse(interim.repeat(3) + final, { limits }).outcome).toBe('idle')
    expect(readResponse(interim.repeat(4) + final, { limits }).outcome).toBe('too_many_interim_responses')
  })

  test('HTTP1-25 a head beyond its limits', () => {
    const limits = { headBytes: 100, fieldCount: 3 }
    expect(readResponse(`${OK}X: ${'y'.repeat(100)}\r\n\r\n`, { limits }).outcome).toBe('head_too_large')
    expect(readResponse(`HTTP/1.1 200 ${'y'.repeat(100)}\r\n\r\n`, { limits }).outcome).toBe('head_too_large')
    expect(readResponse(`${OK}${'X: y\r\n'.repeat(4)}\r\n`, { limits }).outcome).toBe('too_many_fields')
    expect(readResponse(`${OK}${'X: y\r\n'.repeat(3)}\r\n`, { limits }).outcome).toBe('idle')
  })
})

describe('what belongs to which request', () => {
  function createReader(): ResponseReader {
    return new ResponseReader(DEFAULT_MESSAGE_LIMITS)
  }
  const response = Buffer.from(`${OK}Content-Length: 2\r\n\r\nhi`)

  test('HTTP1-26 one reader reads one response after the other', () => {
    const reader = createReader()
    for (const method of ['GET', 'HEAD', 'GET']) {
      reader.expect(method)
      expect(reader.atMessageStart).toBe(true)
      reader.push(method === 'HEAD' ? response.subarray(0, -2) : response)
      expect(reader.next()).toMatchObject({ kind: 'head' })
      expect(reader.atMessageStart).toBe(false)
      if (method === 'GET') expect(reader.next()).toMatchObject({ kind: 'data' })
      expect(reader.next()).toMatchObject({ kind: 'end' })
      expect(reader.next()).toBeUndefined()
    }
    expect(reader.eof()).toBeUndefined()
  })

  test('HTTP1-27 bytes that nobody asked for are an error', () => {
    const reader = createReader()
    reader.push(Buffer.from('x'))
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'unexpected_response' }))
  })

  test('HTTP1-28 a second response to one request is an error, not the answer to the next request', () => {
    const reader = createReader()
    reader.expect('GET')
    reader.push(Buffer.concat([response, response]))
    for (const kind of ['head', 'data', 'end']) expect(reader.next()).toMatchObject({ kind })
    expect(reader.buffered).toBe(response.length)
    reader.expect('GET')
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'unexpected_response' }))
  })

  test('HTTP1-29 content after a bodiless response is an error', () => {
    const reader = createReader()
    reader.expect('HEAD')
    reader.push(response)
    for (const kind of ['head', 'end']) expect(reader.next()).toMatchObject({ kind })
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'unexpected_response' }))
  })

  test('HTTP1-30 a request may not be expected before the last response is whole', () => {
    const reader = createReader()
    reader.expect('GET')
    expect(() => reader.expect('GET')).toThrow('the last response is not complete')
    reader.push(response.subarray(0, -1))
    while (reader.next() !== undefined);
    expect(() => reader.expect('GET')).toThrow('the last response is not complete')
  })

  test('HTTP1-31 the bytes after a 101 belong to the tunnel', () => {
    const reader = createReader()
    reader.expect('GET', true)
    reader.push(Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nGET / HTT'))
    reader.push(Buffer.from('P/1.1'))
    for (const kind of ['head', 'end']) expect(reader.next()).toMatchObject({ kind })
    expect(reader.next()).toBeUndefined()
    expect(reader.takeRest().toString()).toBe('GET / HTTP/1.1')
    expect(() => reader.push(Buffer.from('x'))).toThrow('takeRest')
    expect(reader.eof()).toBeUndefined()
  })

  test('HTTP1-34 what came after a 101 outlives the buffer it came in', () => {
    const reader = createReader()
    reader.expect('GET', true)
    const pooled = Buffer.from(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00',
      'latin1',
    )
    reader.push(pooled)
    while (reader.next() !== undefined);
    pooled.fill(0x58)
    expect(reader.takeRest().toString('latin1')).toBe('\x81\x00')
  })

  test('HTTP1-35 interim responses are counted for each request anew', () => {
    const reader = new ResponseReader({ ...DEFAULT_MESSAGE_LIMITS, interimCount: 2 })
    for (let request = 0; request < 3; request++) {
      reader.expect('GET')
      reader.push(Buffer.from(`${'HTTP/1.1 102 Processing\r\n\r\n'.repeat(2)}${OK}Content-Length: 0\r\n\r\n`))
      for (const kind of ['interim', 'interim', 'head', 'end']) expect(reader.next()).toMatchObject({ kind })
    }
  })

  test('HTTP1-32 content until close ends with the connection, however the bytes and the end are told', () => {
    const whole = Buffer.from(`${OK}\r\nhello`)
    const drained = createReader()
    drained.expect('GET')
    drained.push(whole)
    for (const kind of ['head', 'data', undefined]) expect(drained.next()?.kind).toBe(kind)
    expect(drained.eof()).toEqual({ kind: 'end', trailers: [] })
    expect(drained.eof()).toBeUndefined()

    const late = createReader()
    late.expect('GET')
    late.push(whole)
    expect(late.eof()).toBeUndefined()
    for (const kind of ['head', 'data', 'end', undefined]) expect(late.next()?.kind).toBe(kind)
  })

  test('HTTP1-33 a truncated response is an error also when the end was told before it was read', () => {
    const reader = createReader()
    reader.expect('GET')
    reader.push(response.subarray(0, -1))
    expect(reader.eof()).toBeUndefined()
    for (const kind of ['head', 'data']) expect(reader.next()).toMatchObject({ kind })
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'unexpected_eof' }))
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'unexpected_eof' }))
  })
})
