import { z } from 'zod'
import { PROBLEMS, type ProblemCode } from './problem.ts'

/** What goes over the wire of the admin API: the same schemas check bodies, type answers and make the OpenAPI document. */

const time = z.string().meta({ format: 'date-time', examples: ['2026-01-31T12:00:00.000Z'] })
const count = z.int().nonnegative()
const port = z.int().min(1).max(65_535)
const id = z
  .string()
  .regex(/^[0-9a-hjkmnp-tv-z]{26}$/)
  .meta({
    description: '26 characters; a unique beginning of at least four is accepted wherever an id is asked for',
  })

const verdict = z.enum(['allow', 'deny'])
const scope = z.enum(['once', 'session', 'for', 'always'])
const who = z.enum(['client', 'all'])
const what = z.enum(['host_port', 'host', 'domain'])
const status = z.enum(['open', 'answered', 'expired', 'cancelled'])

const actor = z
  .object({
    via: z.string().meta({ description: 'how the request reached the API: socket or token' }),
    name: z.string().optional().meta({ description: 'who the caller said they are; not proved' }),
  })
  .meta({ id: 'Actor' })

const request = z
  .object({
    at: time,
    exchange: z.string().meta({ description: 'id of the exchange, as the client was told' }),
    door: z.enum(['http', 'connect']),
    method: z.string(),
    path: z.string().optional().meta({ description: 'without query; only where it is visible' }),
    user_agent: z.string().optional(),
  })
  .meta({ id: 'ApprovalRequest', description: 'its texts come from the client, reduced to printable ASCII' })

export const approval = z
  .object({
    id,
    status,
    client: z.string().meta({ description: 'source address' }),
    host: z.string().meta({ description: 'canonical: lower case, A-labels' }),
    port,
    domain: z.string().optional().meta({ description: 'what a host of this name can be widened to' }),
    opened_at: time,
    expires_at: time,
    closed_at: time.optional(),
    waiting: count.meta({ description: 'exchanges that wait now' }),
    requester_left: z.boolean().meta({ description: 'nobody waits (or waited, at the end)' }),
    patience_until: time.optional().meta({ description: 'when the first of those that wait gives up' }),
    asked: count.meta({ description: 'exchanges that ever asked' }),
    requests: z.array(request).meta({ description: 'the first of them, at most ten' }),
    answer: z
      .object({
        verdict,
        scope,
        for: z.string().optional().meta({ description: 'duration, with scope for' }),
        who,
        what,
        note: z.string().optional(),
        by: actor,
        at: time,
        released: count.meta({ description: 'how many waiting exchanges it let go on' }),
        grant: id.optional(),
        settled_by: id.optional().meta({ description: 'the approval whose wider answer settled this one' }),
      })
      .optional(),
  })
  .meta({ id: 'Approval' })

export const grant = z
  .object({
    id,
    verdict,
    scope,
    who,
    client: z.string().optional().meta({ description: 'absent: every client' }),
    what,
    pattern: z.string().meta({ examples: ['example.com:443', 'example.com', '**.example.com'] }),
    created_at: time,
    expires_at: time.optional().meta({
      description: 'absent with scope always, and with scope session while the client is connected',
    }),
    approval: id,
    by: actor,
    note: z.string().optional(),
    uses: count,
    last_used_at: time.optional(),
  })
  .meta({ id: 'Grant' })

export const approvalList = z.object({ approvals: z.array(approval), open: count, waiting: count })
export const approvalAnswered = z.object({ approval, grant: grant.optional() })
export const grantList = z.object({ grants: z.array(grant) })
export const grantRevoked = z.object({ grant })

export const idParameter = z.object({
  id: z.string().meta({ description: 'an id, or a unique beginning of it with at least four characters' }),
})

export const listQuery = z.strictObject({
  status: z.enum(['open', 'answered', 'all']).default('open'),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
})

export const answerBody = z
  .strictObject({
    verdict,
    scope: scope
      .optional()
      .meta({ description: 'default: once for allow; for the life of an approval for deny' }),
    for: z
      .string()
      .max(40)
      .optional()
      .meta({ description: 'with scope for', examples: ['30m', '1h', '7d'] }),
    who: who.optional().meta({ description: 'default client; all needs scope for or always' }),
    what: what.optional().meta({
      description: 'default host_port; domain means ** and the registrable domain of the host',
    }),
    note: z.string().max(500).optional(),
    by: z.string().max(64).optional().meta({ description: 'who says so; recorded as claimed' }),
  })
  .meta({ id: 'Answer' })

export const byQuery = z.strictObject({ by: z.string().max(64).optional() })

export const explainBody = z
  .strictObject({
    url: z
      .string()
      .min(1)
      .max(8192)
      .meta({ examples: ['https://example.com/path', 'example.com:8443'] }),
    method: z.string().max(32).optional(),
    client: z.string().max(64).optional().meta({ description: 'source address; default 127.0.0.1' }),
  })
  .meta({ id: 'ExplainQuestion' })

const rule = z
  .object({
    list: z.string().meta({ examples: ['allowed_domains', 'unfamiliar', 'grant'] }),
    text: z.string(),
    source: z.object({ file: z.string(), line: z.int() }).optional(),
  })
  .meta({ id: 'Rule' })

export const explanation = z
  .object({
    target: z.string().optional(),
    client: z.string(),
    door: z.enum(['http', 'connect']),
    decision: z.enum(['allow', 'deny', 'hold']),
    reason: z.string().optional(),
    status: z.int().optional(),
    says: z.string(),
    rule: rule.optional(),
    steps: z.array(z.object({ step: z.string(), outcome: z.string(), rule: rule.optional() })),
    unresolved: z
      .boolean()
      .meta({ description: 'addresses were not looked at: a private one would still be refused' }),
    policy_version: z.string(),
  })
  .meta({ id: 'Explanation' })

const configProblem = z
  .object({
    file: z.string(),
    line: z.int(),
    column: z.int().optional(),
    field: z.string(),
    value: z.string().optional(),
    problem: z.string(),
    remedy: z.string(),
  })
  .meta({ id: 'ConfigProblem' })

export const policy = z
  .object({
    version: z.string(),
    digest: z.string(),
    loaded_at: time,
    files: z.array(z.string()),
    counts: z.object({ allowed: count, denied: count }),
    settings: z
      .record(z.string(), z.unknown())
      .meta({ description: 'effective; durations in milliseconds, sizes in bytes' }),
    sources: z.record(
      z.string(),
      z.object({ layer: z.string(), file: z.string(), line: z.int(), column: z.int().optional() }),
    ),
    warnings: z.array(configProblem),
  })
  .meta({ id: 'Policy' })

export const emptyBody = z.strictObject({ by: z.string().max(64).optional() }).meta({ id: 'ReloadRequest' })

export const reloaded = z
  .object({
    version: z.string(),
    previous: z.string(),
    changed: z.boolean(),
    waiting_for_restart: z.array(z.string()).meta({
      description: 'settings that changed and keep their old values until the daemon is started again',
    }),
    counts: z.object({ allowed: count, denied: count }),
  })
  .meta({ id: 'Reloaded' })

export const daemonStatus = z
  .object({
    version: z.string(),
    started_at: time,
    uptime_ms: count,
    draining: z.boolean(),
    proxy: z.array(z.string()),
    admin: z.array(z.string()),
    connections: count,
    policy_version: z.string(),
    approvals: z.object({ open: count, waiting: count }),
    grants: count,
    watchers: count,
  })
  .meta({ id: 'Status' })

export const health = z
  .object({
    status: z.enum(['ok', 'failing']),
    checks: z
      .array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string().optional() }))
      .optional()
      .meta({ description: 'with ?verbose' }),
  })
  .meta({ id: 'Health' })

export const readyQuery = z.object({
  verbose: z.string().optional().meta({ description: 'each check by name' }),
})

export const eventsQuery = z.strictObject({
  kinds: z
    .string()
    .optional()
    .meta({
      description: 'which events, separated by commas: approvals, decisions; default both',
      examples: ['approvals'],
    }),
})

const auditEvent = z.object({
  event: z.string(),
  severity: z.int(),
  time,
  attributes: z.record(z.string(), z.unknown()),
})

/** By the name of the server-sent event: what its data holds. */
export const streamEvents = {
  snapshot: z
    .object({ approvals: z.array(approval) })
    .meta({ id: 'SnapshotEvent', description: 'first of all: what is open now' }),
  approval: z
    .object({
      change: z.enum(['opened', 'updated', 'answered', 'expired', 'cancelled']),
      approval,
      grant: grant.optional(),
    })
    .meta({ id: 'ApprovalEvent' }),
  grant: z.object({ change: z.enum(['revoked']), grant }).meta({ id: 'GrantEvent' }),
  decision: auditEvent.meta({ id: 'DecisionEvent', description: 'a record of an exchange that was decided' }),
} as const

export const streamEvent = z
  .union(Object.values(streamEvents))
  .meta({ id: 'StreamEvent', description: 'the data of one event; the name of the event tells which' })

const fieldProblem = z.object({
  field: z.string(),
  value: z.string().optional(),
  problem: z.string(),
  remedy: z.string(),
})

export const problem = z
  .looseObject({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(PROBLEMS) as [ProblemCode, ...ProblemCode[]]),
    detail: z.string(),
    field: z.string().optional(),
    value: z.string().optional(),
    remedy: z.string().optional(),
    problems: z.array(z.union([configProblem, fieldProblem])).optional(),
    approval: approval.optional().meta({ description: 'with conflict: who was first, and when' }),
    matches: z.array(id).optional().meta({ description: 'with ambiguous_id' }),
    retry_after: count.optional().meta({ description: 'seconds' }),
  })
  .meta({ id: 'Problem' })
