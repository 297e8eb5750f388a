import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import type { Trouble } from '../core/errors.ts'
import type { IpAddress } from '../core/ip-address.ts'
import type { Pulse } from '../wire/pulse.ts'
import type { Tunnel } from './tunnel.ts'

/** Who goes where, and on whose word: what is needed to ask about a tunnel again. */
export interface Passage {
  readonly client: ClientId
  readonly authority: Authority
  readonly addresses: readonly IpAddress[]
  /** Id of the grant or of the approval that permitted it; absent where a rule did. */
  readonly permittedBy?: string
}

/** A tunnel that is running. */
export interface RunningTunnel extends Passage {
  readonly tunnel: Tunnel
}

/** A tunnel that was admitted and carries nothing yet: what closes those that run must reach it as well. */
export interface OpeningTunnel extends Disposable {
  /** Why it must not begin any more; undefined as long as it may. */
  readonly refusal: Trouble | undefined
  /** Calls back, instead of any earlier one, at the moment at which it is refused. */
  whenRefused(callback: (why: Trouble) => void): void
}

/**
 * All running tunnels of a daemon: closed when idle too long, when a new policy denies them, and at the end. Disposing
 * waits until the end of each has been told, so that a record can still be written of it.
 */
export interface Tunnels extends AsyncDisposable {
  /** From the moment of admission until it is disposed, which is when it runs or when nothing came of it. */
  opening(passage: Passage): OpeningTunnel
  add(running: RunningTunnel): void
  remove(running: RunningTunnel): void
  /** Closes those of which `denied` says so, and refuses those that are being opened; returns how many. */
  closeWhere(denied: (passage: Passage) => boolean, why: Trouble): number
  /** Resolves when none is left. */
  whenEmpty(): Promise<void>
  readonly size: number
}

/** `idleTimeout`: milliseconds without a byte either way. */
export function createTunnels(pulse: Pulse, idleTimeout: () => number): Tunnels {
  const running = new Set<RunningTunnel>()
  const openings = new Map<Passage, (why: Trouble) => void>()
  let emptied: (() => void)[] = []

  function opening(passage: Passage): OpeningTunnel {
    let refusal: Trouble | undefined
    let refused: ((why: Trouble) => void) | undefined
    openings.set(passage, (why) => {
      refusal ??= why
      refused?.(why)
    })
    return {
      get refusal() {
        return refusal
      },
      whenRefused: (callback) => void (refused = callback),
      [Symbol.dispose]: () => void openings.delete(passage),
    }
  }

  function closeWhere(denied: (passage: Passage) => boolean, why: Trouble): number {
    let closed = 0
    for (const each of running) {
      if (!denied(each)) continue
      each.tunnel.close(why)
      closed++
    }
    for (const [passage, refuse] of openings) {
      if (!denied(passage)) continue
      refuse(why)
      closed++
    }
    return closed
  }

  function whenEmpty(): Promise<void> {
    return running.size === 0 ? Promise.resolve() : new Promise((resolve) => emptied.push(resolve))
  }

  const stopBeat = pulse.onBeat((now) => {
    const limit = idleTimeout()
    for (const { tunnel } of running) if (now - tunnel.activeAt > limit) tunnel.close('idle_timeout')
  })

  return {
    opening,
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
