import { once } from 'node:events'
import { expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { readReply } from '../kit/http-reply.ts'
import { type OriginServer, startHttpOrigin, startRawOrigin } from '../kit/origin.ts'
import { type Route, startRoute } from '../kit/route.ts'

const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'

function ask(route: Route<OriginServer>, more = ''): string {
  return `GET ${route.url('/chat')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${more}\r\n`
}

/** An origin that answers each first read with these bytes, and tells what it hears. */
async function startAnswering(answer: string) {
  let heard = ''
  let wake = () => {}
  const origin = await startRawOrigin((socket) => {
    socket.once('data', () => socket.write(answer))
    socket.on('data', (bytes: Buffer) => {
      heard += bytes.toString('latin1')
      wake()
    })
    socket.on('end', () => socket.end())
  })
  return Object.assign(origin, {
    async hears(text: string): Promise<string> {
      while (!heard.includes(text)) await new Promise<void>((resolve) => (wake = resolve))
      return heard
    },
  })
}

test('FWD-50 a WebSocket in absolute form: messages both ways, subprotocol, first message by the server, close code', async () => {
  await using route = await startRoute({ origin: startHttpOrigin(() => {}) })
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'chat.v2' })
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await route.reload({ ports: [port] })
  server.on('connection', (socket, request) => {
    socket.send(`hello ${request.url} ${request.headers.host}`)
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  // The way of clients that do not tunnel: the handshake goes to the proxy, with an absolute target.
  const client = new WebSocket(`ws://127.0.0.1:${route.proxy.port}/`, ['chat.v1', 'chat.v2'], {
    finishRequest(request) {
      request.path = `http://ok.test:${port}/chat?x`
      request.end()
    },
  })
  const messages: (string | number)[] = []
  client.on('message', (data: Buffer, isBinary) => {
    messages.push(isBinary ? data.length : data.toString())
    if (messages.length === 1) {
      client.send('text')
      client.send(Buffer.alloc(300_000))
    }
    if (messages.length === 3) client.close(4001, 'enough')
  })
  const [code, reason] = (await once(client, 'close')) as [number, Buffer]
  expect(messages).toEqual([`hello /chat?x ok.test:${port}`, 'text', 300_000])
  expect([code, reason.toString(), client.protocol]).toEqual([4001, 'enough', 'chat.v2'])
  const completed = await route.completed()
  expect(completed).toMatchObject({ 'http.response.status_code': 101 })
  expect(completed['sallyport.bytes.sent']).toBeGreaterThan(300_000)
  expect(completed['error.type']).toBeUndefined()
  expect(route.decisions()).toHaveLength(1)
  server.close()
})

test('FWD-51 what either side sends right behind the handshake is not lost, and is counted', async () => {
  await using route = await startRoute({ origin: startAnswering(`${SWITCH}\r\nserver first`) })
  await using client = await route.client()
  client.write(`${ask(route)}client first`)
  await client.until('\r\n\r\n')
  await client.until('server first')
  await route.origin.hears('client first')
  client.socket.end()
  await client.rest()
  expect(await route.completed()).toMatchObject({
    'sallyport.bytes.sent': 12,
    'sallyport.bytes.received': 12,
  })
})

test('FWD-52 only a 101 to a WebSocket switches: a 101 that says something else is 502', async () => {
  for (const answer of [
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  ]) {
    await using route = await startRoute({ origin: startAnswering(answer) })
    await using client = await route.client()
    client.write(ask(route))
    const reply = await readReply(client)
    expect([reply.status, reply.get('x-proxy-error')], answer).toEqual([502, 'http-upgrade-failed'])
  }
})

test('FWD-53 any other answer to a WebSocket handshake is an ordinary one', async () => {
  await using route = await startRoute({
    origin: startHttpOrigin((_, response) => response.writeHead(403).end('no')),
  })
  await using client = await route.client()
  client.write(ask(route))
  const reply = await readReply(client)
  expect([reply.status, reply.content]).toEqual([403, 'no'])
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).status).toBe(403)
})

test('FWD-54 other upgrades are taken off, and so is a WebSocket that is not asked for properly', async () => {
  const heads: (readonly [unknown, unknown, unknown])[] = []
  await using route = await startRoute({
    origin: startHttpOrigin((request, response) => {
      heads.push([request.headers.upgrade, request.headers.connection, request.headers['http2-settings']])
      request.resume()
      request.on('end', () => response.end('ok'))
    }),
  })
  await using client = await route.client()
  const url = route.url('/')
  const requests = [
    `GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n`,
    `GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2\r\n\r\n`,
    `GET ${url} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n`,
    `POST ${url} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n`,
    `GET ${url} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx`,
  ]
  for (const request of requests) {
    client.write(request)
    expect((await readReply(client)).content, request).toBe('ok')
  }
  // A GET with content is told to be the last on its connection, which is another matter.
  const connections = [undefined, undefined, undefined, undefined, 'close']
  expect(heads).toEqual(connections.map((each) => [undefined, each, undefined]))
})

test('FWD-55 a WebSocket is closed by a policy that denies its host', async () => {
  await using route = await startRoute({
    origin: startAnswering(`${SWITCH}\r\n`),
    complaints: /tunnels that the new policy denies were closed/,
  })
  await using client = await route.client()
  client.write(ask(route))
  await client.until('\r\n\r\n')
  await route.reload({ denied: ['ok.test'], allowed: [] })
  await client.rest()
  expect(client.wasReset).toBe(true)
  expect(await route.completed()).toMatchObject({ 'error.type': 'policy_changed' })
})

test('FWD-56 a WebSocket that a policy denies while it is asked for is closed as well', async () => {
  const asked = Promise.withResolvers<() => void>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.once('data', () => asked.resolve(() => socket.write(`${SWITCH}\r\n`)))
    }),
    complaints: /tunnels that the new policy denies were closed/,
  })
  await using client = await route.client()
  client.write(ask(route))
  const answer = await asked.promise
  await route.reload({ denied: ['ok.test'], allowed: [] })
  answer()
  await client.rest()
  expect(client.wasReset).toBe(true)
  expect(await route.completed()).toMatchObject({ 'error.type': 'policy_changed' })
})
