import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { createFakeClock } from '../kit/fake-clock.ts'
import { readHead, readReply } from '../kit/http-reply.ts'
import { type OriginServer, startHttpOrigin, startRawOrigin } from '../kit/origin.ts'
import { rawClient } from '../kit/raw-client.ts'
import { type Route, startRoute } from '../kit/route.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** An origin that answers every head, and does with its connections what the test says. */
async function startAnswering(answer = OK) {
  const sockets: Socket[] = []
  const requests: string[] = []
  let onRequest: (socket: Socket, request: string) => void = (socket) => void socket.write(answer)
  const origin = await startRawOrigin((socket) => {
    sockets.push(socket)
    socket.on('data', (bytes: Buffer) => {
      requests.push(bytes.toString('latin1'))
      onRequest(socket, bytes.toString('latin1'))
    })
    socket.on('end', () => socket.end())
  })
  return Object.assign(origin, {
    sockets,
    requests,
    answerBy(serve: (socket: Socket, request: string) => void) {
      onRequest = serve
    },
  })
}

async function get(route: Route<OriginServer>, path = '/', from = '127.0.0.1') {
  await using client = await rawClient(route.proxy.port, '127.0.0.1', from)
  client.write(`GET ${route.url(path)} HTTP/1.1\r\nHost: x\r\n\r\n`)
  return await readReply(client)
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
}

test('FWD-70 a connection to an origin serves the next request of the same client, on whatever connection it comes', async () => {
  await using route = await startRoute({ origin: startAnswering() })
  for (let i = 0; i < 5; i++) expect((await get(route)).content).toBe('ok')
  expect(route.origin.connections).toBe(1)
  expect(route.decisions()).toHaveLength(5)
})

test('FWD-71 it serves no other client, and no other name of the same address', async () => {
  await using route = await startRoute({
    origin: startAnswering(),
    names: { 'also.test': ['127.0.0.1'] },
    allowed: ['ok.test', 'also.test'],
  })
  await get(route)
  await get(route, '/', '127.0.0.2')
  expect(route.origin.connections).toBe(2)
  await using client = await route.client()
  client.write(`GET http://also.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  await readReply(client)
  expect(route.origin.connections).toBe(3)
  await get(route)
  await get(route, '/', '127.0.0.2')
  expect(route.origin.connections).toBe(3)
})

test('FWD-72 two requests at once need two connections, the next two none', async () => {
  await using route = await startRoute({ origin: startAnswering() })
  route.origin.answerBy(() => {
    if (route.origin.requests.length % 2 === 0) for (const socket of route.origin.sockets) socket.write(OK)
  })
  for (let i = 0; i < 2; i++) {
    const replies = await Promise.all([get(route), get(route)])
    expect(replies.map(({ content }) => content)).toEqual(['ok', 'ok'])
  }
  expect(route.origin.connections).toBe(2)
})

test('FWD-73 a kept connection that turns out dead is replaced once for what may be sent twice', async () => {
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']) {
    await using route = await startRoute({ origin: startAnswering() })
    await get(route)
    // It takes the next request and closes without a word, as an origin does that has just given up waiting.
    route.origin.answerBy((socket) => {
      if (socket === route.origin.sockets[0]) socket.resetAndDestroy()
      else socket.write(OK)
    })
    await using client = await route.client()
    client.write(`${method} ${route.url('/again')} HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect((await readReply(client, method)).status, method).toBe(200)
    expect(route.origin.connections).toBe(2)
    expect(route.decisions()).toHaveLength(2)
  }
})

test('FWD-74 what may not be sent twice is not: POST on a dead connection is 502', async () => {
  await using route = await startRoute({ origin: startAnswering() })
  await get(route)
  route.origin.answerBy((socket) => socket.resetAndDestroy())
  for (const request of ['POST', 'PATCH', 'LOCK']) {
    await using client = await route.client()
    const before = route.origin.requests.length
    client.write(`${request} ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.status, reply.get('x-proxy-error')]).toEqual([502, 'connection-terminated'])
    expect(route.origin.requests.length).toBe(before + 1)
  }
})

test('FWD-81 an upload whose content has gone out on a dead connection is not begun anew without it', async () => {
  await using route = await startRoute({ origin: startAnswering() })
  await get(route)
  route.origin.answerBy((socket) => socket.resetAndDestroy())
  await using client = await route.client()
  client.write(`PUT ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`)
  const reply = await readReply(client)
  expect([reply.status, reply.get('x-proxy-error')]).toEqual([502, 'connection-terminated'])
  expect(route.origin.connections).toBe(1)
})

test('FWD-75 a fresh connection that dies is not tried again, and half an answer is never thrown away', async () => {
  await using route = await startRoute({ origin: startAnswering() })
  route.origin.answerBy((socket) => socket.resetAndDestroy())
  expect((await get(route)).status).toBe(502)
  expect(route.origin.requests).toHaveLength(1)
  route.origin.answerBy((socket) => void socket.write(OK))
  await get(route)
  route.origin.answerBy((socket) => void socket.end('HTTP/1.1 200 OK\r\nX-Half'))
  expect((await get(route)).status).toBe(502)
  expect(route.origin.requests).toHaveLength(3)
})

test('FWD-76 an upload on a kept connection that dies before its content is sent goes whole to the next one', async () => {
  await using route = await startRoute({ origin: startAnswering() })
  await get(route)
  let heard = ''
  route.origin.answerBy((socket, request) => {
    if (socket === route.origin.sockets[0]) return socket.resetAndDestroy()
    heard += request
    if (heard.endsWith('hello')) socket.write(OK)
    else if (heard.endsWith('\r\n\r\n')) socket.write('HTTP/1.1 100 Continue\r\n\r\n')
  })
  await using client = await route.client()
  client.write(
    `PUT ${route.url('/')} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`,
  )
  expect((await readHead(client)).status).toBe(100)
  client.write('hello')
  expect((await readReply(client)).content).toBe('ok')
  expect(heard).toMatch(/\r\n\r\nhello$/)
  expect(route.decisions()).toHaveLength(2)
})

test('FWD-77 an origin that closes, or says something unasked, is forgotten before the next request', async () => {
  await using route = await startRoute({ origin: startAnswering() })
  await get(route)
  route.origin.sockets[0]!.end()
  await settled()
  await get(route)
  expect(route.origin.connections).toBe(2)
  route.origin.sockets[1]!.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
  await settled()
  expect((await get(route)).content).toBe('ok')
  expect(route.origin.connections).toBe(3)
})

test('FWD-78 Connection: close of the origin, and HTTP/1.0, are obeyed', async () => {
  for (const answer of [
    'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
  ]) {
    await using route = await startRoute({ origin: startAnswering(answer) })
    await using client = await route.client()
    for (let i = 1; i <= 2; i++) {
      client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
      const reply = await readReply(client)
      expect([reply.content, reply.get('connection')]).toEqual(['ok', undefined])
      expect(route.origin.connections).toBe(i)
    }
  }
})

test('FWD-79 kept connections are closed by a reload, when they are too many, and after their time', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({
    origin: startAnswering(),
    clock,
    more: '[limits]\nupstream_idle_connections = 2\nupstream_idle_timeout = "10s"',
  })
  await get(route)
  await route.reload({})
  await settled()
  expect(route.origin.open.size).toBe(0)
  for (const from of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) await get(route, '/', from)
  await settled()
  expect(route.origin.open.size).toBe(2)
  clock.advance(11_000)
  await settled()
  expect(route.origin.open.size).toBe(0)
})

test('FWD-80 a kept connection is not used for a name that now has another address', async () => {
  await using route = await startRoute({
    origin: startHttpOrigin((_, response) => response.end('first')),
    more: 'dns_ttl_max = "0s"',
  })
  expect((await get(route)).content).toBe('first')
  route.dns.set('ok.test', '127.0.0.9')
  expect((await get(route)).status).toBe(502)
  expect(route.origin.connections).toBe(1)
})
