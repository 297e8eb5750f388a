import { parse } from 'tldts'
import { type Decision, type DecisionSource, REASONS, type Rule, unreachable } from '../core/decision.ts'
import type { Trouble } from '../core/errors.ts'
import {
  type Attributes,
  type AuditEvent,
  type EventName,
  SEVERITY,
  type Severity,
  type TraceContext,
} from '../core/event.ts'
import type { Exchange, ExchangeRecorder } from '../core/exchange.ts'

export interface ExchangeRecorderParts {
  readonly append: (event: AuditEvent, written?: (error?: Error) => void) => void
  /** Name of the proxy (`proxy.name`), for who collects from several. */
  readonly name: string
  /** Whether the end of an exchange is recorded too, not its decision alone. */
  readonly completed: boolean
}

/** Makes events of exchanges: `sallyport.egress.decision`, once each, and `sallyport.egress.completed`. */
export function createExchangeRecorder({ append, name, completed }: ExchangeRecorderParts): ExchangeRecorder {
  const proxy: Recording = {
    name: json(name),
    host: remember(hostMembers),
    text: remember(json),
  }
  return {
    decided: (exchange, written) => append(decisionEvent(exchange, proxy), written),
    completed: (exchange) => {
      if (completed) append(completedEvent(exchange, proxy))
    },
  }
}

interface Recording {
  /** As JSON. */
  readonly name: string
  /** A value of which there are few, as JSON, cut to the limit. */
  readonly text: (value: string) => string
  /** The members that a host has in every record. */
  readonly host: (text: string) => string
}

/** Characters that are kept of a value that the client chose. */
const VALUE_LIMIT = 1024

/**
 * An event whose attributes are made as text, since the log takes them so, for every exchange; as an object they are
 * made from that text, only for whoever looks on.
 */
class ExchangeEvent implements AuditEvent {
  readonly event: EventName
  readonly severity: Severity
  readonly time: number
  readonly attributesJson: string
  readonly trace?: TraceContext

  constructor(event: EventName, severity: Severity, exchange: Exchange, attributesJson: string) {
    this.event = event
    this.severity = severity
    this.time = exchange.receivedAt + Math.floor(exchange.durationMs)
    this.attributesJson = attributesJson
    if (exchange.trace !== undefined) this.trace = exchange.trace
  }

  get attributes(): Attributes {
    return JSON.parse(this.attributesJson) as Attributes
  }
}

/**
 * Names: the semantic conventions of OpenTelemetry where they have one, `network.policy.*` as the Codex proxy spells
 * them, `sallyport.*` for the rest. What this program writes itself stands in the text as it is; what comes from
 * outside (client, configuration, administrator) goes through `json`.
 */
function decisionEvent(exchange: Exchange, proxy: Recording): AuditEvent {
  const verdict = verdictOf(exchange)
  const { rule, source, decision, reason, status } = verdict
  let text = identity(exchange, proxy)
  if (exchange.userAgent !== undefined) text += `,"user_agent.original":${proxy.text(exchange.userAgent)}`
  if (exchange.door === 'http' && exchange.path !== undefined)
    text += `,"url.path":${pathOnly(exchange.path)}`
  if (status !== undefined) text += `,"http.response.status_code":${status}`
  if (decision === 'deny' && reason !== undefined) text += `,"error.type":"${reason}"`
  text += `,"sallyport.decision":"${decision}","sallyport.decision.source":"${source}"`
  if (reason !== undefined) text += `,"sallyport.decision.reason":"${reason}"`
  if (rule !== undefined) {
    text += `,"security_rule.name":${json(rule.text)},"security_rule.ruleset.name":${json(rule.list)}`
    if (rule.source) text += `,"sallyport.rule.source":${json(`${rule.source.file}:${rule.source.line}`)}`
  }
  if (exchange.policyVersion !== undefined)
    text += `,"security_rule.version":${proxy.text(exchange.policyVersion)}`
  text += approvalMember(exchange)
  if (exchange.heldMs !== undefined) text += `,"sallyport.hold.duration_ms":${Math.round(exchange.heldMs)}`
  const scope = source === 'target' || source === 'proxy_state' ? 'non_domain' : 'domain'
  const codex = decision === 'hold' ? 'ask' : decision
  text += `,"network.policy.scope":"${scope}","network.policy.decision":"${codex}"`
  text += `,"network.policy.source":"${CODEX_SOURCE[source]}","network.policy.reason":"${codexReason(verdict)}"`
  text += `,"network.policy.override":${decision === 'allow' && source === 'approval'}`
  text += exchange.door === 'connect' ? CODEX_CONNECT : CODEX_HTTP
  return new ExchangeEvent('sallyport.egress.decision', verdict.severity, exchange, text)
}

const CODEX_CONNECT = ',"network.transport.protocol":"https_connect"}'
const CODEX_HTTP = ',"network.transport.protocol":"http"}'

function completedEvent(exchange: Exchange, proxy: Recording): AuditEvent {
  const { trouble, peer, status, serverName } = exchange
  let text = identity(exchange, proxy)
  if (status !== undefined) text += `,"http.response.status_code":${status}`
  if (peer !== undefined) {
    const type = peer.address.includes(':') ? 'ipv6' : 'ipv4'
    text += `,"network.peer.address":${proxy.text(peer.address)},"network.peer.port":${peer.port},"network.type":"${type}"`
  }
  if (serverName !== undefined) text += `,"tls.client.server_name":${proxy.text(serverName)}`
  if (trouble !== undefined) text += `,"error.type":"${trouble}"`
  text += `,"sallyport.bytes.sent":${exchange.bytesSent},"sallyport.bytes.received":${exchange.bytesReceived}`
  text += `,"sallyport.duration_ms":${Math.round(exchange.durationMs)}${approvalMember(exchange)}}`
  const severity = trouble === undefined ? SEVERITY.INFO : troubleSeverity(trouble)
  return new ExchangeEvent('sallyport.egress.completed', severity, exchange, text)
}

/** What both events say of an exchange: who asked whom for what. The beginning of a JSON object. */
function identity(exchange: Exchange, proxy: Recording): string {
  const { authority, method, client } = exchange
  let text = `{"sallyport.request.id":"${exchange.id}","sallyport.proxy.name":${proxy.name}`
  if (authority !== undefined) text += `${proxy.host(authority.host.text)},"server.port":${authority.port}`
  text += `,"client.address":${proxy.text(client.address || 'unknown')},"client.port":${client.port}`
  text += exchange.door === 'connect' ? BY_CONNECT : BY_HTTP
  if (method === 'CONNECT') return `${text},"http.request.method":"CONNECT"`
  if (method === '') return `${text},"http.request.method":"none"`
  if (METHODS.has(method)) return `${text},"http.request.method":"${method}"`
  return `${text},"http.request.method":"_OTHER","http.request.method_original":${bounded(method)}`
}

const BY_CONNECT = ',"network.transport":"tcp","network.protocol.name":"connect"'
const BY_HTTP = ',"network.transport":"tcp","network.protocol.name":"http","url.scheme":"http"'

function approvalMember({ approval }: Exchange): string {
  return approval === undefined ? '' : `,"sallyport.approval.id":${json(approval)}`
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
function pathOnly(path: string): string {
  const end = path.search(/[?#]/)
  return bounded(end === -1 ? path : path.slice(0, end))
}

function bounded(value: string): string {
  return json(value.length > VALUE_LIMIT ? value.slice(0, VALUE_LIMIT) : value)
}

const json: (text: string) => string = JSON.stringify

/** eTLD+1 is by the public suffix list; an address has none, nor has a public suffix itself. */
function hostMembers(host: string): string {
  const { domain } = parse(host, { allowPrivateDomains: true, validateHostname: false })
  const registered = domain === null ? '' : `,"url.registered_domain":${json(domain)}`
  return `,"server.address":${json(host)},"url.domain":${json(host)}${registered}`
}

const REMEMBERED = 1024

/** Remembers an answer for each of the last thousand strings, cut to the limit. */
function remember(answer: (text: string) => string): (text: string) => string {
  const known = new Map<string, string>()
  return (value) => {
    const text = value.length > VALUE_LIMIT ? value.slice(0, VALUE_LIMIT) : value
    const found = known.get(text)
    if (found !== undefined) return found
    if (known.size >= REMEMBERED) known.clear()
    const made = answer(text)
    // What a parser cuts out of a request is a view of all of it, which a remembered view would keep alive.
    known.set(flat(text), flat(made))
    return made
  }
}

/** A copy that shares no memory with a longer text. */
function flat(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}
