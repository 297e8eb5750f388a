import { type Authority, InvalidTarget } from '../core/authority.ts'
import type { Client } from '../core/client.ts'
import type { TraceContext } from '../core/event.ts'
import { type Door, Exchange, type ExchangeRecorder } from '../core/exchange.ts'
import { type Field, firstValue, listMembers } from '../core/fields.ts'
import { parseRequestTarget, parseTargetInside, type RequestTarget } from '../core/request-target.ts'
import type { RequestHead } from '../http1/request-reader.ts'
import type { Refusal } from './respond.ts'

/** What every exchange needs to be opened. */
export interface ArrivalParts {
  readonly recorder: ExchangeRecorder
  readonly clock: { now(): number; monotonic(): number }
}

/** Opens the record of a request whose head has come. */
export function openExchange(door: Door, client: Client, head: RequestHead, parts: ArrivalParts): Exchange {
  const exchange = new Exchange(door, client, parts.recorder, parts.clock)
  exchange.method = head.method
  exchange.userAgent = firstValue(head.fields, 'user-agent')
  const traceparent = firstValue(head.fields, 'traceparent')
  if (traceparent !== undefined) exchange.trace = parseTraceparent(traceparent)
  return exchange
}

/** What a head asks for, or why that cannot be said. */
export type ReadTarget = RequestTarget | (Refusal & { readonly kind: 'refused' })

/** Reads the target of a request, outside of a tunnel or `inside` one, and writes what is known to the exchange. */
export function readTarget(exchange: Exchange, head: RequestHead, inside: Authority | undefined): ReadTarget {
  try {
    if (inside !== undefined) exchange.authority = inside
    const target =
      inside === undefined
        ? parseRequestTarget(head.method, head.target)
        : parseTargetInside(inside, head.method, head.target, firstValue(head.fields, 'host'))
    if (target === undefined) return { kind: 'refused', reason: 'authority_mismatch' }
    exchange.authority = target.authority
    if (target.kind === 'http') exchange.path = withoutQuery(target.path)
    return target
  } catch (error) {
    if (error instanceof InvalidTarget)
      return { kind: 'refused', reason: 'invalid_target', detail: error.problem }
    throw error
  }
}

function withoutQuery(path: string): string {
  const query = path.indexOf('?')
  return query === -1 ? path : path.slice(0, query)
}

/** W3C Trace Context, version 00; anything else is as good as absent. */
function parseTraceparent(value: string): TraceContext | undefined {
  const match = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(value)
  if (!match || /^0+$/.test(match[1]!) || /^0+$/.test(match[2]!)) return undefined
  return { traceId: match[1]!, spanId: match[2]!, flags: Number.parseInt(match[3]!, 16) }
}

/** Whether a Via field says that this proxy has had the request before (RFC 9110 §7.6.3). */
export function hasLooped(fields: readonly Field[], name: string): boolean {
  const pseudonym = name.toLowerCase()
  return listMembers(fields, 'via').some((member) => member.split(/\s+/)[1] === pseudonym)
}
