import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createFakeClock } from '../kit/fake-clock.ts'
import { readReply } from '../kit/http-reply.ts'
import { startEchoOrigin, startHttpOrigin, startRawOrigin } from '../kit/origin.ts'
import { type RawClient, rawClient } from '../kit/raw-client.ts'
import { startRoute } from '../kit/route.ts'

const TURNED_AWAY = /a connection was turned away: there are too many/
const ok = () => startHttpOrigin((_, response) => response.end('ok'))

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
}

/** A request is answered on this connection: the proxy has taken it. */
async function taken(client: RawClient): Promise<void> {
  client.write('GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n')
  expect((await readReply(client)).status).toBe(403)
}

test('LIM-01 past the connections of one client the next one gets 503; another client does not', async () => {
  await using route = await startRoute({
    origin: ok(),
    more: '[limits]\nconnections_per_client = 3',
    complaints: TURNED_AWAY,
  })
  const clients = await Promise.all([route.client(), route.client(), route.client()])
  for (const client of clients) await taken(client)
  await using fourth = await route.client()
  fourth.write('CONNECT ok.test:443 HTTP/1.1\r\n\r\n')
  const reply = await readReply(fourth)
  expect([reply.status, reply.get('x-proxy-error'), reply.get('connection')]).toEqual([
    503,
    'connection-limit-reached',
    'close',
  ])
  expect(reply.get('proxy-status')).toBe('sallyport; error=connection_limit_reached')
  expect(reply.get('retry-after')).toBe('5')
  expect(await fourth.rest()).toBe('')
  await using other = await rawClient(route.proxy.port, '127.0.0.1', '127.0.0.2')
  await taken(other)

  await clients[0]!.socket.destroy()
  await settled()
  await using again = await route.client()
  await taken(again)
  for (const client of clients) await client[Symbol.asyncDispose]()
  expect(route.proxy.complaints).toHaveLength(1)
})

test('LIM-02 past the connections in all the next one gets 503, whoever it is', async () => {
  await using route = await startRoute({
    origin: ok(),
    more: '[limits]\nconnections = 2',
    complaints: TURNED_AWAY,
  })
  await using first = await route.client()
  await using second = await rawClient(route.proxy.port, '127.0.0.1', '127.0.0.2')
  await taken(first)
  await taken(second)
  await using third = await rawClient(route.proxy.port, '127.0.0.1', '127.0.0.3')
  expect(await third.rest()).toMatch(/^HTTP\/1\.1 503 /)
})

test('LIM-03 a flood of connections over the limit neither floods the log nor keeps anything', async () => {
  await using route = await startRoute({
    origin: ok(),
    more: '[limits]\nconnections_per_client = 1',
    complaints: TURNED_AWAY,
  })
  await using first = await route.client()
  await taken(first)
  for (let i = 0; i < 200; i++) {
    await using client = await route.client()
    await client.rest()
  }
  expect(route.proxy.complaints.length).toBeLessThan(5)
  await taken(first)
})

test('LIM-04 heads and targets that are too long are 431 and 414, and the connection is closed', async () => {
  await using route = await startRoute({ origin: ok() })
  const cases = [
    [414, `GET http://ok.test/${'x'.repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
    [414, `GET http://ok.test/${'x'.repeat(20_000)}`],
    [431, `GET http://ok.test/ HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`],
    [431, `GET http://ok.test/ HTTP/1.1\r\nHost: x\r\n${'X: y\r\n'.repeat(101)}\r\n`],
    [431, `CONNECT ok.test:443 HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`],
  ] as const
  for (const [status, request] of cases) {
    await using client = await route.client()
    client.write(request)
    const reply = await readReply(client)
    expect([reply.status, reply.get('connection')], request.slice(0, 60)).toEqual([status, 'close'])
    expect(await client.rest()).toBe('')
    expect(client.wasReset).toBe(false)
  }
  expect(route.decisions().map((each) => each['http.response.status_code'])).toEqual([
    414, 414, 431, 431, 431,
  ])
  expect(route.origin.connections).toBe(0)
})

test('LIM-05 twelve kilobytes of head pass both ways', async () => {
  await using route = await startRoute({
    origin: startHttpOrigin((request, response) => {
      response.setHeader('x-large', request.headers['x-large']!)
      response.end('ok')
    }),
  })
  await using client = await route.client()
  const large = 'x'.repeat(12_000)
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\nX-Large: ${large}\r\n\r\n`)
  expect((await readReply(client)).get('x-large')).toBe(large)
})

test('LIM-06 a head must come within its time, however busily it is sent', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: ok(), clock })
  await using silent = await route.client()
  await using slow = await route.client()
  await settled()
  for (let i = 0; i < 30; i++) {
    slow.write(i === 0 ? 'GET http://ok.test/ HTTP/1.1\r\n' : `X-${i}: y\r\n`)
    await settled()
    clock.advance(1000)
  }
  expect([silent.socket.readyState, slow.socket.readyState]).toEqual(['open', 'open'])
  clock.advance(2000)
  expect(await silent.rest()).toBe('')
  expect(await slow.rest()).toBe('')
  expect(route.decisions()).toEqual([])
})

test('LIM-07 a connection may be idle between requests for its time, after a refused CONNECT for a moment, then it is closed', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: ok(), clock })
  await using afterGet = await route.client()
  afterGet.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readReply(afterGet)
  await using another = await route.client()
  another.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readReply(another)
  clock.advance(59_000)
  await settled()
  expect([afterGet.socket.readyState, another.socket.readyState]).toEqual(['open', 'open'])
  afterGet.write('CONNECT denied.test:443 HTTP/1.1\r\n\r\n')
  await readReply(afterGet)
  clock.advance(1000)
  expect(afterGet.socket.readyState).toBe('open')
  clock.advance(3000)
  expect(await another.rest()).toBe('')
  expect(await afterGet.rest()).toBe('')
})

test('LIM-08 the time of a next head begins with its first byte, not with the answer before it', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: ok(), clock })
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readReply(client)
  clock.advance(50_000)
  client.write('CONNECT denied.test:443 ')
  await settled()
  clock.advance(28_000)
  client.write('HTTP/1.1\r\n\r\n')
  expect((await readReply(client)).status).toBe(403)
})

test('LIM-09 an origin that does not answer in time is 504', async () => {
  const clock = createFakeClock()
  const asked = Promise.withResolvers<void>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => socket.once('data', () => asked.resolve())),
    clock,
    more: '[limits]\nresponse_timeout = "20s"',
  })
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await asked.promise
  clock.advance(19_000)
  await settled()
  expect(client.pending).toBe('')
  clock.advance(3000)
  const reply = await readReply(client)
  expect([reply.status, reply.get('proxy-status')]).toEqual([504, 'sallyport; error=http_response_timeout'])
  expect(await route.completed()).toMatchObject({ 'error.type': 'http_response_timeout' })
})

test('LIM-10 content that stands still for too long is cut, in either direction', async () => {
  const clock = createFakeClock()
  const asked = Promise.withResolvers<void>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.on('data', (bytes: Buffer) => {
        if (bytes.includes('GET')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
        else asked.resolve()
      })
    }),
    clock,
    more: '[limits]\nbody_idle_timeout = "20s"',
  })
  await using download = await route.client()
  download.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await download.until('half')
  clock.advance(22_000)
  await download.rest()
  expect(download.wasReset).toBe(true)
  expect(await route.completed()).toMatchObject({ 'error.type': 'connection_read_timeout' })

  await using upload = await route.client()
  upload.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf`)
  await asked.promise
  clock.advance(22_000)
  const reply = await readReply(upload)
  expect([reply.status, reply.get('connection')]).toEqual([408, 'close'])
})

test('LIM-11 what cannot be recorded is refused: 503, no dial; and it passes again when it can be', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: ok(), clock, complaints: /the audit log has trouble/ })
  await using client = await route.client()
  const request = `GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`
  const folder = join(route.proxy.dir, 'state', 'audit')
  await rm(folder, { recursive: true })
  clock.advance(1000) // The log looks whether its file is still there.
  client.write(request)
  const reply = await readReply(client)
  expect([reply.status, JSON.parse(reply.content)['reason']]).toEqual([503, 'audit_unavailable'])
  expect(reply.get('retry-after')).toBe('30')
  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  expect((await readReply(client)).status).toBe(503)
  client.write('CONNECT denied.test:443 HTTP/1.1\r\n\r\n')
  expect((await readReply(client)).status).toBe(503)
  expect(route.origin.connections).toBe(0)

  await mkdir(folder, { mode: 0o700 })
  client.write(request)
  expect((await readReply(client)).content).toBe('ok')
  expect(route.origin.connections).toBe(1)
})

test('LIM-12 where policy says so, it goes on unrecorded', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({
    origin: ok(),
    clock,
    more: '[audit]\non_error = "allow"',
    complaints: /the audit log has trouble/,
  })
  await using client = await route.client()
  await rm(join(route.proxy.dir, 'state', 'audit'), { recursive: true })
  clock.advance(1000)
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).content).toBe('ok')
  client.write('CONNECT denied.test:443 HTTP/1.1\r\n\r\n')
  expect((await readReply(client)).status).toBe(403)
})

test('LIM-13 a thousand slow clients do not keep a good one from being served', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  const slow = await Promise.all(Array.from({ length: 1000 }, () => route.client()))
  for (const client of slow) client.write('GET http://ok.test/ HTTP/1.1\r\nX-Slow')
  for (let i = 0; i < 20; i++) {
    await using good = await route.tunnel()
    good.write('ping')
    await good.until('ping')
  }
  for (const client of slow) client.socket.destroy()
  expect(route.decisions()).toHaveLength(20)
})
