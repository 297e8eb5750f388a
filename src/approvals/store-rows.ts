import type { SQLInputValue } from 'node:sqlite'
import type { Authority } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import { parseHost } from '../core/hostname.ts'
import type { Actor, Approval, ApprovalRequest, ApprovalStatus, GivenAnswer } from './approval.ts'
import type { Grant } from './grant.ts'
import type { StoredGrant } from './store.ts'

type Row = Record<string, unknown>
type NewRow = Record<string, SQLInputValue>

export function approvalRow(approval: Approval): NewRow {
  return {
    id: approval.id,
    status: approval.status,
    client: approval.client,
    host: approval.authority.host.text,
    port: approval.authority.port,
    opened_at: approval.openedAt,
    expires_at: approval.expiresAt,
    closed_at: approval.closedAt ?? null,
    asked: approval.asked,
    requester_left: approval.requesterLeft ? 1 : 0,
    requests: JSON.stringify(approval.requests),
    answer: approval.answer === undefined ? null : JSON.stringify(approval.answer),
  }
}

export function grantRow(grant: Grant, seenAt: number | undefined): NewRow {
  return {
    id: grant.id,
    verdict: grant.verdict,
    scope: grant.scope,
    client: grant.client ?? null,
    what: grant.what,
    host: grant.authority.host.text,
    port: grant.authority.port,
    created_at: grant.createdAt,
    // The end of a session is not known beforehand: it follows from when the client was last seen.
    expires_at: grant.scope === 'session' ? null : (grant.expiresAt ?? null),
    seen_at: grant.scope === 'session' ? (seenAt ?? grant.createdAt) : null,
    approval: grant.approval,
    by_via: grant.by.via,
    by_name: grant.by.name ?? null,
    note: grant.note ?? null,
    uses: grant.uses,
    last_used_at: grant.lastUsedAt ?? null,
  }
}

export function readApproval(row: Row): Approval {
  return {
    id: text(row, 'id'),
    status: text(row, 'status') as ApprovalStatus,
    client: text(row, 'client') as ClientId,
    authority: authority(row),
    openedAt: number(row, 'opened_at'),
    expiresAt: number(row, 'expires_at'),
    waiting: 0,
    requesterLeft: row['status'] === 'open' || number(row, 'requester_left') === 1,
    asked: number(row, 'asked'),
    requests: json(row, 'requests') as readonly ApprovalRequest[],
    ...(row['closed_at'] === null ? {} : { closedAt: number(row, 'closed_at') }),
    ...(row['answer'] === null ? {} : { answer: json(row, 'answer') as GivenAnswer }),
  }
}

export function readGrant(row: Row): StoredGrant {
  const by: Actor = {
    via: text(row, 'by_via'),
    ...(row['by_name'] === null ? {} : { name: text(row, 'by_name') }),
  }
  const grant: Grant = {
    id: text(row, 'id'),
    verdict: text(row, 'verdict') as Grant['verdict'],
    scope: text(row, 'scope') as Grant['scope'],
    ...(row['client'] === null ? {} : { client: text(row, 'client') as ClientId }),
    what: text(row, 'what') as Grant['what'],
    authority: authority(row),
    createdAt: number(row, 'created_at'),
    ...(row['expires_at'] === null ? {} : { expiresAt: number(row, 'expires_at') }),
    approval: text(row, 'approval'),
    by,
    ...(row['note'] === null ? {} : { note: text(row, 'note') }),
    uses: number(row, 'uses'),
    ...(row['last_used_at'] === null ? {} : { lastUsedAt: number(row, 'last_used_at') }),
  }
  return { grant, ...(row['seen_at'] === null ? {} : { seenAt: number(row, 'seen_at') }) }
}

function authority(row: Row): Authority {
  const host = text(row, 'host')
  return { host: parseHost(host.includes(':') ? `[${host}]` : host), port: number(row, 'port') }
}

/** Unexpected types are impossible in STRICT tables, short of damage that the file's own check does not see. */
function text(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string')
    throw new TypeError(`column ${column} of row ${String(row['id'])} is not text`)
  return value
}

function number(row: Row, column: string): number {
  const value = row[column]
  if (typeof value !== 'number')
    throw new TypeError(`column ${column} of row ${String(row['id'])} is not a number`)
  return value
}

function json(row: Row, column: string): unknown {
  try {
    return JSON.parse(text(row, column))
  } catch (error) {
    throw new TypeError(`column ${column} of row ${String(row['id'])} is not JSON`, { cause: error })
  }
}
