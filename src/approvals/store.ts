import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { StorageError } from '../storage/private-path.ts'
import { transaction } from '../storage/sqlite.ts'
import type { Approval } from './approval.ts'
import type { Grant } from './grant.ts'
import { approvalRow, grantRow, readApproval, readGrant } from './store-rows.ts'

/** Schema, oldest step first (see storage/sqlite.ts). */
export const APPROVAL_MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('open', 'answered', 'expired', 'cancelled')),
    client TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    opened_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    closed_at INTEGER,
    asked INTEGER NOT NULL,
    requester_left INTEGER NOT NULL,
    requests TEXT NOT NULL,
    answer TEXT,
    CHECK ((status = 'open') = (closed_at IS NULL)),
    CHECK ((status = 'answered') = (answer IS NOT NULL))
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX approvals_open ON approvals (client, host, port) WHERE status = 'open';
  CREATE INDEX approvals_closed ON approvals (closed_at) WHERE closed_at IS NOT NULL;
  CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    verdict TEXT NOT NULL CHECK (verdict IN ('allow', 'deny')),
    scope TEXT NOT NULL CHECK (scope IN ('once', 'session', 'for', 'always')),
    client TEXT,
    what TEXT NOT NULL CHECK (what IN ('host_port', 'host', 'domain')),
    host TEXT NOT NULL,
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    seen_at INTEGER,
    approval TEXT NOT NULL,
    by_via TEXT NOT NULL,
    by_name TEXT,
    note TEXT,
    uses INTEGER NOT NULL,
    last_used_at INTEGER,
    CHECK ((scope = 'session') = (seen_at IS NOT NULL)),
    CHECK (scope NOT IN ('once', 'for') OR expires_at IS NOT NULL),
    CHECK (scope NOT IN ('once', 'session') OR client IS NOT NULL)
  ) STRICT, WITHOUT ROWID;
  `,
]

/** Closed approvals that are remembered, so that a second answer learns who won; the audit log keeps all. */
const KEPT_CLOSED = 1000

/** A grant, and when the client of a session grant was last seen. */
export interface StoredGrant {
  readonly grant: Grant
  readonly seenAt?: number
}

/**
 * Writes come in two strengths. `commit` returns when the change is on disk (fsynced) and throws when it is not; what was
 * deferred before goes with it. `defer` is for what may be lost with the last turn of the event loop: one transaction
 * a turn, however many there are.
 */
export interface ApprovalStore {
  load(): { open: Approval[]; grants: StoredGrant[] }
  commit(write: (rows: RowWriter) => void): void
  /** `key` names the row: a later write to the same row replaces an earlier one that is still deferred. */
  defer(key: string, write: (rows: RowWriter) => void): void
  flush(): void
  /** Closed ones whose id begins with `prefix`, at most `limit`. */
  closedByPrefix(prefix: string, limit: number): Approval[]
  /** Latest first. */
  closed(limit: number): Approval[]
}

export interface RowWriter {
  saveApproval(approval: Approval): void
  saveGrant(stored: StoredGrant): void
  deleteGrant(id: string): void
}

export function createApprovalStore(
  database: DatabaseSync,
  onTrouble: (error: Error) => void,
): ApprovalStore {
  const saveApproval = database.prepare(
    `INSERT INTO approvals (id, status, client, host, port, opened_at, expires_at, closed_at, asked,
       requester_left, requests, answer)
     VALUES (:id, :status, :client, :host, :port, :opened_at, :expires_at, :closed_at, :asked,
       :requester_left, :requests, :answer)
     ON CONFLICT (id) DO UPDATE SET status = excluded.status, closed_at = excluded.closed_at,
       asked = excluded.asked, requester_left = excluded.requester_left, requests = excluded.requests,
       answer = excluded.answer`,
  )
  const saveGrant = database.prepare(
    `INSERT INTO grants (id, verdict, scope, client, what, host, port, created_at, expires_at, seen_at, approval,
       by_via, by_name, note, uses, last_used_at)
     VALUES (:id, :verdict, :scope, :client, :what, :host, :port, :created_at, :expires_at, :seen_at, :approval,
       :by_via, :by_name, :note, :uses, :last_used_at)
     ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, uses = excluded.uses,
       last_used_at = excluded.last_used_at`,
  )
  const deleteGrant = database.prepare('DELETE FROM grants WHERE id = ?')
  const prune = database.prepare(
    `DELETE FROM approvals WHERE closed_at IS NOT NULL AND closed_at <
       (SELECT closed_at FROM approvals WHERE closed_at IS NOT NULL ORDER BY closed_at DESC LIMIT 1 OFFSET ?)`,
  )
  const selectOpen = database.prepare(`SELECT * FROM approvals WHERE status = 'open' ORDER BY opened_at`)
  const selectGrants = database.prepare('SELECT * FROM grants ORDER BY created_at')
  const selectClosed = database.prepare(
    'SELECT * FROM approvals WHERE closed_at IS NOT NULL ORDER BY closed_at DESC LIMIT ?',
  )
  const selectPrefix = database.prepare(
    `SELECT * FROM approvals WHERE id >= ? AND id < ? AND status <> 'open' ORDER BY id LIMIT ?`,
  )

  const deferred = new Map<string, (rows: RowWriter) => void>()
  let scheduled: NodeJS.Immediate | undefined

  let closedSome = false
  const rows: RowWriter = {
    saveApproval(approval) {
      saveApproval.run(approvalRow(approval))
      if (approval.status !== 'open') closedSome = true
    },
    saveGrant({ grant, seenAt }) {
      saveGrant.run(grantRow(grant, seenAt))
    },
    deleteGrant(id) {
      deleteGrant.run(id)
    },
  }

  function write(now: (rows: RowWriter) => void): void {
    closedSome = false
    transaction(database, () => {
      for (const each of deferred.values()) each(rows)
      now(rows)
      if (closedSome) prune.run(KEPT_CLOSED - 1)
    })
    deferred.clear()
  }

  function flush(): void {
    clearImmediate(scheduled)
    scheduled = undefined
    if (deferred.size === 0) return
    try {
      write(() => {})
    } catch (error) {
      // Kept, and tried again with the next write; what is in memory stays true meanwhile.
      onTrouble(error instanceof Error ? error : new Error(String(error)))
    }
  }

  const all = <T>(
    statement: ReturnType<DatabaseSync['prepare']>,
    read: (row: Record<string, unknown>) => T,
    ...values: SQLInputValue[]
  ): T[] => statement.all(...values).map((row) => read(row))

  return {
    load() {
      try {
        return { open: all(selectOpen, readApproval), grants: all(selectGrants, readGrant) }
      } catch (error) {
        const what = error instanceof Error ? error.message : String(error)
        const file = database.location() ?? 'database'
        const remedy = 'restore it from a backup, or move it away to begin with an empty one'
        throw new StorageError(file, `a row cannot be read (${what})`, remedy, { cause: error })
      }
    },
    commit: write,
    defer(key, each) {
      deferred.delete(key)
      deferred.set(key, each)
      scheduled ??= setImmediate(flush)
    },
    flush,
    closedByPrefix: (prefix, limit) => all(selectPrefix, readApproval, prefix, `${prefix}~`, limit),
    closed: (limit) => all(selectClosed, readApproval, limit),
  }
}
