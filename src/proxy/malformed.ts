import { Exchange } from '../core/exchange.ts'
import type { ProtocolError } from '../http1/protocol-error.ts'
import type { Admission } from './admission.ts'
import type { ArrivalParts } from './arrival.ts'
import type { Responder } from './respond.ts'
import type { ClientSession } from './session.ts'

export interface MalformedParts extends ArrivalParts {
  readonly admission: Admission
  readonly responder: Responder
}

/**
 * Answers a head that the codec refuses, and closes: what follows an ambiguous head cannot be trusted to be a request
 * (RFC 9112 §11.2). Nothing of it is echoed.
 */
export async function serveMalformed(
  session: ClientSession,
  error: ProtocolError,
  parts: MalformedParts,
): Promise<void> {
  const exchange = new Exchange('http', session.client, parts.recorder, parts.clock)
  const refusal = await parts.admission.refuse(exchange, {
    reason: 'invalid_request',
    detail: error.problem,
    status: error.status,
  })
  const answer = parts.responder.refusal(exchange, undefined, refusal, true)
  exchange.status = answer.status
  exchange.close()
  if (session.isClosed) return
  session.connection.write(answer.text)
  session.finishAndClose()
}
