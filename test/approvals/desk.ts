import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { ApprovalQuestion } from '../../src/approvals/approval.ts'
import { type Approvals, createApprovals } from '../../src/approvals/approvals.ts'
import { type ApprovalSettings, DEFAULT_APPROVAL_SETTINGS } from '../../src/approvals/settings.ts'
import { APPROVAL_MIGRATIONS } from '../../src/approvals/store.ts'
import { parseAuthority } from '../../src/core/authority.ts'
import { clientOf } from '../../src/core/client.ts'
import type { AuditEvent } from '../../src/core/event.ts'
import { openDatabase } from '../../src/storage/sqlite.ts'
import { createFakeClock, type FakeClock } from '../kit/fake-clock.ts'

/** Approvals on a real database file and the test's own time; `restart` ends in order (kill -9 is kill.test.ts). */
export interface Desk extends AsyncDisposable {
  approvals: Approvals
  database: DatabaseSync
  readonly clock: FakeClock
  /** Somebody sets the wall clock: milliseconds by which it is ahead of the time that passes. */
  skew: number
  readonly events: AuditEvent[]
  readonly troubles: Error[]
  readonly file: string
  settings: ApprovalSettings
  reviewers: boolean
  restart(options?: { readonly downFor?: number }): Promise<void>
  /** Lets the turn of the event loop end, in which deferred rows are written. */
  turn(): Promise<void>
  eventNames(): string[]
}

export async function openDesk(settings: Partial<ApprovalSettings> = {}): Promise<Desk> {
  const dir = mkdtempSync(join(tmpdir(), 'approvals-'))
  const file = join(dir, 'state', 'approvals.db')
  const clock = createFakeClock()
  const events: AuditEvent[] = []
  const troubles: Error[] = []
  const start = () =>
    createApprovals({
      database: desk.database,
      clock: { ...clock, now: () => clock.now() + desk.skew },
      emit: (event) => void events.push(event),
      settings: () => desk.settings,
      reviewersPresent: () => desk.reviewers,
      onTrouble: (error) => void troubles.push(error),
    })
  const desk: Desk = {
    approvals: undefined as never,
    database: openDatabase({ file, migrations: APPROVAL_MIGRATIONS }),
    clock,
    skew: 0,
    events,
    troubles,
    file,
    settings: { ...DEFAULT_APPROVAL_SETTINGS, ...settings },
    reviewers: true,
    async restart({ downFor = 0 } = {}) {
      await desk.approvals[Symbol.asyncDispose]()
      desk.database.close()
      clock.advance(downFor)
      desk.database = openDatabase({ file, migrations: APPROVAL_MIGRATIONS })
      desk.approvals = start()
    },
    turn: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
    eventNames: () => events.map((event) => event.event),
    async [Symbol.asyncDispose]() {
      await desk.approvals[Symbol.asyncDispose]()
      desk.database.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
  desk.approvals = start()
  return desk
}

let exchanges = 0

export function question(target = 'example.com:443', address = '192.0.2.1'): ApprovalQuestion {
  exchanges++
  return {
    client: clientOf(address, 40_000 + (exchanges % 20_000)),
    authority: parseAuthority(target),
    door: 'connect',
    method: 'CONNECT',
    exchange: `exchange-${exchanges}`,
  }
}

/** Not aborted, and nobody ever will. */
export const patient = (): AbortSignal => new AbortController().signal

export const reviewer = { via: 'socket', name: 'alice' } as const

export const client = (address: string) => clientOf(address, 1).id
