import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createReadBuffers } from '../../src/wire/buffers.ts'
import { acceptConnections } from '../../src/wire/acceptor.ts'
import type { Connection, Wire } from '../../src/wire/connection.ts'
import { createPulse } from '../../src/wire/pulse.ts'
import { Room } from '../../src/wire/room.ts'
import { createFakeClock, type FakeClock } from './fake-clock.ts'

/** A connection of the proxy's own kind, and the plain socket at its other end. */
export interface ConnectionPair extends AsyncDisposable {
  readonly connection: Connection
  readonly peer: Socket
}

export interface TestWire extends Wire, Disposable {
  readonly clock: FakeClock
}

/** `most`: how many connections it may have at once. */
export function createTestWire(most = Number.POSITIVE_INFINITY): TestWire {
  const clock = createFakeClock()
  const pulse = createPulse(clock)
  return {
    clock,
    pulse,
    buffers: createReadBuffers(),
    room: new Room(most),
    [Symbol.dispose]: () => pulse[Symbol.dispose](),
  }
}

/**
 * Accepts one connection on loopback, as a listener of the proxy does; `handles` false: as it does where Node does not
 * show its handles. Nothing is taken before `resume()`.
 */
export async function acceptedPair(wire: Wire, handles = true): Promise<ConnectionPair> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepting = new Promise<Connection>((resolve) => {
    acceptConnections(server, wire, resolve, handles)
  })
  const { port } = server.address() as AddressInfo
  const peer = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  peer.on('error', () => {})
  const [connection] = await Promise.all([accepting, once(peer, 'connect')])
  server.close()
  return {
    connection,
    peer,
    async [Symbol.asyncDispose]() {
      peer.destroy()
      if (connection.isClosed) return
      const closed = once(connection.socket, 'close')
      connection.destroy()
      await closed
    },
  }
}
