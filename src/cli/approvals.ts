import type { z } from 'zod'
import type * as schema from '../admin/schema.ts'
import { type AdminOptions, openAdminClient } from './admin-client.ts'
import { EXIT } from './exit-codes.ts'
import { shown, span, styled, table, type Terminal } from './terminal.ts'

export type ApprovalView = z.output<typeof schema.approval>
export type GrantView = z.output<typeof schema.grant>
type Answered = z.output<typeof schema.approvalAnswered>

export interface ListOptions extends AdminOptions {
  readonly json?: boolean
  readonly all?: boolean
}

export interface AnswerOptions extends AdminOptions {
  readonly json?: boolean
  readonly for?: string
  readonly session?: boolean
  readonly always?: boolean
  readonly everyone?: boolean
  readonly host?: boolean
  readonly domain?: boolean
  readonly note?: string
  readonly by?: string
}

/** Characters of an id that are shown: enough to be unique among what waits, few enough to type. */
const SHORT_ID = 8

/** Lists what waits for an answer. */
export async function listApprovals(options: ListOptions, terminal: Terminal): Promise<number> {
  await using admin = await openAdminClient(options, terminal)
  const list = await admin.call<z.output<typeof schema.approvalList>>(
    'GET',
    `/v1/approvals?status=${options.all === true ? 'all' : 'open'}`,
  )
  if (options.json === true) terminal.out(`${JSON.stringify(list)}\n`)
  else if (list.approvals.length === 0) terminal.out('nothing waits for an approval\n')
  else {
    terminal.out(approvalTable(list.approvals, Date.now(), terminal))
    const [first] = list.approvals.filter(({ status }) => status === 'open')
    if (terminal.isTty && first !== undefined)
      terminal.out(
        `\nanswer with: sallyport approvals allow ${first.id.slice(0, SHORT_ID)} --for 1h   (or: deny ${first.id.slice(0, SHORT_ID)})\n`,
      )
  }
  return EXIT.ok
}

/** One line for each approval, oldest first. Everything in it that a client chose is escaped. */
export function approvalTable(approvals: readonly ApprovalView[], now: number, terminal: Terminal): string {
  const rows = approvals.map((each) => [
    each.id.slice(0, SHORT_ID),
    shown(`${each.host}:${each.port}`),
    stateOf(each, now),
    shown(each.client),
    span(now - Date.parse(each.opened_at)),
    shown(requestOf(each)),
  ])
  const [head, ...lines] = table([
    ['ID', 'TARGET', 'STATE', 'CLIENT', 'SINCE', 'FIRST REQUEST'],
    ...rows,
  ]).split('\n')
  return `${styled(terminal, 'dim', head!)}\n${lines.join('\n')}`
}

function stateOf(approval: ApprovalView, now: number): string {
  if (approval.status === 'answered')
    return `${approval.answer?.verdict ?? 'answered'} (${approval.answer?.scope ?? ''})`
  if (approval.status !== 'open') return approval.status
  if (approval.waiting === 0) return 'open, nobody waits'
  const left =
    approval.patience_until === undefined ? '' : `, ${span(Date.parse(approval.patience_until) - now)} left`
  return `${approval.waiting} waiting${left}`
}

function requestOf({ requests }: ApprovalView): string {
  const [first] = requests
  if (first === undefined) return ''
  const agent = first.user_agent === undefined ? '' : ` by ${first.user_agent}`
  return `${first.method}${first.path === undefined ? '' : ` ${first.path}`}${agent}`
}

/** Answers an approval. */
export async function answerApproval(
  verdict: 'allow' | 'deny',
  id: string,
  options: AnswerOptions,
  terminal: Terminal,
): Promise<number> {
  await using admin = await openAdminClient(options, terminal)
  const answered = await admin.call<Answered>(
    'POST',
    `/v1/approvals/${encodeURIComponent(id)}/answer`,
    answerBody(verdict, options, terminal),
  )
  if (options.json === true) terminal.out(`${JSON.stringify(answered)}\n`)
  else terminal.out(`${answeredText(answered)}\n`)
  return EXIT.ok
}

export function answerBody(verdict: 'allow' | 'deny', options: AnswerOptions, terminal: Terminal): object {
  const by = options.by ?? terminal.env['USER'] ?? terminal.env['LOGNAME']
  return {
    verdict,
    ...scopeOf(options),
    ...(options.everyone === true ? { who: 'all' } : {}),
    ...(options.domain === true ? { what: 'domain' } : options.host === true ? { what: 'host' } : {}),
    ...(options.note === undefined ? {} : { note: options.note }),
    ...(by === undefined ? {} : { by }),
  }
}

function scopeOf(options: AnswerOptions): object {
  if (options.for !== undefined) return { scope: 'for', for: options.for }
  if (options.session === true) return { scope: 'session' }
  if (options.always === true) return { scope: 'always' }
  return {}
}

export function answeredText({ approval, grant }: Answered): string {
  const { answer } = approval
  const target = shown(`${approval.host}:${approval.port}`)
  const verb = answer?.verdict === 'deny' ? 'denied' : 'allowed'
  const waited = answer?.released ?? 0
  const goes = waited === 0 ? 'nobody waited' : `${waited} waiting request${waited === 1 ? '' : 's'} answered`
  const remembered =
    grant === undefined
      ? 'not remembered'
      : `remembered as ${grant.id.slice(0, SHORT_ID)} for ${shown(grant.pattern)}, ${lifetime(grant)}, ${grant.who === 'all' ? 'every client' : `client ${shown(grant.client ?? '')}`}`
  return `${verb} ${target}: ${goes}; ${remembered}`
}

function lifetime(grant: GrantView): string {
  if (grant.scope === 'session') return 'until the session ends'
  if (grant.expires_at === undefined) return 'until revoked'
  const once = grant.scope === 'once' ? 'once, ' : ''
  return `${once}until ${grant.expires_at}`
}

/** Lists the remembered answers. */
export async function listGrants(
  options: AdminOptions & { readonly json?: boolean },
  terminal: Terminal,
): Promise<number> {
  await using admin = await openAdminClient(options, terminal)
  const list = await admin.call<z.output<typeof schema.grantList>>('GET', '/v1/grants')
  if (options.json === true) terminal.out(`${JSON.stringify(list)}\n`)
  else if (list.grants.length === 0) terminal.out('no answer is remembered\n')
  else {
    const rows = list.grants.map((grant) => [
      grant.id.slice(0, SHORT_ID),
      grant.verdict,
      shown(grant.pattern),
      grant.who === 'all' ? 'every client' : shown(grant.client ?? ''),
      lifetime(grant),
      shown(grant.by.name === undefined ? grant.by.via : `${grant.by.name} via ${grant.by.via}`),
      String(grant.uses),
      shown(grant.note ?? ''),
    ])
    terminal.out(table([['ID', 'VERDICT', 'TARGET', 'CLIENT', 'LIFE', 'BY', 'USES', 'NOTE'], ...rows]))
  }
  return EXIT.ok
}

/** Revokes a remembered answer; it takes effect at once. */
export async function revokeGrant(
  id: string,
  options: AdminOptions & { readonly json?: boolean; readonly by?: string },
  terminal: Terminal,
): Promise<number> {
  await using admin = await openAdminClient(options, terminal)
  const by = options.by ?? terminal.env['USER']
  const query = by === undefined ? '' : `?by=${encodeURIComponent(by)}`
  const revoked = await admin.call<z.output<typeof schema.grantRevoked>>(
    'DELETE',
    `/v1/grants/${encodeURIComponent(id)}${query}`,
  )
  if (options.json === true) terminal.out(`${JSON.stringify(revoked)}\n`)
  else terminal.out(`revoked ${revoked.grant.verdict} for ${shown(revoked.grant.pattern)}\n`)
  return EXIT.ok
}
