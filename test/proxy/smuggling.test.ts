import { expect, test } from 'vitest'
import { readReply } from '../kit/http-reply.ts'
import { startHttpOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

/** An origin that must not hear of anything. */
async function startForbidden() {
  const asked: string[] = []
  const origin = await startHttpOrigin((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    request.resume()
    request.on('end', () => response.end('ok'))
  })
  return Object.assign(origin, { asked })
}

const HIDDEN = 'GET http://ok.test/smuggled HTTP/1.1\r\nHost: ok.test\r\n\r\n'

// What stands between the request line and the content: two readers would disagree on where this request ends.
const AMBIGUOUS: readonly (readonly [name: string, status: number, fields: string, content: string])[] = [
  ['CL.TE', 400, 'Content-Length: 6\r\nTransfer-Encoding: chunked', '0\r\n\r\n'],
  ['TE.CL', 400, 'Transfer-Encoding: chunked\r\nContent-Length: 4', '5c\r\n'],
  ['CL.CL', 400, 'Content-Length: 0\r\nContent-Length: 60', ''],
  ['CL.CL, equal', 400, 'Content-Length: 5\r\nContent-Length: 5', 'hello'],
  ['CL list', 400, 'Content-Length: 5, 5', 'hello'],
  ['CL sign', 400, 'Content-Length: +5', 'hello'],
  ['CL negative', 400, 'Content-Length: -5', 'hello'],
  ['CL hexadecimal', 400, 'Content-Length: 0x5', 'hello'],
  ['CL octal', 400, 'Content-Length: 05', 'hello'],
  ['CL empty', 400, 'Content-Length:', ''],
  ['CL fraction', 400, 'Content-Length: 5.0', 'hello'],
  ['CL huge', 400, 'Content-Length: 18446744073709551617', ''],
  ['TE.TE', 400, 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', '0\r\n\r\n'],
  ['TE twice', 400, 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'],
  ['TE list', 501, 'Transfer-Encoding: gzip, chunked', '0\r\n\r\n'],
  ['TE identity', 501, 'Transfer-Encoding: identity', ''],
  ['TE unknown', 501, 'Transfer-Encoding: xchunked', '0\r\n\r\n'],
  ['TE vertical tab', 400, 'Transfer-Encoding: \x0bchunked', '0\r\n\r\n'],
  ['TE parameter', 400, 'Transfer-Encoding: chunked;q=1', '0\r\n\r\n'],
  ['TE quoted', 400, 'Transfer-Encoding: "chunked"', '0\r\n\r\n'],
  ['TE empty', 400, 'Transfer-Encoding:', ''],
  ['space before the colon', 400, 'Transfer-Encoding : chunked', '0\r\n\r\n'],
  ['folded', 400, 'X: a\r\n Transfer-Encoding: chunked', '0\r\n\r\n'],
  ['folded value', 400, 'Transfer-Encoding:\r\n chunked', '0\r\n\r\n'],
  ['leading space', 400, ' X: a', ''],
  ['bare LF', 400, 'X: a\nTransfer-Encoding: chunked', '0\r\n\r\n'],
  ['bare CR', 400, 'X: a\rTransfer-Encoding: chunked', '0\r\n\r\n'],
  ['NUL in a value', 400, 'X: a\0b', ''],
  ['NUL in a name', 400, 'X\0: a', ''],
  ['no name', 400, ': a', ''],
  ['no colon', 400, 'Transfer-Encoding chunked', ''],
  ['a name of other letters', 400, 'Transfer-Enc\xf6ding: chunked', ''],
  ['two Hosts', 400, 'Host: ok.test', ''],
  ['a malformed Host', 400, 'X: y\r\nHost: a b', ''],
]

test('FWD-60 a head that two readers could read differently is refused and the connection closed', async () => {
  await using route = await startRoute({ origin: startForbidden() })
  for (const [name, status, fields, content] of AMBIGUOUS) {
    await using client = await route.client()
    client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n${content}${HIDDEN}`)
    const reply = await readReply(client)
    expect([reply.status, reply.get('connection')], name).toEqual([status, 'close'])
    expect(await client.rest(), name).toBe('')
  }
  expect(route.origin.asked).toEqual([])
  expect(route.origin.connections).toBe(0)
  expect(route.dns.questions).toEqual([])
  expect(route.decisions()).toHaveLength(AMBIGUOUS.length)
  const recorded = route.decisions().map((decision) => decision['http.response.status_code'])
  expect(recorded).toEqual(AMBIGUOUS.map(([, status]) => status))
})

const BAD_LINES: readonly (readonly [line: string, status: number])[] = [
  ['GET  http://ok.test/ HTTP/1.1', 400],
  ['GET http://ok.test/ x HTTP/1.1', 400],
  ['GET http://ok.test/\tHTTP/1.1', 400],
  [' GET http://ok.test/ HTTP/1.1', 400],
  ['G<>T http://ok.test/ HTTP/1.1', 400],
  ['GET http://ok.test/', 400],
  ['GET http://ok.test/ HTTP/1.1 ', 400],
  ['GET http://ok.test/ http/1.1', 400],
  ['GET http://ok.test/ HTTP/1.01', 400],
  ['GET http://ok.test/ HTTP/1.2', 505],
  ['GET http://ok.test/ HTTP/0.9', 505],
  ['GET http://ok.test/ HTTP/2.0', 505],
  ['PRI * HTTP/2.0', 505],
  ['GET http://ok.test/\xe9 HTTP/1.1', 400],
  ['\x16\x03\x01\x02', 400],
]

test('FWD-61 a request line that is no request line is refused and the connection closed', async () => {
  await using route = await startRoute({ origin: startForbidden() })
  for (const [line, status] of BAD_LINES) {
    await using client = await route.client()
    client.write(`${line}\r\nHost: ok.test\r\n\r\n${HIDDEN}`)
    const reply = await readReply(client)
    expect([reply.status, reply.get('connection')], line).toEqual([status, 'close'])
    expect(await client.rest(), line).toBe('')
  }
  expect(route.origin.connections).toBe(0)
  expect(route.decisions()).toHaveLength(BAD_LINES.length)
})

const BAD_TARGETS = [
  '/',
  '/path',
  '*',
  'ok.test',
  'ok.test:80',
  '//ok.test/',
  'https://ok.test/',
  'ftp://ok.test/',
  'ws://ok.test/',
  'http:/ok.test/',
  'http:ok.test/',
  'http://',
  'http:///path',
  'http://:80/',
  'http://ok.test:0/',
  'http://ok.test:99999/',
  'http://user@ok.test/',
  'http://user:pass@ok.test/',
  'http://denied.test@ok.test/',
  'http://ok.test\\@denied.test/',
  'http://ok.test/#fragment',
  'http://ok.test/\\path',
  'http://ok%2etest/',
  'http://ok.test%00/',
  'http://127.1/',
  'http://0x7f000001/',
  'http://2130706433/',
  'http://[::1%25lo]/',
  'http://[ok.test]/',
]

test('FWD-62 a target that is not a plain http URL is 400, nothing is looked up, the connection may go on', async () => {
  await using route = await startRoute({ origin: startForbidden(), unfamiliar: 'allow' })
  await using client = await route.client()
  for (const target of BAD_TARGETS) {
    client.write(`GET ${target} HTTP/1.1\r\nHost: ok.test\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.status, reply.get('x-proxy-error')], target).toEqual([400, 'invalid-target'])
    expect(reply.content, 'what was asked is not repeated').not.toContain('pass')
  }
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).content).toBe('ok')
  expect(route.origin.asked).toEqual(['GET /'])
  expect(route.decisions()).toHaveLength(BAD_TARGETS.length + 1)
})

test('FWD-63 the target decides, and a Host field that names an allowed host opens no other', async () => {
  await using route = await startRoute({ origin: startForbidden() })
  await using client = await route.client()
  client.write(`GET http://denied.test:${route.origin.port}/ HTTP/1.1\r\nHost: ${route.authority}\r\n\r\n`)
  const reply = await readReply(client)
  expect([reply.status, reply.get('x-proxy-error')]).toEqual([403, 'blocked-by-denylist'])
  expect(route.origin.asked).toEqual([])
  expect(route.dns.questions).toEqual([])
})

test('FWD-64 the content of a refused request is never read as the next one', async () => {
  await using route = await startRoute({ origin: startForbidden() })
  for (const fields of [`Content-Length: ${HIDDEN.length}`, 'Transfer-Encoding: chunked']) {
    await using client = await route.client()
    client.write(`POST http://denied.test/ HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n${HIDDEN}`)
    const reply = await readReply(client)
    expect([reply.status, reply.get('connection')]).toEqual([403, 'close'])
    expect(await client.rest()).toBe('')
    expect(client.wasReset).toBe(false)
  }
  expect(route.origin.asked).toEqual([])
  expect(route.decisions()).toHaveLength(2)
})

test('FWD-65 bytes that an origin sends behind a response answer no other request', async () => {
  let next = 0
  await using route = await startRoute({
    origin: startHttpOrigin((request, response) => {
      request.socket.write(
        `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${++next}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
      )
      void response
    }),
  })
  await using client = await route.client()
  for (const content of ['1', '2', '3']) {
    client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect((await readReply(client)).content).toBe(content)
  }
  expect(route.origin.connections).toBe(3)
})
