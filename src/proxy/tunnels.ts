import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import type { Trouble } from '../core/errors.ts'
import type { IpAddress } from '../core/ip-address.ts'
import type { Pulse } from '../wire/pulse.ts'
import { Roster, type Seat } from '../wire/roster.ts'
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
  /** Until it leaves its seat, which is when both its sides are closed. */
  add(running: RunningTunnel): Seat
  /** Closes those of which `denied` says so, and refuses those that are being opened; returns how many. */
  closeWhere(denied: (passage: Passage) => boolean, why: Trouble): number
  /** Resolves when none is left. */
  whenEmpty(): Promise<void>
  readonly size: number
}

class Opening implements OpeningTunnel {
  readonly passage: Passage
  seat: Seat | undefined
  refusal: Trouble | undefined
  #refused: ((why: Trouble) => void) | undefined

  constructor(passage: Passage) {
    this.passage = passage
  }

  refuse(why: Trouble): void {
    this.refusal ??= why
    this.#refused?.(why)
  }

  whenRefused(callback: (why: Trouble) => void): void {
    this.#refused = callback
  }

  [Symbol.dispose](): void {
    this.seat?.leave()
  }
}

/** `idleTimeout`: milliseconds without a byte either way. */
export function createTunnels(pulse: Pulse, idleTimeout: () => number): Tunnels {
  const running = new Roster<RunningTunnel>()
  const openings = new Roster<Opening>()
  let emptied: (() => void)[] = []

  function opening(passage: Passage): OpeningTunnel {
    const made = new Opening(passage)
    made.seat = openings.add(made)
    return made
  }

  function closeWhere(denied: (passage: Passage) => boolean, why: Trouble): number {
    let closed = 0
    running.forEach((each) => {
      if (!denied(each)) return
      each.tunnel.close(why)
      closed++
    })
    openings.forEach((each) => {
      if (!denied(each.passage)) return
      each.refuse(why)
      closed++
    })
    return closed
  }

  function whenEmpty(): Promise<void> {
    return running.size === 0 ? Promise.resolve() : new Promise((resolve) => emptied.push(resolve))
  }

  const stopBeat = pulse.onBeat((now) => {
    const limit = idleTimeout()
    running.forEach(({ tunnel }) => {
      if (now - tunnel.activeAt() > limit) tunnel.close('idle_timeout')
    })
  })

  return {
    opening,
    add(each) {
      const seat = running.add(each)
      return {
        leave() {
          seat.leave()
          if (running.size > 0) return
          for (const resolve of emptied) resolve()
          emptied = []
        },
      }
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
