import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import type { Alarm } from '../core/clock.ts'
import {
  type Approval,
  type ApprovalOutcome,
  type ApprovalQuestion,
  type ApprovalRequest,
  describeRequest,
  type GivenAnswer,
  KEPT_REQUESTS,
} from './approval.ts'

/** An exchange that waits. `settle` is called once, by whatever ends the wait. */
export interface Waiter {
  /** On the monotonic clock. */
  readonly since: number
  /** Wall time at which it gives up. */
  readonly until: number
  readonly giveUp: Alarm
  readonly settle: (outcome: OutcomeOf) => void
}

/** How the wait ends, once it is known how long it was. */
export type OutcomeOf = (heldMs: number) => ApprovalOutcome

/** A question that has no answer yet, and those who wait for it. */
export class OpenApproval {
  readonly id: string
  readonly client: ClientId
  readonly authority: Authority
  readonly openedAt: number
  readonly expiresAt: number
  expiry: Alarm | undefined
  readonly #requests: ApprovalRequest[]
  readonly #waiters = new Set<Waiter>()
  #asked: number

  constructor(
    of: Pick<Approval, 'id' | 'client' | 'authority' | 'openedAt' | 'expiresAt' | 'asked' | 'requests'>,
  ) {
    this.id = of.id
    this.client = of.client
    this.authority = of.authority
    this.openedAt = of.openedAt
    this.expiresAt = of.expiresAt
    this.#asked = of.asked
    this.#requests = [...of.requests]
  }

  get waiting(): number {
    return this.#waiters.size
  }

  ask(question: ApprovalQuestion, now: number): void {
    this.#asked++
    if (this.#requests.length < KEPT_REQUESTS) this.#requests.push(describeRequest(question, now))
  }

  add(waiter: Waiter): void {
    this.#waiters.add(waiter)
  }

  remove(waiter: Waiter): void {
    this.#waiters.delete(waiter)
  }

  /** Ends all waits; they resume in a later microtask, after everything that the caller does now. */
  settle(outcome: OutcomeOf): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const waiter of waiters) waiter.settle(outcome)
  }

  view(): Approval {
    const patienceUntil = this.#patienceUntil()
    return {
      ...this.#facts(),
      status: 'open',
      waiting: this.#waiters.size,
      requesterLeft: this.#waiters.size === 0,
      ...(patienceUntil === undefined ? {} : { patienceUntil }),
    }
  }

  /** As it will be remembered; changes nothing, so that it can be stored before it takes effect. */
  closed(status: 'answered' | 'expired' | 'cancelled', closedAt: number, answer?: GivenAnswer): Approval {
    return {
      ...this.#facts(),
      status,
      waiting: 0,
      requesterLeft: this.#waiters.size === 0,
      closedAt,
      ...(answer === undefined ? {} : { answer }),
    }
  }

  #facts() {
    return {
      id: this.id,
      client: this.client,
      authority: this.authority,
      openedAt: this.openedAt,
      expiresAt: this.expiresAt,
      asked: this.#asked,
      requests: [...this.#requests],
    }
  }

  #patienceUntil(): number | undefined {
    let first: number | undefined
    for (const waiter of this.#waiters) if (first === undefined || waiter.until < first) first = waiter.until
    return first
  }
}

/** Names (client, host, port): one open question each. */
export function questionKey(client: ClientId, authority: Authority): string {
  return `${client} ${authority.host.text} ${authority.port}`
}
