import type { DatabaseSync } from 'node:sqlite'
import type { Authority } from '../core/authority.ts'
import type { Client, ClientId } from '../core/client.ts'
import type { Clock } from '../core/clock.ts'
import type { Emit } from '../core/event.ts'
import type { GrantVerdict } from '../core/grant.ts'
import { type AnswerOutcome, createAnswering } from './answering.ts'
import {
  type Actor,
  actorText,
  type Approval,
  type ApprovalAnswer,
  type ApprovalOutcome,
  type ApprovalQuestion,
} from './approval.ts'
import { expiredEvent, openedEvent, revokedEvent } from './approval-events.ts'
import { type ApprovalChange, createChanges } from './changes.ts'
import { createDeadlines } from './deadlines.ts'
import type { Grant } from './grant.ts'
import { HeldQuestions, pendingOutcome } from './held.ts'
import { type Lookup, lookUp, SHOWN_MATCHES } from './lookup.ts'
import type { OpenApproval } from './open-approval.ts'
import { RememberedAnswers } from './remembered.ts'
import type { ApprovalSettings } from './settings.ts'
import { createApprovalStore } from './store.ts'

export interface ApprovalsParts {
  /** Opened with APPROVAL_MIGRATIONS; closed by whoever opened it, after this is disposed. */
  readonly database: DatabaseSync
  readonly clock: Clock
  readonly emit: Emit
  /** The settings of now. */
  readonly settings: () => ApprovalSettings
  /** Whether anybody could answer now; asked only with `whenUnattended: 'deny'`. Default: yes. */
  readonly reviewersPresent?: () => boolean
  /** The store, or a subscriber, failed; nothing was let through by it. */
  readonly onTrouble: (error: Error) => void
}

export type RevokeOutcome =
  | { readonly kind: 'revoked'; readonly grant: Grant }
  /** It is out of force now, but the disk refused: a restart would bring it back. */
  | { readonly kind: 'not_stored'; readonly error: Error }
  | Exclude<Lookup<Grant>, { kind: 'found' }>

export type StatusFilter = 'open' | 'answered' | 'all'

export interface Approvals extends AsyncDisposable {
  /**
   * Joins or opens the approval for (client, host, port) and waits. A grant that is already there answers at once. Never
   * rejects: an abort resolves to `gone`, and the approval stays open.
   */
  ask(question: ApprovalQuestion, signal: AbortSignal): Promise<ApprovalOutcome>
  /** Synchronous, constant in time, changes nothing (a dry run may ask). */
  readonly findGrant: (client: ClientId, authority: Authority) => GrantVerdict | undefined
  /**
   * An exchange acts on the grant `findGrant` named. False where it is no longer in force: decide again. Must be called
   * for a grant with `once`, should be for every other, since it counts the use.
   */
  consume(grant: string): boolean
  /** Open ones oldest first, then closed ones latest first; at most `limit` (default 200). */
  list(filter?: { readonly status?: StatusFilter; readonly limit?: number }): Approval[]
  find(idOrPrefix: string): Lookup<Approval>
  get(idOrPrefix: string): Approval | undefined
  /** The first answer wins. It is on disk before anybody who waits goes on. */
  answer(idOrPrefix: string, answer: ApprovalAnswer): AnswerOutcome
  /** Those in force, oldest first. */
  grants(): Grant[]
  revoke(idOrPrefix: string, by: Actor): RevokeOutcome
  /** The client has a connection open now. Cheap: may be called for each connection. */
  touch(client: ClientId): void
  /** The last connection of the client was closed. */
  released(client: ClientId): void
  /** `updated` comes at most a few times a second for one approval. Returns how to stop. */
  subscribe(listener: (change: ApprovalChange) => void): () => void
  readonly counts: { readonly open: number; readonly waiting: number; readonly grants: number }
  /** Lets all waiters go with `draining`; later questions get that at once. Approvals and grants stay in the store. */
  drain(): void
}

/** Reads what the store remembers. Throws StorageError where that cannot be read. */
export function createApprovals(parts: ApprovalsParts): Approvals {
  const { clock, emit, settings, onTrouble } = parts
  const reviewersPresent = parts.reviewersPresent ?? (() => true)
  const deadlines = createDeadlines(clock)
  const store = createApprovalStore(parts.database, onTrouble)
  let draining = false

  const remembered = new RememberedAnswers({
    clock,
    deadlines,
    store,
    sessionIdleMs: () => settings().sessionIdleMs,
    onTrouble,
  })
  const held = new HeldQuestions({
    clock,
    deadlines,
    settings,
    opened(open, question) {
      saveOpen(open)
      emit(openedEvent(open.view(), question))
      changes.publish({ kind: 'opened', approval: open.view() })
    },
    changed: (open) => changes.publishLater(open),
    expired: expire,
    cut: (open) => end(open, 'cancelled'),
  })

  const changes = createChanges({ deadlines, isOpen: (open) => held.get(open.id) === open, onTrouble })
  const answer = createAnswering({ clock, emit, settings, held, remembered, store, changes, find, expire })

  const loaded = store.load()
  remembered.restore(loaded.grants)
  for (const approval of loaded.open) held.restore(approval)

  function saveOpen(open: OpenApproval): void {
    store.defer(`approval:${open.id}`, (rows) => rows.saveApproval(open.view()))
  }

  /** It ends without an answer. */
  function end(open: OpenApproval, status: 'expired' | 'cancelled'): Approval {
    const closed = open.closed(status, clock.now())
    held.close(open)
    store.defer(`approval:${open.id}`, (rows) => rows.saveApproval(closed))
    open.settle((heldMs) => (status === 'expired' ? pendingOutcome(open, heldMs) : { kind: 'too_many' }))
    emit(expiredEvent(closed))
    changes.publish({ kind: status, approval: closed })
    return closed
  }

  function expire(open: OpenApproval): Approval {
    return end(open, 'expired')
  }

  async function ask(question: ApprovalQuestion, signal: AbortSignal): Promise<ApprovalOutcome> {
    if (draining) return { kind: 'draining' }
    const granted = outcomeOfGrant(question.client, question.authority)
    if (granted) return granted
    if (settings().whenUnattended === 'deny' && !reviewersPresent()) return { kind: 'no_reviewer' }
    const open = held.ask(question)
    return open ? held.wait(open, signal) : { kind: 'too_many' }
  }

  /** Policy looked for a grant before it said hold, but an answer may have come in between. */
  function outcomeOfGrant(client: Client, authority: Authority): ApprovalOutcome | undefined {
    const verdict = remembered.find(client.id, authority)
    const grant = verdict && remembered.get(verdict.grant)
    if (!verdict || !grant || !remembered.consume(verdict.grant)) return undefined
    const { approval, by } = grant
    return { kind: verdict.verdict, approval, rule: verdict.rule, heldMs: 0, by: actorText(by) }
  }

  function candidates(prefix: string): Approval[] {
    const open = [...held].filter((each) => each.id.startsWith(prefix)).map((each) => each.view())
    // A row may have been closed in memory a moment ago: what is deferred must be seen, too.
    store.flush()
    return [...open, ...store.closedByPrefix(prefix, SHOWN_MATCHES + 1)]
  }

  function find(idOrPrefix: string): Lookup<Approval> {
    const exact = held.get(idOrPrefix)
    return exact ? { kind: 'found', value: exact.view() } : lookUp(idOrPrefix, candidates)
  }

  function drain(): void {
    draining = true
    for (const open of held) open.settle(() => ({ kind: 'draining' }))
  }

  return {
    ask,
    findGrant: (client, authority) => remembered.find(client, authority),
    consume: (grant) => remembered.consume(grant),
    list({ status = 'open', limit = 200 } = {}) {
      const open = status === 'answered' ? [] : [...held].map((each) => each.view())
      if (status === 'open' || open.length >= limit) return open.slice(0, limit)
      store.flush()
      const closed = store.closed(Number.MAX_SAFE_INTEGER)
      const wanted = status === 'all' ? closed : closed.filter((each) => each.status === 'answered')
      return [...open, ...wanted].slice(0, limit)
    },
    find,
    get(idOrPrefix) {
      const looked = find(idOrPrefix)
      return looked.kind === 'found' ? looked.value : undefined
    },
    answer,
    grants: () => remembered.list(),
    revoke(idOrPrefix, by) {
      const looked = lookUp(idOrPrefix, (prefix) => remembered.list().filter((g) => g.id.startsWith(prefix)))
      if (looked.kind !== 'found') return looked
      const grant = looked.value
      try {
        remembered.revoke(grant.id)
      } catch (error) {
        return { kind: 'not_stored', error: error instanceof Error ? error : new Error(String(error)) }
      } finally {
        emit(revokedEvent(grant, by, clock.now()))
        changes.publish({ kind: 'revoked', grant })
      }
      return { kind: 'revoked', grant }
    },
    touch: (client) => remembered.connected(client),
    released: (client) => remembered.disconnected(client),
    subscribe: changes.subscribe,
    get counts() {
      return { open: held.size, waiting: held.waiting, grants: remembered.size }
    },
    drain,
    async [Symbol.asyncDispose]() {
      drain()
      for (const open of held) saveOpen(open)
      remembered.close()
      deadlines.clear()
      store.flush()
    },
  }
}
