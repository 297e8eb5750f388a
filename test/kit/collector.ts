import {
  type Metadata as GrpcMetadata,
  Metadata,
  Server as GrpcServer,
  ServerCredentials,
  type ServiceDefinition,
} from '@grpc/grpc-js'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import protobuf from 'protobufjs'

/** The messages of OTLP logs, by the field numbers that opentelemetry-proto publishes. */
const PROTO = `
syntax = "proto3";
message AnyValue {
  oneof value {
    string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4;
    ArrayValue array_value = 5; KeyValueList kvlist_value = 6; bytes bytes_value = 7;
  }
}
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }
message KeyValue { string key = 1; AnyValue value = 2; }
message InstrumentationScope {
  string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4;
}
message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; }
message LogRecord {
  fixed64 time_unix_nano = 1; int32 severity_number = 2; string severity_text = 3; AnyValue body = 5;
  repeated KeyValue attributes = 6; uint32 dropped_attributes_count = 7; fixed32 flags = 8; bytes trace_id = 9;
  bytes span_id = 10; fixed64 observed_time_unix_nano = 11; string event_name = 12;
}
message ScopeLogs { InstrumentationScope scope = 1; repeated LogRecord log_records = 2; string schema_url = 3; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scope_logs = 2; string schema_url = 3; }
message ExportLogsServiceRequest { repeated ResourceLogs resource_logs = 1; }
message ExportLogsPartialSuccess { int64 rejected_log_records = 1; string error_message = 2; }
message ExportLogsServiceResponse { ExportLogsPartialSuccess partial_success = 1; }
message Any { string type_url = 1; bytes value = 2; }
message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
message Duration { int64 seconds = 1; int32 nanos = 2; }
message RetryInfo { Duration retry_delay = 1; }
`
const root = protobuf.parse(PROTO, { keepCase: true }).root

export interface CollectedRecord {
  readonly time: string
  readonly observedTime: string
  readonly severityNumber: number
  readonly severityText: string
  readonly body: string
  readonly eventName: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly dropped: number
  readonly traceId: string
  readonly spanId: string
  readonly flags: number
}

export interface CollectedRequest {
  readonly headers: Readonly<Record<string, unknown>>
  /** The whole message with its defaults, to compare two senders. */
  readonly message: Record<string, unknown>
  readonly resource: Readonly<Record<string, unknown>>
  readonly scope: { readonly name: string; readonly version: string }
  readonly records: readonly CollectedRecord[]
}

export type CollectorAnswer =
  | { readonly kind: 'ok'; readonly rejected?: number; readonly message?: string }
  | {
      readonly kind: 'http'
      readonly status: number
      readonly headers?: Record<string, string>
      readonly message?: string
    }
  | { readonly kind: 'grpc'; readonly code: number; readonly message?: string; readonly retryMs?: number }
  /** Takes the request and says nothing. */
  | { readonly kind: 'silence' }

export interface Collector extends AsyncDisposable {
  readonly endpoint: string
  readonly port: number
  /** Every request that was decoded, whatever it was answered. */
  readonly requests: readonly CollectedRequest[]
  /** The records of requests that were answered with success, in the order of their arrival. */
  readonly accepted: readonly CollectedRecord[]
  /** What the next requests are answered. */
  answer: (request: CollectedRequest) => CollectorAnswer
  /** Resolves as soon as the condition holds; it is looked at after each request. */
  until(condition: (collector: Collector) => boolean): Promise<void>
}

export interface CollectorOptions {
  /** To come back at the address of a collector that was stopped. */
  readonly port?: number
  /** PEM; with `ca` a client certificate is demanded. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string }
}

/** OTLP/HTTP with binary protobuf at `/v1/logs`, by Node's own server. */
export async function startHttpCollector(options: CollectorOptions = {}): Promise<Collector> {
  const state = createState()
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece as Buffer)
    if (request.method !== 'POST' || request.url !== '/v1/logs') {
      response.writeHead(404).end('not here')
      return
    }
    const body = Buffer.concat(pieces)
    const message = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
    const answer = state.take(message, request.headers)
    if (answer.kind === 'silence') return
    if (answer.kind === 'ok') {
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end(successMessage(answer))
      return
    }
    if (answer.kind === 'grpc') throw new Error('a gRPC status was scripted for an HTTP collector')
    const status = encode('Status', { message: answer.message ?? '' })
    response
      .writeHead(answer.status, { 'content-type': 'application/x-protobuf', ...answer.headers })
      .end(status)
  }
  const server = options.tls
    ? createTlsServer({ ...options.tls, requestCert: options.tls.ca !== undefined }, serve)
    : createServer(serve)
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return state.collector(options.tls ? 'https' : 'http', port, async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
}

/** OTLP/gRPC by grpc-js, with the message as raw bytes. */
export async function startGrpcCollector(options: CollectorOptions = {}): Promise<Collector> {
  const state = createState()
  const same = (bytes: Buffer): Buffer => bytes
  const service: ServiceDefinition = {
    Export: {
      path: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
      requestStream: false,
      responseStream: false,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  }
  const server = new GrpcServer({ 'grpc.max_receive_message_length': 64 << 20 })
  type Call = { readonly request: Buffer; readonly metadata: GrpcMetadata }
  type Callback = (error: object | null, value?: Buffer) => void
  server.addService(service, {
    Export(call: Call, callback: Callback) {
      const answer = state.take(call.request, call.metadata.getMap())
      if (answer.kind === 'silence') return
      if (answer.kind === 'ok') return callback(null, Buffer.from(successMessage(answer)))
      if (answer.kind === 'http') throw new Error('an HTTP status was scripted for a gRPC collector')
      const metadata = new Metadata()
      if (answer.retryMs !== undefined)
        metadata.set('grpc-status-details-bin', retryStatus(answer.code, answer.retryMs))
      callback({ code: answer.code, details: answer.message ?? '', metadata })
    },
  })
  const { tls } = options
  const credentials = tls
    ? ServerCredentials.createSsl(
        tls.ca === undefined ? null : Buffer.from(tls.ca),
        [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }],
        tls.ca !== undefined,
      )
    : ServerCredentials.createInsecure()
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    )
  })
  return state.collector(tls ? 'https' : 'http', port, async () => server.forceShutdown())
}

function createState() {
  const requests: CollectedRequest[] = []
  const accepted: CollectedRecord[] = []
  const waiting = new Set<() => void>()
  let collector: Collector | undefined
  return {
    take(message: Buffer, headers: Readonly<Record<string, unknown>>): CollectorAnswer {
      const request = decodeRequest(message, headers)
      requests.push(request)
      const answer = collector!.answer(request)
      if (answer.kind === 'ok') accepted.push(...request.records)
      setImmediate(() => waiting.forEach((look) => look()))
      return answer
    },
    collector(scheme: string, port: number, close: () => Promise<void>): Collector {
      const made: Collector = {
        endpoint: `${scheme}://127.0.0.1:${port}`,
        port,
        requests,
        accepted,
        answer: () => ({ kind: 'ok' }),
        until(condition) {
          return new Promise((resolve) => {
            const look = (): void => {
              if (!condition(made)) return
              waiting.delete(look)
              resolve()
            }
            waiting.add(look)
            look()
          })
        },
        [Symbol.asyncDispose]: close,
      }
      collector = made
      return made
    },
  }
}

function encode(type: string, value: Record<string, unknown>): Uint8Array {
  const message = root.lookupType(type)
  return message.encode(message.fromObject(value)).finish()
}

function successMessage({ rejected, message }: { rejected?: number; message?: string }): Uint8Array {
  if (rejected === undefined && message === undefined) return encode('ExportLogsServiceResponse', {})
  return encode('ExportLogsServiceResponse', {
    partial_success: { rejected_log_records: rejected ?? 0, error_message: message ?? '' },
  })
}

function retryStatus(code: number, ms: number): Buffer {
  const value = encode('RetryInfo', {
    retry_delay: { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1_000_000 },
  })
  const details = [{ type_url: 'type.googleapis.com/google.rpc.RetryInfo', value }]
  return Buffer.from(encode('Status', { code, message: 'later', details }))
}

interface Wire {
  readonly resource_logs: {
    readonly resource: { readonly attributes: WireAttribute[] }
    readonly scope_logs: {
      readonly scope: { readonly name: string; readonly version: string }
      readonly log_records: WireRecord[]
    }[]
  }[]
}

interface WireRecord {
  readonly time_unix_nano: string
  readonly observed_time_unix_nano: string
  readonly severity_number: number
  readonly severity_text: string
  readonly body: WireValue
  readonly event_name: string
  readonly attributes: WireAttribute[]
  readonly dropped_attributes_count: number
  readonly trace_id: Buffer
  readonly span_id: Buffer
  readonly flags: number
}

interface WireAttribute {
  readonly key: string
  readonly value: WireValue
}

type WireValue = Readonly<Record<string, unknown>>

export function decodeRequest(bytes: Buffer, headers: Readonly<Record<string, unknown>>): CollectedRequest {
  const type = root.lookupType('ExportLogsServiceRequest')
  const message = type.toObject(type.decode(bytes), { longs: String, bytes: Buffer, defaults: true })
  const { resource_logs: all } = message as unknown as Wire
  const scopes = all.flatMap((each) => each.scope_logs)
  return {
    headers,
    message,
    resource: plainAttributes(all[0]?.resource.attributes ?? []),
    scope: scopes[0]?.scope ?? { name: '', version: '' },
    records: scopes.flatMap((each) => each.log_records).map(plainRecord),
  }
}

function plainRecord(record: WireRecord): CollectedRecord {
  return {
    time: record.time_unix_nano,
    observedTime: record.observed_time_unix_nano,
    severityNumber: record.severity_number,
    severityText: record.severity_text,
    body: String(plainValue(record.body)),
    eventName: record.event_name,
    attributes: plainAttributes(record.attributes),
    dropped: record.dropped_attributes_count,
    traceId: record.trace_id.toString('hex'),
    spanId: record.span_id.toString('hex'),
    flags: record.flags,
  }
}

function plainAttributes(attributes: readonly WireAttribute[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plainValue(value)]))
}

/** An integer comes as a bigint, so that it cannot be mistaken for a double. */
function plainValue(value: WireValue): unknown {
  if ('string_value' in value) return value['string_value']
  if ('bool_value' in value) return value['bool_value']
  if ('int_value' in value) return BigInt(value['int_value'] as string)
  if ('double_value' in value) return value['double_value']
  if ('array_value' in value) {
    const { values } = value['array_value'] as { values: WireValue[] }
    return values.map((each) => plainValue(each))
  }
  throw new Error(`an attribute without a value: ${JSON.stringify(value)}`)
}
