import type { Trouble } from '../core/errors.ts'
import type { Connection, Receiver } from '../wire/connection.ts'

/** How much went through a tunnel, and how it ended. */
export interface TunnelHooks {
  sent(bytes: number): void
  received(bytes: number): void
  /** Called once, when both connections are closed. `trouble` is undefined for an end in order. */
  closed(trouble: Trouble | undefined): void
}

export interface Tunnel {
  /** Ends both sides at once. */
  close(trouble: Trouble): void
  /** Monotonic milliseconds (of the pulse) at which bytes last went either way. */
  activeAt(): number
}

/** A TLS alert, with an HTTP/2 GOAWAY before it. */
const GOODBYE_BYTES = 128

/**
 * Carries bytes both ways until both sides have ended. Each side reads only while the other has taken what it got, so a
 * slow reader costs one buffer and no more. An end (FIN) is passed on by itself: half-closed tunnels work.
 */
export function startTunnel(client: Connection, origin: Connection, hooks: TunnelHooks): Tunnel {
  let open = 2
  let trouble: Trouble | undefined

  function side(from: Connection, to: Connection, count: (bytes: number) => void, broken: Trouble): Receiver {
    /** What `to` had said when `from` ended. */
    let said: number | undefined
    return {
      received(bytes) {
        count(bytes.length)
        to.write(bytes)
        if (to.isFlushed) return true
        to.whenFlushed(() => from.resume())
        return false
      },
      ended() {
        said = to.socket.bytesRead
        to.end()
      },
      closed(error) {
        // Whoever ends and closes resets what still comes. No more than a goodbye (TLS close_notify) is no loss.
        const late = said === undefined ? Number.POSITIVE_INFINITY : to.socket.bytesRead - said
        if (error !== undefined && late > GOODBYE_BYTES) {
          trouble ??= broken
          // The other side must see that the stream was cut, not ended.
          to.destroy(true)
        } else if (error !== undefined || !from.socket.readableEnded) to.destroy()
        open--
        if (open === 0) hooks.closed(trouble)
      },
    }
  }

  client.receiver = side(client, origin, hooks.sent, 'client_gone')
  origin.receiver = side(origin, client, hooks.received, 'connection_terminated')
  client.keepAlive()
  origin.keepAlive()
  client.resume()
  origin.resume()

  return {
    close(why) {
      trouble ??= why
      client.destroy(true)
      origin.destroy(true)
    },
    // No getter: V8 keeps the getter of an object literal, and all that it sees, in the shape of the object, which lives
    // until the next major collection. A function is a value like any other.
    activeAt: () => Math.max(client.activeAt, origin.activeAt),
  }
}
