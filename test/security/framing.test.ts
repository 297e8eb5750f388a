import { expect, test } from 'vitest'
import { readHead, readReply } from '../kit/http-reply.ts'
import { startRawOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const EVIL = 'GET /evil HTTP/1.1\r\nHost: ok.test\r\n\r\n'

/** An origin that says, for each read, what the test says; it keeps what it heard, connection by connection. */
async function startSaying(say: (read: string) => string) {
  const heard: string[] = []
  const origin = await startRawOrigin((socket) => {
    const index = heard.push('') - 1
    socket.on('data', (bytes: Buffer) => {
      const read = bytes.toString('latin1')
      heard[index] += read
      socket.write(Buffer.from(say(read), 'latin1'))
    })
    socket.on('end', () => socket.end())
  })
  return Object.assign(origin, { heard })
}

test('SEC-17c an origin is told that a GET with content is its last request, and gets no other one', async () => {
  for (const method of ['GET', 'DELETE', 'OPTIONS']) {
    for (const content of [
      `Content-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
      `Transfer-Encoding: chunked\r\n\r\n${EVIL.length.toString(16)}\r\n${EVIL}\r\n0\r\n\r\n`,
    ]) {
      await using route = await startRoute({
        // It overlooks the content of the first, and keeps its connection although it was told not to.
        origin: startSaying((read) => (read.endsWith('\r\n\r\n') ? OK : '')),
      })
      await using client = await route.client()
      client.write(`${method} ${route.url('/')} HTTP/1.1\r\nHost: x\r\n${content}`)
      expect((await readReply(client)).content).toBe('ok')
      client.write(`GET ${route.url('/next')} HTTP/1.1\r\nHost: x\r\n\r\n`)
      expect((await readReply(client)).content).toBe('ok')
      expect(route.origin.heard).toHaveLength(2)
      expect(route.origin.heard[0]).toContain('\r\nConnection: close\r\n')
      expect(route.origin.heard[0]).not.toContain('/next')
      expect(route.origin.heard[1]).toMatch(/^GET \/next HTTP\/1\.1\r\n/)
      expect(route.origin.heard[1]).not.toContain('close')
    }
  }
})

test('SEC-17d a POST with content, and a GET without, keep the connection to their origin', async () => {
  await using route = await startRoute({ origin: startSaying(() => OK) })
  await using client = await route.client()
  for (const rest of ['', 'Content-Length: 0\r\n']) {
    client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n${rest}\r\n`)
    expect((await readReply(client)).content).toBe('ok')
    client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`)
    expect((await readReply(client)).content).toBe('ok')
  }
  expect(route.origin.connections).toBe(1)
  expect(route.origin.heard[0]).not.toContain('close')
})

test('SEC-19a whatever an origin sends behind a response answers nobody, and its connection is closed', async () => {
  const second = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
  const firsts = [
    OK,
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    'HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n',
    'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n',
  ]
  let [first, behind] = ['', '']
  await using route = await startRoute({
    origin: startSaying((read) => (read.startsWith('GET /1 ') ? first + behind : OK)),
  })
  await using client = await route.client()
  let pairs = 0
  for (first of firsts) {
    for (behind of [second, 'x', '\r\n', 'HTTP/1.1 100 Continue\r\n\r\n']) {
      client.write(`GET ${route.url('/1')} HTTP/1.1\r\nHost: x\r\n\r\n`)
      let head = await readHead(client)
      while (head.status < 200) head = await readHead(client)
      if (head.get('transfer-encoding') !== undefined) await client.until('0\r\n\r\n')
      else if (head.status === 200) await client.until('ok')
      client.write(`GET ${route.url('/2')} HTTP/1.1\r\nHost: x\r\n\r\n`)
      const reply = await readReply(client)
      expect([reply.status, reply.content], JSON.stringify([first, behind])).toEqual([200, 'ok'])
      expect(client.pending).toBe('')
      // The second one opened a connection of its own, which then carried the first of the next pair.
      expect(route.origin.connections).toBe(++pairs + 1)
    }
  }
})

test('SEC-19b an origin that answers before the request is whole serves no other one on that connection', async () => {
  await using route = await startRoute({ origin: startSaying(() => OK) })
  await using client = await route.client()
  client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: ${EVIL.length}\r\n\r\n`)
  const early = await readReply(client)
  expect([early.status, early.get('connection')]).toEqual([200, 'close'])
  client.write(EVIL)
  expect(await client.rest()).toBe('')
  await using next = await route.client()
  next.write(`GET ${route.url('/next')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(next)).content).toBe('ok')
  expect(route.origin.connections).toBe(2)
})

test('SEC-19c a client is told that a 205 with content is its last response', async () => {
  await using route = await startRoute({
    origin: startSaying(() => 'HTTP/1.1 205 Reset Content\r\nContent-Length: 2\r\n\r\nok'),
  })
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const reply = await readReply(client)
  expect([reply.status, reply.get('connection'), reply.content]).toEqual([205, 'close', 'ok'])
  expect(await client.rest()).toBe('')
})
