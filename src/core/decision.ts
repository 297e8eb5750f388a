/**
 * Why an exchange did not go through: one row a reason, read by responses, records, `explain` and the manual.
 *
 * - `status`: what the client gets (RFC 9110 §15).
 * - `proxyStatus`: the error type of RFC 9209 §2.3.
 * - `xProxyError`: the word that users of the Codex proxy grep for.
 * - `phrase`: the middle of the reason phrase, which is all that half of all clients show of a refused CONNECT.
 * - `title`, `advice`: one plain sentence each, for people and for agents.
 */
export const REASONS = {
  invalid_request: {
    status: 400,
    proxyStatus: 'http_request_error',
    xProxyError: 'invalid-request',
    phrase: 'Bad request',
    title: 'The request is malformed or ambiguous.',
    advice: 'Send one well-formed HTTP/1.1 request; nothing was forwarded.',
  },
  invalid_target: {
    status: 400,
    proxyStatus: 'http_request_error',
    xProxyError: 'invalid-target',
    phrase: 'Bad target',
    title: 'The target is malformed or ambiguous.',
    advice: 'Ask for a plain host name or a dotted-decimal address, with a port from 1 to 65535.',
  },
  authority_mismatch: {
    status: 421,
    proxyStatus: 'http_request_denied',
    xProxyError: 'blocked-by-policy',
    phrase: 'Blocked by policy: authority_mismatch',
    title: 'The request inside the tunnel is for another host than the tunnel.',
    advice: 'Open a tunnel to the host that the request names, or send the request without one.',
  },
  port_not_allowed: {
    status: 403,
    proxyStatus: 'http_request_denied',
    xProxyError: 'blocked-by-policy',
    phrase: 'Blocked by policy: port_not_allowed',
    title: 'This port is not permitted by policy.',
    advice: 'Use port 80 or 443, or ask an administrator to permit this port for this host.',
  },
  denied: {
    status: 403,
    proxyStatus: 'http_request_denied',
    xProxyError: 'blocked-by-denylist',
    phrase: 'Blocked by policy: denied',
    title: 'This host is on the deny list.',
    advice: 'Do not try to reach it another way; no approval can permit it. Use another source.',
  },
  not_allowed_local: {
    status: 403,
    proxyStatus: 'destination_ip_prohibited',
    xProxyError: 'blocked-by-allowlist',
    phrase: 'Blocked by policy: not_allowed_local',
    title: 'This host is, or resolves to, an address that is not on the public internet.',
    advice:
      'Private, local and metadata addresses need an exception by an administrator; no approval can permit them.',
  },
  not_allowed: {
    status: 403,
    proxyStatus: 'http_request_denied',
    xProxyError: 'blocked-by-allowlist',
    phrase: 'Blocked by policy: not_allowed',
    title: 'This host is not on the allow list.',
    advice: 'Ask an administrator to allow it, or use an allowed source.',
  },
  approval_denied: {
    status: 403,
    proxyStatus: 'http_request_denied',
    xProxyError: 'blocked-by-policy',
    phrase: 'Blocked by reviewer: approval_denied',
    title: 'A reviewer refused access to this host.',
    advice: 'Do not ask again for the same host; find a way that does not need it.',
  },
  approval_pending: {
    status: 503,
    proxyStatus: 'http_request_denied',
    xProxyError: 'approval-pending',
    phrase: 'Approval pending',
    title: 'Access to this host waits for an approval.',
    advice: 'Retry later: once somebody approves, the same request passes at once.',
  },
  too_many_pending: {
    status: 503,
    proxyStatus: 'connection_limit_reached',
    xProxyError: 'too-many-pending',
    phrase: 'Too many approvals pending',
    title: 'Too many requests wait for an approval already.',
    advice: 'Wait until some of the open approvals are answered, then retry.',
  },
  no_reviewer: {
    status: 403,
    proxyStatus: 'http_request_denied',
    xProxyError: 'blocked-by-policy',
    phrase: 'Blocked by policy: no_reviewer',
    title: 'This host needs an approval and nobody is there to give it.',
    advice: 'Ask an administrator to allow the host.',
  },
  loop_detected: {
    status: 502,
    proxyStatus: 'proxy_loop_detected',
    xProxyError: 'loop-detected',
    phrase: 'Loop detected',
    title: 'The request came back to this proxy.',
    advice: 'Check the proxy settings of whatever stands between this proxy and the origin.',
  },
  too_many_connections: {
    status: 503,
    proxyStatus: 'connection_limit_reached',
    xProxyError: 'connection-limit-reached',
    phrase: 'Too many connections',
    title: 'This client, or the proxy as a whole, has too many open connections.',
    advice: 'Close some connections and retry.',
  },
  draining: {
    status: 503,
    proxyStatus: 'proxy_internal_response',
    xProxyError: 'draining',
    phrase: 'Shutting down',
    title: 'The proxy is shutting down.',
    advice: 'Retry in a moment.',
  },
  audit_unavailable: {
    status: 503,
    proxyStatus: 'proxy_internal_error',
    xProxyError: 'audit-unavailable',
    phrase: 'Audit log unavailable',
    title: 'The decision could not be recorded, and what is not recorded is not let through.',
    advice: 'Tell an administrator: the disk of the audit log may be full.',
  },
  client_gone: {
    status: 499,
    proxyStatus: 'connection_terminated',
    xProxyError: 'client-gone',
    phrase: 'Client gone',
    title: 'The client went away before the decision.',
    advice: 'Retry with a longer time limit.',
  },
  internal_error: {
    status: 500,
    proxyStatus: 'proxy_internal_error',
    xProxyError: 'internal-error',
    phrase: 'Internal error',
    title: 'The proxy failed while it decided, so it refused.',
    advice: 'Tell an administrator and give the request id.',
  },
} as const satisfies Record<string, ReasonRow>

interface ReasonRow {
  readonly status: number
  readonly proxyStatus: string
  readonly xProxyError: string
  readonly phrase: string
  readonly title: string
  readonly advice: string
}

export type Reason = keyof typeof REASONS

/** Where a rule stands, for `explain` and for errors. */
export interface SourceLocation {
  readonly file: string
  /** From 1. */
  readonly line: number
}

/** What decided: an entry of a list, a setting, a grant, or a rule that is built in. */
export interface Rule {
  /** `allowed_domains`, `denied_domains`, `allowed_ports`, `private`, `unfamiliar`, `grant`, `built-in`, … */
  readonly list: string
  /** The entry as it was written, such as `*.example.com`. */
  readonly text: string
  /** Where it was written; absent for built-in rules, defaults and grants. */
  readonly source?: SourceLocation
}

/** The kind of thing that decided, as it is recorded in `sallyport.decision.source`. */
export type DecisionSource =
  | 'target'
  | 'port'
  | 'deny_rule'
  | 'address_guard'
  | 'allow_rule'
  | 'approval'
  | 'default'
  | 'proxy_state'

/** The answer to «may this exchange leave?». */
export type Decision =
  | { readonly kind: 'allow'; readonly source: DecisionSource; readonly rule: Rule }
  | { readonly kind: 'deny'; readonly reason: Reason; readonly source: DecisionSource; readonly rule?: Rule }
  | { readonly kind: 'hold'; readonly source: DecisionSource; readonly rule: Rule }

/** Marks a branch that the compiler has proved empty. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`)
}
