import { once } from 'node:events'
import { expect, test } from 'vitest'
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

test('WIRE-03 a write that fails in the kernel while others wait behind it is told to each of them once, and ends there', async () => {
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
