import type { z } from 'zod'
import type { Approval, GivenAnswer } from '../approvals/approval.ts'
import { type Grant, grantPattern } from '../approvals/grant.ts'
import { registrableDomain } from '../approvals/registrable.ts'
import { formatDuration } from '../config/duration.ts'
import type { AuditEvent } from '../core/event.ts'
import type * as schema from './schema.ts'
import type { PolicyView } from './parts.ts'

/** Nouns of the house as the API spells them: snake case, times in ISO 8601, nothing undefined. */

export function approvalView(approval: Approval): z.output<typeof schema.approval> {
  const { id, status, client, authority, waiting, asked, answer } = approval
  const domain = registrableDomain(authority.host)?.text
  return {
    id,
    status,
    client,
    host: authority.host.text,
    port: authority.port,
    ...(domain === undefined ? {} : { domain }),
    opened_at: iso(approval.openedAt),
    expires_at: iso(approval.expiresAt),
    ...(approval.closedAt === undefined ? {} : { closed_at: iso(approval.closedAt) }),
    waiting,
    requester_left: approval.requesterLeft,
    ...(approval.patienceUntil === undefined ? {} : { patience_until: iso(approval.patienceUntil) }),
    asked,
    requests: approval.requests.map(({ at, exchange, door, method, path, userAgent }) => ({
      at: iso(at),
      exchange,
      door,
      method,
      ...(path === undefined ? {} : { path }),
      ...(userAgent === undefined ? {} : { user_agent: userAgent }),
    })),
    ...(answer === undefined ? {} : { answer: answerView(answer) }),
  }
}

function answerView(answer: GivenAnswer): NonNullable<z.output<typeof schema.approval>['answer']> {
  const { forMs, at, settledBy, ...same } = answer
  return {
    ...same,
    ...(forMs === undefined ? {} : { for: formatDuration(forMs) }),
    at: iso(at),
    ...(settledBy === undefined ? {} : { settled_by: settledBy }),
  }
}

export function grantView(grant: Grant): z.output<typeof schema.grant> {
  return {
    id: grant.id,
    verdict: grant.verdict,
    scope: grant.scope,
    who: grant.client === undefined ? 'all' : 'client',
    ...(grant.client === undefined ? {} : { client: grant.client }),
    what: grant.what,
    pattern: grantPattern(grant),
    created_at: iso(grant.createdAt),
    ...(grant.expiresAt === undefined ? {} : { expires_at: iso(grant.expiresAt) }),
    approval: grant.approval,
    by: grant.by,
    ...(grant.note === undefined ? {} : { note: grant.note }),
    uses: grant.uses,
    ...(grant.lastUsedAt === undefined ? {} : { last_used_at: iso(grant.lastUsedAt) }),
  }
}

export function policyJson(view: PolicyView): z.output<typeof schema.policy> {
  const { version, digest, files, loadedAt, counts, settings, origins, warnings } = view
  return {
    version,
    digest,
    loaded_at: iso(loadedAt),
    files: [...files],
    counts,
    settings: { ...settings },
    sources: Object.fromEntries(origins),
    warnings: [...warnings],
  }
}

export function auditEventView(event: AuditEvent): z.output<typeof schema.streamEvents.decision> {
  const { event: name, severity, time, attributes } = event
  return { event: name, severity, time: iso(time), attributes: { ...attributes } }
}

export function iso(time: number): string {
  return new Date(time).toISOString()
}
