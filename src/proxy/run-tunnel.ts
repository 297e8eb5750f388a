import type { Exchange } from '../core/exchange.ts'
import type { Connection } from '../wire/connection.ts'
import { startTunnel, type Tunnel } from './tunnel.ts'
import type { RunningTunnel, Tunnels } from './tunnels.ts'

/** Starts the tunnel of an exchange (a CONNECT, or a WebSocket after its 101), counts what it carries, and ends both together. */
export function runTunnel(
  client: Connection,
  origin: Connection,
  exchange: Exchange,
  admitted: Omit<RunningTunnel, 'tunnel'>,
  tunnels: Tunnels,
): Tunnel {
  const running: RunningTunnel = {
    ...admitted,
    tunnel: startTunnel(client, origin, {
      sent: (bytes) => void (exchange.bytesSent += bytes),
      received: (bytes) => void (exchange.bytesReceived += bytes),
      closed(trouble) {
        seat.leave()
        exchange.close(trouble)
      },
    }),
  }
  const seat = tunnels.add(running)
  return running.tunnel
}
