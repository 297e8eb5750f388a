import { ProxyError } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import { type Field, field, firstValue } from '../core/fields.ts'
import type { IpAddress } from '../core/ip-address.ts'
import type { RequestHead } from '../http1/request-reader.ts'
import { responseHead } from '../http1/writer.ts'
import { type Origin, originKey, type Origins } from '../upstream/origins.ts'
import type { Pulse } from '../wire/pulse.ts'
import type { Admission, Admitted } from './admission.ts'
import { answerRefusal, answerTrouble } from './answer.ts'
import { type ArrivalParts, hasLooped, openExchange, readTarget } from './arrival.ts'
import { asksForWebSocket } from './forward-fields.ts'
import { relayExchange } from './relay.ts'
import type { RelayLimits } from './relay-parts.ts'
import type { Responder } from './respond.ts'
import type { ClientSession } from './session.ts'
import { runTunnel } from './run-tunnel.ts'
import type { Tunnels } from './tunnels.ts'

export interface ForwardParts extends ArrivalParts {
  readonly admission: Admission
  readonly responder: Responder
  readonly origins: Origins
  readonly tunnels: Tunnels
  readonly pulse: Pulse
  /** Pseudonym in Via, and the sign by which a loop is known. */
  readonly name: string
  readonly limits: () => RelayLimits
  readonly isDraining: () => boolean
}

/**
 * The walk of a plain HTTP request, in absolute-form or inside a tunnel to port 80: target → exchange → admission → a connection to the origin → the request goes
 * out, the response comes back, both streamed → the exchange ends.
 */
export async function serveForward(
  session: ClientSession,
  head: RequestHead,
  parts: ForwardParts,
): Promise<void> {
  const exchange = openExchange('http', session.client, head, parts)
  try {
    const target = readTarget(exchange, head, session.inside)
    if (target.kind !== 'http') {
      const refusal = target.kind === 'refused' ? target : ({ reason: 'invalid_target' } as const)
      await parts.admission.refuse(exchange, refusal)
      return answerRefusal(session, head, exchange, parts.responder, refusal)
    }
    if (hasLooped(head.fields, parts.name)) {
      const detail = `a Via field already names ${parts.name}; give each proxy of a chain its own proxy.name`
      const refusal = await parts.admission.refuse(exchange, { reason: 'loop_detected', detail })
      return answerRefusal(session, head, exchange, parts.responder, refusal)
    }
    const admitted = await parts.admission.admit(exchange, () => session.signal())
    if (admitted.kind === 'refused')
      return answerRefusal(session, head, exchange, parts.responder, admitted.refusal)
    if (admitted.kind === 'trouble')
      return answerTrouble(session, head, exchange, parts.responder, admitted.error)
    if (admitted.kind === 'gone' || session.isClosed) return exchange.close('client_gone')
    const last = lastHop(head)
    if (last === 'here') return answerAsLastHop(session, head, exchange)
    await passOn(session, last, exchange, admitted, target.path, parts)
  } catch (error) {
    exchange.close('proxy_internal_error')
    session.abort()
    throw error
  }
}

async function passOn(
  session: ClientSession,
  head: RequestHead,
  exchange: Exchange,
  admitted: Admitted & { kind: 'go' },
  path: string,
  parts: ForwardParts,
): Promise<void> {
  const { authority, addresses } = admitted
  const key = originKey(session.client, authority)
  const via = field('Via', `1.1 ${parts.name}`)
  using opening = asksForWebSocket(head)
    ? parts.tunnels.opening({ ...admitted, client: session.client.id })
    : undefined
  let kept = parts.origins.take(key, addresses)
  for (;;) {
    let origin: Origin
    try {
      origin = kept ?? (await opened(session, parts.origins, addresses, authority.port))
    } catch (error) {
      if (session.isClosed) return exchange.close('client_gone')
      if (!(error instanceof ProxyError)) throw error
      return answerTrouble(session, head, exchange, parts.responder, error)
    }
    if (session.isClosed) {
      origin.connection.destroy()
      return exchange.close('client_gone')
    }
    exchange.peer = { address: origin.address, port: authority.port }
    const outcome = await relayExchange({ session, head, path, authority, exchange, origin, via, ...parts })
    switch (outcome.kind) {
      case 'retry':
        // A kept connection that the origin had closed meanwhile: nothing was answered, nothing was lost (RFC 9112 §9.3.1).
        kept = undefined
        continue
      case 'done':
        if (outcome.reuse) parts.origins.keep(key, origin)
        else origin.connection.destroy()
        exchange.close()
        if (outcome.keepClient) session.finish()
        else session.finishAndClose()
        return
      case 'upgraded': {
        exchange.status = 101
        const early = session.pass()
        const changed = parts.admission.mayStillBegin(exchange, admitted) ? undefined : 'policy_changed'
        const refusal = opening?.refusal ?? changed
        if (refusal !== undefined) {
          session.connection.destroy(true)
          origin.connection.destroy(true)
          return exchange.close(refusal)
        }
        exchange.bytesSent += early.length
        exchange.bytesReceived += outcome.rest.length
        origin.connection.write(early)
        session.connection.write(outcome.rest)
        runTunnel(
          session.connection,
          origin.connection,
          exchange,
          { ...admitted, client: session.client.id },
          parts.tunnels,
        )
        return
      }
      case 'cut':
        // Part of a response is out already: the connection must break, so that it cannot look whole.
        origin.connection.destroy()
        exchange.close(outcome.trouble)
        session.abort()
        return
      case 'failed':
        origin.connection.destroy()
        return answerTrouble(session, head, exchange, parts.responder, outcome.error)
    }
  }
}

function opened(
  session: ClientSession,
  origins: Origins,
  addresses: readonly IpAddress[],
  port: number,
): Promise<Origin> {
  const opening = origins.open(addresses, port)
  session.whenGone(() => opening.cancel())
  return opening.result
}

/**
 * Max-Forwards (RFC 9110 §7.6.2) counts the proxies that an OPTIONS or TRACE may still pass: the head to pass on, or
 * `here` when this one is the last.
 */
function lastHop(head: RequestHead): RequestHead | 'here' {
  if (head.method !== 'OPTIONS' && head.method !== 'TRACE') return head
  const value = firstValue(head.fields, 'max-forwards')
  if (value === undefined || !/^[0-9]{1,9}$/.test(value)) return head
  if (Number(value) === 0) return 'here'
  const lower = (each: Field) =>
    each.key === 'max-forwards' ? field(each.name, String(Number(value) - 1)) : each
  return { ...head, fields: head.fields.map(lower) }
}

function answerAsLastHop(session: ClientSession, head: RequestHead, exchange: Exchange): void {
  const status = head.method === 'OPTIONS' ? 200 : 405
  const close = !head.keepAlive || !session.contentDone
  exchange.status = status
  exchange.close()
  session.connection.write(
    responseHead(status, status === 200 ? 'OK' : 'Method Not Allowed', [
      field('Allow', 'GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, CONNECT'),
      field('Content-Length', '0'),
      field('Connection', close ? 'close' : 'keep-alive'),
    ]),
  )
  if (close) session.finishAndClose()
  else session.finish()
}
