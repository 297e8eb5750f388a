import type { Clock } from '../core/clock.ts'
import type { ExchangeRecorder } from '../core/exchange.ts'
import type { MessageLimits } from '../http1/limits.ts'
import type { Dialer } from '../upstream/dialer.ts'
import type { Origins } from '../upstream/origins.ts'
import type { Wire } from '../wire/connection.ts'
import type { Admission } from './admission.ts'
import { type ConnectSettings, serveConnect } from './connect.ts'
import { serveForward } from './forward.ts'
import { listen, type Listener, type ListenerParts } from './listener.ts'
import { serveMalformed } from './malformed.ts'
import type { RelayLimits } from './relay-parts.ts'
import { createResponder } from './respond.ts'
import type { Tunnels } from './tunnels.ts'

export interface FrontParts extends Pick<ListenerParts, 'onClient' | 'onFault' | 'onLimit'> {
  readonly wire: Wire
  readonly clock: Clock
  readonly recorder: ExchangeRecorder
  readonly admission: Admission
  readonly dialer: Dialer
  readonly origins: Origins
  readonly tunnels: Tunnels
  readonly name: string
  readonly settings: () => FrontSettings
}

/** What of the configuration the doors look at, read anew for each connection and each exchange. */
export interface FrontSettings extends ConnectSettings, RelayLimits {
  readonly message: MessageLimits
  readonly headerTimeout: number
  readonly idleTimeout: number
  readonly connections: number
  readonly connectionsPerClient: number
}

export interface Front extends Listener {
  /** Once true, responses say that their connection is the last. */
  readonly isDraining: boolean
}

/** Opens the port where clients ask, with all its doors behind it. */
export async function openFront(host: string, port: number, parts: FrontParts): Promise<Front> {
  const responder = createResponder({ name: parts.name, now: () => parts.clock.now() })
  let isDraining = false
  const doors = {
    ...parts,
    responder,
    limits: parts.settings,
    pulse: parts.wire.pulse,
    isDraining: () => isDraining,
  }
  const listener = await listen(host, port, {
    ...parts,
    limits: parts.settings,
    turnAway: () => responder.turnAway(),
    doors: {
      connect: (session, head) => serveConnect(session, head, doors),
      forward: (session, head) => serveForward(session, head, doors),
      malformed: (session, error) => serveMalformed(session, error, doors),
    },
  })
  return {
    address: listener.address,
    get connections() {
      return listener.connections
    },
    get isDraining() {
      return isDraining
    },
    drain() {
      isDraining = true
      listener.drain()
    },
    whenEmpty: () => listener.whenEmpty(),
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  }
}
