import type { ClientId } from '../core/client.ts'

/**
 * Which clients have a connection open, and when those with a session grant last had one. A session is over when its
 * client has had none for a while; a restart does not end it, and does not stretch it either.
 */
export class ClientSessions {
  readonly #connected = new Set<ClientId>()
  readonly #seen = new Map<ClientId, number>()

  /** Returns whether the client was away. */
  connect(client: ClientId): boolean {
    if (this.#connected.has(client)) return false
    this.#connected.add(client)
    return true
  }

  disconnect(client: ClientId, now: number): void {
    this.#connected.delete(client)
    if (this.#seen.has(client)) this.#seen.set(client, now)
  }

  /** A session grant of this client exists (again): remember when it was last seen. */
  follow(client: ClientId, seenAt: number): void {
    this.#seen.set(client, Math.max(seenAt, this.#seen.get(client) ?? 0))
  }

  unfollow(client: ClientId): void {
    this.#seen.delete(client)
  }

  follows(client: ClientId): boolean {
    return this.#seen.has(client)
  }

  isConnected(client: ClientId): boolean {
    return this.#connected.has(client)
  }

  /** When the session ends (or ended) if the client stays away; undefined while it is connected. */
  endsAt(client: ClientId, idleMs: number): number | undefined {
    if (this.#connected.has(client)) return undefined
    return (this.#seen.get(client) ?? Number.NEGATIVE_INFINITY) + idleMs
  }

  /** Connected clients with a session grant: `now` is when they were last seen. */
  refresh(now: number): ClientId[] {
    const present = [...this.#seen.keys()].filter((client) => this.#connected.has(client))
    for (const client of present) this.#seen.set(client, now)
    return present
  }

  seenAt(client: ClientId): number | undefined {
    return this.#seen.get(client)
  }
}
