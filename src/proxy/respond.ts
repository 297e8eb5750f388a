import { authorityText } from '../core/authority.ts'
import { type Reason, REASONS } from '../core/decision.ts'
import { type ProxyError, TROUBLES } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import { type Field, field, firstValue } from '../core/fields.ts'
import { proxyStatus } from '../core/status-fields.ts'
import { responseHead } from '../http1/writer.ts'

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
  readonly bytes: Buffer
}

/** Everything a refused client sees: the one place where refusals and troubles become responses (RFC 9110, 9209, 9457). */
export interface Responder {
  refusal(exchange: Exchange, asked: Asked | undefined, refusal: Refusal, close: boolean): Answer
  trouble(exchange: Exchange, asked: Asked | undefined, error: ProxyError, close: boolean): Answer
}

/** Reason phrases longer than this are cut: some clients print them in one line (clients ignore them otherwise). */
const PHRASE_LIMIT = 120

export function createResponder(options: { readonly name: string; readonly now: () => number }): Responder {
  const { name, now } = options

  function build(exchange: Exchange, asked: Asked | undefined, said: Said, close: boolean): Answer {
    const host = exchange.authority && authorityText(exchange.authority)
    const body = {
      type: `urn:sallyport:problem:${said.reason}`,
      title: said.title,
      status: said.status,
      detail: said.detail,
      instance: `urn:sallyport:request:${exchange.id}`,
      decision: said.decision,
      reason: said.reason,
      source: exchange.decision?.source,
      protocol: exchange.door === 'connect' ? 'https_connect' : 'http',
      host: exchange.authority?.host.text,
      port: exchange.authority?.port,
      rule: said.rule,
      policy_version: exchange.policyVersion,
      approval:
        said.approval === undefined
          ? undefined
          : {
              id: said.approval,
              status: 'open',
              how: `an operator runs: sallyport approvals allow ${said.approval}`,
            },
      retry_after: said.retryAfter,
      advice: said.advice,
    }
    const html = asked !== undefined && wantsHtml(asked)
    const content = Buffer.from(html ? page(body) : `${JSON.stringify(body)}\n`)
    const fields: Field[] = [
      field('Date', new Date(now()).toUTCString()),
      field('Proxy-Status', proxyStatus(name, said.proxyStatus, said.detail)),
      field('X-Proxy-Error', said.xProxyError),
      field('X-Request-Id', exchange.id),
      field('Cache-Control', 'no-store'),
      field('Content-Type', html ? 'text/html; charset=utf-8' : 'application/problem+json'),
      field('Content-Length', String(content.length)),
    ]
    if (html) fields.push(field('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'"))
    if (said.retryAfter !== undefined) fields.push(field('Retry-After', String(said.retryAfter)))
    fields.push(field('Connection', close ? 'close' : 'keep-alive'))
    const retry = said.retryAfter === undefined ? '' : ` for ${host}, retry in ${said.retryAfter} s`
    const phrase = `${said.phrase}${retry} (req ${exchange.id})`
    const reason = phrase.length <= PHRASE_LIMIT ? phrase : `${said.phrase} (req ${exchange.id})`
    const head = responseHead(said.status, reason, fields)
    return { status: said.status, bytes: asked?.method === 'HEAD' ? head : Buffer.concat([head, content]) }
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
          ...(error.detail === undefined ? {} : { detail: error.detail }),
        },
        close,
      )
    },
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
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
