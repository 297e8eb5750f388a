import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { acceptConnections, type Remote } from '../../src/wire/acceptor.ts'
import { createReadBuffers } from '../../src/wire/buffers.ts'
import type { Connection } from '../../src/wire/connection.ts'
import { acceptedPair, createTestWire } from '../kit/connections.ts'

const MEGABYTE = Buffer.alloc(1024 * 1024, 'x')

test('WIRE-01 whoever waits for a flush of a reset connection is called once, when it is closed', async () => {
  using wire = createTestWire()
  await using pair = await acceptedPair(wire)
  const { connection, peer } = pair
  peer.pause()
  let calls = 0
  let closedBefore = false
  const closed = new Promise<void>((resolve) => {
    connection.receiver = {
      received: () => true,
      ended: () => {},
      closed() {
        closedBefore = calls === 0
        resolve()
      },
    }
  })
  connection.resume()
  while (connection.isFlushed) connection.write(MEGABYTE)
  // A caller that asks again as long as it is not flushed: it must not be called back in the same turn for ever.
  function again(): void {
    calls++
    if (!connection.isFlushed && calls < 1000) connection.whenFlushed(again)
  }
  connection.whenFlushed(again)
  peer.resetAndDestroy()
  await closed
  await new Promise(setImmediate)
  expect({ closedBefore, calls, flushed: connection.isFlushed }).toEqual({
    closedBefore: true,
    calls: 1,
    flushed: true,
  })
})

/** Reads all that comes, and says what it had to read into. */
function counting(connection: Connection): { bytes: number; sizes: number[] } {
  const seen = { bytes: 0, sizes: [] as number[] }
  connection.receiver = {
    received(bytes) {
      seen.bytes += bytes.length
      seen.sizes.push(bytes.buffer.byteLength)
      return true
    },
    ended: () => {},
    closed: () => {},
  }
  connection.resume()
  return seen
}

test('WIRE-03 a connection that carries much reads into a large buffer, and gives it back when little comes', async () => {
  let taken = 0
  using wire = createTestWire()
  const buffers = createReadBuffers()
  const watched = {
    ...wire,
    buffers: {
      shared: buffers.shared,
      take: () => {
        taken++
        return buffers.take()
      },
      give: (buffer: Buffer, reusable: boolean) => {
        taken--
        expect(reusable).toBe(true)
        buffers.give(buffer, reusable)
      },
    },
  }
  await using pair = await acceptedPair(watched)
  const seen = counting(pair.connection)
  for (let round = 1; round <= 3; round++) {
    pair.peer.write(MEGABYTE)
    while (seen.bytes < round * (MEGABYTE.length + 5) - 5) await new Promise(setImmediate)
    pair.peer.write('small')
    while (seen.bytes < round * (MEGABYTE.length + 5)) await new Promise(setImmediate)
    expect(taken, 'what rests holds none').toBe(0)
  }
  expect(Math.max(...seen.sizes)).toBe(256 * 1024)
})

test('WIRE-04 where no large buffer is left, everything is read all the same', async () => {
  using wire = createTestWire()
  await using pair = await acceptedPair({ ...wire, buffers: createReadBuffers({ most: 0 }) })
  const seen = counting(pair.connection)
  pair.peer.write(MEGABYTE)
  while (seen.bytes < MEGABYTE.length) await new Promise(setImmediate)
  expect(Math.max(...seen.sizes)).toBeLessThan(128 * 1024)
})

test('WIRE-05 large buffers are used again, and no more of them than there may be', () => {
  const buffers = createReadBuffers({ most: 2, keep: 1 })
  const [first, second] = [buffers.take()!, buffers.take()!]
  expect(buffers.take()).toBeUndefined()
  buffers.give(first, true)
  expect(buffers.take()).toBe(first)
  buffers.give(first, false)
  buffers.give(second, true)
  expect([buffers.take(), buffers.take() === first, buffers.take()]).toEqual([second, false, undefined])
})

test('WIRE-06 whoever asks for the flush of a connection that is being closed hears of its close', async () => {
  using wire = createTestWire()
  await using pair = await acceptedPair(wire)
  const { connection, peer } = pair
  peer.pause()
  while (connection.isFlushed) connection.write(MEGABYTE)
  connection.destroy()
  const heard = new Promise<boolean>((resolve) => {
    connection.whenFlushed(() => resolve(connection.isClosed))
  })
  expect(connection.isFlushed).toBe(false)
  expect(await heard).toBe(true)
  expect(connection.isFlushed).toBe(true)
  expect(await new Promise((resolve) => connection.whenFlushed(() => resolve('at once')))).toBe('at once')
})

test('WIRE-02 a flush is told when the kernel has the bytes, and not before', async () => {
  using wire = createTestWire()
  await using pair = await acceptedPair(wire)
  const { connection, peer } = pair
  peer.pause()
  let written = 0
  while (connection.isFlushed) {
    connection.write(MEGABYTE)
    written += MEGABYTE.length
  }
  let told = false
  connection.whenFlushed(() => void (told = true))
  await new Promise(setImmediate)
  expect(told).toBe(false)
  let read = 0
  peer.on('data', (bytes: Buffer) => void (read += bytes.length))
  peer.resume()
  await new Promise<void>((resolve) => connection.whenFlushed(resolve))
  expect(told).toBe(true)
  connection.end()
  await once(peer, 'end')
  expect(read).toBe(written)
})

test('WIRE-08 a write that fails in the kernel while others wait behind it is told to each of them once, and ends there', async () => {
  using wire = createTestWire()
  await using pair = await acceptedPair(wire)
  const { connection, peer } = pair
  // Reading is stopped, so that it is the write that learns of the reset.
  await new Promise<void>((resolve) => {
    connection.receiver = {
      received: () => (resolve(), false),
      ended: () => {},
      closed: () => {},
    }
    connection.resume()
    peer.write('x')
  })
  // The kernel's buffers are full, so this write is under way and the empty ones that wait for it are queued behind.
  const bytes = Buffer.alloc(1024 * 1024)
  while (connection.isFlushed) connection.write(bytes)
  let told = 0
  const flushed = Promise.all(
    [1, 2, 3].map(
      () =>
        new Promise<void>((resolve) =>
          connection.whenFlushed(() => {
            told++
            resolve()
          }),
        ),
    ),
  )
  expect(told).toBe(0)
  peer.resetAndDestroy()
  await flushed
  expect(told).toBe(3)
  expect(connection.isClosed).toBe(true)
})

for (const handles of [true, false])
  test(`WIRE-07 an echo to a slow reader is whole, ends, and is told once: ${handles ? 'over the handle' : "over Node's own socket"}`, async () => {
    using wire = createTestWire()
    await using pair = await acceptedPair(wire, handles)
    const { connection, peer } = pair
    const told: string[] = []
    const over = new Promise<void>((resolve) => {
      connection.onClosed = () => {
        told.push('onClosed')
        resolve()
      }
    })
    let most = 0
    connection.receiver = {
      received(bytes) {
        connection.write(bytes)
        most = Math.max(most, connection.socket.writableLength)
        if (connection.isFlushed) return true
        connection.whenFlushed(() => connection.resume())
        return false
      },
      ended() {
        told.push('ended')
        connection.end()
      },
      closed: (error) => void told.push(`closed ${error}`),
    }
    connection.resume()
    const sent = Buffer.from(
      Uint8Array.from({ length: 24 * MEGABYTE.length }, (_, i) => (i * 31 + (i >> 8)) & 0xff),
    )
    peer.pause()
    peer.end(sent)
    while (connection.isFlushed) await new Promise(setImmediate)
    const got: Buffer[] = []
    peer.on('data', (bytes: Buffer) => void got.push(bytes))
    peer.resume()
    await Promise.all([once(peer, 'end'), over])
    expect(Buffer.concat(got).equals(sent)).toBe(true)
    expect(told).toEqual(['ended', 'closed undefined', 'onClosed'])
    expect(most).toBeLessThanOrEqual(256 * 1024)
  })

test('WIRE-09 where a connection comes from is known before anything is read', async () => {
  for (const handles of [true, false]) {
    using wire = createTestWire()
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const accepted = new Promise<[Connection, Remote]>((resolve) => {
      acceptConnections(server, wire, (...args) => resolve(args), handles)
    })
    const peer = connect((server.address() as AddressInfo).port, '127.0.0.1')
    await once(peer, 'connect')
    const [connection, remote] = await accepted
    expect(remote).toEqual({ address: '127.0.0.1', port: peer.localPort })
    const closed = once(connection.socket, 'close')
    connection.destroy()
    await closed
    peer.destroy()
    server.close()
  }
})
