import { type AuditEvent, SEVERITY } from '../core/event.ts'
import type { Defect } from './recovery.ts'

/** Records that are missing, could not be read, or never reached the collector: what a SIEM must be told of. */
export interface Gap {
  readonly reason:
    | Defect['kind']
    | 'write_failed'
    | 'sync_failed'
    | 'changed_by_others'
    | 'retention'
    | 'not_exported'
    | 'rejected'
    | 'partly_rejected'
    | 'cursor_lost'
  /** Records, as far as they can be counted. */
  readonly count?: number | undefined
  /** First and last sequence number concerned. */
  readonly first?: number | undefined
  readonly last?: number | undefined
  readonly segment?: string | undefined
  /** Where in the segment. */
  readonly offset?: number | undefined
  readonly bytes?: number | undefined
  /** Milliseconds since the epoch: when it began. */
  readonly since?: number | undefined
  readonly error?: string | undefined
}

export function gapEvent(gap: Gap, time: number): AuditEvent {
  return {
    event: 'sallyport.audit.gap',
    severity: SEVERITY.ERROR,
    time,
    attributes: {
      'sallyport.audit.gap.reason': gap.reason,
      'sallyport.audit.gap.count': gap.count,
      'sallyport.audit.gap.first': gap.first,
      'sallyport.audit.gap.last': gap.last,
      'sallyport.audit.gap.segment': gap.segment,
      'sallyport.audit.gap.offset': gap.offset,
      'sallyport.audit.gap.bytes': gap.bytes,
      'sallyport.audit.gap.since': gap.since === undefined ? undefined : new Date(gap.since).toISOString(),
      'error.type': gap.error?.slice(0, 1024),
    },
  }
}

/** One event for each kind of damage, however many lines have it, since a wrecked file must not fill a new one. */
export function defectGaps(defects: readonly Defect[], time: number): AuditEvent[] {
  const kinds = new Set(defects.map((each) => each.kind))
  return [...kinds].map((reason) => {
    const found = defects.filter((each) => each.kind === reason)
    const numbered = found.filter((each) => each.first !== undefined)
    const [{ segment, offset }] = found as [Defect]
    const bytes = found.reduce((sum, each) => sum + each.bytes, 0)
    const count = reason === 'sequence' || reason === 'lost_tail' ? missing(numbered) : found.length
    const range = { first: numbered[0]?.first, last: numbered.at(-1)?.last }
    return gapEvent({ reason, segment, offset, bytes, count, ...range }, time)
  })
}

function missing(defects: readonly Defect[]): number {
  return defects.reduce((sum, each) => sum + (each.last! - each.first! + 1), 0)
}
