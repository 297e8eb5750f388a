import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Field, field } from '../../src/core/fields.ts'
import { chunk, lastChunk, requestHead, responseHead } from '../../src/http1/writer.ts'
import { nodeReadsRequests, nodeReadsResponses } from './node-parser.ts'
import { bytesOf, fieldLines, readRequests, readResponse } from './transcript.ts'

describe('what is written', () => {
  test('HTTP1-60 heads, byte for byte', () => {
    expect(requestHead('GET', '/a?b', [field('Host', 'a'), field('x-B', '\xe4\t1')]).toString('latin1')).toBe(
      'GET /a?b HTTP/1.1\r\nHost: a\r\nx-B: \xe4\t1\r\n\r\n',
    )
    expect(responseHead(200, 'OK', []).toString('latin1')).toBe('HTTP/1.1 200 OK\r\n\r\n')
    expect(responseHead(503, '', [field('A', '')], '1.0').toString('latin1')).toBe(
      'HTTP/1.0 503 \r\nA: \r\n\r\n',
    )
  })

  test('HTTP1-61 chunks, byte for byte', () => {
    const bytes = Buffer.alloc(0x1a2b, 0x2e)
    const pieces = chunk(bytes)
    expect(pieces[1]).toBe(bytes) // not copied
    expect(pieces.map((piece) => piece.length)).toEqual([6, bytes.length, 2])
    expect(pieces[0]!.toString()).toBe('1a2b\r\n')
    expect(lastChunk([]).toString()).toBe('0\r\n\r\n')
    expect(lastChunk([field('X', 'y')]).toString()).toBe('0\r\nX: y\r\n\r\n')
    expect(() => chunk(Buffer.alloc(0))).toThrow(RangeError)
  })

  // U+010A and U+010D are LF and CR to whoever keeps the low byte only, as latin1 encoders do.
  const enders = ['\r', '\n', '\r\n', '\0', '\u010a', '\u010d', '\u0100', '\x7f', '\x1b']
  const parts: [name: string, write: (text: string) => Buffer][] = [
    ['a method', (text) => requestHead(`GE${text}T`, '/', [])],
    ['a target', (text) => requestHead('GET', `/${text}`, [])],
    ['a name', (text) => requestHead('GET', '/', [field(`A${text}`, 'b')])],
    ['a value', (text) => requestHead('GET', '/', [field('A', `b${text}`)])],
    ['a value, within', (text) => requestHead('GET', '/', [field('A', `b${text}X: y`)])],
    ['a reason', (text) => responseHead(200, `OK${text}`, [])],
    ['a name in a response', (text) => responseHead(200, 'OK', [field(`A${text}`, 'b')])],
    ['a value in a response', (text) => responseHead(200, 'OK', [field('A', `b${text}`)])],
    ['a name in a trailer', (text) => lastChunk([field(`A${text}`, 'b')])],
    ['a value in a trailer', (text) => lastChunk([field('A', `b${text}`)])],
  ]
  test.for(parts)('HTTP1-62/%s that would end early is not written', ([, write]) => {
    expect(() => write('')).not.toThrow()
    for (const ender of enders) expect(() => write(ender)).toThrow(TypeError)
  })

  const words: [name: string, write: () => Buffer][] = [
    ['an empty method', () => requestHead('', '/', [])],
    ['a method with a space', () => requestHead('GET /', '/', [])],
    ['an empty target', () => requestHead('GET', '', [])],
    ['a target with a space', () => requestHead('GET', '/ HTTP/1.1', [])],
    ['a target with an 8-bit byte', () => requestHead('GET', '/\xe4', [])],
    ['an empty name', () => requestHead('GET', '/', [field('', 'b')])],
    ['a name with a colon', () => requestHead('GET', '/', [field('A:', 'b')])],
    ['a name with a space', () => requestHead('GET', '/', [field('A ', 'b')])],
    ['a name that begins with a space', () => requestHead('GET', '/', [field(' A', 'b')])],
    ['a status of two digits', () => responseHead(99, 'x', [])],
    ['a status of four digits', () => responseHead(1000, 'x', [])],
    ['a status that is no whole number', () => responseHead(200.5, 'x', [])],
    ['a status that is no number', () => responseHead(Number.NaN, 'x', [])],
  ]
  test.for(words)('HTTP1-63/%s is not written', ([, write]) => {
    expect(write).toThrow(TypeError)
  })

  test('HTTP1-64 the error names the field and never its value', () => {
    const secret = 'hunter2'
    const write = () => requestHead('GET', '/', [field('Authorization', `${secret}\r\n`)])
    expect(write).toThrow('Authorization')
    expect(write).not.toThrow(secret)
  })
})

const tokenCharacters = [..."!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
const token = fc
  .array(fc.constantFrom(...tokenCharacters), { minLength: 1, maxLength: 12 })
  .map((all) => all.join(''))
const textBytes = fc.oneof(
  fc.constant(0x09),
  fc.integer({ min: 0x20, max: 0x7e }),
  fc.integer({ min: 0x80, max: 0xff }),
)
const text = fc.array(textBytes, { maxLength: 20 }).map((codes) => String.fromCharCode(...codes))
const value = text.map((each) => each.replaceAll(/^[\t ]+|[\t ]+$/g, ''))
const anyField = fc.tuple(token, value).map(([name, value]) => field(`X-${name}`, value))
const fields = fc.array(anyField, { maxLength: 6 })
const content = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const framing = fc.constantFrom('none' as const, 'length' as const, 'chunked' as const)

interface Written {
  head: Field[]
  pieces: Buffer[]
  framing: 'none' | 'length' | 'chunked'
  trailers: Field[]
  body: string
}

const written: fc.Arbitrary<Written> = fc
  .record({ fields, framing, chunks: fc.array(content, { maxLength: 3 }), trailers: fields })
  .map(({ fields, framing, chunks, trailers }) => {
    const filled = chunks.filter((bytes) => bytes.length > 0)
    const body = Buffer.concat(filled)
    switch (framing) {
      case 'none':
        return { head: fields, pieces: [], framing, trailers: [], body: '' }
      case 'length':
        return {
          head: [...fields, field('Content-Length', String(body.length))],
          pieces: [body],
          framing,
          trailers: [],
          body: body.toString('latin1'),
        }
      case 'chunked':
        return {
          head: [field('Transfer-Encoding', 'chunked'), ...fields],
          pieces: [...filled.flatMap(chunk), lastChunk(trailers)],
          framing,
          trailers,
          body: body.toString('latin1'),
        }
    }
  })

describe('what is written is what is read', () => {
  const RUNS = 12
  const PER_RUN = 40

  test('HTTP1-65 a request that the writer wrote is the same to our reader and to Node', async () => {
    const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PROPFIND')
    const one = fc.tuple(method, written)
    const wireOf = ([method, { head, pieces }]: [string, Written]) =>
      Buffer.concat([requestHead(method, '/a?b', [field('Host', 'a.example'), ...head]), ...pieces])
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: PER_RUN, maxLength: PER_RUN }), async (messages) => {
        const whole = Buffer.concat(messages.map(wireOf))
        const ours = readRequests(whole)
        expect(ours.outcome).toBe('idle')
        const [node] = await nodeReadsRequests([whole])
        expect(node!.error).toBeUndefined()
        const expected = messages.map(([method, { head, body, trailers }]) => ({
          method,
          target: '/a?b',
          fields: ['Host: a.example', ...fieldLines(head)],
          body,
          trailers: fieldLines(trailers),
        }))
        expect(
          ours.messages.map(({ head, body, trailers }) => ({
            method: head.method,
            target: head.target,
            fields: fieldLines(head.fields),
            body,
            trailers: fieldLines(trailers!),
          })),
        ).toEqual(expected)
        expect(
          node!.messages.map(({ method, target, fields, body, trailers }) => ({
            method,
            target,
            fields,
            body,
            trailers,
          })),
        ).toEqual(expected)
      }),
      { numRuns: RUNS },
    )
  })

  test('HTTP1-66 a response that the writer wrote is the same to our reader and to Node', async () => {
    const status = fc.constantFrom(200, 206, 301, 404, 502, 999)
    const one = fc.tuple(status, text, written)
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: PER_RUN, maxLength: PER_RUN }), async (responses) => {
        const wires = responses.map(([status, reason, { head, pieces }]) =>
          Buffer.concat([responseHead(status, reason, head), ...pieces]),
        )
        const node = await nodeReadsResponses(wires.map((wire) => ({ wire, method: 'GET' })))
        for (const [i, [status, reason, { head, body, trailers }]] of responses.entries()) {
          const expected = { status, reason, fields: fieldLines(head), body, trailers: fieldLines(trailers) }
          const [ours] = readResponse(wires[i]!).messages
          expect({
            status: ours!.head.status,
            reason: ours!.head.reason,
            fields: fieldLines(ours!.head.fields),
            body: ours!.body,
            trailers: fieldLines(ours!.trailers!),
          }).toEqual(expected)
          const told = node[i]!.messages[0]!
          expect({
            status: told.status,
            reason: told.reason,
            fields: told.fields,
            body: told.body,
            trailers: told.trailers,
          }).toEqual(expected)
        }
      }),
      { numRuns: RUNS },
    )
  })

  test('HTTP1-67 any bytes at all are read or refused, and never make the reader fail in another way', () => {
    const soup = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc
        .array(
          fc.constantFrom(
            'GET ',
            '/',
            ' HTTP/1.1',
            '\r\n',
            '\r',
            '\n',
            ':',
            'Host: a',
            'Content-Length: 1',
            'Transfer-Encoding: chunked',
            '0',
            ';',
            '\0',
            ' ',
          ),
          { maxLength: 30 },
        )
        .map((words) => bytesOf(words.join(''))),
    )
    fc.assert(
      fc.property(soup, fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 20 }), (wire, pieces) => {
        // Both throw whatever is no ProtocolError. A line that is wrong in two ways is refused for what comes first.
        const first = ({ outcome, ...rest }: ReturnType<typeof readRequests>) => ({
          ...rest,
          outcome: ['idle', 'partial', 'released'].includes(outcome) ? outcome : 'refused',
        })
        expect(first(readRequests(wire, { pieces, scribble: true }))).toEqual(first(readRequests(wire)))
        expect(readResponse(wire, { pieces, scribble: true })).toEqual(readResponse(wire))
      }),
      { numRuns: 2000 },
    )
  })
})
