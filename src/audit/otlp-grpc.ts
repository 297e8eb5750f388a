import {
  type ClientHttp2Session,
  connect,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { deadline } from './deadline.ts'
import type { Exporter, ExportOutcome } from './exporter.ts'
import type { OtlpConnection } from './otlp-http.ts'
import {
  acceptedOutcome,
  ANSWER_LIMIT,
  noAnswer,
  plainText,
  readRpcStatus,
  type RpcStatus,
} from './otlp-response.ts'

const PATH = '/opentelemetry.proto.collector.logs.v1.LogsService/Export'
const compress = promisify(gzip)

/**
 * OTLP/gRPC: one unary call for each batch over one HTTP/2 connection («gRPC over HTTP2» of the gRPC project). `https:`
 * is TLS, `http:` is HTTP/2 with prior knowledge. No proxy variable is read.
 */
export function createGrpcExporter(connection: OtlpConnection): Exporter {
  const { endpoint, clock, timeout, tls, headers } = connection
  const zipped = connection.compression === 'gzip'
  let session: ClientHttp2Session | undefined

  function connected(): ClientHttp2Session {
    if (session && !session.closed && !session.destroyed) return session
    const opened = connect(endpoint.origin, { ...tls })
    // Each call hears of the trouble by its own stream; without a listener it would end the process.
    opened.on('error', () => opened.destroy())
    opened.on('goaway', () => opened.close())
    session = opened
    return opened
  }

  function call(message: Buffer, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const stream = connected().request(
        {
          ...headers,
          [constants.HTTP2_HEADER_METHOD]: 'POST',
          [constants.HTTP2_HEADER_PATH]: PATH,
          'content-type': 'application/grpc',
          te: 'trailers',
          'user-agent': connection.userAgent,
          'grpc-timeout': grpcTimeout(timeout),
          'grpc-accept-encoding': 'identity',
          ...(zipped && { 'grpc-encoding': 'gzip' }),
        },
        { signal },
      )
      const pieces: Buffer[] = []
      let bytes = 0
      let head: Answer['head'] = {}
      let trailers: IncomingHttpHeaders = {}
      stream.on('response', (fields) => (head = fields))
      stream.on('trailers', (fields) => (trailers = fields))
      stream.on('data', (piece: Buffer) => {
        bytes += piece.length
        if (bytes <= ANSWER_LIMIT) pieces.push(piece)
        else stream.destroy(new Error('the answer is too long'))
      })
      stream.on('error', reject)
      stream.on('close', () => resolve({ head, trailers, body: Buffer.concat(pieces) }))
      stream.end(message)
    })
  }

  return {
    async export(records, signal) {
      using limit = deadline(clock, timeout, signal)
      try {
        const encoded = connection.encode(records)
        const message = framed(zipped ? await compress(encoded) : encoded, zipped)
        return grpcOutcome(await call(message, limit.signal), records.length)
      } catch (error) {
        // The connection may be half dead, which the next attempt would find out the same slow way.
        session?.destroy()
        if (limit.passed) return { kind: 'retry', error: new Error(`no answer within ${timeout} ms`) }
        return noAnswer(error)
      }
    },
    async [Symbol.asyncDispose]() {
      session?.destroy()
    },
  }
}

interface Answer {
  readonly head: IncomingHttpHeaders & IncomingHttpStatusHeader
  readonly trailers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Length-prefixed message: a flag for compression and four bytes of length. */
function framed(message: Buffer, compressed: boolean): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed ? 1 : 0
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** At most eight digits and a unit. */
function grpcTimeout(ms: number): string {
  return ms < 100_000_000 ? `${Math.ceil(ms)}m` : `${Math.ceil(ms / 1000)}S`
}

const OK = 0
const UNKNOWN = 2
const INVALID_ARGUMENT = 3
const RESOURCE_EXHAUSTED = 8
const INTERNAL = 13
const UNAVAILABLE = 14

/** ALREADY_EXISTS, FAILED_PRECONDITION: permanent by the specification, yet not by what the records are. */
const DOUBTFUL = new Set([UNKNOWN, 6, 9, INTERNAL])

function grpcOutcome({ head, trailers, body }: Answer, records: number): ExportOutcome {
  // A failure without a body comes as one header block («Trailers-Only»).
  const fields = trailers['grpc-status'] === undefined ? head : trailers
  const code = statusCode(fields, head[':status'])
  if (code === OK) return acceptedOutcome(body[0] === 0 ? body.subarray(5) : Buffer.alloc(0))
  const status = details(fields)
  const said = status.message || messageText(fields['grpc-message'])
  const error = new Error(`the collector answered grpc-status ${code}${said === '' ? '' : `: ${said}`}`)
  const { retryAfter } = status
  if (code === INVALID_ARGUMENT) return { kind: 'refused', error }
  if (code === RESOURCE_EXHAUSTED && retryAfter === undefined)
    // It may mean «too large», which a smaller batch is not; one record alone is not to blame for an overload.
    return { kind: records > 1 ? 'refused' : 'failed', error }
  if (DOUBTFUL.has(code)) return { kind: 'failed', error }
  return { kind: 'retry', error, ...(retryAfter !== undefined && { after: retryAfter }) }
}

/** What stands in front of a collector answers in HTTP only («HTTP to gRPC Status Code Mapping»). */
function statusCode(fields: IncomingHttpHeaders, httpStatus: number | undefined): number {
  const status = fields['grpc-status']
  if (typeof status === 'string' && /^\d{1,3}$/.test(status)) return Number(status)
  switch (httpStatus) {
    case 400:
      return INTERNAL
    case 401:
      return 16
    case 403:
      return 7
    case 404:
      return 12
    case 429:
    case 502:
    case 503:
    case 504:
    case undefined:
      return UNAVAILABLE
    default:
      return UNKNOWN
  }
}

function details(fields: IncomingHttpHeaders): RpcStatus {
  const encoded = fields['grpc-status-details-bin']
  if (typeof encoded !== 'string') return { message: '', retryAfter: undefined }
  return readRpcStatus(Buffer.from(encoded, 'base64'))
}

/** Percent-encoded UTF-8; what is not stays as it is. */
function messageText(field: string | string[] | undefined): string {
  if (typeof field !== 'string') return ''
  try {
    return plainText(decodeURIComponent(field))
  } catch {
    return plainText(field)
  }
}
