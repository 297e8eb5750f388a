import { parse } from 'tldts'
import { type Decision, type DecisionSource, REASONS, type Rule, unreachable } from '../core/decision.ts'
import type { Trouble } from '../core/errors.ts'
import { type Attributes, type AuditEvent, SEVERITY, type Severity } from '../core/event.ts'
import type { Door, Exchange, ExchangeRecorder } from '../core/exchange.ts'

export interface ExchangeRecorderParts {
  readonly append: (event: AuditEvent, written?: (error?: Error) => void) => void
  /** Name of the proxy (`proxy.name`), for who collects from several. */
  readonly name: string
  /** Whether the end of an exchange is recorded too, not its decision alone. */
  readonly completed: boolean
}

/** Makes events of exchanges: `sallyport.egress.decision`, once each, and `sallyport.egress.completed`. */
export function createExchangeRecorder({ append, name, completed }: ExchangeRecorderParts): ExchangeRecorder {
  const proxy: Recording = { name, host: rememberHosts(), text: remember(flat) }
  return {
    decided: (exchange, written) => append(decisionEvent(exchange, proxy), written),
    completed: (exchange) => {
      if (completed) append(completedEvent(exchange, proxy))
    },
  }
}

interface Recording {
  readonly name: string
  /** A value of which there are few. */
  readonly text: (value: string) => string
  readonly host: (text: string) => RecordedHost
}

interface RecordedHost {
  readonly text: string
  /** eTLD+1 by the public suffix list; undefined for an address and for a public suffix itself. */
  readonly registeredDomain: string | undefined
}

/** Characters that are kept of a value that the client chose. */
const VALUE_LIMIT = 1024

/**
 * Names: the semantic conventions of OpenTelemetry where they have one, `network.policy.*` as the Codex proxy spells
 * them, `sallyport.*` for the rest. One literal, so that all records have one shape (it is built for each exchange).
 */
function decisionEvent(exchange: Exchange, proxy: Recording): AuditEvent {
  const verdict = verdictOf(exchange)
  const { rule, source } = verdict
  return {
    event: 'sallyport.egress.decision',
    severity: verdict.severity,
    time: exchange.receivedAt + Math.floor(exchange.durationMs),
    ...(exchange.trace && { trace: exchange.trace }),
    attributes: {
      ...identity(exchange, proxy),
      'user_agent.original': exchange.userAgent === undefined ? undefined : proxy.text(exchange.userAgent),
      'url.path': exchange.door === 'http' ? pathOnly(exchange.path) : undefined,
      'http.response.status_code': verdict.status,
      'error.type': verdict.decision === 'deny' ? verdict.reason : undefined,
      'sallyport.decision': verdict.decision,
      'sallyport.decision.source': source,
      'sallyport.decision.reason': verdict.reason,
      'security_rule.name': rule?.text,
      'security_rule.ruleset.name': rule?.list,
      'security_rule.version': exchange.policyVersion,
      'sallyport.rule.source': rule && ruleSource(rule),
      'sallyport.approval.id': exchange.approval,
      'sallyport.hold.duration_ms': whole(exchange.heldMs),
      'network.policy.scope': source === 'target' || source === 'proxy_state' ? 'non_domain' : 'domain',
      'network.policy.decision': verdict.decision === 'hold' ? 'ask' : verdict.decision,
      'network.policy.source': CODEX_SOURCE[source],
      'network.policy.reason': codexReason(verdict),
      'network.policy.override': verdict.decision === 'allow' && source === 'approval',
      'network.transport.protocol': exchange.door === 'connect' ? 'https_connect' : 'http',
    },
  }
}

function completedEvent(exchange: Exchange, proxy: Recording): AuditEvent {
  const { trouble, peer } = exchange
  return {
    event: 'sallyport.egress.completed',
    severity: trouble === undefined ? SEVERITY.INFO : troubleSeverity(trouble),
    time: exchange.receivedAt + Math.floor(exchange.durationMs),
    ...(exchange.trace && { trace: exchange.trace }),
    attributes: {
      ...identity(exchange, proxy),
      'http.response.status_code': exchange.status,
      'network.peer.address': peer?.address,
      'network.peer.port': peer?.port,
      'network.type': peer && (peer.address.includes(':') ? 'ipv6' : 'ipv4'),
      'tls.client.server_name':
        exchange.serverName === undefined ? undefined : proxy.text(exchange.serverName),
      'error.type': trouble,
      'sallyport.bytes.sent': exchange.bytesSent,
      'sallyport.bytes.received': exchange.bytesReceived,
      'sallyport.duration_ms': whole(exchange.durationMs),
      'sallyport.approval.id': exchange.approval,
    },
  }
}

/** What both events say of an exchange: who asked whom for what. */
function identity(exchange: Exchange, proxy: Recording): Attributes {
  const host = exchange.authority && proxy.host(exchange.authority.host.text)
  const known = exchange.method === '' || METHODS.has(exchange.method)
  return {
    'sallyport.request.id': exchange.id,
    'sallyport.proxy.name': proxy.name,
    'server.address': host?.text,
    'server.port': exchange.authority?.port,
    'client.address': proxy.text(exchange.client.address || 'unknown'),
    'client.port': exchange.client.port,
    'network.transport': 'tcp',
    'network.protocol.name': PROTOCOL[exchange.door],
    'http.request.method': known ? exchange.method || 'none' : '_OTHER',
    'http.request.method_original': known ? undefined : bounded(exchange.method),
    'url.scheme': exchange.door === 'http' ? 'http' : undefined,
    'url.domain': host?.text,
    'url.registered_domain': host?.registeredDomain,
  }
}

interface Verdict {
  readonly decision: 'allow' | 'deny' | 'hold'
  readonly severity: Severity
  readonly source: DecisionSource
  readonly rule?: Rule | undefined
  readonly reason: string | undefined
  readonly status: number | undefined
}

/** A hold is not recorded when it begins (its approval is): what is recorded is how it ended. */
function verdictOf({ decision, status }: Exchange): Verdict {
  if (!decision) throw new Error('an exchange is recorded after its decision only')
  const { source, rule } = decision
  switch (decision.kind) {
    case 'allow':
      return { decision: 'allow', severity: SEVERITY.INFO, source, rule, reason: undefined, status }
    case 'hold':
      return pending(decision, status)
    case 'deny': {
      const { reason } = decision
      const sent = reason === 'client_gone' ? undefined : (status ?? REASONS[reason].status)
      if (reason === 'approval_pending') return pending(decision, status)
      const failed = reason === 'internal_error' || reason === 'audit_unavailable'
      const severity = failed ? SEVERITY.ERROR : SEVERITY.WARN
      return { decision: 'deny', severity, source, rule, reason, status: sent }
    }
    default:
      return unreachable(decision)
  }
}

/** The client was sent away before somebody answered; the approval is still open. */
function pending({ source, rule }: Decision, status: number | undefined): Verdict {
  const reason = 'approval_pending'
  const sent = status ?? REASONS[reason].status
  return { decision: 'hold', severity: SEVERITY.INFO2, source, rule, reason, status: sent }
}

const PROTOCOL = { http: 'http', connect: 'connect' } as const satisfies Record<Door, string>

/** The methods that the HTTP conventions know (RFC 9110, RFC 5789, QUERY); others are `_OTHER`, to bound their number. */
const METHODS = new Set('CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE'.split(' '))

const CODEX_SOURCE = {
  target: 'proxy_state',
  port: 'baseline_policy',
  deny_rule: 'baseline_policy',
  address_guard: 'baseline_policy',
  allow_rule: 'baseline_policy',
  approval: 'decider',
  default: 'baseline_policy',
  proxy_state: 'proxy_state',
} as const satisfies Record<DecisionSource, string>

/** Codex says `allow` for what the lists allow, and for what somebody decided the reason why it had to be asked. */
function codexReason({ decision, source, reason }: Verdict): string {
  if (decision === 'hold') return 'not_allowed'
  if (decision === 'allow') return source === 'approval' ? 'not_allowed' : 'allow'
  return reason ?? 'policy_denied'
}

/** The client's own choice and an orderly end are no warning. */
function troubleSeverity(trouble: Trouble): Severity {
  if (trouble === 'client_gone' || trouble === 'idle_timeout' || trouble === 'draining') return SEVERITY.INFO
  return trouble === 'proxy_internal_error' ? SEVERITY.ERROR : SEVERITY.WARN
}

/** Neither query nor fragment, whatever the caller left in (requirement: they carry secrets). */
function pathOnly(path: string | undefined): string | undefined {
  if (path === undefined) return undefined
  const end = path.search(/[?#]/)
  return flat(end === -1 ? path : path.slice(0, end))
}

function bounded(value: string | undefined): string | undefined {
  return value !== undefined && value.length > VALUE_LIMIT ? value.slice(0, VALUE_LIMIT) : value
}

function whole(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms)
}

const REMEMBERED = 1024

/** Remembers an answer for each of the last thousand strings. */
function remember<T>(answer: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return (text) => {
    const found = known.get(text)
    if (found !== undefined) return found
    if (known.size >= REMEMBERED) known.clear()
    const made = answer(text)
    known.set(flat(text), made)
    return made
  }
}

function rememberHosts(): (host: string) => RecordedHost {
  return remember((host) => {
    const { domain } = parse(host, { allowPrivateDomains: true, validateHostname: false })
    return { text: flat(host), registeredDomain: domain === null ? undefined : flat(domain) }
  })
}

const sources = new WeakMap<Rule, string>()

function ruleSource(rule: Rule): string | undefined {
  if (!rule.source) return undefined
  let text = sources.get(rule)
  if (text === undefined) sources.set(rule, (text = flat(`${rule.source.file}:${rule.source.line}`)))
  return text
}

/**
 * A copy of at most 1,024 characters that shares no memory with a longer text. What a parser cuts out of a request is a
 * view of the whole of it, which a remembered view would keep alive; and JSON.stringify takes twice as long as soon as
 * one string of an object is a view or a concatenation.
 */
function flat(text: string): string {
  return Buffer.from(text.slice(0, VALUE_LIMIT), 'utf16le').toString('utf16le')
}
