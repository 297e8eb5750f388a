import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { parseIpAddress } from '../../src/core/ip-address.ts'
import { createDialer } from '../../src/upstream/dialer.ts'
import { createTestWire, type TestWire } from '../kit/connections.ts'
import { startDeafOrigin } from '../kit/deaf-origin.ts'
import { startEchoOrigin } from '../kit/origin.ts'

const CONNECT_TIMEOUT = 10_000
const address = (text: string) => parseIpAddress(text)!

function dialerOf(wire: TestWire) {
  return createDialer({ connectTimeout: () => CONNECT_TIMEOUT, clock: wire.clock, wire })
}

test('DIAL-01 the first address that accepts is the one, and is told', async () => {
  using wire = createTestWire()
  await using origin = await startEchoOrigin()
  const { connection, address: reached } = await dialerOf(wire).dial([address('127.0.0.1')], origin.port)
    .result
  expect(reached).toBe('127.0.0.1')
  expect(connection.socket.remotePort).toBe(origin.port)
  connection.destroy()
  expect(wire.clock.pendingAt(CONNECT_TIMEOUT)).toBe(0)
})

test('DIAL-02 an address that refuses is followed by the next at once', async () => {
  using wire = createTestWire()
  await using origin = await startEchoOrigin()
  const addresses = ['127.0.0.2', '127.0.0.3', '127.0.0.1'].map(address)
  const { connection, address: reached } = await dialerOf(wire).dial(addresses, origin.port).result
  expect(reached).toBe('127.0.0.1')
  connection.destroy()
})

test('DIAL-03 where all refuse it is connection_refused', async () => {
  using wire = createTestWire()
  await using origin = await startEchoOrigin()
  const addresses = ['127.0.0.2', '127.0.0.3'].map(address)
  await expect(dialerOf(wire).dial(addresses, origin.port).result).rejects.toMatchObject({
    code: 'connection_refused',
  })
  expect(origin.connections).toBe(0)
})

test('DIAL-04 an address that hangs is joined by the next after a quarter of a second, and dropped when that accepts', async () => {
  using wire = createTestWire()
  await using deaf = await startDeafOrigin()
  const server = createServer().listen(deaf.port, '127.0.0.2')
  await once(server, 'listening')
  const dialling = dialerOf(wire).dial(['127.0.0.1', '127.0.0.2'].map(address), deaf.port)
  wire.clock.advance(249)
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
  const accepted = once(server, 'connection')
  wire.clock.advance(1)
  await accepted
  const { connection, address: reached } = await dialling.result
  expect(reached).toBe('127.0.0.2')
  connection.destroy()
  server.close()
})

test('DIAL-05 where none accepts in time it is connection_timeout, and nothing is left open', async () => {
  using wire = createTestWire()
  await using deaf = await startDeafOrigin()
  const { result } = dialerOf(wire).dial([address('127.0.0.1')], deaf.port)
  wire.clock.advance(CONNECT_TIMEOUT)
  await expect(result).rejects.toMatchObject({ code: 'connection_timeout' })
})

test('DIAL-06 what is cancelled is client_gone, also before the first answer of the kernel', async () => {
  using wire = createTestWire()
  await using origin = await startEchoOrigin()
  const dialling = dialerOf(wire).dial([address('127.0.0.1')], origin.port)
  dialling.cancel()
  await expect(dialling.result).rejects.toMatchObject({ code: 'client_gone' })
  dialling.cancel()
  expect(wire.clock.pendingAt(CONNECT_TIMEOUT)).toBe(0)
})

test('DIAL-07 at most eight addresses are tried', async () => {
  using wire = createTestWire()
  const servers = await Promise.all(
    Array.from({ length: 1 }, async () => {
      const server = createServer().listen(0, '127.0.0.20')
      await once(server, 'listening')
      return server
    }),
  )
  const { port } = servers[0]!.address() as AddressInfo
  const nine = [...Array.from({ length: 8 }, (_, i) => `127.0.0.${2 + i}`), '127.0.0.20'].map(address)
  await expect(dialerOf(wire).dial(nine, port).result).rejects.toMatchObject({ code: 'connection_refused' })
  const { connection } = await dialerOf(wire).dial(nine.slice(1), port).result
  connection.destroy()
  for (const server of servers) server.close()
})

test('DIAL-08 an IPv4 address that is written as an IPv6 one is reached', async () => {
  using wire = createTestWire()
  await using origin = await startEchoOrigin()
  const { connection } = await dialerOf(wire).dial([address('::ffff:127.0.0.1')], origin.port).result
  connection.write('ping')
  expect(connection.socket.remoteAddress).toMatch(/127\.0\.0\.1$/)
  connection.destroy()
})

test('DIAL-09 where there are as many connections as there may be, none is opened; one that is to spare makes room', async () => {
  using wire = createTestWire(1)
  await using origin = await startEchoOrigin()
  const { connection } = await dialerOf(wire).dial([address('127.0.0.1')], origin.port).result
  const { result } = dialerOf(wire).dial(['127.0.0.2', '127.0.0.1'].map(address), origin.port)
  await expect(result).rejects.toMatchObject({ code: 'connection_limit_reached' })
  wire.room.spare = () => {
    connection.destroy()
    return true
  }
  const second = await dialerOf(wire).dial([address('127.0.0.1')], origin.port).result
  while (origin.connections < 2) await new Promise(setImmediate)
  second.connection.destroy()
  expect(wire.clock.pendingAt(CONNECT_TIMEOUT)).toBe(0)
})
