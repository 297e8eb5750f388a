import type { ApprovalSettings } from '../approvals/settings.ts'
import type { Settings } from './schema.ts'

/** What holding needs of the configuration, in its own words. */
export function approvalSettings({ hold, approval }: Settings): ApprovalSettings {
  return {
    waitMs: hold.wait,
    ttlMs: approval.ttl,
    sessionIdleMs: approval.session_idle,
    maxPerClient: hold.per_client,
    maxTotal: hold.total,
    maxWaiters: hold.waiters_per_approval,
    whenUnattended: hold.when_unattended,
  }
}
