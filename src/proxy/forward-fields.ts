import { type Authority, authorityText } from '../core/authority.ts'
import { endToEndFields, type Field, field, listMembers } from '../core/fields.ts'
import type { RequestHead } from '../http1/request-reader.ts'
import type { ResponseHead } from '../http1/response-reader.ts'

const HTTP_PORT = 80
const TRANSFER_CHUNKED: Field = field('Transfer-Encoding', 'chunked')
const CONNECTION_CLOSE: Field = field('Connection', 'close')
const CONNECTION_KEEP_ALIVE: Field = field('Connection', 'keep-alive')
const CONNECTION_UPGRADE: Field = field('Connection', 'Upgrade')
const UPGRADE_WEBSOCKET: Field = field('Upgrade', 'websocket')
const CONNECTION_TE: Field = field('Connection', 'TE')
const TE_TRAILERS: Field = field('TE', 'trailers')

/** Fields by which this proxy speaks to its clients: an origin that sends them would speak in its name. */
const OURS: ReadonlySet<string> = new Set(['x-proxy-error', 'proxy-status'])

/**
 * Whether the client asks for a WebSocket, the one upgrade that is passed on (h2c above all is not). With content it is
 * none: the first bytes behind a 101 would be a matter of opinion.
 */
export function asksForWebSocket(head: RequestHead): boolean {
  const { framing } = head
  if (framing.kind !== 'none' && !(framing.kind === 'length' && framing.length === 0)) return false
  return head.method === 'GET' && head.version === '1.1' && head.upgrade.includes('websocket')
}

/**
 * Methods whose content means nothing (RFC 9110 §9.3): some servers do not read it, and take it for their next request.
 */
const CONTENT_MEANS_NOTHING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'])

/** Whether the request has content that an origin may overlook: it is the last on its connection, and the origin is told so. */
export function hasUnexpectedContent({ method, framing }: RequestHead): boolean {
  if (framing.kind === 'none' || (framing.kind === 'length' && framing.length === 0)) return false
  return CONTENT_MEANS_NOTHING.has(method)
}

/** Whether it is a 205 with content, which it may not have (RFC 9110 §15.3.6): some clients take that for their next response. */
export function isResetWithContent({ status, framing }: ResponseHead): boolean {
  return status === 205 && framing.kind !== 'none' && !(framing.kind === 'length' && framing.length === 0)
}

/**
 * The fields of the request as it goes to the origin (RFC 9110 §7.6, RFC 9112 §3.2.2): Host from the target and never from
 * the client's Host field, which would be a second opinion on where the request goes; hop-by-hop fields gone; Via added.
 */
export function requestFields(
  head: RequestHead,
  authority: Authority,
  via: Field,
  upgrade: boolean,
): Field[] {
  const fields: Field[] = [field('Host', authorityText(authority, HTTP_PORT))]
  for (const each of endToEndFields(head.fields)) {
    if (each.key !== 'host') fields.push(each)
  }
  if (head.framing.kind === 'chunked') fields.push(TRANSFER_CHUNKED)
  fields.push(via)
  if (hasUnexpectedContent(head)) fields.push(CONNECTION_CLOSE)
  if (upgrade) fields.push(CONNECTION_UPGRADE, UPGRADE_WEBSOCKET)
  // Some origins send trailers only to those who say that they take them; we do.
  else if (listMembers(head.fields, 'te').some((coding) => coding.split(';')[0]!.trim() === 'trailers')) {
    fields.push(CONNECTION_TE, TE_TRAILERS)
  }
  return fields
}

/** The trailers that go on, either way: nobody may say behind the content what is not passed on in front of it. */
export function trailerFields(trailers: readonly Field[]): Field[] {
  return endToEndFields(trailers).filter(({ key }) => !OURS.has(key))
}

/** How the content of a response is framed for the client. */
export type ClientFraming = 'none' | 'length' | 'chunked' | 'close'

/** A length is kept; everything else is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0. */
export function clientFraming(response: ResponseHead, clientVersion: '1.0' | '1.1'): ClientFraming {
  switch (response.framing.kind) {
    case 'none':
      return 'none'
    case 'length':
      return 'length'
    case 'chunked':
    case 'close':
      return clientVersion === '1.1' ? 'chunked' : 'close'
  }
}

/** The fields of the response as it goes to the client. */
export function responseFields(
  response: ResponseHead,
  framing: ClientFraming,
  via: Field,
  connection: 'close' | 'keep-alive' | 'upgrade' | 'unsaid',
): Field[] {
  const fields: Field[] = []
  for (const each of endToEndFields(response.fields)) {
    if (!OURS.has(each.key)) fields.push(each)
  }
  if (framing === 'chunked') fields.push(TRANSFER_CHUNKED)
  fields.push(via)
  if (connection === 'upgrade') fields.push(CONNECTION_UPGRADE, UPGRADE_WEBSOCKET)
  else if (connection === 'close') fields.push(CONNECTION_CLOSE)
  else if (connection === 'keep-alive') fields.push(CONNECTION_KEEP_ALIVE)
  return fields
}
