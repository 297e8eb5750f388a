import { type Authority, authorityText } from '../core/authority.ts'
import type { Client } from '../core/client.ts'
import type { MessageLimits } from '../http1/limits.ts'
import { ResponseReader } from '../http1/response-reader.ts'
import type { IpAddress } from '../core/ip-address.ts'
import type { Connection, Receiver } from '../wire/connection.ts'
import type { Pulse } from '../wire/pulse.ts'
import { Roster, type Seat } from '../wire/roster.ts'
import type { Dialled, Dialer } from './dialer.ts'

/** An HTTP/1.1 connection to an origin, with the reader of its responses. */
export interface Origin {
  readonly connection: Connection
  readonly reader: ResponseReader
  readonly address: string
  /** It has served a request before, so it may turn out to be closed already. */
  reused: boolean
}

/** Connections to origins: opened to vetted addresses, kept for the next request of the same client to the same target. */
export interface Origins extends Disposable {
  /** A kept connection to one of these addresses, which is then the caller's, or undefined. */
  take(key: string, addresses: readonly IpAddress[]): Origin | undefined
  /** Opens a new one, as Dialer.dial. */
  open(addresses: readonly IpAddress[], port: number): { readonly result: Promise<Origin>; cancel(): void }
  /** Makes one of a connection that was dialled already. */
  of(dialled: Dialled): Origin
  /** Keeps one whose last response is whole and whose reader has nothing left; others must be destroyed, not kept. */
  keep(key: string, origin: Origin): void
  /** Closes every kept connection: after a change of policy none may be reused on the word of the old one. */
  clear(): void
  /** Closes the one that was kept longest; false: none is kept. */
  spare(): boolean
  /** How many are kept. */
  readonly size: number
}

export interface OriginsOptions {
  readonly dialer: Dialer
  readonly limits: MessageLimits
  readonly pulse: Pulse
  /** Kept connections in total; the one kept longest goes first. */
  readonly idleConnections: () => number
  /** Milliseconds that a connection is kept unused. */
  readonly idleTimeout: () => number
}

/** Connections are shared by the requests of one client to one authority, and by nobody else. */
export function originKey(client: Client, authority: Authority): string {
  return `${client.id} ${authorityText(authority)}`
}

interface Kept {
  readonly key: string
  readonly origin: Origin
  readonly since: number
  seat: Seat | undefined
}

export function createOrigins(options: OriginsOptions): Origins {
  const { dialer, limits, pulse } = options
  const byKey = new Map<string, Kept[]>()
  /** In the order in which they were kept. */
  const all = new Roster<Kept>()
  const stopBeat = pulse.onBeat((now) => {
    const limit = options.idleTimeout()
    for (let kept = all.first; kept !== undefined && now - kept.since >= limit; kept = all.first)
      discard(kept)
    // Not before, since most keys are needed again at once.
    for (const [key, list] of byKey) if (list.length === 0) byKey.delete(key)
  })

  function remove(kept: Kept): void {
    if (kept.seat === undefined) return
    kept.seat.leave()
    kept.seat = undefined
    const list = byKey.get(kept.key)!
    list.splice(list.indexOf(kept), 1)
  }

  function discard(kept: Kept): void {
    remove(kept)
    kept.origin.connection.receiver = SILENT
    kept.origin.connection.destroy()
  }

  return {
    take(key, addresses) {
      const list = byKey.get(key)
      if (list === undefined) return undefined
      for (let i = list.length - 1; i >= 0; i--) {
        const kept = list[i]!
        if (!addresses.some((address) => address.text === kept.origin.address)) continue
        remove(kept)
        kept.origin.connection.receiver = SILENT
        kept.origin.reused = true
        return kept.origin
      }
      return undefined
    },
    open(addresses, port) {
      const dialling = dialer.dial(addresses, port)
      return { result: dialling.result.then((dialled) => this.of(dialled)), cancel: () => dialling.cancel() }
    },
    of: ({ connection, address }) => ({
      connection,
      address,
      reader: new ResponseReader(limits),
      reused: false,
    }),
    keep(key, origin) {
      if (options.idleConnections() === 0 || origin.connection.isClosed) return origin.connection.destroy()
      const kept: Kept = { key, origin, since: pulse.now, seat: undefined }
      kept.seat = all.add(kept)
      const list = byKey.get(key)
      if (list === undefined) byKey.set(key, [kept])
      else list.push(kept)
      origin.connection.receiver = watching(() => discard(kept))
      origin.connection.resume()
      if (all.size > options.idleConnections()) discard(all.first!)
    },
    clear() {
      all.forEach(discard)
    },
    spare() {
      if (all.first === undefined) return false
      discard(all.first)
      return true
    },
    get size() {
      return all.size
    },
    [Symbol.dispose]() {
      stopBeat()
      this.clear()
    },
  }
}

/** An origin that sends, ends or closes while nobody asked it anything cannot be used again (RFC 9112 §9.3). */
function watching(discard: () => void): Receiver {
  return {
    received() {
      discard()
      return false
    },
    ended: discard,
    closed: discard,
  }
}

const SILENT: Receiver = { received: () => false, ended: () => {}, closed: () => {} }
