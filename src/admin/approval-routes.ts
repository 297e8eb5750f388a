import type { Context } from 'hono'
import type { Actor, Approval, ApprovalAnswer } from '../approvals/approval.ts'
import { actorText } from '../approvals/approval.ts'
import type { Approvals } from '../approvals/approvals.ts'
import type { Lookup } from '../approvals/lookup.ts'
import { formatDuration, parseDuration } from '../config/duration.ts'
import { authorityText } from '../core/authority.ts'
import type { Attributes } from '../core/event.ts'
import { type AdminEnv, actorOf, readBody, readQuery } from './body.ts'
import { shown } from './gate.ts'
import { invalid, Problem } from './problem.ts'
import { answerBody, byQuery, listQuery } from './schema.ts'
import { approvalView, grantView, iso } from './views.ts'

/** Records one attempt to change something, with how it ended. */
export type RecordAction = (action: string, by: Actor, outcome: string, attributes: Attributes) => void

type Route = (context: Context<AdminEnv>) => Response | Promise<Response>

export interface ApprovalRoutes {
  readonly list: Route
  readonly show: Route
  readonly answer: Route
  readonly grants: Route
  readonly revoke: Route
}

export function createApprovalRoutes(parts: {
  readonly approvals: Approvals
  readonly recordAction: RecordAction
  readonly onTrouble: (error: Error) => void
}): ApprovalRoutes {
  const { approvals, recordAction, onTrouble } = parts

  return {
    list(context) {
      const { open, waiting } = approvals.counts
      const list = approvals.list(readQuery(context, listQuery))
      return context.json({ approvals: list.map((each) => approvalView(each)), open, waiting })
    },

    show(context) {
      return context.json(approvalView(found('approval', approvals.find(context.req.param('id') ?? ''))))
    },

    async answer(context) {
      const id = context.req.param('id') ?? ''
      const { verdict, scope, for: duration, who, what, note, by: name } = await readBody(context, answerBody)
      const by = actorOf(context, name)
      const forMs = duration === undefined ? undefined : durationOf(duration)
      const answer: ApprovalAnswer = {
        verdict,
        by,
        ...(scope === undefined ? {} : { scope }),
        ...(forMs === undefined ? {} : { forMs }),
        ...(who === undefined ? {} : { who }),
        ...(what === undefined ? {} : { what }),
        ...(note === undefined ? {} : { note }),
      }
      const outcome = approvals.answer(id, answer)
      const subject = 'approval' in outcome ? outcome.approval : undefined
      recordAction('approval.answer', by, outcome.kind, {
        'sallyport.approval.id': subject?.id,
        'sallyport.decision': verdict,
        'server.address': subject?.authority.host.text,
        'server.port': subject?.authority.port,
      })
      switch (outcome.kind) {
        case 'answered':
          return context.json({
            approval: approvalView(outcome.approval),
            ...(outcome.grant === undefined ? {} : { grant: grantView(outcome.grant) }),
          })
        case 'conflict':
          throw conflict(outcome.approval)
        case 'invalid': {
          const { field, value, problem, remedy } = outcome.problem
          const given = field === 'for' ? (duration ?? value) : value
          throw invalid({ field, ...(given === '' ? {} : { value: shown(given) }), problem, remedy })
        }
        case 'too_many_grants':
          throw new Problem('too_many_grants', `there are ${outcome.limit} grants in force`, {
            remedy: 'revoke grants that are no longer needed, or answer with scope once',
          })
        case 'not_stored':
          onTrouble(outcome.error)
          throw new Problem('not_stored', 'the answer could not be stored and has not taken effect', {
            remedy: 'check the disk of the state directory, then answer again; the approval is still open',
          })
        default:
          return context.json(found('approval', outcome))
      }
    },

    grants(context) {
      return context.json({ grants: approvals.grants().map((each) => grantView(each)) })
    },

    revoke(context) {
      const by = actorOf(context, readQuery(context, byQuery).by)
      const outcome = approvals.revoke(context.req.param('id') ?? '', by)
      recordAction('grant.revoke', by, outcome.kind, {
        'sallyport.grant.id': outcome.kind === 'revoked' ? outcome.grant.id : undefined,
      })
      switch (outcome.kind) {
        case 'revoked':
          return context.json({ grant: grantView(outcome.grant) })
        case 'not_stored':
          onTrouble(outcome.error)
          throw new Problem('not_stored', 'the grant is out of force, but that could not be stored', {
            remedy: 'check the disk of the state directory: a restart would bring the grant back',
          })
        default:
          return context.json(found('grant', outcome))
      }
    },
  }
}

/** What the id named; throws the Problem that says why it named nothing. */
function found<T>(noun: 'approval' | 'grant', looked: Lookup<T>): T {
  switch (looked.kind) {
    case 'found':
      return looked.value
    case 'none':
      throw new Problem('not_found', `there is no ${noun} ${shown(looked.id)}`, {
        field: 'id',
        value: shown(looked.id),
        remedy: `see GET /v1/${noun}s`,
      })
    case 'too_short':
      throw invalid({
        field: 'id',
        value: shown(looked.id),
        problem: `the beginning of an id has at least ${looked.shortest} characters`,
        remedy: 'give more of it',
      })
    case 'ambiguous':
      throw new Problem('ambiguous_id', `several ${noun}s begin with ${looked.id}`, {
        field: 'id',
        value: looked.id,
        matches: looked.matches,
        remedy: 'give more of the id',
      })
  }
}

function durationOf(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined) return ms
  throw invalid({
    field: 'for',
    value: shown(text),
    problem: 'it is not a duration',
    remedy: 'write one such as 30m, 1h, 1h30m or 7d',
  })
}

/** The second answer learns who won, what was said, and when. */
function conflict(approval: Approval): Problem {
  return new Problem('conflict', conflictText(approval), {
    field: 'id',
    value: approval.id,
    remedy: approval.answer?.grant
      ? `to change it, revoke grant ${approval.answer.grant} and answer the next approval`
      : 'the client asks again by retrying',
    approval: approvalView(approval),
  })
}

function conflictText(approval: Approval): string {
  const target = authorityText(approval.authority)
  const when = iso(approval.closedAt ?? approval.expiresAt)
  const { answer } = approval
  if (!answer)
    return approval.status === 'cancelled'
      ? `the approval of ${target} was cut at ${when}: its client had too many open`
      : `the approval of ${target} expired at ${when}`
  const scope = answer.forMs === undefined ? answer.scope : `for ${formatDuration(answer.forMs)}`
  return `${actorText(answer.by)} said ${answer.verdict} (${scope}) to ${target} at ${when}`
}
