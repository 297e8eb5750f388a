import type { Alarm, Clock } from '../core/clock.ts'
import { errnoOf, ProxyError } from '../core/errors.ts'
import { type IpAddress, parseIpAddress } from '../core/ip-address.ts'
import { Connection, type Wire } from '../wire/connection.ts'

export interface Dialer {
  /**
   * Connects to one of the vetted addresses, in their order, the next one starting while an earlier one hangs
   * (RFC 8305 §5). The name is never looked up again.
   */
  dial(addresses: readonly IpAddress[], port: number): Dialling
}

/** A connection that is being opened. */
export interface Dialling {
  /** Rejects with ProxyError. */
  readonly result: Promise<Dialled>
  /** Gives up, unless it stands already: `result` rejects with `client_gone`. Cheaper than a signal for each dial. */
  cancel(): void
}

export interface Dialled {
  readonly connection: Connection
  readonly address: string
}

export interface DialerOptions {
  /** Milliseconds until one of the addresses must have accepted. */
  readonly connectTimeout: () => number
  readonly clock: Clock
  readonly wire: Wire
}

/** Connection Attempt Delay (RFC 8305 §5). */
const NEXT_ATTEMPT_MS = 250
const ATTEMPTS_LIMIT = 8

export function createDialer(options: DialerOptions): Dialer {
  return {
    dial(addresses, port) {
      const { promise, resolve, reject } = Promise.withResolvers<Dialled>()
      const queue = addresses.slice(0, ATTEMPTS_LIMIT)
      const open = new Set<Connection>()
      let failure: Error | undefined
      let next: Alarm | undefined
      const limit = options.clock.after(options.connectTimeout(), () =>
        finish(new ProxyError('connection_timeout')),
      )
      attempt()

      function attempt(): void {
        next?.cancel()
        const address = queue.shift()
        if (address === undefined) {
          if (open.size === 0) finish(asTrouble(failure))
          return
        }
        if (!options.wire.room.hasSeat()) {
          failure ??= new ProxyError('connection_limit_reached')
          // One that is being tried may still be the one.
          if (open.size === 0) finish(asTrouble(failure))
          return
        }
        const connection = Connection.open(options.wire, { host: address.text, port, family: address.family })
        open.add(connection)
        connection.receiver = {
          received: () => false,
          ended: () => {},
          closed(error) {
            open.delete(connection)
            failure = error ?? failure
            attempt()
          },
        }
        connection.socket.once('connect', () => {
          // The kernel connects where it was told to; this holds even if something on the way rewrites addresses.
          const reached = connection.socket.remoteAddress
          if (reached !== undefined && sameAddress(reached, address))
            finish(undefined, { connection, address: address.text })
          else connection.destroy()
        })
        if (queue.length > 0) next = options.clock.after(NEXT_ATTEMPT_MS, attempt)
      }

      function finish(error: Error | undefined, dialled?: Dialled): void {
        limit.cancel()
        next?.cancel()
        queue.length = 0
        for (const connection of open) {
          connection.receiver = IGNORING
          if (connection !== dialled?.connection) connection.destroy()
        }
        open.clear()
        if (dialled) resolve(dialled)
        else reject(error)
      }

      return { result: promise, cancel: () => finish(new ProxyError('client_gone')) }
    },
  }
}

const IGNORING = { received: () => false, ended: () => {}, closed: () => {} }

function sameAddress(text: string, address: IpAddress): boolean {
  if (text === address.text || text === `::ffff:${address.text}`) return true
  // The system writes ::ffff:192.0.2.1 for what is ::ffff:c000:201 here.
  return parseIpAddress(text)?.text === address.text
}

function asTrouble(error: Error | undefined): ProxyError {
  if (error instanceof ProxyError) return error
  const code = errnoOf(error)
  const cause = error === undefined ? undefined : { cause: error }
  switch (code) {
    case 'ECONNREFUSED':
      return new ProxyError('connection_refused', undefined, cause)
    case 'ETIMEDOUT':
      return new ProxyError('connection_timeout', undefined, cause)
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
    case 'EACCES':
    case 'EPERM':
      return new ProxyError('destination_ip_unroutable', code, cause)
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOBUFS':
      return new ProxyError('connection_limit_reached', code, cause)
    default:
      return new ProxyError('connection_terminated', code, cause)
  }
}
