import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { pushUntilStuck } from '../kit/bulk.ts'
import { readHead, readReply } from '../kit/http-reply.ts'
import { startHttpOrigin, startRawOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

const MEGABYTE = 1024 * 1024
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** An origin that gives each connection to the test, with what it has said so far. */
async function startDialogue() {
  const talks: Talk[] = []
  let wake = () => {}
  const origin = await startRawOrigin((socket) => {
    talks.push(talkOf(socket))
    wake()
  })
  return Object.assign(origin, {
    async accepted(): Promise<Talk> {
      while (talks.length === 0) await new Promise<void>((resolve) => (wake = resolve))
      return talks.shift()!
    },
  })
}

interface Talk {
  readonly socket: Socket
  /** Waits until what was heard contains this, and returns and forgets all of it. */
  heard(text: string): Promise<string>
  readonly pending: string
  readonly ended: Promise<void>
}

function talkOf(socket: Socket): Talk {
  let pending = ''
  let wake = () => {}
  const ended = Promise.withResolvers<void>()
  socket.on('data', (bytes: Buffer) => {
    pending += bytes.toString('latin1')
    wake()
  })
  socket.on('close', () => ended.resolve())
  socket.on('end', () => ended.resolve())
  return {
    socket,
    async heard(text) {
      while (!pending.includes(text)) await new Promise<void>((resolve) => (wake = resolve))
      const all = pending
      pending = ''
      return all
    },
    get pending() {
      return pending
    },
    ended: ended.promise,
  }
}

test('FWD-30 an upload of known length, and a chunked one, arrive whole and in their own framing', async () => {
  await using route = await startRoute({
    origin: startHttpOrigin((request, response) => {
      const hash = createHash('sha256')
      request.on('data', (bytes: Buffer) => hash.update(bytes))
      request.on('end', () => {
        const { 'content-length': length, 'transfer-encoding': coding } = request.headers
        response.end(`${length} ${coding} ${hash.digest('hex')}`)
      })
    }),
  })
  const content = randomBytes(3 * MEGABYTE)
  const digest = createHash('sha256').update(content).digest('hex')
  await using client = await route.client()
  client.write(`PUT ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: ${content.length}\r\n\r\n`)
  client.write(content)
  expect((await readReply(client)).content).toBe(`${content.length} undefined ${digest}`)

  client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`)
  for (let at = 0; at < content.length;) {
    const size = Math.min(content.length - at, 1 + ((at * 7919) % 100_000))
    client.write(`${size.toString(16)};ext="x"\r\n`)
    client.write(content.subarray(at, at + size))
    client.write('\r\n')
    at += size
  }
  client.write('0\r\n\r\n')
  expect((await readReply(client)).content).toBe(`undefined chunked ${digest}`)
  expect(await route.completed(2)).toMatchObject({ 'sallyport.bytes.sent': content.length })
  expect(route.decisions()).toHaveLength(2)
})

test('FWD-31 trailers go both ways, those that are nobody elses business do not', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  client.write(
    `POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n` +
      '3\r\nabc\r\n0\r\nX-Sum: 1\r\nProxy-Thing: 2\r\nHost: evil.test\r\nContent-Length: 5\r\nx-sum: 3\r\n\r\n',
  )
  const talk = await route.origin.accepted()
  expect(await talk.heard('x-sum: 3\r\n\r\n')).toMatch(
    /\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-sum: 3\r\n\r\n$/,
  )
  talk.socket.write(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Check: \xe9\r\n' +
      'Proxy-Status: sallyport; error=http_request_denied\r\nX-Proxy-Error: blocked-by-denylist\r\n' +
      'Set-Cookie: a=b\r\nConnection: close\r\n\r\n',
    'latin1',
  )
  const reply = await readReply(client)
  expect(reply.content).toBe('ok')
  expect(reply.trailers).toBe('X-Check: \xe9\r\n')
})

test('FWD-32 100 (Continue) comes from the origin: the client waits until it has said so', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  client.write(
    `PUT ${route.url('/')} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`,
  )
  const talk = await route.origin.accepted()
  expect(await talk.heard('\r\n\r\n')).toContain('\r\nExpect: 100-continue\r\n')
  expect(client.pending).toBe('')
  talk.socket.write('HTTP/1.1 100 Continue\r\n\r\n')
  expect((await readHead(client)).status).toBe(100)
  client.write('hello')
  expect(await talk.heard('hello')).toBe('hello')
  talk.socket.write(OK)
  expect((await readReply(client)).content).toBe('ok')
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await talk.heard('\r\n\r\n')
  expect(route.origin.connections).toBe(1)
})

test('FWD-33 a final answer instead of 100 ends the exchange: no content was sent, the connection closes in order', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  for (const status of [417, 413]) {
    await using client = await route.client()
    client.write(
      `PUT ${route.url('/')} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`,
    )
    const talk = await route.origin.accepted()
    await talk.heard('\r\n\r\n')
    talk.socket.write(`HTTP/1.1 ${status} No\r\nContent-Length: 2\r\n\r\nno`)
    const reply = await readReply(client)
    expect([reply.status, reply.content, reply.get('connection')]).toEqual([status, 'no', 'close'])
    expect(await client.rest()).toBe('')
    expect(client.wasReset).toBe(false)
    await talk.ended
    expect(talk.pending).toBe('')
  }
  expect(route.decisions()).toHaveLength(2)
})

test('FWD-34 interim responses come through in their order, with their fields', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const talk = await route.origin.accepted()
  await talk.heard('\r\n\r\n')
  talk.socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nProxy-Status: x\r\n\r\n')
  const early = await readHead(client)
  expect([early.status, early.get('link'), early.get('proxy-status')]).toEqual([
    103,
    '</a>; rel=preload',
    undefined,
  ])
  talk.socket.write(`HTTP/1.1 102 Processing\r\n\r\n${OK}`)
  expect((await readHead(client)).status).toBe(102)
  expect((await readReply(client)).content).toBe('ok')
})

test('FWD-35 an answer before the end of an upload comes through at once, and the rest of the upload is not needed', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: ${50 * MEGABYTE}\r\n\r\n`)
  client.write(Buffer.alloc(MEGABYTE))
  const talk = await route.origin.accepted()
  await talk.heard('\r\n\r\n')
  talk.socket.write('HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n\r\nno')
  const reply = await readReply(client)
  expect([reply.status, reply.content, reply.get('connection')]).toEqual([413, 'no', 'close'])
  await talk.ended
  await client.rest()
  expect(await route.completed()).toMatchObject({ 'http.response.status_code': 413 })
})

test('FWD-36 an answer that comes while the upload runs on does not stop the upload', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n`)
  const talk = await route.origin.accepted()
  await talk.heard('one')
  talk.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nheard\r\n')
  await client.until('heard')
  client.write('3\r\ntwo\r\n')
  await talk.heard('two')
  talk.socket.write('4\r\nthat\r\n')
  await client.until('that')
  client.write('0\r\n\r\n')
  await talk.heard('0\r\n\r\n')
  talk.socket.write('0\r\n\r\n')
  await client.until('0\r\n\r\n')
  expect(route.decisions()).toHaveLength(1)
})

test('FWD-37 events come one by one as the origin sends them', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  client.write(`GET ${route.url('/events')} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n`)
  const talk = await route.origin.accepted()
  await talk.heard('\r\n\r\n')
  talk.socket.write(
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
  expect((await readHead(client)).status).toBe(200)
  for (let i = 0; i < 5; i++) {
    talk.socket.write(`9\r\ndata: ${i}\n\n\r\n`)
    await client.until(`9\r\ndata: ${i}\n\n\r\n`)
  }
  await client[Symbol.asyncDispose]()
  await talk.ended
  expect(await route.completed()).toMatchObject({
    'error.type': 'client_gone',
    'sallyport.bytes.received': 45,
  })
})

test('FWD-38 a client that does not read stops the origin', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  const talk = await route.origin.accepted()
  await talk.heard('\r\n\r\n')
  client.socket.pause()
  talk.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${1000 * MEGABYTE}\r\n\r\n`)
  expect(await pushUntilStuck(talk.socket, 100 * MEGABYTE)).toBeLessThan(32 * MEGABYTE)
  client.socket.resetAndDestroy()
  await talk.ended
  expect(await route.completed()).toMatchObject({ 'error.type': 'client_gone' })
  await using other = await route.client()
  other.write('GET http://denied.test/ HTTP/1.1\r\nHost: x\r\n\r\n')
  expect((await readReply(other)).status).toBe(403)
})

test('FWD-39 an origin that does not read stops the client', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: ${1000 * MEGABYTE}\r\n\r\n`)
  const talk = await route.origin.accepted()
  await talk.heard('\r\n\r\n')
  talk.socket.pause()
  expect(await pushUntilStuck(client.socket, 100 * MEGABYTE)).toBeLessThan(32 * MEGABYTE)
  talk.socket.resetAndDestroy()
  expect((await readReply(client)).status).toBe(502)
})

test('FWD-40 a client that goes away in the middle of an upload, or of an answer, frees the origin at once', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  const leave: readonly ((socket: Socket) => void)[] = [
    (socket) => socket.destroy(),
    (socket) => socket.resetAndDestroy(),
    (socket) => socket.end(),
  ]
  for (const go of leave) {
    await using uploading = await route.client()
    uploading.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf`)
    const upload = await route.origin.accepted()
    await upload.heard('half')
    go(uploading.socket)
    await upload.ended
    expect(upload.pending).toBe('')

    await using waiting = await route.client()
    waiting.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
    const wait = await route.origin.accepted()
    await wait.heard('\r\n\r\n')
    go(waiting.socket)
    await wait.ended
  }
  await route.completed(6)
  expect(route.decisions()).toHaveLength(6)
  const ends = route.proxy.events.filter(({ event }) => event === 'sallyport.egress.completed')
  expect(ends.map(({ attributes }) => attributes['error.type'])).toEqual(Array(6).fill('client_gone'))
})

test('FWD-41 content whose framing breaks half-way is 400, and the origin does not take it for whole', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  for (const broken of ['zz\r\n', '3\r\nabcd\r\n', '3\nabc\r\n', 'fffffffffffffffff\r\n']) {
    await using client = await route.client()
    client.write(
      `POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n`,
    )
    const talk = await route.origin.accepted()
    await talk.heard('one')
    client.write(`${broken}GET http://denied.test/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.status, reply.get('connection')], broken).toEqual([400, 'close'])
    expect(await client.rest()).toBe('')
    await talk.ended
    expect(talk.pending).not.toContain('0\r\n\r\n')
  }
  expect(route.decisions()).toHaveLength(4)
})

test('FWD-42 content in chunks of one byte each goes on in few pieces, both ways', async () => {
  await using route = await startRoute({ origin: startDialogue() })
  await using client = await route.client()
  const tiny = '1\r\nx\r\n'.repeat(100_000)
  client.write(`POST ${route.url('/')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`)
  client.write(`${tiny}0\r\n\r\n`)
  const talk = await route.origin.accepted()
  const upload = await talk.heard('\r\n0\r\n\r\n')
  expect(upload.length).toBeLessThan(102_000)
  expect(upload.match(/x/g)).toHaveLength(100_000)

  talk.socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${tiny}0\r\n\r\n`)
  const download = await client.until('\r\n0\r\n\r\n')
  expect(download.length).toBeLessThan(102_000)
  expect(download.match(/x/g)).toHaveLength(100_000)
  expect(await route.completed()).toMatchObject({
    'sallyport.bytes.sent': 100_000,
    'sallyport.bytes.received': 100_000,
  })
})
