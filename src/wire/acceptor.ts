import type { Server, Socket } from 'node:net'
import { Connection, type Wire } from './connection.ts'

/** Where an accepted connection comes from. */
export interface Remote {
  readonly address: string
  readonly port: number
}

/** What Node calls with each accepted connection before it makes a socket of it. Private to Node, so it is looked for. */
interface WithHandle {
  readonly _handle?: {
    onconnection?: unknown
  } | null
}

interface AcceptedHandle {
  getpeername(out: { address?: string; port?: number }): number
  close(): void
}

/**
 * Calls back for each connection that `server` accepts from now on; call it when the server listens. The connection is
 * made straight from the accepted handle: Node's own socket around it could not read into our buffers, and a second one
 * would cost as much as everything else that a refused request needs. Where Node does not show its handle, or where
 * `handles` is false, the ordinary socket is used, which is slower and otherwise the same.
 */
export function acceptConnections(
  server: Server,
  wire: Wire,
  accepted: (connection: Connection, remote: Remote) => void,
  handles = true,
): void {
  const listening = (server as WithHandle)._handle
  const original: unknown = listening?.onconnection
  if (!handles || !listening || typeof original !== 'function') {
    server.on('connection', (socket: Socket) => {
      const { remoteAddress: address, remotePort: port } = socket
      // A client that is gone before it was looked at has no address any more.
      if (address === undefined || port === undefined) return void socket.destroy()
      accepted(Connection.ofSocket(wire, socket), { address, port })
    })
    return
  }
  listening.onconnection = function onconnection(error: unknown, handle: AcceptedHandle | undefined): void {
    // Out of descriptors, say: Node tells the server.
    if (error || handle === undefined) return void Reflect.apply(original, this, [error, handle])
    const { address, port } = peerOf(handle)
    if (address === undefined || port === undefined) return handle.close()
    accepted(Connection.ofHandle(wire, handle), { address, port })
  }
}

function peerOf(handle: AcceptedHandle): { address?: string; port?: number } {
  const peer = {}
  return handle.getpeername(peer) === 0 ? peer : {}
}
