import { DEFAULT_MESSAGE_LIMITS } from '../../src/http1/limits.ts'
import { ProtocolError } from '../../src/http1/protocol-error.ts'
import { type RequestHead, RequestReader } from '../../src/http1/request-reader.ts'
import { CARELESS_CLIENTS, CARELESS_SERVERS, readCarelessly, Wire } from './careless-readers.ts'
import { NASTY_LINES, NASTY_SIZES, REQUESTS, RESPONSES } from './corpus.ts'
import { mutate, randomRequest, randomResponse } from './grammar.ts'
import type { Random } from './random.ts'
import { forwardRequest, forwardResponse } from './rewriting.ts'
import { bytesOf, readResponse, type Told } from './transcript.ts'

/** What a run of the fuzzer saw. */
export interface Tally {
  /** Whole messages that we accepted. */
  accepted: number
  /** Of those, the ones that were written out and read again by every careless reader. */
  forwarded: number
}

/** Does damage in the places that decide where a message ends, and some anywhere. */
function damage(random: Random, wire: string): string {
  let damaged = wire
  if (random.chance(0.25)) {
    const at = damaged.indexOf('\r\n', random.int(damaged.length + 1))
    if (at !== -1)
      damaged = `${damaged.slice(0, at + 2)}${random.pick(NASTY_LINES)}\r\n${damaged.slice(at + 2)}`
  }
  if (random.chance(0.1)) {
    const size = /\r\n[0-9a-f]+(?=\r\n)/.exec(damaged)
    if (size !== null)
      damaged = `${damaged.slice(0, size.index + 2)}${random.pick(NASTY_SIZES)}${damaged.slice(size.index + size[0].length)}`
  }
  return random.chance(0.6) ? mutate(random, damaged) : damaged
}

interface Accepted extends Told<RequestHead> {
  /** Exactly what the client sent for this request. */
  sent: string
}

/** The whole requests that one connection carries, of which the bytes up to `cut` come first. */
function acceptedRequests(wire: Buffer, cut: number): Accepted[] {
  const reader = new RequestReader(DEFAULT_MESSAGE_LIMITS)
  const whole: Accepted[] = []
  let head: RequestHead | undefined
  let body = ''
  let begin = 0
  let pushed = cut
  reader.push(wire.subarray(0, cut))
  try {
    for (;;) {
      const event = reader.next()
      if (event === undefined) {
        if (pushed === wire.length) return whole
        reader.push(wire.subarray(pushed))
        pushed = wire.length
      } else if (event.kind === 'head') head = event.head
      else if (event.kind === 'data') body += event.bytes.toString('latin1')
      else {
        const end = pushed - reader.buffered
        whole.push({ head: head!, body, trailers: event.trailers, sent: wire.toString('latin1', begin, end) })
        if (head!.method === 'CONNECT' || !head!.keepAlive) return whole
        begin = end
        body = ''
      }
    }
  } catch (error) {
    if (error instanceof ProtocolError) return whole
    throw error
  }
}

/** Why `message` is a danger to somebody; undefined: to nobody. */
function dangerOfRequest(message: Accepted, tally: Tally): string | undefined {
  const { head, body } = message
  const sent = new Wire(message.sent)
  // What was sent is one message to whoever stands between the client and us, too.
  for (const how of CARELESS_SERVERS) {
    if (how.ignoresContentOf !== undefined) continue // whoever stands there has forwarded the content
    const read = readCarelessly(sent, how)
    if (read.outcome === 'message' && read.rest !== '') return `as it was sent, a second request: ${how.name}`
    if (read.outcome === 'waits') return `as it was sent, not whole: ${how.name}`
  }
  if (head.method === 'CONNECT') return body === '' ? undefined : 'a CONNECT with content'
  const written = forwardRequest(message)?.toString('latin1')
  if (written === undefined) return undefined
  tally.forwarded++
  const wire = new Wire(written)
  for (const how of CARELESS_SERVERS) {
    const read = readCarelessly(wire, how)
    if (read.outcome !== 'message') return `forwarded, it is no message (${read.outcome}): ${how.name}`
    if (read.rest !== '') return `forwarded, a second request: ${how.name}`
    if (read.hosts !== 1) return `forwarded, ${read.hosts} Hosts: ${how.name}`
    if (read.body !== body && !how.ignoresContentOf?.(read.startLine))
      return `forwarded, other content: ${how.name}`
  }
  return undefined
}

/** One random connection; returns what is wrong, with the bytes. */
export function tryRequests(random: Random, tally: Tally): string | undefined {
  const one = () => (random.chance(0.5) ? random.pick(REQUESTS) : randomRequest(random))
  const wire = damage(random, random.many(1, 2, one).join(''))
  const cut = random.chance(0.3) ? random.int(wire.length + 1) : wire.length
  for (const message of acceptedRequests(bytesOf(wire), cut)) {
    tally.accepted++
    const danger = dangerOfRequest(message, tally)
    if (danger !== undefined)
      return `${danger}\n${JSON.stringify(wire)}\nforwarded: ${JSON.stringify(forwardRequest(message)?.toString('latin1'))}`
  }
  return undefined
}

/** One random answer to one request; returns what is wrong, with the bytes. */
export function tryResponse(random: Random, tally: Tally): string | undefined {
  const method = random.chance(0.15) ? 'HEAD' : 'GET'
  const one = () => (random.chance(0.5) ? random.pick(RESPONSES) : randomResponse(random))
  const wire = damage(random, random.many(1, 2, one).join(''))
  const { messages, interim } = readResponse(wire, { method })
  const [message] = messages
  if (message?.trailers === undefined) return undefined
  tally.accepted++
  const version = random.chance(0.2) ? '1.0' : '1.1'
  const written = forwardResponse(message, interim, version).toString('latin1')
  tally.forwarded++
  const danger = dangerOfResponse(written, message.body, method, version)
  return danger && `${danger}\n${method} ${JSON.stringify(wire)}\nforwarded: ${JSON.stringify(written)}`
}

/** What a client of HTTP/1.0 does not know. */
const HTTP_1_0 = { knowsNoInterim: true, isChunked: () => false }

function dangerOfResponse(
  written: string,
  body: string,
  method: string,
  version: '1.0' | '1.1',
): string | undefined {
  const wire = new Wire(written)
  for (const each of CARELESS_CLIENTS) {
    const how = version === '1.0' ? { ...each, ...HTTP_1_0 } : each
    const read = readCarelessly(wire, how, { method })
    if (read.outcome !== 'message') return `forwarded, it is no message (${read.outcome}): ${how.name}`
    if (read.rest !== '') return `forwarded, a second response: ${how.name}`
    if (read.body !== body && how.bodiless?.(Number(read.startLine.slice(9, 12))) !== true)
      return `forwarded, other content: ${how.name}`
  }
  return undefined
}
