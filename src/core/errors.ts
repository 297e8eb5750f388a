/**
 * Trouble on the way to the origin: the error types of RFC 9209 §2.3 that a forward proxy meets, with the status that
 * the client gets. A refusal is not trouble: that is a Decision.
 */
export const TROUBLES = {
  dns_timeout: { status: 504, title: 'The name could not be resolved in time.' },
  dns_error: { status: 502, title: 'The name could not be resolved.' },
  destination_unavailable: { status: 503, title: 'The destination is not available.' },
  destination_ip_unroutable: { status: 502, title: 'There is no route to the destination.' },
  connection_refused: { status: 502, title: 'The destination refused the connection.' },
  connection_terminated: { status: 502, title: 'The destination closed the connection before it answered.' },
  connection_limit_reached: { status: 503, title: 'The proxy has too many connections open.' },
  connection_timeout: { status: 504, title: 'The destination did not accept the connection in time.' },
  connection_read_timeout: { status: 504, title: 'The destination sent nothing for too long.' },
  connection_write_timeout: { status: 504, title: 'The destination read nothing for too long.' },
  http_request_error: { status: 400, title: 'The content of the request is malformed.' },
  http_protocol_error: { status: 502, title: 'The destination sent a malformed or ambiguous response.' },
  http_response_incomplete: { status: 502, title: 'The destination ended the response too early.' },
  http_response_timeout: { status: 504, title: 'The destination did not answer in time.' },
  http_upgrade_failed: {
    status: 502,
    title: 'The destination switched protocols although nobody asked for it.',
  },
  tls_server_name_mismatch: { status: 421, title: 'The TLS server name is not the host that was asked for.' },
  tls_required: { status: 403, title: 'A tunnel to port 443 must begin with a TLS ClientHello.' },
  client_gone: { status: 499, title: 'The client went away.' },
  grant_revoked: { status: 403, title: 'The permission for this destination was revoked.' },
  policy_changed: { status: 403, title: 'A new policy denies this destination.' },
  idle_timeout: { status: 408, title: 'Nothing was sent for too long.' },
  draining: { status: 503, title: 'The proxy shut down.' },
  proxy_internal_error: { status: 500, title: 'The proxy failed.' },
} as const satisfies Record<string, { status: number; title: string }>

export type Trouble = keyof typeof TROUBLES

/** Becomes a response, or the cause in a record, in one place: proxy/respond.ts. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError'
  readonly code: Trouble
  /** A detail that is safe to show to the client (an rcode, an errno), or undefined. Never an address, never a secret. */
  readonly detail: string | undefined
  constructor(code: Trouble, detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? TROUBLES[code].title : `${TROUBLES[code].title} (${detail})`, options)
    this.code = code
    this.detail = detail
  }
}

/** The errno of a Node error (`ECONNREFUSED`), or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
