/** What of the configuration concerns holding; read anew for each question, so that a reload takes effect at once. */
export interface ApprovalSettings {
  /** `hold.wait`: how long an exchange is held, in milliseconds. */
  readonly waitMs: number
  /** `approval.ttl`: how long an approval can be answered, in milliseconds, from its opening. */
  readonly ttlMs: number
  /** A session ends when its client has had no connection for this long, in milliseconds. */
  readonly sessionIdleMs: number
  /** Open approvals of one client; past it a question is refused. */
  readonly maxPerClient: number
  /** Open approvals of all clients; past it the client with the most loses its oldest. */
  readonly maxTotal: number
  /** Exchanges that may wait for one approval. */
  readonly maxWaiters: number
  /** What to do where no reviewer is connected. */
  readonly whenUnattended: 'hold' | 'deny'
}

/** 25 s is inside what cargo (30 s) and Go (60 s) wait for a proxy's answer. */
export const DEFAULT_APPROVAL_SETTINGS: ApprovalSettings = {
  waitMs: 25_000,
  ttlMs: 15 * 60_000,
  sessionIdleMs: 30 * 60_000,
  maxPerClient: 100,
  maxTotal: 1000,
  maxWaiters: 1000,
  whenUnattended: 'hold',
}

/** Remembered answers, all clients together: beyond it, an answer that would be remembered is refused. */
export const MAX_GRANTS = 10_000
