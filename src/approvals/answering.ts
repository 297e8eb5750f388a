import type { Clock } from '../core/clock.ts'
import type { Rule } from '../core/decision.ts'
import type { Emit } from '../core/event.ts'
import { randomId } from '../core/id.ts'
import { type AnswerProblem, checkAnswer, grantFrom } from './answer.ts'
import { actorText, type Approval, type ApprovalAnswer, type GivenAnswer } from './approval.ts'
import { decidedEvent } from './approval-events.ts'
import type { Changes } from './changes.ts'
import { covers, type Grant, grantPattern, grantRule } from './grant.ts'
import type { HeldQuestions } from './held.ts'
import type { Lookup } from './lookup.ts'
import type { OpenApproval } from './open-approval.ts'
import type { RememberedAnswers } from './remembered.ts'
import { type ApprovalSettings, MAX_GRANTS } from './settings.ts'
import type { ApprovalStore } from './store.ts'

export type AnswerOutcome =
  | { readonly kind: 'answered'; readonly approval: Approval; readonly grant?: Grant }
  /** Somebody was first, or it is over: `approval` says who, what and when. */
  | { readonly kind: 'conflict'; readonly approval: Approval }
  | { readonly kind: 'invalid'; readonly problem: AnswerProblem }
  | { readonly kind: 'too_many_grants'; readonly limit: number }
  /** The disk refused: the answer has not taken effect, the question is still open. */
  | { readonly kind: 'not_stored'; readonly error: Error }
  | Exclude<Lookup<Approval>, { kind: 'found' }>

export interface AnsweringParts {
  readonly clock: Clock
  readonly emit: Emit
  readonly settings: () => ApprovalSettings
  readonly held: HeldQuestions
  readonly remembered: RememberedAnswers
  readonly store: ApprovalStore
  readonly changes: Changes
  readonly find: (idOrPrefix: string) => Lookup<Approval>
  readonly expire: (open: OpenApproval) => Approval
}

/** The walk of an answer: find, check, store, and only then take effect. */
export function createAnswering(
  parts: AnsweringParts,
): (idOrPrefix: string, answer: ApprovalAnswer) => AnswerOutcome {
  const { clock, emit, settings, held, remembered, store, changes, find, expire } = parts

  /** Other open questions that a wide answer has answered as well: their waiters need not wait to be told so. */
  function alsoSettled(answered: OpenApproval, grant: Grant | undefined): OpenApproval[] {
    if (!grant || grant.scope === 'once') return []
    return [...held].filter((open) => open !== answered && covers(grant, open.client, open.authority))
  }

  return (idOrPrefix, given) => {
    const looked = find(idOrPrefix)
    if (looked.kind !== 'found') return looked
    const open = held.get(looked.value.id)
    if (!open) return { kind: 'conflict', approval: looked.value }
    const now = clock.now()
    if (now >= open.expiresAt) return { kind: 'conflict', approval: expire(open) }

    const checked = checkAnswer(given, open.authority, settings().ttlMs)
    if (checked.kind === 'invalid') return checked
    // `once` is for those who wait now; a grant is needed only where nobody does.
    const remember = checked.answer.scope !== 'once' || open.waiting === 0
    if (remember && remembered.size >= MAX_GRANTS) return { kind: 'too_many_grants', limit: MAX_GRANTS }
    const grant = remember ? grantFrom(checked.answer, open, checked.target, randomId(26), now) : undefined

    const settled = [open, ...alsoSettled(open, grant)].map((each) => {
      const answer: GivenAnswer = {
        ...checked.answer,
        at: now,
        released: each.waiting,
        ...(grant === undefined ? {} : { grant: grant.id }),
        ...(each === open ? {} : { settledBy: open.id }),
      }
      return { open: each, approval: each.closed('answered', now, answer) }
    })
    try {
      store.commit((rows) => {
        for (const { approval } of settled) rows.saveApproval(approval)
        if (grant) remembered.save(rows, grant)
      })
    } catch (error) {
      return { kind: 'not_stored', error: error instanceof Error ? error : new Error(String(error)) }
    }

    // On disk. From here on nothing may fail or wait.
    if (grant) remembered.enter(grant)
    for (const { open: each, approval } of settled) {
      held.close(each)
      const rule = grant ? grantRule(grant) : onceRule(approval, checked.answer.verdict)
      each.settle((heldMs) => ({
        kind: checked.answer.verdict,
        approval: approval.id,
        rule,
        heldMs,
        by: actorText(given.by),
      }))
      emit(decidedEvent(approval, grant))
      changes.publish({ kind: 'answered', approval, ...(grant === undefined ? {} : { grant }) })
    }
    return { kind: 'answered', approval: settled[0]!.approval, ...(grant === undefined ? {} : { grant }) }
  }
}

/** The rule where an answer was not remembered: the answer itself. */
function onceRule(approval: Approval, verdict: 'allow' | 'deny'): Rule {
  const pattern = grantPattern({ what: 'host_port', authority: approval.authority })
  return { list: 'approval', text: `${pattern} (${verdict} once, approval ${approval.id})` }
}
