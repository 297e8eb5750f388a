import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { pushUntilStuck, readBulk, sendBulk } from '../kit/bulk.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { startEchoOrigin, startRawOrigin } from '../kit/origin.ts'
import type { RawClient } from '../kit/raw-client.ts'
import { startRoute } from '../kit/route.ts'

const MEGABYTE = 1024 * 1024

/** The socket of a tunnel, without the client's own reading. */
function bare(client: RawClient): Socket {
  client.socket.removeAllListeners('data').pause()
  return client.socket
}

test('TUN-01 a client that ends its side still gets all that the origin sends', async () => {
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      let heard = ''
      socket.on('data', (bytes) => void (heard += bytes.toString()))
      socket.on('end', () => {
        socket.write(`heard ${heard}, `)
        setImmediate(() => socket.end('and the rest'))
      })
    }),
  })
  await using client = await route.tunnel()
  client.socket.end('question')
  expect(await client.rest()).toBe('heard question, and the rest')
  expect(client.wasReset).toBe(false)
  const completed = await route.completed()
  expect(completed).toMatchObject({ 'sallyport.bytes.sent': 8, 'sallyport.bytes.received': 28 })
  expect(completed['error.type']).toBeUndefined()
})

test('TUN-02 an origin that ends its side still gets all that the client sends', async () => {
  const heard = Promise.withResolvers<string>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.end('that is all')
      let all = ''
      socket.on('data', (bytes) => void (all += bytes.toString()))
      socket.on('end', () => heard.resolve(all))
    }),
  })
  await using client = await route.tunnel()
  expect(await client.rest()).toBe('that is all')
  client.write('still ')
  client.socket.end('talking')
  expect(await heard.promise).toBe('still talking')
  expect((await route.completed())['error.type']).toBeUndefined()
})

test('TUN-03 fifty megabytes arrive whole in both directions at once, read slowly on both sides', async () => {
  const atOrigin = Promise.withResolvers<[sent: unknown, read: unknown]>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      void Promise.all([sendBulk(socket, 50 * MEGABYTE), readBulk(socket, { slow: true })]).then(
        atOrigin.resolve,
      )
    }),
  })
  await using client = await route.tunnel()
  const socket = bare(client)
  socket.unshift(Buffer.from(client.pending, 'latin1'))
  const [sent, read] = await Promise.all([sendBulk(socket, 50 * MEGABYTE), readBulk(socket, { slow: true })])
  const [sentByOrigin, readByOrigin] = await atOrigin.promise
  expect(readByOrigin).toEqual(sent)
  expect(read).toEqual(sentByOrigin)
  expect(await route.completed()).toMatchObject({
    'sallyport.bytes.sent': 50 * MEGABYTE,
    'sallyport.bytes.received': 50 * MEGABYTE,
  })
})

test('TUN-04 two hundred tunnels at once carry each its own bytes', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  await Promise.all(
    Array.from({ length: 200 }, async () => {
      await using client = await route.tunnel()
      const message = randomBytes(20_000)
      client.write(message)
      client.socket.end()
      expect(Buffer.from(await client.rest(), 'latin1').equals(message)).toBe(true)
    }),
  )
  await route.completed(200)
  expect(route.decisions()).toHaveLength(200)
  expect(route.origin.connections).toBe(200)
  expect(route.dns.questions).toHaveLength(2)
})

test('TUN-05 an origin that resets is a reset at the client, not an end', async () => {
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.write('half of')
      socket.on('data', () => socket.resetAndDestroy())
    }),
  })
  await using client = await route.tunnel()
  await client.until('half of')
  client.write('now')
  await client.rest()
  expect(client.wasReset).toBe(true)
  expect(await route.completed()).toMatchObject({ 'error.type': 'connection_terminated' })
})

test('TUN-06 a client that resets is a reset at the origin, and frees it at once', async () => {
  const reset = Promise.withResolvers<unknown>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => reset.resolve(error.code))
      socket.resume()
    }),
  })
  await using client = await route.tunnel()
  client.write('something')
  client.socket.resetAndDestroy()
  expect(await reset.promise).toBe('ECONNRESET')
  expect(await route.completed()).toMatchObject({ 'error.type': 'client_gone' })
  expect(route.origin.open.size).toBe(0)
})

test('TUN-07 an origin that sends on and on to a client that does not read is stopped', async () => {
  const taken = Promise.withResolvers<number>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.once('data', () => void pushUntilStuck(socket, 100 * MEGABYTE).then(taken.resolve))
    }),
  })
  await using client = await route.tunnel()
  client.socket.pause()
  client.write('go')
  // The buffers of the kernel on both ways, and one of the proxy's.
  expect(await taken.promise).toBeLessThan(32 * MEGABYTE)
})

test('TUN-08 a client that sends on and on to an origin that does not read is stopped', async () => {
  await using route = await startRoute({ origin: startRawOrigin((socket) => socket.pause()) })
  await using client = await route.tunnel()
  expect(await pushUntilStuck(client.socket, 100 * MEGABYTE)).toBeLessThan(32 * MEGABYTE)
})

test('TUN-09 resetting a client whose tunnel is backed up neither stops the daemon nor leaks the origin', async () => {
  const stuck = Promise.withResolvers<number>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.once('data', () => void pushUntilStuck(socket, 100 * MEGABYTE).then(stuck.resolve))
    }),
  })
  await using client = await route.tunnel()
  client.socket.pause()
  client.write('go')
  await stuck.promise
  client.socket.resetAndDestroy()
  expect(await route.completed()).toMatchObject({ 'error.type': 'client_gone' })
  await using other = await route.tunnel()
  expect(other.pending).toBe('')
  expect(route.decisions()).toHaveLength(2)
})

test('TUN-10 a tunnel that carries nothing for too long is closed; any byte either way keeps it', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({
    origin: startEchoOrigin(),
    clock,
    more: '[limits]\ntunnel_idle_timeout = "60s"',
  })
  await using client = await route.tunnel()
  for (let i = 0; i < 3; i++) {
    clock.advance(50_000)
    client.write('x')
    await client.until('x')
  }
  expect(client.socket.readyState).toBe('open')
  clock.advance(63_000)
  expect(await route.completed()).toMatchObject({
    'error.type': 'idle_timeout',
    'sallyport.bytes.sent': 3,
  })
  await client.rest()
  expect(client.wasReset).toBe(true)
})

test('TUN-11 a server that speaks first is heard', async () => {
  await using route = await startRoute({ origin: startRawOrigin((socket) => socket.write('220 ready\r\n')) })
  await using client = await route.tunnel()
  expect(await client.until('\r\n')).toBe('220 ready\r\n')
})

test('TUN-12 when the daemon stops, the end of every tunnel is still recorded', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  const clients = await Promise.all(Array.from({ length: 5 }, () => route.tunnel()))
  await route.proxy.restart()
  for (const client of clients) {
    await client.rest()
    expect(client.wasReset).toBe(true)
  }
  const lines = await route.proxy.log()
  const events = lines.map((line) => line['event'])
  expect(events.filter((each) => each === 'sallyport.egress.completed')).toHaveLength(5)
  expect(events.filter((each) => each === 'sallyport.egress.decision')).toHaveLength(5)
})
