import { status as grpc } from '@grpc/grpc-js'
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type CollectorAnswer, startGrpcCollector, startHttpCollector } from '../kit/collector.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { makeAuthority } from './certificates.ts'
import { exporterFor, someRecords } from './exporters.ts'

const never = new AbortController().signal
const ACCEPTED = { kind: 'accepted', rejected: 0, message: '' }
const DOORS = [
  ['http/protobuf', startHttpCollector],
  ['grpc', startGrpcCollector],
] as const

afterEach(() => {
  delete process.env['HTTP_PROXY']
  delete process.env['http_proxy']
  delete process.env['grpc_proxy']
})

test.each(DOORS)(
  'OTLP-20 %s: gzip, headers of variable and file, and the agent arrive',
  async (protocol, start) => {
    await using collector = await start()
    await using exporter = await exporterFor(collector, {
      protocol,
      compression: 'gzip',
      headers_file: '/h',
      files: { '/h': '# secret\nAuthorization: Bearer from-file\n\nX-Tenant: a\r\n' },
      env: { OTEL_EXPORTER_OTLP_HEADERS: 'X-Tenant=b%2Cc, x-other = d ' },
    })
    expect(await exporter.export(someRecords(300), never)).toEqual(ACCEPTED)
    expect(collector.requests).toHaveLength(1)
    const [request] = collector.requests
    expect(request?.records.map((record) => record.attributes['n'])).toEqual(
      someRecords(300).map(({ seq }) => BigInt(seq)),
    )
    expect(request?.headers).toMatchObject({
      authorization: 'Bearer from-file',
      'x-tenant': 'b,c',
      'x-other': 'd',
      'user-agent': 'sallyport/1.2.3',
    })
    if (protocol === 'http/protobuf') expect(request?.headers['content-encoding']).toBe('gzip')
  },
)

test.each(DOORS)(
  'OTLP-21 %s over TLS: the collector is verified, and gets our certificate',
  async (protocol, start) => {
    const authority = makeAuthority('test ca')
    const client = authority.issue('sallyport')
    await using collector = await start({ tls: { ...authority.issue('collector'), ca: authority.cert } })
    const files = {
      '/ca': authority.cert,
      '/cert': client.cert,
      '/key': client.key,
      '/other': makeAuthority('other').cert,
    }
    const env = {
      OTEL_EXPORTER_OTLP_CERTIFICATE: '/ca',
      OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: '/cert',
      OTEL_EXPORTER_OTLP_CLIENT_KEY: '/key',
    }
    await using exporter = await exporterFor(collector, { protocol, files, env })
    expect(await exporter.export(someRecords(1), never)).toEqual(ACCEPTED)

    const strange = { ...env, OTEL_EXPORTER_OTLP_CERTIFICATE: '/other' }
    await using distrustful = await exporterFor(collector, { protocol, files, env: strange })
    expect(await distrustful.export(someRecords(1), never)).toMatchObject({
      kind: 'retry',
      error: { message: expect.stringMatching(/CERT|SIGNATURE|ISSUER/i) },
    })
    await using nameless = await exporterFor(collector, { protocol, files, ca_file: '/ca' })
    expect(await nameless.export(someRecords(1), never)).toMatchObject({ kind: 'retry' })
    expect(collector.requests).toHaveLength(1)
  },
)

test.each(DOORS)(
  'OTLP-22 %s: a collector that is away is tried again, and found again',
  async (protocol, start) => {
    const first = await start()
    await using exporter = await exporterFor(first, { protocol })
    expect(await exporter.export(someRecords(1), never)).toEqual(ACCEPTED)
    await first[Symbol.asyncDispose]()
    expect(await exporter.export(someRecords(1), never)).toMatchObject({
      kind: 'retry',
      error: { message: expect.stringMatching(/no answer|grpc-status 14/) },
    })
    await using second = await start({ port: first.port })
    expect(await exporter.export(someRecords(2), never)).toEqual(ACCEPTED)
    expect(second.accepted).toHaveLength(2)
  },
)

test.each(DOORS)(
  'OTLP-23 %s: silence ends at the timeout, and an abort ends it at once',
  async (protocol, start) => {
    await using collector = await start()
    collector.answer = () => ({ kind: 'silence' })
    const clock = createFakeClock()
    await using exporter = await exporterFor(collector, { protocol, clock, timeout: 5000 })
    const outcome = exporter.export(someRecords(1), never)
    await collector.until(() => collector.requests.length === 1)
    clock.advance(5000)
    expect(await outcome).toMatchObject({ kind: 'retry', error: { message: 'no answer within 5000 ms' } })

    const abort = new AbortController()
    const aborted = exporter.export(someRecords(1), abort.signal)
    await collector.until(() => collector.requests.length === 2)
    abort.abort()
    expect(await aborted).toMatchObject({ kind: 'retry' })
    expect(clock.pending).toBe(0)
    collector.answer = () => ({ kind: 'ok' })
    expect(await exporter.export(someRecords(1), never)).toEqual(ACCEPTED)
  },
)

test.each(DOORS)(
  'OTLP-24 %s: records that are refused inside a success are counted',
  async (protocol, start) => {
    await using collector = await start()
    collector.answer = () => ({ kind: 'ok', rejected: 3, message: 'too\nold' })
    await using exporter = await exporterFor(collector, { protocol })
    expect(await exporter.export(someRecords(5), never)).toEqual({
      kind: 'accepted',
      rejected: 3,
      message: 'too old',
    })
  },
)

test('OTLP-25 HTTP: which answers are tried again, which blame the records, and which are doubtful', async () => {
  await using collector = await startHttpCollector()
  await using exporter = await exporterFor(collector, {})
  const kinds: Record<number, string> = {}
  for (const status of [
    202, 301, 400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 501, 502, 503, 504, 507,
  ]) {
    collector.answer = () => ({ kind: 'http', status, message: 'because' })
    const outcome = await exporter.export(someRecords(2), never)
    kinds[status] = outcome.kind
    if (outcome.kind !== 'accepted')
      expect(outcome.error.message).toBe(`the collector answered ${status}: because`)
  }
  expect(kinds).toEqual({
    202: 'accepted',
    301: 'retry',
    400: 'refused',
    401: 'retry',
    403: 'retry',
    404: 'retry',
    408: 'retry',
    413: 'refused',
    415: 'refused',
    422: 'refused',
    429: 'retry',
    500: 'failed',
    501: 'retry',
    502: 'retry',
    503: 'retry',
    504: 'retry',
    507: 'failed',
  })
})

test('OTLP-26 HTTP: Retry-After in seconds or as a date says how long to wait', async () => {
  await using collector = await startHttpCollector()
  const clock = createFakeClock(Date.UTC(2026, 0, 1))
  await using exporter = await exporterFor(collector, { clock })
  const after = async (field: string): Promise<unknown> => {
    collector.answer = () => ({ kind: 'http', status: 503, headers: { 'retry-after': field } })
    const outcome = await exporter.export(someRecords(1), never)
    return outcome.kind === 'retry' ? outcome.after : outcome
  }
  expect(await after('7')).toBe(7000)
  expect(await after('Thu, 01 Jan 2026 00:01:00 GMT')).toBe(60_000)
  expect(await after('Wed, 31 Dec 2025 00:00:00 GMT')).toBe(0)
  expect(await after('soon')).toBeUndefined()
})

test('OTLP-27 gRPC: which codes are tried again, which blame the records, and which are doubtful', async () => {
  await using collector = await startGrpcCollector()
  await using exporter = await exporterFor(collector, { protocol: 'grpc' })
  const kinds: Record<string, string> = {}
  for (let code = 1; code <= 16; code++) {
    collector.answer = () => ({ kind: 'grpc', code, message: 'weil: ü%' })
    const outcome = await exporter.export(someRecords(2), never)
    kinds[grpc[code]!] = outcome.kind
    if (outcome.kind !== 'accepted')
      expect(outcome.error.message).toBe(`the collector answered grpc-status ${code}: weil: ü%`)
  }
  expect(kinds).toEqual({
    CANCELLED: 'retry',
    UNKNOWN: 'failed',
    INVALID_ARGUMENT: 'refused',
    DEADLINE_EXCEEDED: 'retry',
    NOT_FOUND: 'retry',
    ALREADY_EXISTS: 'failed',
    PERMISSION_DENIED: 'retry',
    RESOURCE_EXHAUSTED: 'refused',
    FAILED_PRECONDITION: 'failed',
    ABORTED: 'retry',
    OUT_OF_RANGE: 'retry',
    UNIMPLEMENTED: 'retry',
    INTERNAL: 'failed',
    UNAVAILABLE: 'retry',
    DATA_LOSS: 'retry',
    UNAUTHENTICATED: 'retry',
  })
})

test('OTLP-28 gRPC: RESOURCE_EXHAUSTED with a RetryInfo is an overload; without one, a single record is not to blame', async () => {
  await using collector = await startGrpcCollector()
  await using exporter = await exporterFor(collector, { protocol: 'grpc' })
  collector.answer = (): CollectorAnswer => ({ kind: 'grpc', code: grpc.RESOURCE_EXHAUSTED, retryMs: 2500 })
  expect(await exporter.export(someRecords(2), never)).toMatchObject({ kind: 'retry', after: 2500 })
  collector.answer = (): CollectorAnswer => ({ kind: 'grpc', code: grpc.RESOURCE_EXHAUSTED })
  expect(await exporter.export(someRecords(2), never)).toMatchObject({ kind: 'refused' })
  expect(await exporter.export(someRecords(1), never)).toMatchObject({ kind: 'failed' })
})

test('OTLP-29 gRPC: what answers in HTTP only, or closes, is not taken for a success', async () => {
  const answers = [[503], [404], [200], [400], []] as const
  let turn = 0
  const server = createHttp2Server()
  const sessions = new Set<{ destroy(): void }>()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {})
    const [status] = answers[turn++]!
    if (status === undefined) stream.close()
    else {
      stream.respond({ ':status': status })
      stream.end('<html>')
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await using exporter = await exporterFor({ endpoint }, { protocol: 'grpc' })
  const kinds: string[] = []
  for (const _ of answers) kinds.push((await exporter.export(someRecords(1), never)).kind)
  expect(kinds).toEqual(['retry', 'retry', 'failed', 'failed', 'retry'])
  for (const session of sessions) session.destroy()
  server.close()
})

test.each(DOORS)(
  'OTLP-30 %s: garbage, or an answer without end, is no success and needs no memory',
  async (protocol) => {
    await using garbage = await startTcp((socket) => socket.end('220 mail.example ESMTP\r\n'))
    await using one = await exporterFor(garbage, { protocol })
    expect(await one.export(someRecords(1), never)).toMatchObject({ kind: 'retry' })
    if (protocol !== 'http/protobuf') return
    const block = 'x'.repeat(65_536)
    let sent = 0
    await using endless = await startTcp((socket) => {
      socket.write('HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\n\r\n')
      const more = (): void => {
        while (!socket.destroyed && (sent += block.length) < 64 << 20 && socket.write(block));
      }
      socket.on('drain', more)
      more()
    })
    await using two = await exporterFor(endless, { protocol })
    expect(await two.export(someRecords(1), never)).toMatchObject({ kind: 'refused' })
    expect(sent).toBeLessThan(64 << 20)
  },
)

test.each(DOORS)(
  'OTLP-31 %s: no proxy variable leads the export through ourselves',
  async (protocol, start) => {
    await using collector = await start()
    let caught = 0
    await using trap = await startTcp((socket) => {
      caught++
      socket.destroy()
    })
    process.env['HTTP_PROXY'] = trap.endpoint
    process.env['http_proxy'] = trap.endpoint
    process.env['grpc_proxy'] = trap.endpoint
    await using exporter = await exporterFor(collector, { protocol })
    expect(await exporter.export(someRecords(1), never)).toEqual(ACCEPTED)
    expect(caught).toBe(0)
  },
)

test('OTLP-32 a file that is missing, and a line in it that is no field, are named, without what it holds', async () => {
  const collector = { endpoint: 'http://127.0.0.1:4318' }
  await expect(exporterFor(collector, { ca_file: '/nowhere.pem' })).rejects.toThrow(
    '/nowhere.pem cannot be read',
  )
  const files = { '/h': 'Fine: 1\nBearer s3cret' }
  await expect(exporterFor(collector, { headers_file: '/h', files })).rejects.toThrow(
    '/h:2: not a header field: write one «Name: value» on a line',
  )
  await expect(exporterFor(collector, { headers_file: '/h', files: { '/h': 'Host: x' } })).rejects.toThrow(
    '/h:1',
  )
})

async function startTcp(serve: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.resume()
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
