import type { ProxyError } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { RequestHead } from '../http1/request-reader.ts'
import type { Answer, Refusal, Responder } from './respond.ts'
import type { ClientSession } from './session.ts'

/** Sends a refusal and ends the exchange; the connection stays open where the client may send its next request on it. */
export function answerRefusal(
  session: ClientSession,
  head: RequestHead,
  exchange: Exchange,
  responder: Responder,
  refusal: Refusal,
): void {
  const close = mustClose(session, head)
  finishWith(session, exchange, responder.refusal(exchange, head, refusal, close), close)
}

/** Sends what became of the way to the origin, where nothing of a response has been sent yet, and ends the exchange. */
export function answerTrouble(
  session: ClientSession,
  head: RequestHead,
  exchange: Exchange,
  responder: Responder,
  error: ProxyError,
): void {
  exchange.trouble ??= error.code
  const close = mustClose(session, head)
  finishWith(session, exchange, responder.trouble(exchange, head, error, close), close)
}

/** Content that nobody will take must not be read as the next request. */
function mustClose(session: ClientSession, head: RequestHead): boolean {
  return !head.keepAlive || !session.contentDone || session.isLast
}

function finishWith(session: ClientSession, exchange: Exchange, answer: Answer, close: boolean): void {
  exchange.status = answer.status
  exchange.close()
  if (session.isClosed) return
  session.connection.write(answer.text)
  if (close) session.finishAndClose()
  else if (exchange.door === 'connect') session.finishBriefly()
  else session.finish()
}
