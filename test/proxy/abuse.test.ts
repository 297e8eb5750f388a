import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { type OriginServer, startRawOrigin } from '../kit/origin.ts'
import { type Route, startRoute } from '../kit/route.ts'

/** Sends these bytes and ends; resolves with what came until the proxy closed, in whatever manner. */
async function exchange(port: number, bytes: Buffer): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  let heard = ''
  socket.on('data', (piece: Buffer) => {
    heard += piece.toString('latin1')
    // A connection that stays open would wait for its time limit.
    if (/\r\n\r\n/.test(heard)) socket.end()
  })
  socket.write(bytes)
  setImmediate(() => socket.end())
  await once(socket, 'close').catch(() => {})
  return heard
}

const words = fc.constantFrom(
  'GET http://ok.test/ HTTP/1.1\r\n',
  'POST http://denied.test/ HTTP/1.1\r\n',
  'CONNECT ok.test:443 HTTP/1.1\r\n',
  'CONNECT denied.test:443 HTTP/1.0\r\n',
  'Host: ok.test\r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: upgrade, close\r\n',
  'Upgrade: websocket\r\n',
  'Expect: 100-continue\r\n',
  'Via: 1.1 sallyport\r\n',
  '\r\n',
  '5\r\nhello\r\n0\r\n\r\n',
  'hello',
  '\0',
  '\x16\x03\x01\x00\x05',
  '\r',
  '\n',
  ' ',
  ':',
)

test('FWD-90 whatever a client sends, the daemon has nothing to complain about and answers nothing but HTTP', async () => {
  await using route = await startRoute({ origin: startRawOrigin((socket) => socket.destroy()) })
  const noise = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 9, arbitrary: words }, noise), { maxLength: 12 }),
      async (parts) => {
        const heard = await exchange(route.proxy.port, Buffer.from(parts.join(''), 'latin1'))
        if (heard !== '') expect(heard).toMatch(/^HTTP\/1\.1 [1-5][0-9]{2} /)
      },
    ),
    { numRuns: 200 },
  )
  await using client = await route.client()
  client.write('GET http://denied.test/ HTTP/1.1\r\nHost: x\r\n\r\n')
  expect((await readReply(client)).status).toBe(403)
  for (const decision of route.decisions())
    expect(decision['sallyport.decision.reason']).not.toBe('internal_error')
})

const answers = fc.constantFrom(
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.0 204 \r\n',
  'HTTP/1.1 101 Switching Protocols\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 304\r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: upgrade\r\nUpgrade: websocket\r\n',
  'Connection: close\r\n',
  '\r\n',
  '5\r\nhello\r\n',
  '0\r\n\r\n',
  'hello',
  '\0',
  '\n',
)

test('FWD-91 whatever an origin sends, the client gets HTTP or a cut, and the daemon has nothing to complain about', async () => {
  let answer = Buffer.alloc(0)
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.once('data', () => socket.end(answer))
    }),
  })
  const noise = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
  const head = `GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\nConnection: close, upgrade\r\nUpgrade: websocket\r\n\r\n`
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 9, arbitrary: answers }, noise), { maxLength: 10 }),
      async (parts) => {
        answer = Buffer.from(parts.join(''), 'latin1')
        await using client = await route.client()
        client.write(head)
        const heard = await client.rest()
        expect(heard === '' ? client.wasReset : /^HTTP\/1\.1 [1-5][0-9]{2}/.test(heard)).toBe(true)
      },
    ),
    { numRuns: 400 },
  )
})

/** Connections of clients that the daemon has open, itself asked by nobody. */
async function openConnections(route: Route<OriginServer>): Promise<number> {
  return (await operatorOf(route.proxy).status()).connections
}

test('FWD-92 whoever resets, at whatever moment, nothing is left open and nobody else is disturbed', async () => {
  const atOrigin: Socket[] = []
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      atOrigin.push(socket)
      socket.on('data', (bytes: Buffer) => {
        if (bytes.includes('GET')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf')
        else socket.write('heard')
      })
    }),
    names: { 'slow.test': ['127.0.0.1'] },
    allowed: ['ok.test', 'slow.test'],
  })
  const { port } = route.origin
  route.dns.silence('slow.test')
  const moments: readonly (readonly [name: string, send: string, wait: string])[] = [
    ['nothing sent', '', ''],
    ['half a head', 'GET http://ok.test/ HT', ''],
    ['held', `CONNECT new.test:${port} HTTP/1.1\r\n\r\n`, ''],
    ['looked up', `CONNECT slow.test:${port} HTTP/1.1\r\n\r\n`, ''],
    ['just asked', `CONNECT ${route.authority} HTTP/1.1\r\n\r\n`, ''],
    ['in a tunnel', `CONNECT ${route.authority} HTTP/1.1\r\n\r\nhello`, 'heard'],
    ['in an answer', `GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`, 'half'],
    ['in an upload', `POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf`, ''],
    ['refused', 'GET http://denied.test/ HTTP/1.1\r\nHost: x\r\n\r\n', '}\n'],
    ['malformed', 'GET / HTTP/3\r\n\r\n', 'HTTP/1.1 400'],
  ]
  for (const [, send, wait] of moments) {
    for (const leave of ['reset', 'end'] as const) {
      await using client = await route.client()
      if (send !== '') client.write(send)
      if (wait !== '') await client.until(wait)
      if (leave === 'reset') client.socket.resetAndDestroy()
      else client.socket.destroy()
    }
  }
  // The same from the other side.
  for (const [name, send, wait] of moments.slice(5, 7)) {
    await using client = await route.client()
    client.write(send)
    await client.until(wait)
    for (const socket of atOrigin) socket.resetAndDestroy()
    await client.rest()
    expect(client.wasReset, name).toBe(true)
  }
  while ((await openConnections(route)) > 0) await new Promise(setImmediate)
  await using good = await route.tunnel()
  good.write('hello')
  await good.until('heard')
  expect([...route.origin.open]).toHaveLength(1)
})
