import type { Attributes } from '../core/event.ts'
import type { ReloadOutcome } from './reload.ts'

/** The attributes of `sallyport.policy.changed`: what a reload came to. */
export function policyChanged(outcome: ReloadOutcome): Attributes {
  const { snapshot } = outcome
  if (outcome.kind === 'refused')
    return {
      'sallyport.policy.outcome': 'refused',
      'security_rule.version': snapshot.version,
      'sallyport.policy.problem_count': outcome.problems.length,
    }
  return {
    'sallyport.policy.outcome': 'adopted',
    'security_rule.version': snapshot.version,
    'sallyport.policy.previous_version': outcome.previous.version,
    'sallyport.policy.allowed_count': snapshot.counts.allowed,
    'sallyport.policy.denied_count': snapshot.counts.denied,
  }
}
