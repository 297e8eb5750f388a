import { type Authority, authorityText } from '../core/authority.ts'
import type { ClientId } from '../core/client.ts'
import type { Rule } from '../core/decision.ts'
import type { Actor, AnswerScope, AnswerTarget, AnswerVerdict } from './approval.ts'

/** A remembered answer. Times are milliseconds since the epoch. */
export interface Grant {
  readonly id: string
  readonly verdict: AnswerVerdict
  readonly scope: AnswerScope
  /** Absent: every client. */
  readonly client?: ClientId
  readonly what: AnswerTarget
  /** The host that was asked for; for `domain` its registrable domain, whose subdomains are covered too. */
  readonly authority: Authority
  readonly createdAt: number
  /** Absent with `always`, and with `session` while the client is connected. */
  readonly expiresAt?: number
  /** Id of the approval whose answer made it. */
  readonly approval: string
  readonly by: Actor
  readonly note?: string
  readonly uses: number
  readonly lastUsedAt?: number
}

/** In the language of patterns: `example.com:443`, `example.com`, `**.example.com`. */
export function grantPattern(grant: Pick<Grant, 'what' | 'authority'>): string {
  const { what, authority } = grant
  if (what === 'host_port') return authorityText(authority)
  const host = authorityText(authority, authority.port)
  return what === 'domain' ? `**.${host}` : host
}

/** The grant as the rule that decided. It is shown to clients, so it does not name the reviewer. */
export function grantRule(grant: Grant): Rule {
  return { list: 'grant', text: `${grantPattern(grant)} (${grant.verdict}, grant ${grant.id})` }
}

/** Whether the grant speaks about this client and target, whatever the time. */
export function covers(grant: Grant, client: ClientId, authority: Authority): boolean {
  if (grant.client !== undefined && grant.client !== client) return false
  const host = grant.authority.host.text
  switch (grant.what) {
    case 'host_port':
      return authority.host.text === host && authority.port === grant.authority.port
    case 'host':
      return authority.host.text === host
    case 'domain':
      // Names only: an address literal has no domain, whatever its text ends in.
      return (
        authority.host.kind === 'name' &&
        (authority.host.text === host || authority.host.text.endsWith(`.${host}`))
      )
  }
}
