import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import type { GrantVerdict } from '../core/grant.ts'
import { covers, type Grant, grantRule } from './grant.ts'
import type { ClientSessions } from './sessions.ts'

interface LiveGrant {
  readonly grant: Grant
  /** Made once: a lookup on the hot path allocates nothing. */
  readonly verdict: GrantVerdict
  uses: number
  lastUsedAt: number | undefined
}

type ByClient = Map<ClientId | undefined, LiveGrant[]>

/**
 * The grants in force, in memory: found by host, then client, in constant time. It neither stores nor times anything;
 * whether a grant is still in force is judged at each look, so a late timer never lengthens one.
 */
export class GrantBook {
  readonly #sessions: ClientSessions
  readonly #idleMs: () => number
  readonly #live = new Map<string, LiveGrant>()
  readonly #byHost = new Map<string, ByClient>()
  readonly #byDomain = new Map<string, ByClient>()

  constructor(sessions: ClientSessions, idleMs: () => number) {
    this.#sessions = sessions
    this.#idleMs = idleMs
  }

  get size(): number {
    return this.#live.size
  }

  add(grant: Grant): void {
    const verdict = {
      verdict: grant.verdict,
      grant: grant.id,
      once: grant.scope === 'once',
      rule: grantRule(grant),
    } as const
    const live: LiveGrant = { grant, verdict, uses: grant.uses, lastUsedAt: grant.lastUsedAt }
    this.#live.set(grant.id, live)
    const index = this.#indexOf(grant)
    const host = grant.authority.host.text
    let byClient = index.get(host)
    if (!byClient) index.set(host, (byClient = new Map()))
    const same = byClient.get(grant.client)
    if (same) same.push(live)
    else byClient.set(grant.client, [live])
  }

  remove(id: string): Grant | undefined {
    const live = this.#live.get(id)
    if (!live) return undefined
    this.#live.delete(id)
    const index = this.#indexOf(live.grant)
    const host = live.grant.authority.host.text
    const byClient = index.get(host)
    const rest = byClient?.get(live.grant.client)?.filter((each) => each !== live) ?? []
    if (rest.length > 0) byClient?.set(live.grant.client, rest)
    else byClient?.delete(live.grant.client)
    if (byClient?.size === 0) index.delete(host)
    return this.#view(live)
  }

  /** The verdict in force. A deny beats every allow; what is good for longer is used before what is good once. */
  find(client: ClientId, authority: Authority, now: number): GrantVerdict | undefined {
    if (this.#live.size === 0) return undefined
    const host = authority.host.text
    let best = this.#best(undefined, this.#byHost.get(host), client, authority, now)
    if (this.#byDomain.size > 0 && authority.host.kind === 'name') {
      for (let from = 0; from !== -1;) {
        best = this.#best(best, this.#byDomain.get(host.slice(from)), client, authority, now)
        const dot = host.indexOf('.', from)
        from = dot === -1 ? -1 : dot + 1
      }
    }
    return best?.verdict
  }

  get(id: string): Grant | undefined {
    const live = this.#live.get(id)
    return live && this.#view(live)
  }

  /** Counts a use; false where the grant is not in force (any more). */
  use(id: string, now: number): boolean {
    const live = this.#live.get(id)
    if (!live || !this.isInForce(live.grant, now)) return false
    live.uses++
    live.lastUsedAt = now
    return true
  }

  isInForce(grant: Grant, now: number): boolean {
    const end = this.#endOf(grant)
    return end === undefined || now < end
  }

  *[Symbol.iterator](): Generator<Grant> {
    for (const live of this.#live.values()) yield this.#view(live)
  }

  hasSession(client: ClientId): boolean {
    for (const live of this.#live.values())
      if (live.grant.scope === 'session' && live.grant.client === client) return true
    return false
  }

  #endOf(grant: Grant): number | undefined {
    if (grant.scope !== 'session') return grant.expiresAt
    return grant.client === undefined ? undefined : this.#sessions.endsAt(grant.client, this.#idleMs())
  }

  #view(live: LiveGrant): Grant {
    const { expiresAt: _, ...grant } = live.grant
    const expiresAt = this.#endOf(live.grant)
    return {
      ...grant,
      uses: live.uses,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(live.lastUsedAt === undefined ? {} : { lastUsedAt: live.lastUsedAt }),
    }
  }

  #indexOf(grant: Grant): Map<string, ByClient> {
    return grant.what === 'domain' ? this.#byDomain : this.#byHost
  }

  #best(
    best: LiveGrant | undefined,
    byClient: ByClient | undefined,
    client: ClientId,
    authority: Authority,
    now: number,
  ): LiveGrant | undefined {
    if (!byClient) return best
    let result = best
    for (const grants of [byClient.get(client), byClient.get(undefined)]) {
      if (!grants) continue
      for (const live of grants)
        if (
          (result === undefined || rank(live.verdict) > rank(result.verdict)) &&
          covers(live.grant, client, authority) &&
          this.isInForce(live.grant, now)
        )
          result = live
    }
    return result
  }
}

function rank(verdict: GrantVerdict): number {
  return (verdict.verdict === 'deny' ? 2 : 0) + (verdict.once ? 0 : 1)
}
