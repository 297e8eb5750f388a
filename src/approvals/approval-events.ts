import { type Attributes, type AuditEvent, SEVERITY } from '../core/event.ts'
import type { Actor, Approval, ApprovalQuestion } from './approval.ts'
import { type Grant, grantPattern } from './grant.ts'
import { registrableDomain } from './registrable.ts'

/** What the record says of the life of approvals and grants; names after the OpenTelemetry conventions where they exist. */

export function openedEvent(approval: Approval, question: ApprovalQuestion): AuditEvent {
  const first = approval.requests[0]
  return {
    event: 'sallyport.approval.opened',
    severity: SEVERITY.INFO2,
    time: approval.openedAt,
    attributes: {
      ...subject(approval),
      'client.port': question.client.port,
      'network.protocol.name': question.door,
      'http.request.method': first?.method,
      'url.path': first?.path,
      'user_agent.original': first?.userAgent,
      'sallyport.request.id': question.exchange,
      'sallyport.approval.expires_at': new Date(approval.expiresAt).toISOString(),
    },
  }
}

export function decidedEvent(approval: Approval, grant: Grant | undefined): AuditEvent {
  const { answer } = approval
  return {
    event: 'sallyport.approval.decided',
    severity: answer?.verdict === 'deny' ? SEVERITY.WARN : SEVERITY.INFO2,
    time: approval.closedAt ?? approval.openedAt,
    attributes: {
      ...subject(approval),
      ...age(approval),
      'sallyport.decision': answer?.verdict,
      'sallyport.approval.scope': answer?.scope,
      'sallyport.approval.who': answer?.who,
      'sallyport.approval.what': answer?.what,
      'sallyport.approval.ttl_ms': answer?.forMs,
      'sallyport.approval.note': answer?.note,
      'sallyport.approval.released': answer?.released,
      'sallyport.approval.settled_by': answer?.settledBy,
      'sallyport.approval.reviewer': 'human',
      ...actor(answer?.by),
      'sallyport.grant.id': answer?.grant,
      'sallyport.grant.pattern': grant && grantPattern(grant),
      'sallyport.grant.expires_at': iso(grant?.expiresAt),
    },
  }
}

/** Not answered in time, or cut to make room: `error.type` tells which. */
export function expiredEvent(approval: Approval): AuditEvent {
  return {
    event: 'sallyport.approval.expired',
    severity: SEVERITY.INFO2,
    time: approval.closedAt ?? approval.expiresAt,
    attributes: {
      ...subject(approval),
      ...age(approval),
      'sallyport.approval.status': approval.status,
      'error.type': approval.status === 'cancelled' ? 'too_many_pending' : 'approval_expired',
    },
  }
}

export function revokedEvent(grant: Grant, by: Actor, time: number): AuditEvent {
  return {
    event: 'sallyport.grant.revoked',
    severity: SEVERITY.INFO2,
    time,
    attributes: {
      'server.address': grant.authority.host.text,
      'server.port': grant.what === 'host_port' ? grant.authority.port : undefined,
      'client.address': grant.client,
      'sallyport.approval.id': grant.approval,
      'sallyport.approval.scope': grant.scope,
      'sallyport.decision': grant.verdict,
      'sallyport.grant.id': grant.id,
      'sallyport.grant.pattern': grantPattern(grant),
      'sallyport.grant.uses': grant.uses,
      ...actor(by),
    },
  }
}

function subject(approval: Approval): Attributes {
  const { host, port } = approval.authority
  return {
    'sallyport.approval.id': approval.id,
    'server.address': host.text,
    'server.port': port,
    'client.address': approval.client,
    'url.domain': host.text,
    'url.registered_domain': registrableDomain(host)?.text,
  }
}

function age(approval: Approval): Attributes {
  return {
    'sallyport.approval.age_ms': (approval.closedAt ?? approval.openedAt) - approval.openedAt,
    'sallyport.approval.requests': approval.asked,
  }
}

/** `name` is what the caller claimed, hence not `user.name`. */
function actor(by: Actor | undefined): Attributes {
  return { 'sallyport.actor.via': by?.via, 'sallyport.actor.claimed_name': by?.name }
}

function iso(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString()
}
