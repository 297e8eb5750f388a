import { authorityText } from '../core/authority.ts'
import { type Reason, REASONS } from '../core/decision.ts'
import { type ProxyError, type Trouble, TROUBLES } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import { type Field, field, firstValue } from '../core/fields.ts'
import { proxyStatus } from '../core/status-fields.ts'
import { fieldLines, statusLine } from '../http1/writer.ts'

/** What a client is told that does not get through. */
export interface Refusal {
  readonly reason: Reason
  /** One sentence about this very exchange, in place of the reason's general title. Never an address, never a secret. */
  readonly detail?: string
  readonly rule?: string
  readonly approval?: string
  /** Seconds. */
  readonly retryAfter?: number
  /** In place of the reason's own: 414, 431, 501 or 505 for what the codec refuses. */
  readonly status?: number
}

/** The request as far as the answer depends on it. */
export interface Asked {
  readonly method: string
  readonly fields: readonly Field[]
}

export interface Answer {
  readonly status: number
  /** ASCII. */
  readonly text: string
}

/** Everything a refused client sees: the one place where refusals and troubles become responses (RFC 9110, 9209, 9457). */
export interface Responder {
  refusal(exchange: Exchange, asked: Asked | undefined, refusal: Refusal, close: boolean): Answer
  trouble(exchange: Exchange, asked: Asked | undefined, error: ProxyError, close: boolean): Answer
  /** For a connection that is one too many: nothing of it has been read, so there is no exchange. */
  turnAway(): string
}

/** Reason phrases longer than this are cut: some clients print them in one line (clients ignore them otherwise). */
const PHRASE_LIMIT = 120

export function createResponder(options: { readonly name: string; readonly now: () => number }): Responder {
  const { name } = options
  const dateLine = createDateLine(options.now)
  /** What is the same in every answer of one kind, made once: answering a denied host must cost next to nothing. */
  const constants = new Map<string, Constants>()

  function constantsOf(said: Said): Constants {
    const key = `${said.reason} ${said.decision} ${said.status}`
    let known = constants.get(key)
    if (known === undefined) {
      known = constantPart(name, said)
      constants.set(key, known)
    }
    return known
  }

  function build(exchange: Exchange, asked: Asked | undefined, said: Said, close: boolean): Answer {
    const constant = constantsOf(said)
    const html = asked !== undefined && wantsHtml(asked)
    const json = `${constant.json}${dynamicMembers(exchange, said)}}\n`
    const content = html ? page(JSON.parse(json) as Record<string, unknown>) : json
    let text = statusLine(said.status, reasonPhrase(exchange, said)) + dateLine()
    text += said.detail === undefined ? constant.proxyStatus : proxyStatusLine(name, said)
    text += `${constant.xProxyError}X-Request-Id: ${exchange.id}\r\n${html ? HTML : PROBLEM_JSON}`
    text += `Content-Length: ${content.length}\r\n`
    if (said.retryAfter !== undefined) text += fieldLines([field('Retry-After', String(said.retryAfter))])
    text += close ? CLOSE : KEEP_ALIVE
    return { status: said.status, text: asked?.method === 'HEAD' ? text : text + content }
  }

  return {
    refusal(exchange, asked, refusal, close) {
      const row = REASONS[refusal.reason]
      const decision = refusal.reason === 'approval_pending' ? 'ask' : 'deny'
      return build(exchange, asked, { ...row, ...refusal, decision }, close)
    },
    trouble(exchange, asked, error, close) {
      const row = TROUBLES[error.code]
      return build(
        exchange,
        asked,
        {
          status: row.status,
          title: row.title,
          reason: error.code,
          decision: 'allow',
          proxyStatus: error.code,
          xProxyError: error.code.replaceAll('_', '-'),
          phrase: row.title.replace(/\.$/, ''),
          advice: 'The destination is permitted; the trouble lies between this proxy and it. Retry later.',
          ...NOT_ON_THE_WAY[error.code],
          ...(error.detail === undefined ? {} : { detail: error.detail }),
        },
        close,
      )
    },
    turnAway() {
      const row = REASONS.too_many_connections
      const constant = constantsOf({ ...row, reason: 'too_many_connections', decision: 'deny' })
      const content = `${constant.json},"retry_after":${TURNED_AWAY_RETRY}}\n`
      return (
        statusLine(row.status, row.phrase) +
        dateLine() +
        constant.proxyStatus +
        constant.xProxyError +
        PROBLEM_JSON +
        fieldLines([
          field('Content-Length', String(content.length)),
          field('Retry-After', String(TURNED_AWAY_RETRY)),
        ]) +
        CLOSE +
        content
      )
    },
  }
}

/** Trouble that is none between us and the destination; its codes are no error types of RFC 9209 either. */
const NOT_ON_THE_WAY: Partial<Record<Trouble, Partial<Said>>> = {
  idle_timeout: { proxyStatus: 'http_request_error', advice: 'Send the content without such a long break.' },
  policy_changed: {
    decision: 'deny',
    proxyStatus: 'http_request_denied',
    advice: 'Ask again: it is decided anew, by the new policy.',
  },
  grant_revoked: {
    decision: 'deny',
    proxyStatus: 'http_request_denied',
    advice: 'Ask again: somebody may approve it anew.',
  },
}

/** Seconds after which a client that had one connection too many may try again. */
const TURNED_AWAY_RETRY = 5

interface Constants {
  /** The beginning of the problem document, without the closing brace. */
  readonly json: string
  /** Field lines. */
  readonly proxyStatus: string
  readonly xProxyError: string
}

const NO_STORE = field('Cache-Control', 'no-store')
const PROBLEM_JSON = fieldLines([NO_STORE, field('Content-Type', 'application/problem+json')])
const HTML = fieldLines([
  NO_STORE,
  field('Content-Type', 'text/html; charset=utf-8'),
  field('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'"),
])
/** With the end of the head. */
const CLOSE = `${fieldLines([field('Connection', 'close')])}\r\n`
const KEEP_ALIVE = `${fieldLines([field('Connection', 'keep-alive')])}\r\n`

function constantPart(name: string, said: Said): Constants {
  const { reason, title, status, decision, advice } = said
  const document = { type: `urn:sallyport:problem:${reason}`, title, status, decision, reason, advice }
  return {
    json: json(document).slice(0, -1),
    proxyStatus: proxyStatusLine(name, { proxyStatus: said.proxyStatus }),
    xProxyError: fieldLines([field('X-Proxy-Error', said.xProxyError)]),
  }
}

function proxyStatusLine(
  name: string,
  said: { readonly proxyStatus: string; readonly detail?: string },
): string {
  return fieldLines([field('Proxy-Status', proxyStatus(name, said.proxyStatus, said.detail))])
}

/** The members of the problem document that belong to this exchange. */
function dynamicMembers(exchange: Exchange, said: Said): string {
  const { authority, decision, policyVersion } = exchange
  let members = `,"instance":"urn:sallyport:request:${exchange.id}"`
  members += `,"protocol":"${exchange.door === 'connect' ? 'https_connect' : 'http'}"`
  if (decision !== undefined) members += `,"source":"${decision.source}"`
  // A canonical host has no character that JSON would escape; everything that somebody wrote goes through stringify.
  if (authority !== undefined) members += `,"host":"${authority.host.text}","port":${authority.port}`
  if (said.detail !== undefined) members += `,"detail":${json(said.detail)}`
  if (said.rule !== undefined) members += `,"rule":${json(said.rule)}`
  if (policyVersion !== undefined) members += `,"policy_version":${json(policyVersion)}`
  if (said.approval !== undefined) {
    const how = `an operator runs: sallyport approvals allow ${said.approval}`
    members += `,"approval":${json({ id: said.approval, status: 'open', how })}`
  }
  if (said.retryAfter !== undefined) members += `,"retry_after":${said.retryAfter}`
  return members
}

/** JSON in ASCII, so that an answer has as many bytes as characters. */
function json(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\0-\x7f]/g,
    (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function reasonPhrase(exchange: Exchange, said: Said): string {
  const { authority } = exchange
  const end = ` (req ${exchange.id})`
  if (said.retryAfter === undefined || authority === undefined) return said.phrase + end
  const phrase = `${said.phrase} for ${authorityText(authority)}, retry in ${said.retryAfter} s${end}`
  return phrase.length <= PHRASE_LIMIT ? phrase : said.phrase + end
}

/** Date (RFC 9110 §6.6.1), formatted once a second. */
function createDateLine(now: () => number): () => string {
  let second = Number.NaN
  let line = ''
  return () => {
    const current = Math.floor(now() / 1000)
    if (current !== second) {
      second = current
      line = fieldLines([field('Date', new Date(current * 1000).toUTCString())])
    }
    return line
  }
}

interface Said {
  readonly status: number
  readonly title: string
  readonly reason: string
  readonly decision: 'allow' | 'deny' | 'ask'
  readonly proxyStatus: string
  readonly xProxyError: string
  readonly phrase: string
  readonly advice: string
  readonly detail?: string
  readonly rule?: string
  readonly approval?: string
  readonly retryAfter?: number
}

/** A browser that navigates says so; everybody else gets the problem document. */
function wantsHtml(asked: Asked): boolean {
  if (asked.method === 'CONNECT') return false
  return firstValue(asked.fields, 'accept')?.includes('text/html') ?? false
}

function page(body: Record<string, unknown>): string {
  const rows = Object.entries(body)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
      return `<dt>${escapeHtml(key)}</dt><dd>${escapeHtml(text)}</dd>`
    })
  const style =
    ':root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}' +
    'dt{font-weight:600;margin-top:.5rem}dd{margin:0;overflow-wrap:anywhere}'
  const title = escapeHtml(String(body['title']))
  return (
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><style>${style}</style>` +
    `<h1>${title}</h1><p>${escapeHtml(String(body['advice']))}</p><dl>${rows.join('')}</dl></html>\n`
  )
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']|[^\0-\x7f]/gu, (character) => `&#${character.codePointAt(0)};`)
}
