import type { Clock } from '../core/clock.ts'
import type { Attributes, AuditEvent, EventName, Severity } from '../core/event.ts'
import type { AuditLog } from './log.ts'

/** The record as the rest of the daemon writes to it; whoever watches live hears each event as well. */
export interface LiveRecord {
  append(event: AuditEvent, written?: (error?: Error) => void): void
  /** An event of now. */
  emit(event: EventName, severity: Severity, attributes: Attributes): void
  /** Returns how to stop. */
  subscribe(listener: (event: AuditEvent) => void): () => void
}

export function createLiveRecord(log: Pick<AuditLog, 'append'>, clock: Clock): LiveRecord {
  const listeners = new Set<(event: AuditEvent) => void>()
  function append(event: AuditEvent, written?: (error?: Error) => void): void {
    log.append(event, written)
    for (const listener of listeners) listener(event)
  }
  return {
    append,
    emit: (event, severity, attributes) => append({ event, severity, time: clock.now(), attributes }),
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
