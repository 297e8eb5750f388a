import type { Clock } from '../core/clock.ts'
import type { ClientId } from '../core/client.ts'
import { randomId } from '../core/id.ts'
import type { Approval, ApprovalOutcome, ApprovalQuestion } from './approval.ts'
import type { Deadlines } from './deadlines.ts'
import { OpenApproval, questionKey, type Waiter } from './open-approval.ts'
import type { ApprovalSettings } from './settings.ts'

/** Seconds after which a client may ask again: the reviewer has had time to look, the agent has not given up. */
const RETRY_AFTER = 30

export interface HeldParts {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly settings: () => ApprovalSettings
  readonly opened: (open: OpenApproval, question: ApprovalQuestion) => void
  /** Somebody joined, or left. */
  readonly changed: (open: OpenApproval) => void
  /** Time is over: whoever gets this closes it. */
  readonly expired: (open: OpenApproval) => void
  /** It must make room for another client's question: whoever gets this closes it. */
  readonly cut: (open: OpenApproval) => void
}

/** The questions that wait for an answer, one for each (client, host, port), bounded in every direction. */
export class HeldQuestions {
  readonly #parts: HeldParts
  readonly #byKey = new Map<string, OpenApproval>()
  readonly #byId = new Map<string, OpenApproval>()
  /** Oldest first, since a Set keeps the order of insertion. */
  readonly #byClient = new Map<ClientId, Set<OpenApproval>>()

  constructor(parts: HeldParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#byId.size
  }

  get waiting(): number {
    let sum = 0
    for (const open of this.#byId.values()) sum += open.waiting
    return sum
  }

  /** The open question that this one joins, or a new one; undefined where a bound is reached. */
  ask(question: ApprovalQuestion): OpenApproval | undefined {
    const now = this.#parts.clock.now()
    const known = this.#current(questionKey(question.client.id, question.authority), now)
    if (known && known.waiting >= this.#parts.settings().maxWaiters) return undefined
    if (known) {
      known.ask(question, now)
      return known
    }
    if (!this.#makeRoom(question.client.id)) return undefined
    const open = new OpenApproval({
      id: randomId(26),
      client: question.client.id,
      authority: question.authority,
      openedAt: now,
      expiresAt: now + this.#parts.settings().ttlMs,
      asked: 0,
      requests: [],
    })
    open.ask(question, now)
    this.#insert(open, now)
    this.#parts.opened(open, question)
    return open
  }

  /** Takes up what was open before a restart; nobody waits for it now. */
  restore(approval: Approval): void {
    this.#insert(new OpenApproval(approval), this.#parts.clock.now())
  }

  /** Resolves when answered, at the end of the hold, or when `signal` aborts; never rejects. */
  wait(open: OpenApproval, signal: AbortSignal): Promise<ApprovalOutcome> {
    const { clock, deadlines, settings, changed } = this.#parts
    const { waitMs } = settings()
    return new Promise((resolve) => {
      const leave = (outcome: (heldMs: number) => ApprovalOutcome) => {
        open.remove(waiter)
        waiter.settle(outcome)
        changed(open)
      }
      const gone = () => leave((heldMs) => ({ kind: 'gone', approval: open.id, heldMs }))
      const giveUp = () => leave((heldMs) => pendingOutcome(open, heldMs))
      const waiter: Waiter = {
        since: clock.monotonic(),
        until: clock.now() + waitMs,
        giveUp: deadlines.after(waitMs, giveUp),
        settle(outcome) {
          waiter.giveUp.cancel()
          signal.removeEventListener('abort', gone)
          resolve(outcome(Math.max(0, Math.round(clock.monotonic() - waiter.since))))
        },
      }
      open.add(waiter)
      if (signal.aborted) gone()
      else {
        signal.addEventListener('abort', gone, { once: true })
        changed(open)
      }
    })
  }

  /** Takes it out; those who wait are the caller's to settle. */
  close(open: OpenApproval): void {
    if (!this.#byId.delete(open.id)) return
    open.expiry?.cancel()
    this.#byKey.delete(questionKey(open.client, open.authority))
    const own = this.#byClient.get(open.client)
    own?.delete(open)
    if (own?.size === 0) this.#byClient.delete(open.client)
  }

  get(id: string): OpenApproval | undefined {
    return this.#byId.get(id)
  }

  [Symbol.iterator](): IterableIterator<OpenApproval> {
    return this.#byId.values()
  }

  #current(key: string, now: number): OpenApproval | undefined {
    const open = this.#byKey.get(key)
    if (!open || now < open.expiresAt) return open
    this.#parts.expired(open) // the wall clock was moved: the alarm is still to come
    return undefined
  }

  #insert(open: OpenApproval, now: number): void {
    this.#byKey.set(questionKey(open.client, open.authority), open)
    this.#byId.set(open.id, open)
    const own = this.#byClient.get(open.client)
    if (own) own.add(open)
    else this.#byClient.set(open.client, new Set([open]))
    open.expiry = this.#parts.deadlines.after(open.expiresAt - now, () => this.#parts.expired(open))
  }

  /**
   * A flood by one client must not push out the question of another: past the total bound the client with the most
   * open questions loses its oldest, the one that asks before others where they are even.
   */
  #makeRoom(asking: ClientId): boolean {
    const { maxPerClient, maxTotal } = this.#parts.settings()
    if ((this.#byClient.get(asking)?.size ?? 0) >= maxPerClient) return false
    while (this.#byId.size >= maxTotal) {
      const noisiest = this.#noisiest(asking)
      if (noisiest === undefined) return false
      this.#parts.cut(noisiest)
    }
    return true
  }

  #noisiest(asking: ClientId): OpenApproval | undefined {
    let most = this.#byClient.get(asking) ?? new Set<OpenApproval>()
    for (const own of this.#byClient.values()) if (own.size > most.size) most = own
    if (most.size < 2) return undefined // one question each: nobody is noisy
    return most.values().next().value
  }
}

export function pendingOutcome(open: OpenApproval, heldMs: number): ApprovalOutcome {
  return { kind: 'pending', approval: open.id, heldMs, retryAfter: RETRY_AFTER }
}
