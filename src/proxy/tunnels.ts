import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import type { Trouble } from '../core/errors.ts'
import type { IpAddress } from '../core/ip-address.ts'
import type { Pulse } from '../wire/pulse.ts'
import type { Tunnel } from './tunnel.ts'

/** A tunnel that is running, with what is needed to ask about it again. */
export interface RunningTunnel {
  readonly tunnel: Tunnel
  readonly client: ClientId
  readonly authority: Authority
  readonly addresses: readonly IpAddress[]
  /** Id of the grant or of the approval that permitted it; absent where a rule did. */
  readonly permittedBy?: string
}

/**
 * All running tunnels of a daemon: closed when idle too long, when a new policy denies them, and at the end. Disposing
 * waits until the end of each has been told, so that a record can still be written of it.
 */
export interface Tunnels extends AsyncDisposable {
  add(running: RunningTunnel): void
  remove(running: RunningTunnel): void
  /** Closes those of which `denied` says so; returns how many. */
  closeWhere(denied: (running: RunningTunnel) => boolean, why: Trouble): number
  /** Resolves when none is left. */
  whenEmpty(): Promise<void>
  readonly size: number
}

/** `idleTimeout`: milliseconds without a byte either way. */
export function createTunnels(pulse: Pulse, idleTimeout: () => number): Tunnels {
  const running = new Set<RunningTunnel>()
  let emptied: (() => void)[] = []

  function closeWhere(denied: (each: RunningTunnel) => boolean, why: Trouble): number {
    let closed = 0
    for (const each of running) {
      if (!denied(each)) continue
      each.tunnel.close(why)
      closed++
    }
    return closed
  }

  function whenEmpty(): Promise<void> {
    return running.size === 0 ? Promise.resolve() : new Promise((resolve) => emptied.push(resolve))
  }

  const stopBeat = pulse.onBeat((now) => {
    const limit = idleTimeout()
    closeWhere(({ tunnel }) => now - tunnel.activeAt > limit, 'idle_timeout')
  })

  return {
    add: (each) => void running.add(each),
    remove(each) {
      running.delete(each)
      if (running.size > 0) return
      for (const resolve of emptied) resolve()
      emptied = []
    },
    closeWhere,
    whenEmpty,
    get size() {
      return running.size
    },
    async [Symbol.asyncDispose]() {
      stopBeat()
      closeWhere(() => true, 'draining')
      await whenEmpty()
    },
  }
}
