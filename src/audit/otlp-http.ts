import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { Agent, request } from 'undici'
import type { Clock } from '../core/clock.ts'
import { deadline } from './deadline.ts'
import type { Exporter, ExportOutcome } from './exporter.ts'
import type { OtlpEncoder } from './otlp-encode.ts'
import {
  acceptedOutcome,
  ANSWER_LIMIT,
  noAnswer,
  plainText,
  readRpcStatus,
  retryAfterMs,
} from './otlp-response.ts'

export interface OtlpConnection {
  readonly endpoint: URL
  /** Fields of each request; they may hold secrets and are never shown. */
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds for one export, from the connection to the answer. */
  readonly timeout: number
  readonly compression: 'none' | 'gzip'
  readonly tls: TlsFiles
  readonly userAgent: string
  readonly encode: OtlpEncoder
  readonly clock: Clock
}

/** PEM. `ca` stands in for the system's authorities. */
export interface TlsFiles {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

const compress = promisify(gzip)

/**
 * OTLP/HTTP with binary protobuf. The agent is our own and speaks to the endpoint directly: no proxy variable and no
 * global dispatcher of the process can send the export through ourselves.
 */
export function createHttpExporter(connection: OtlpConnection): Exporter {
  const { endpoint, clock, timeout, tls } = connection
  const agent = new Agent({
    connections: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { ...tls, timeout },
  })

  async function post(body: Buffer, signal: AbortSignal): Promise<ExportOutcome> {
    const zipped = connection.compression === 'gzip'
    const response = await request(endpoint, {
      method: 'POST',
      dispatcher: agent,
      signal,
      headers: {
        ...connection.headers,
        'content-type': 'application/x-protobuf',
        'user-agent': connection.userAgent,
        ...(zipped && { 'content-encoding': 'gzip' }),
      },
      body: zipped ? await compress(body) : body,
    })
    const answer = await readAnswer(response.body)
    const retryAfter = response.headers['retry-after']
    const after = retryAfterMs(typeof retryAfter === 'string' ? retryAfter : undefined, clock.now())
    const isProtobuf = String(response.headers['content-type']).startsWith('application/x-protobuf')
    return httpOutcome(response.statusCode, answer, isProtobuf, after)
  }

  return {
    async export(records, signal) {
      using limit = deadline(clock, timeout, signal)
      try {
        return await post(connection.encode(records), limit.signal)
      } catch (error) {
        if (limit.passed) return { kind: 'retry', error: new Error(`no answer within ${timeout} ms`) }
        return noAnswer(error)
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  }
}

/** 401, 403 and the like blame the sender or the address, not the records: those wait until it is put right. */
const NOT_THE_RECORDS = new Set([401, 402, 403, 404, 405, 407, 408, 421, 425, 429, 501, 502, 503, 504])

function httpOutcome(
  status: number,
  answer: Buffer,
  isProtobuf: boolean,
  after: number | undefined,
): ExportOutcome {
  if (status >= 200 && status < 300) return acceptedOutcome(isProtobuf ? answer : Buffer.alloc(0))
  const said = isProtobuf ? readRpcStatus(answer).message : plainText(answer.toString('utf8', 0, 512))
  const error = new Error(`the collector answered ${status}${said === '' ? '' : `: ${said}`}`)
  if (NOT_THE_RECORDS.has(status) || status < 400)
    return { kind: 'retry', error, ...(after !== undefined && { after }) }
  return status >= 500 ? { kind: 'failed', error } : { kind: 'refused', error }
}

async function readAnswer(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of body) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes > ANSWER_LIMIT) break
  }
  return Buffer.concat(pieces)
}
