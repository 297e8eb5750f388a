/** OpenTelemetry severity numbers (Logs Data Model), those that Sallyport uses. */
export const SEVERITY = { INFO: 9, INFO2: 10, WARN: 13, ERROR: 17 } as const
export type Severity = (typeof SEVERITY)[keyof typeof SEVERITY]

/** What the record knows of: one event is one change of state, so that a SIEM counts without removing duplicates. */
export const EVENTS = {
  'sallyport.egress.decision': 'an exchange was decided; exactly one for each exchange',
  'sallyport.egress.completed': 'an exchange that was let through has ended: bytes, duration, status, cause',
  'sallyport.approval.opened': 'a hold opened an approval',
  'sallyport.approval.decided': 'an approval was answered',
  'sallyport.approval.expired': 'an approval was not answered in time',
  'sallyport.grant.revoked': 'a grant was revoked',
  'sallyport.policy.changed': 'a new policy took effect, or one was refused and the old one kept',
  'sallyport.admin.action': 'something was changed through the admin API',
  'sallyport.auth.failed': 'a credential of the admin API was missing or wrong',
  'sallyport.audit.gap': 'records are missing or were repaired',
  'sallyport.process.started': 'the daemon started',
  'sallyport.process.draining': 'the daemon stopped accepting connections',
  'sallyport.process.stopped': 'the daemon ended in order',
} as const

export type EventName = keyof typeof EVENTS

export type AttributeValue = string | number | boolean | readonly string[]
/** OpenTelemetry attributes. An undefined value is left out. */
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>

/** What a slice hands to the record; the record adds sequence number, id and instance. */
export interface AuditEvent {
  readonly event: EventName
  readonly severity: Severity
  /** Milliseconds since the epoch: when it happened. */
  readonly time: number
  readonly attributes: Attributes
  /** The attributes as a JSON object, where whoever made the event has that anyhow: it is what is written then. */
  readonly attributesJson?: string
  /** W3C trace context of the client, where it sent one. */
  readonly trace?: TraceContext
}

export interface TraceContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** 16 lower-case hex digits. */
  readonly spanId: string
  readonly flags: number
}

/** Hands an event to whoever records it. Never throws and never waits. */
export type Emit = (event: AuditEvent) => void
