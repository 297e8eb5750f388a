import type { HelloRetry } from '../tls/hello-retry.ts'
import type { Connection, Receiver } from '../wire/connection.ts'

/**
 * Stands between a client and its tunnel, which has just begun, until it is certain that no second ClientHello will name
 * another host; then steps aside, so that the tunnel is as fast as any. `refuse` ends the tunnel.
 */
export function watchForSecondHello(
  client: Connection,
  origin: Connection,
  retry: HelloRetry,
  refuse: (serverName: string | undefined) => void,
): void {
  const [toOrigin, toClient] = [client.receiver, origin.receiver]
  function stepAside(): void {
    if (!retry.isOver) return
    // A connection that is closed has another receiver by now.
    if (client.receiver === fromClient) client.receiver = toOrigin
    if (origin.receiver === fromOrigin) origin.receiver = toClient
  }
  const fromClient: Receiver = {
    received(bytes) {
      const sequel = retry.sent(bytes)
      if (sequel.kind === 'refused') {
        refuse(sequel.serverName)
        return false
      }
      stepAside()
      return sequel.bytes.length === 0 || toOrigin.received(sequel.bytes)
    },
    ended() {
      // What is held back can become nothing that may be passed on any more.
      if (retry.isHolding) refuse(undefined)
      else toOrigin.ended()
    },
    closed: (error) => toOrigin.closed(error),
  }
  const fromOrigin: Receiver = {
    received(bytes) {
      retry.received(bytes)
      stepAside()
      return toClient.received(bytes)
    },
    ended: () => toClient.ended(),
    closed: (error) => toClient.closed(error),
  }
  client.receiver = fromClient
  origin.receiver = fromOrigin
}
