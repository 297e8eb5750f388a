import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Context } from 'hono'
import { type Client, clientOf } from '../core/client.ts'
import { parseIpAddress } from '../core/ip-address.ts'
import type { RecordAction } from './approval-routes.ts'
import { type AdminEnv, actorOf, readBody, readQuery } from './body.ts'
import { shown } from './gate.ts'
import type { AdminParts } from './parts.ts'
import { invalid, Problem } from './problem.ts'
import { emptyBody, eventsQuery, explainBody } from './schema.ts'
import { iso, policyJson } from './views.ts'
import { type Kind, KINDS, type Watchers } from './watchers.ts'

type Route = (context: Context<AdminEnv>) => Response | Promise<Response>

export interface OperatorRoutes {
  readonly policy: Route
  readonly explain: Route
  readonly reload: Route
  readonly status: Route
  readonly events: Route
  readonly livez: Route
  readonly readyz: Route
}

export function createOperatorRoutes(
  parts: AdminParts & {
    readonly watchers: Watchers
    readonly recordAction: RecordAction
    readonly addresses: () => readonly string[]
  },
): OperatorRoutes {
  return {
    policy: (context) => context.json(policyJson(parts.policyView())),

    async explain(context) {
      const { url, method, client } = await readBody(context, explainBody)
      const asking = client === undefined ? LOCAL : clientNamed(client)
      const explained = await parts.explain({
        url,
        client: asking.id,
        ...(method === undefined ? {} : { method }),
      })
      return context.json({ ...explained, client: asking.id, policy_version: parts.policyView().version })
    },

    async reload(context) {
      const by = actorOf(context, (await readBody(context, emptyBody)).by)
      const outcome = await parts.reload()
      parts.recordAction('config.reload', by, outcome.kind, {
        'security_rule.version': outcome.kind === 'reloaded' ? outcome.version : undefined,
        'sallyport.config.problems': outcome.kind === 'refused' ? outcome.problems.length : undefined,
      })
      if (outcome.kind === 'refused') {
        const [first] = outcome.problems
        const place = first ? `: ${first.file}:${first.line}: ${first.field}: ${first.problem}` : ''
        throw new Problem(
          'config_refused',
          `the configuration has ${outcome.problems.length} problems${place}`,
          {
            problems: outcome.problems,
            remedy: first?.remedy ?? 'run sallyport config check',
          },
        )
      }
      const { version, previous, restart } = outcome
      return context.json({
        version,
        previous,
        changed: version !== previous,
        waiting_for_restart: [...restart],
        counts: parts.policyView().counts,
      })
    },

    status(context) {
      const { version, startedAt, draining, proxy, connections } = parts.status()
      const { open, waiting, grants } = parts.approvals.counts
      return context.json({
        version,
        started_at: iso(startedAt),
        uptime_ms: Math.max(0, Math.round(parts.clock.now() - startedAt)),
        draining,
        proxy,
        admin: parts.addresses(),
        connections,
        policy_version: parts.policyView().version,
        approvals: { open, waiting },
        grants,
        watchers: parts.watchers.size,
      })
    },

    events(context) {
      const kinds = kindsOf(readQuery(context, eventsQuery).kinds)
      if (context.req.method === 'HEAD') return context.body(null)
      parts.watchers.add(context.env.outgoing, kinds)
      return RESPONSE_ALREADY_SENT
    },

    /** The process turns; whether it is fit to serve is readyz's business. */
    livez: (context) => context.json({ status: 'ok' }),

    readyz(context) {
      const checks = parts.health()
      const ok = checks.every((check) => check.ok)
      const verbose = context.req.query('verbose') !== undefined
      return context.json({ status: ok ? 'ok' : 'failing', ...(verbose ? { checks } : {}) }, ok ? 200 : 503)
    },
  }
}

const LOCAL: Client = clientOf('127.0.0.1', 0)

function clientNamed(text: string): Client {
  const { address: plain } = clientOf(text.trim().replace(/^\[(.*)\]$/, '$1'), 0)
  const address = parseIpAddress(plain)
  if (address) return clientOf(address.text, 0)
  throw invalid({
    field: 'client',
    value: shown(text),
    problem: 'it is not an address',
    remedy: 'give the source address of the client, such as 192.0.2.7',
  })
}

function kindsOf(text: string | undefined): ReadonlySet<Kind> {
  if (text === undefined) return new Set(KINDS)
  const words = text.split(',').map((word) => word.trim())
  const kinds = KINDS.filter((kind) => words.includes(kind))
  const wrong = words.find((word) => !(KINDS as readonly string[]).includes(word))
  if (wrong === undefined) return new Set(kinds)
  throw invalid({
    field: 'kinds',
    value: shown(wrong),
    problem: 'there are no such events',
    remedy: `use ${KINDS.join(' or ')}, or both with a comma between`,
  })
}
