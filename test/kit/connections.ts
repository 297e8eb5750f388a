import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createReadBuffers } from '../../src/wire/buffers.ts'
import { Connection, type Wire } from '../../src/wire/connection.ts'
import { createPulse } from '../../src/wire/pulse.ts'
import { createFakeClock, type FakeClock } from './fake-clock.ts'

/** A connection of the proxy's own kind, and the plain socket at its other end. */
export interface ConnectionPair extends AsyncDisposable {
  readonly connection: Connection
  readonly peer: Socket
}

export interface TestWire extends Wire, Disposable {
  readonly clock: FakeClock
}

export function createTestWire(): TestWire {
  const clock = createFakeClock()
  const pulse = createPulse(clock)
  return { clock, pulse, buffers: createReadBuffers(), [Symbol.dispose]: () => pulse[Symbol.dispose]() }
}

/** Accepts one connection on loopback, as a listener of the proxy does. Nothing is read before `resume()`. */
export async function acceptedPair(wire: Wire): Promise<ConnectionPair> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepting = once(server, 'connection') as Promise<[Socket]>
  const { port } = server.address() as AddressInfo
  const peer = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  peer.on('error', () => {})
  const [[socket]] = await Promise.all([accepting, once(peer, 'connect')])
  const connection = Connection.accepted(wire, socket)
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
