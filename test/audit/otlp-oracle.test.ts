import { type Context, ROOT_CONTEXT, SeverityNumber, trace } from '@opentelemetry/api'
import { OTLPLogExporter as GrpcLogExporter } from '@opentelemetry/exporter-logs-otlp-grpc'
import { OTLPLogExporter as HttpLogExporter } from '@opentelemetry/exporter-logs-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider, type LogRecordExporter } from '@opentelemetry/sdk-logs'
import { expect, test } from 'vitest'
import type { StoredRecord } from '../../src/audit/line.ts'
import { otelResource } from '../../src/audit/otlp-exporter.ts'
import { startGrpcCollector, startHttpCollector } from '../kit/collector.ts'
import { exporterFor, IDENTITY } from './exporters.ts'

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c'
const SPAN_ID = 'b7ad6b7169203331'

const RECORDS: StoredRecord[] = [
  {
    seq: 1,
    id: 'log-1',
    time: '2026-11-22T10:11:12.345Z',
    event: 'sallyport.egress.decision',
    severity: 'INFO',
    instance: 'one',
    attributes: {
      'server.address': 'registry.example.com',
      'server.port': 443,
      'user_agent.original': 'ünïcode/1.0 «» 𝕏',
      'network.policy.override': false,
      'sallyport.ratio': 0.25,
      'sallyport.negative': -12_345_678_901,
      'sallyport.large': Number.MAX_SAFE_INTEGER,
      'sallyport.list': ['a', '', 'c'],
      'sallyport.empty': '',
      'sallyport.filling': 'x'.repeat(20_000),
    },
    trace_id: TRACE_ID,
    span_id: SPAN_ID,
    trace_flags: 1,
  },
  {
    seq: 2,
    id: 'log-2',
    time: '2026-11-22T10:11:12.346Z',
    event: 'sallyport.audit.gap',
    severity: 'ERROR',
    instance: 'one',
    attributes: {},
  },
]

/** The same records, sent as an application of the OpenTelemetry SDK would. */
async function sendBySdk(exporter: LogRecordExporter): Promise<void> {
  const provider = new LoggerProvider({
    resource: resourceFromAttributes({ ...otelResource(IDENTITY, {}) }),
    processors: [new BatchLogRecordProcessor({ exporter })],
  })
  const logger = provider.getLogger('sallyport', IDENTITY.version)
  for (const record of RECORDS) {
    const context: Context = record.trace_id
      ? trace.setSpanContext(ROOT_CONTEXT, {
          traceId: record.trace_id,
          spanId: record.span_id!,
          traceFlags: record.trace_flags!,
        })
      : ROOT_CONTEXT
    logger.emit({
      eventName: record.event,
      timestamp: new Date(record.time),
      observedTimestamp: new Date(record.time),
      severityNumber: SeverityNumber[record.severity],
      severityText: record.severity,
      body: record.event,
      attributes: {
        'event.name': record.event,
        'log.record.uid': record.id,
        'sallyport.record.sequence': record.seq,
        'sallyport.instance': record.instance,
        ...(record.attributes as Record<string, string>),
      },
      context,
    })
  }
  await provider.shutdown()
}

test('OTLP-10 over HTTP the SDK and we send the same message', async () => {
  await using collector = await startHttpCollector()
  await sendBySdk(new HttpLogExporter({ url: `${collector.endpoint}/v1/logs` }))
  await using exporter = await exporterFor(collector, { protocol: 'http/protobuf' })
  expect(await exporter.export(RECORDS, new AbortController().signal)).toEqual({
    kind: 'accepted',
    rejected: 0,
    message: '',
  })
  const [theirs, ours] = collector.requests
  expect(theirs?.records).toHaveLength(2)
  expect(ours?.message).toEqual(theirs?.message)
  expect(ours?.headers['content-type']).toBe(theirs?.headers['content-type'])
})

test('OTLP-11 over gRPC the SDK and we send the same message', async () => {
  await using collector = await startGrpcCollector()
  await sendBySdk(new GrpcLogExporter({ url: collector.endpoint }))
  await using exporter = await exporterFor(collector, { protocol: 'grpc' })
  expect(await exporter.export(RECORDS, new AbortController().signal)).toEqual({
    kind: 'accepted',
    rejected: 0,
    message: '',
  })
  const [theirs, ours] = collector.requests
  expect(theirs?.records).toHaveLength(2)
  expect(ours?.message).toEqual(theirs?.message)
})
