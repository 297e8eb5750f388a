import type { Approval } from './approval.ts'
import type { Deadlines } from './deadlines.ts'
import type { Grant } from './grant.ts'
import type { OpenApproval } from './open-approval.ts'

export type ApprovalChange =
  | { readonly kind: 'opened' | 'updated' | 'expired' | 'cancelled'; readonly approval: Approval }
  | { readonly kind: 'answered'; readonly approval: Approval; readonly grant?: Grant }
  | { readonly kind: 'revoked'; readonly grant: Grant }

/** Watchers see who joins and leaves at this pace, in milliseconds, so that a flood of requests is not one of updates. */
const UPDATE_PACE = 250

export interface Changes {
  publish(change: ApprovalChange): void
  /** Says `updated` soon, once, if it is still open then. */
  publishLater(open: OpenApproval): void
  subscribe(listener: (change: ApprovalChange) => void): () => void
}

export function createChanges(parts: {
  readonly deadlines: Deadlines
  readonly isOpen: (open: OpenApproval) => boolean
  readonly onTrouble: (error: Error) => void
}): Changes {
  const listeners = new Set<(change: ApprovalChange) => void>()
  const updated = new Set<OpenApproval>()

  function publish(change: ApprovalChange): void {
    for (const listener of listeners) {
      try {
        listener(change)
      } catch (error) {
        parts.onTrouble(error instanceof Error ? error : new Error(String(error)))
      }
    }
  }

  function publishUpdates(): void {
    const changes = [...updated].filter((open) => parts.isOpen(open))
    updated.clear()
    for (const open of changes) publish({ kind: 'updated', approval: open.view() })
  }

  return {
    publish,
    publishLater(open) {
      if (listeners.size === 0) return
      if (updated.size === 0) parts.deadlines.after(UPDATE_PACE, publishUpdates)
      updated.add(open)
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
