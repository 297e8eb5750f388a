import { type Authority, authorityText } from '../core/authority.ts'
import type { Clock } from '../core/clock.ts'
import { ProxyError, type Trouble } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { RequestHead } from '../http1/request-reader.ts'
import { HelloRetry } from '../tls/hello-retry.ts'
import type { Dialled, Dialer } from '../upstream/dialer.ts'
import { originKey, type Origins } from '../upstream/origins.ts'
import type { Admission } from './admission.ts'
import { answerRefusal, answerTrouble } from './answer.ts'
import { type ArrivalParts, openExchange, readTarget } from './arrival.ts'
import { agrees, readOpening, UNRECOGNIZED_NAME_ALERT } from './opening.ts'
import type { Responder } from './respond.ts'
import type { ClientSession } from './session.ts'
import { runTunnel } from './run-tunnel.ts'
import { watchForSecondHello } from './second-hello.ts'
import type { OpeningTunnel, Passage, Tunnels } from './tunnels.ts'

export interface ConnectParts extends ArrivalParts {
  readonly admission: Admission
  readonly responder: Responder
  readonly dialer: Dialer
  readonly origins: Origins
  readonly tunnels: Tunnels
  readonly clock: Clock
  readonly settings: () => ConnectSettings
}

export interface ConnectSettings {
  /** A tunnel to port 443 must begin with a ClientHello that names its target. */
  readonly requireTls: boolean
  /** `host:port` of targets to which anything may be spoken. */
  readonly raw: ReadonlySet<string>
  /** Milliseconds for the ClientHello to arrive. */
  readonly helloTimeout: number
  /** Bytes read at most before the ClientHello must be whole. */
  readonly earlyBytes: number
}

const HTTP_PORT = 80
const TLS_PORT = 443
/** RFC 9110 §9.3.6: no content, no Content-Length, no Transfer-Encoding. */
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n'

/**
 * The walk of a CONNECT: target → exchange → admission → dial → 200 → the ClientHello agrees → tunnel. 200 is sent only
 * when the connection to the origin stands, so that every failure before it has a status of its own.
 */
export async function serveConnect(
  session: ClientSession,
  head: RequestHead,
  parts: ConnectParts,
): Promise<void> {
  const exchange = openExchange('connect', session.client, head, parts)
  try {
    const target = readTarget(exchange, head, session.inside)
    if (target.kind === 'refused') {
      await parts.admission.refuse(exchange, target)
      return answerRefusal(session, head, exchange, parts.responder, target)
    }
    const admitted = await parts.admission.admit(exchange, () => session.signal())
    if (admitted.kind === 'refused')
      return answerRefusal(session, head, exchange, parts.responder, admitted.refusal)
    if (admitted.kind === 'trouble')
      return answerTrouble(session, head, exchange, parts.responder, admitted.error)
    if (admitted.kind === 'gone' || session.isClosed) return exchange.close('client_gone')

    using opening = parts.tunnels.opening({ ...admitted, client: session.client.id })
    let dialled: Dialled
    try {
      if (!parts.admission.mayStillBegin(exchange, admitted)) throw new ProxyError('policy_changed')
      const dialling = parts.dialer.dial(admitted.addresses, admitted.authority.port)
      session.whenGone(() => dialling.cancel())
      opening.whenRefused(() => dialling.cancel())
      dialled = await dialling.result
    } catch (error) {
      if (session.isClosed) return exchange.close('client_gone')
      if (!(error instanceof ProxyError)) throw error
      const trouble = opening.refusal === undefined ? error : new ProxyError(opening.refusal)
      return answerTrouble(session, head, exchange, parts.responder, trouble)
    }
    exchange.peer = { address: dialled.address, port: admitted.authority.port }
    if (session.isClosed) {
      dialled.connection.destroy()
      return exchange.close('client_gone')
    }
    exchange.status = 200
    session.connection.write(ESTABLISHED)
    if (admitted.authority.port === HTTP_PORT && isChecked(admitted.authority, parts.settings())) {
      // Many clients (Node's fetch among them) open a tunnel for http: URLs too. What comes is read as requests, which
      // the forwarding door decides one by one; anything else is malformed there, and refused.
      session.inside = admitted.authority
      parts.origins.keep(originKey(session.client, admitted.authority), parts.origins.of(dialled))
      exchange.close()
      return session.finish()
    }
    const early = session.pass()
    const passage = { ...admitted, client: session.client.id }
    await openTunnel(session, exchange, early, dialled, passage, opening, parts)
  } catch (error) {
    exchange.close('proxy_internal_error')
    session.abort()
    throw error
  }
}

/** Whether what a tunnel carries must be what its port is for, and for the host that was asked for. */
function isChecked(authority: Authority, { requireTls, raw }: ConnectSettings): boolean {
  return requireTls && !raw.has(authorityText(authority))
}

async function openTunnel(
  session: ClientSession,
  exchange: Exchange,
  early: Buffer,
  { connection: origin }: Dialled,
  admitted: Passage,
  opening: OpeningTunnel,
  parts: ConnectParts,
): Promise<void> {
  const client = session.connection
  const settings = parts.settings()
  let first = early
  let more: Buffer | undefined
  if (admitted.authority.port === TLS_PORT && isChecked(admitted.authority, settings)) {
    let trouble: Trouble = 'client_gone'
    const giveUp = (why: Trouble) => {
      trouble = why
      client.destroy()
    }
    opening.whenRefused(giveUp)
    const alarm = parts.clock.after(settings.helloTimeout, () => giveUp('idle_timeout'))
    origin.receiver = {
      received: () => false,
      ended: () => {},
      closed: () => giveUp('connection_terminated'),
    }
    const hello = await readOpening(client, early, admitted.authority.host, settings.earlyBytes)
    alarm.cancel()
    if (hello.kind !== 'agrees') {
      origin.receiver = { received: () => false, ended: () => {}, closed: () => {} }
      origin.destroy()
      if (hello.kind === 'refused') {
        exchange.serverName = hello.serverName
        if (hello.trouble === 'tls_server_name_mismatch') client.write(UNRECOGNIZED_NAME_ALERT)
      }
      client.endAndDrain()
      return exchange.close(hello.kind === 'refused' ? hello.trouble : trouble)
    }
    exchange.serverName = hello.serverName
    first = hello.bytes.subarray(0, hello.length)
    more = hello.bytes.subarray(hello.length)
  }
  if (client.isClosed || origin.isClosed) {
    client.destroy()
    origin.destroy()
    return exchange.close(client.isClosed ? 'client_gone' : 'connection_terminated')
  }
  if (opening.refusal !== undefined) {
    client.destroy(true)
    origin.destroy(true)
    return exchange.close(opening.refusal)
  }
  if (first.length > 0) {
    exchange.bytesSent += first.length
    origin.write(first)
  }
  const tunnel = runTunnel(client, origin, exchange, admitted, parts.tunnels)
  if (more === undefined) return
  const { host } = admitted.authority
  const retry = new HelloRetry((serverName) => agrees(serverName, host), settings.earlyBytes)
  watchForSecondHello(client, origin, retry, (serverName) => {
    if (serverName !== undefined) exchange.serverName = serverName
    tunnel.close('tls_server_name_mismatch')
  })
  if (more.length > 0 && !client.receiver.received(more)) client.pause()
}
