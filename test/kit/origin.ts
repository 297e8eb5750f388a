import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'

export interface OriginServer extends AsyncDisposable {
  readonly port: number
  /** Connections that were ever accepted. */
  readonly connections: number
  /** Those that are open now. */
  readonly open: ReadonlySet<Socket>
}

/** Where an origin listens; default any free port of 127.0.0.1. */
export interface OriginAddress {
  readonly host: string
  readonly port: number
}

/** An HTTP/1.1 origin on loopback by Node's own server. */
export function startHttpOrigin(serve: RequestListener, address?: OriginAddress): Promise<OriginServer> {
  return started(createServer({ keepAliveTimeout: 60_000 }, serve), address)
}

/** An origin on loopback that speaks whatever the test says, byte by byte. */
export function startRawOrigin(
  serve: (socket: Socket) => void,
  address?: OriginAddress,
): Promise<OriginServer> {
  return started(createTcpServer({ allowHalfOpen: true }, serve), address)
}

/** An origin that sends back what it gets, and ends when the client ends. */
export function startEchoOrigin(): Promise<OriginServer> {
  return startRawOrigin((socket) => socket.pipe(socket))
}

async function started(
  server: Server,
  address: OriginAddress = { host: '127.0.0.1', port: 0 },
): Promise<OriginServer> {
  const open = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections++
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
  })
  server.listen(address)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections
    },
    open,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/**
 * A loopback address that no other test uses at the same time, for origins on a port that has a meaning (80, 443): one of
 * 16 million, at random.
 */
export function loopbackAddress(): string {
  const [a, b, c] = randomBytes(3)
  return `127.${a}.${b}.${Math.max(2, c! % 255)}`
}
