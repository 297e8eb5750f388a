import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import type { Clock } from '../core/clock.ts'
import type { GrantVerdict } from '../core/grant.ts'
import type { Deadlines } from './deadlines.ts'
import type { Grant } from './grant.ts'
import { GrantBook } from './grants.ts'
import { ClientSessions } from './sessions.ts'
import type { ApprovalStore, RowWriter, StoredGrant } from './store.ts'

/** How long a count of uses may stay in memory only. */
const COUNT_DELAY = 5000

export interface RememberedParts {
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly store: ApprovalStore
  readonly sessionIdleMs: () => number
  readonly onTrouble: (error: Error) => void
}

/** Grants as the world sees them: the live book, what of it is on disk, and when each ends. */
export class RememberedAnswers {
  readonly #parts: RememberedParts
  readonly #sessions = new ClientSessions()
  readonly #book: GrantBook
  readonly #used = new Set<string>()
  /** Clients whose session is being timed. */
  readonly #timed = new Set<ClientId>()
  #counting = false
  #watching = false

  constructor(parts: RememberedParts) {
    this.#parts = parts
    this.#book = new GrantBook(this.#sessions, parts.sessionIdleMs)
  }

  get size(): number {
    return this.#book.size
  }

  restore(stored: readonly StoredGrant[]): void {
    const now = this.#parts.clock.now()
    // All of them first: a client was last seen when any of its grants says so, not only the one that is judged.
    for (const { grant, seenAt } of stored)
      if (grant.scope === 'session' && grant.client !== undefined)
        this.#sessions.follow(grant.client, seenAt ?? grant.createdAt)
    for (const { grant } of stored) {
      if (this.#book.isInForce(grant, now)) this.#enter(grant)
      else this.#expire(grant)
    }
  }

  find(client: ClientId, authority: Authority): GrantVerdict | undefined {
    return this.#book.find(client, authority, this.#parts.clock.now())
  }

  /** Part of the caller's transaction; the grant is in force only after `enter`. */
  save(rows: RowWriter, grant: Grant): void {
    rows.saveGrant(this.#stored(grant))
  }

  /** Puts a stored grant in force. */
  enter(grant: Grant): void {
    if (grant.scope === 'session' && grant.client !== undefined)
      this.#sessions.follow(grant.client, grant.createdAt)
    this.#enter(grant)
  }

  #enter(grant: Grant): void {
    this.#book.add(grant)
    if (grant.scope === 'session') {
      if (grant.client !== undefined) this.#timeSession(grant.client)
      this.#watchSessions()
    } else if (grant.expiresAt !== undefined) {
      this.#timeGrant(grant.id, grant.expiresAt)
    }
  }

  /**
   * Reports that an exchange acts on the grant. False: it is no longer in force, and the exchange may not go on by it. What
   * is good for one exchange is gone from the disk before this returns true, so that no restart gives it twice.
   */
  consume(id: string): boolean {
    const grant = this.#book.get(id)
    if (!grant || !this.#book.use(id, this.#parts.clock.now())) return false
    if (grant.scope !== 'once') {
      this.#countLater(id)
      return true
    }
    this.#book.remove(id)
    try {
      this.#parts.store.commit((rows) => rows.deleteGrant(id))
      return true
    } catch (error) {
      this.#parts.onTrouble(asError(error))
      return false
    }
  }

  /** Ends it at once in memory, then on disk; throws where the disk refuses (a restart would bring it back). */
  revoke(id: string): Grant | undefined {
    const grant = this.#book.remove(id)
    if (!grant) return undefined
    this.#forgetSession(grant)
    this.#parts.store.commit((rows) => rows.deleteGrant(id))
    return grant
  }

  get(id: string): Grant | undefined {
    const grant = this.#book.get(id)
    return grant && this.#book.isInForce(grant, this.#parts.clock.now()) ? grant : undefined
  }

  /** Those in force, oldest first. */
  list(): Grant[] {
    const now = this.#parts.clock.now()
    return [...this.#book].filter((grant) => this.#book.isInForce(grant, now))
  }

  connected(client: ClientId): void {
    this.#sweepSession(client) // a session that ran out does not come back because its client does
    this.#sessions.connect(client)
  }

  disconnected(client: ClientId): void {
    this.#sessions.disconnect(client, this.#parts.clock.now())
    if (!this.#sessions.follows(client)) return
    this.#saveSeen(client)
    this.#timeSession(client)
  }

  /** Last words before the store is closed. */
  close(): void {
    for (const client of this.#sessions.refresh(this.#parts.clock.now())) this.#saveSeen(client)
    this.#writeCounts()
  }

  #stored(grant: Grant): StoredGrant {
    const seenAt = grant.client === undefined ? undefined : this.#sessions.seenAt(grant.client)
    return { grant, ...(seenAt === undefined ? {} : { seenAt: Math.max(seenAt, grant.createdAt) }) }
  }

  #timeGrant(id: string, end: number): void {
    this.#parts.deadlines.after(end - this.#parts.clock.now(), () => {
      const grant = this.#book.get(id)
      if (!grant) return
      if (this.#book.isInForce(grant, this.#parts.clock.now())) this.#timeGrant(id, end)
      else this.#expire(grant)
    })
  }

  #timeSession(client: ClientId): void {
    const end = this.#sessions.endsAt(client, this.#parts.sessionIdleMs())
    if (end === undefined || this.#timed.has(client)) return
    this.#timed.add(client)
    this.#parts.deadlines.after(end - this.#parts.clock.now(), () => {
      this.#timed.delete(client)
      this.#sweepSession(client)
      if (this.#sessions.follows(client)) this.#timeSession(client)
    })
  }

  #sweepSession(client: ClientId): void {
    if (!this.#sessions.follows(client)) return
    const end = this.#sessions.endsAt(client, this.#parts.sessionIdleMs())
    if (end === undefined || this.#parts.clock.now() < end) return
    for (const grant of this.#book)
      if (grant.scope === 'session' && grant.client === client) this.#expire(grant)
  }

  #expire(grant: Grant): void {
    this.#book.remove(grant.id)
    this.#forgetSession(grant)
    this.#parts.store.defer(`grant:${grant.id}`, (rows) => rows.deleteGrant(grant.id))
  }

  #forgetSession(grant: Grant): void {
    if (grant.scope !== 'session' || grant.client === undefined) return
    if (!this.#book.hasSession(grant.client)) this.#sessions.unfollow(grant.client)
  }

  /** While a session's client is connected, note it now and then: after kill -9 that is all that is known. */
  #watchSessions(): void {
    if (this.#watching) return
    this.#watching = true
    this.#parts.deadlines.after(Math.max(1000, this.#parts.sessionIdleMs() / 10), () => {
      this.#watching = false
      for (const client of this.#sessions.refresh(this.#parts.clock.now())) this.#saveSeen(client)
      if ([...this.#book].some((grant) => grant.scope === 'session')) this.#watchSessions()
    })
  }

  #saveSeen(client: ClientId): void {
    for (const grant of this.#book)
      if (grant.scope === 'session' && grant.client === client) this.#saveLater(grant.id)
  }

  #saveLater(id: string): void {
    this.#parts.store.defer(`grant:${id}`, (rows) => {
      const grant = this.#book.get(id)
      if (grant) rows.saveGrant(this.#stored(grant))
    })
  }

  #countLater(id: string): void {
    this.#used.add(id)
    if (this.#counting) return
    this.#counting = true
    this.#parts.deadlines.after(COUNT_DELAY, () => this.#writeCounts())
  }

  #writeCounts(): void {
    this.#counting = false
    for (const id of this.#used) this.#saveLater(id)
    this.#used.clear()
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
