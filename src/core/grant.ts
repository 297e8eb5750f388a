import type { Authority } from './authority.ts'
import type { ClientId } from './client.ts'
import type { Rule } from './decision.ts'

/** What a remembered answer says about a client and a target. */
export interface GrantVerdict {
  readonly verdict: 'allow' | 'deny'
  /** Id of the grant: a door that acts on it says so with it (a grant that is good for one exchange is then used up). */
  readonly grant: string
  /** Whether acting on it must be reported, since the grant is good for one exchange only. */
  readonly once: boolean
  /** The grant as a rule, for records and `explain`. */
  readonly rule: Rule
}

/** Looks a live grant up. Synchronous and constant in time: it is asked for each exchange that no rule decides. */
export type GrantFinder = (client: ClientId, authority: Authority) => GrantVerdict | undefined
