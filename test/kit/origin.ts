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

/** An HTTP/1.1 origin on loopback by Node's own server. */
export function startHttpOrigin(serve: RequestListener): Promise<OriginServer> {
  return started(createServer({ keepAliveTimeout: 60_000 }, serve))
}

/** An origin on loopback that speaks whatever the test says, byte by byte. */
export function startRawOrigin(serve: (socket: Socket) => void): Promise<OriginServer> {
  return started(createTcpServer({ allowHalfOpen: true }, serve))
}

/** An origin that sends back what it gets, and ends when the client ends. */
export function startEchoOrigin(): Promise<OriginServer> {
  return startRawOrigin((socket) => socket.pipe(socket))
}

async function started(server: Server): Promise<OriginServer> {
  const open = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections++
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
  })
  server.listen(0, '127.0.0.1')
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
