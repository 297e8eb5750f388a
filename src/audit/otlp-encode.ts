import { type Attributes, SEVERITY } from '../core/event.ts'
import type { StoredRecord } from './line.ts'
import { AttributeWriter } from './otlp-attributes.ts'
import { ProtobufWriter } from './protobuf-writer.ts'

/** Who exports, and how much of a record may go out. */
export interface OtlpScope {
  /** `service.name` and the like. */
  readonly resource: Attributes
  /** Version of Sallyport: the version of the instrumentation scope. */
  readonly version: string
  /** OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT: attributes of a record, at least 1. */
  readonly attributeCount: number
  /** OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT: characters of a text; Infinity where there is no limit. */
  readonly valueLength: number
}

export type OtlpEncoder = (records: readonly StoredRecord[]) => Buffer

const SCOPE_NAME = 'sallyport'

/** Flags of a LogRecord whose trace flags are known (opentelemetry/proto/logs/v1: LOG_RECORD_FLAGS_TRACE_FLAGS_MASK). */
const TRACE_FLAGS_MASK = 0xff

/**
 * Encodes an ExportLogsServiceRequest (opentelemetry-proto 1.x, by its published field numbers). By hand, since the
 * library and the generated code cost five times the CPU and seventy packages; the SDK is the oracle in the tests.
 */
export function createOtlpEncoder(scope: OtlpScope): OtlpEncoder {
  const message = new ProtobufWriter(65_536)
  const out = new AttributeWriter(message)
  return (records) => {
    const resourceLogs = message.begin(1)
    const resource = message.begin(1)
    out.writeAll(1, scope.resource, Infinity, Infinity)
    message.end(resource)
    const scopeLogs = message.begin(2)
    const instrumentation = message.begin(1)
    message.string(1, SCOPE_NAME)
    message.string(2, scope.version)
    message.end(instrumentation)
    for (const record of records) logRecord(out, record, scope)
    message.end(scopeLogs)
    message.end(resourceLogs)
    return message.take()
  }
}

/** What every exported record has beside its own attributes: `event.name`, id, sequence and instance. */
const OWN_ATTRIBUTES = 4

function logRecord(out: AttributeWriter, record: StoredRecord, scope: OtlpScope): void {
  const { message } = out
  const start = message.begin(2)
  const time = BigInt(Date.parse(record.time)) * 1_000_000n
  message.fixed64(1, time)
  message.uint32(2, SEVERITY[record.severity])
  message.string(3, record.severity)
  const body = message.begin(5)
  message.string(1, record.event)
  message.end(body)
  // The field of the same meaning is newer than many receivers: as Claude Code does, say it in three places.
  out.write(6, 'event.name', record.event)
  out.write(6, 'log.record.uid', record.id)
  out.write(6, 'sallyport.record.sequence', record.seq)
  out.write(6, 'sallyport.instance', record.instance)
  const left = Math.max(0, scope.attributeCount - OWN_ATTRIBUTES)
  const dropped = out.writeAll(6, record.attributes, left, scope.valueLength)
  if (dropped > 0) message.uint32(7, dropped)
  if (record.trace_flags !== undefined) message.fixed32(8, record.trace_flags & TRACE_FLAGS_MASK)
  if (record.trace_id !== undefined) message.bytes(9, Buffer.from(record.trace_id, 'hex'))
  if (record.span_id !== undefined) message.bytes(10, Buffer.from(record.span_id, 'hex'))
  message.fixed64(11, time)
  message.string(12, record.event)
  message.end(start)
}
