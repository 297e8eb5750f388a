import { once } from 'node:events'
import { expect, test } from 'vitest'
import { clientOf } from '../../src/core/client.ts'
import type { RequestHead } from '../../src/http1/request-reader.ts'
import { ClientSession } from '../../src/proxy/session.ts'
import type { ContentSink } from '../../src/proxy/session-parts.ts'
import type { Wire } from '../../src/wire/connection.ts'
import { acceptedPair, type ConnectionPair, createTestWire } from '../kit/connections.ts'

const LIMITS = {
  message: {
    headBytes: 16_384,
    targetBytes: 8192,
    fieldCount: 100,
    chunkExtensionBytes: 1024,
    trailerBytes: 8192,
    interimCount: 8,
  },
  headerTimeout: 30_000,
  idleTimeout: 60_000,
  earlyBytes: 65_536,
}

const ANSWER = Buffer.alloc(512 * 1024)
const GET = 'GET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n'

/** A session whose door is the test. */
function openSession(wire: Wire, { connection }: ConnectionPair, serve: (head: RequestHead) => void) {
  let over = 0
  const session = new ClientSession(
    connection,
    clientOf('127.0.0.1', 1),
    LIMITS,
    {
      serve: (_, head) => serve(head),
      malformed: (session) => session.abort(),
    },
    wire.pulse.now,
  )
  session.seat = { leave: () => void over++ }
  connection.resume()
  return { session, overs: () => over }
}

/** A turn of the event loop in which everything that is on loopback has been read. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
}

test('FWD-04 a client that asks on and on and reads no answer is not served any further', async () => {
  using wire = createTestWire()
  await using pair = await acceptedPair(wire)
  pair.peer.pause()
  let served = 0
  const { session } = openSession(wire, pair, () => {
    served++
    session.connection.write(ANSWER)
    queueMicrotask(() => session.finish())
  })
  pair.peer.write(GET.repeat(100))
  await settled()
  const stalled = served
  expect(stalled).toBeLessThan(50)
  await settled()
  expect(served).toBe(stalled)
  expect(session.connection.isFlushed).toBe(false)

  const all = Promise.withResolvers<void>()
  let read = 0
  pair.peer.on('data', (bytes: Buffer) => {
    read += bytes.length
    if (read === 100 * ANSWER.length) all.resolve()
  })
  pair.peer.resume()
  await all.promise
  expect(served).toBe(100)
})

test('FWD-05 a client that never reads its answer is closed when it has been idle too long', async () => {
  using wire = createTestWire()
  await using pair = await acceptedPair(wire)
  pair.peer.pause()
  const { session, overs } = openSession(wire, pair, () => {
    while (session.connection.isFlushed) session.connection.write(ANSWER)
    queueMicrotask(() => session.finish())
  })
  wire.pulse.onBeat((now) => session.beat(now))
  pair.peer.write(GET)
  while (session.connection.isFlushed) await new Promise(setImmediate)
  await settled()
  wire.clock.advance(59_000)
  expect(session.connection.socket.destroyed).toBe(false)
  wire.clock.advance(3000)
  expect(session.connection.socket.destroyed).toBe(true)
  await settled()
  expect(overs()).toBe(1)
})

test('FWD-07 after a refused CONNECT the connection is kept for a moment only, unless a next request has begun', async () => {
  using wire = createTestWire()
  for (const next of ['', 'GET http://ok.test/ HT']) {
    await using pair = await acceptedPair(wire)
    const { session } = openSession(wire, pair, () => {
      session.connection.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n')
      queueMicrotask(() => session.finishBriefly())
    })
    wire.pulse.onBeat((now) => session.beat(now))
    pair.peer.write('CONNECT no.test:443 HTTP/1.1\r\n\r\n')
    await once(pair.peer, 'data')
    if (next !== '') pair.peer.write(next)
    await settled()
    expect(session.isIdle).toBe(next === '')
    wire.clock.advance(4000)
    expect(session.connection.socket.destroyed).toBe(next === '')
  }
})

test('FWD-06 content that comes while nobody takes it is kept for whoever takes it next', async () => {
  using wire = createTestWire()
  await using pair = await acceptedPair(wire)
  const { session } = openSession(wire, pair, () => {})
  const taken = { first: '', second: '', ended: false }
  const first: ContentSink = {
    data: (bytes) => {
      taken.first += bytes.toString()
    },
    flush: () => true,
    end: () => {},
    failed: () => {},
  }
  const done = Promise.withResolvers<void>()
  const second: ContentSink = {
    data: (bytes) => {
      taken.second += bytes.toString()
    },
    flush: () => true,
    end: () => done.resolve(),
    failed: () => {},
  }
  pair.peer.write('PUT http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 6\r\n\r\n')
  await settled()
  session.content(first)
  session.release(first)
  pair.peer.write('abc')
  await settled()
  expect(taken).toMatchObject({ first: '', second: '' })
  session.content(second)
  pair.peer.write('def')
  await done.promise
  expect(taken).toMatchObject({ first: '', second: 'abcdef' })
})
