// admin: the front door of people, HTTP on a Unix socket and, if asked for, on loopback. It reads what slices know and
// hands them what people say; it decides nothing about traffic, holds no state but its watchers, and is never reachable
// through the proxy.

import type { Approvals } from '../approvals/approvals.ts'
import type { ConfigProblem } from '../config/problems.ts'
import type { Snapshot } from '../config/snapshot.ts'
import type { Clock } from '../core/clock.ts'
import type { AuditEvent, Emit } from '../core/event.ts'
import type { Explanation } from '../policy/explain.ts'

/** The effective policy and where each part of it comes from. */
export type PolicyView = Pick<
  Snapshot,
  'version' | 'digest' | 'files' | 'loadedAt' | 'counts' | 'settings' | 'origins' | 'warnings'
>

export interface ExplainRequest {
  /** `https://host/path`, `http://host/path` or `host:port`, as it was given. */
  readonly url: string
  readonly method?: string
  /** Source address of the client that would ask; default `127.0.0.1`. */
  readonly client: string
}

export type ReloadOutcome =
  | {
      readonly kind: 'reloaded'
      readonly version: string
      /** Equals `version` where the new files decide the same. */
      readonly previous: string
      /** Keys of settings whose new values wait for a restart. */
      readonly restart: readonly string[]
    }
  /** The old policy stays. */
  | { readonly kind: 'refused'; readonly problems: readonly ConfigProblem[] }

export interface HealthCheck {
  /** Such as `audit` or `policy`. */
  readonly name: string
  readonly ok: boolean
  /** One plain sentence; never a secret. */
  readonly detail?: string
}

export interface DaemonStatus {
  /** Of the package. */
  readonly version: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly draining: boolean
  /** Where the proxy listens, as `host:port`. */
  readonly proxy: readonly string[]
  /** Open connections of clients. */
  readonly connections: number
}

export interface AdminParts {
  readonly approvals: Approvals
  readonly policyView: () => PolicyView
  /** A dry run: nothing is sent, looked up, or used. */
  readonly explain: (request: ExplainRequest) => Explanation | Promise<Explanation>
  readonly reload: () => Promise<ReloadOutcome>
  readonly status: () => DaemonStatus
  /** What `readyz` reports: ready where all are ok. */
  readonly health: () => readonly HealthCheck[]
  /** Every event of the record, for those who watch live. Returns how to stop. */
  readonly subscribeEvents: (listener: (event: AuditEvent) => void) => () => void
  readonly emit: Emit
  readonly clock: Clock
  /** Something failed here; the request got 500. */
  readonly onTrouble: (error: Error) => void
}
