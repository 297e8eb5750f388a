import { type Context, Hono } from 'hono'
import type { Actor } from '../approvals/approval.ts'
import { type Attributes, SEVERITY } from '../core/event.ts'
import { createApprovalRoutes } from './approval-routes.ts'
import type { AdminEnv } from './body.ts'
import { shown } from './gate.ts'
import { openApiDocument } from './openapi.ts'
import { createOperatorRoutes } from './operator-routes.ts'
import type { AdminParts } from './parts.ts'
import { Problem, PROBLEM_TYPE } from './problem.ts'
import type { Watchers } from './watchers.ts'

export interface RoutesParts extends AdminParts {
  readonly watchers: Watchers
  readonly addresses: () => readonly string[]
}

/** All resources of the API; who may ask was settled before (gate.ts, bearer.ts). */
export function createRoutes(parts: RoutesParts): Hono<AdminEnv> {
  const recordAction = (action: string, by: Actor, outcome: string, attributes: Attributes) =>
    parts.emit({
      event: 'sallyport.admin.action',
      severity: SEVERITY.INFO2,
      time: parts.clock.now(),
      attributes: {
        'sallyport.admin.action': action,
        'sallyport.admin.outcome': outcome,
        'sallyport.actor.via': by.via,
        'sallyport.actor.claimed_name': by.name === undefined ? undefined : shown(by.name),
        ...attributes,
      },
    })
  const approvals = createApprovalRoutes({ ...parts, recordAction })
  const operator = createOperatorRoutes({ ...parts, recordAction })
  const document = openApiDocument(parts.status().version)

  const app = new Hono<AdminEnv>()

  app.get('/v1/approvals', approvals.list)
  app.get('/v1/approvals/:id', approvals.show)
  app.post('/v1/approvals/:id/answer', approvals.answer)
  app.get('/v1/grants', approvals.grants)
  app.delete('/v1/grants/:id', approvals.revoke)
  app.get('/v1/policy', operator.policy)
  app.post('/v1/explain', operator.explain)
  app.get('/v1/events', operator.events)
  app.post('/v1/reload', operator.reload)
  app.get('/v1/status', operator.status)
  app.get('/livez', operator.livez)
  app.get('/readyz', operator.readyz)
  app.get('/openapi.json', (context) => context.json(document))

  // The same paths with any other method: 405 says more than 404.
  for (const [path, methods] of methodsByPath(app))
    app.all(path, (context) => {
      throw new Problem(
        'method_not_allowed',
        `${shown(context.req.method)} is not for this resource`,
        { field: 'method', value: shown(context.req.method), remedy: `use ${methods.join(' or ')}` },
        { Allow: methods.join(', ') },
      )
    })
  app.notFound((context) => {
    const path = shown(context.req.path)
    return problemResponse(
      context,
      new Problem('not_found', `there is no resource ${path}`, {
        field: 'path',
        value: path,
        remedy: 'see /openapi.json',
      }),
    )
  })
  app.onError((error, context) => {
    if (error instanceof Problem) return problemResponse(context, error)
    if (!context.env.outgoing.destroyed) parts.onTrouble(error)
    return problemResponse(
      context,
      new Problem('internal_error', 'the request failed', { remedy: 'see the log of the daemon' }),
    )
  })
  return app
}

function problemResponse(context: Context<AdminEnv>, problem: Problem): Response {
  return context.body(problem.body(), problem.status as 400, {
    'Content-Type': PROBLEM_TYPE,
    ...problem.fields,
  })
}

function methodsByPath(app: Hono<AdminEnv>): Map<string, string[]> {
  const result = new Map<string, string[]>()
  for (const { path, method } of app.routes) {
    if (method === 'ALL') continue
    const methods = result.get(path) ?? []
    methods.push(...(method === 'GET' ? ['GET', 'HEAD'] : [method]))
    result.set(path, methods)
  }
  return result
}
