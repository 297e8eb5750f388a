import type { AttributeValue, Attributes } from '../core/event.ts'
import { SEVERITY } from '../core/event.ts'
import type { StoredRecord } from './line.ts'
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
  const out = new ProtobufWriter(65_536)
  return (records) => {
    const resourceLogs = out.begin(1)
    const resource = out.begin(1)
    attributes(out, 1, scope.resource, Infinity, Infinity)
    out.end(resource)
    const scopeLogs = out.begin(2)
    const instrumentation = out.begin(1)
    out.string(1, SCOPE_NAME)
    out.string(2, scope.version)
    out.end(instrumentation)
    for (const record of records) logRecord(out, record, scope)
    out.end(scopeLogs)
    out.end(resourceLogs)
    return out.take()
  }
}

/** What every exported record has beside its own attributes. */
function ownAttributes(record: StoredRecord): Attributes {
  return {
    // The field of the same meaning is newer than many receivers: as Claude Code does, say it in three places.
    'event.name': record.event,
    'log.record.uid': record.id,
    'sallyport.record.sequence': record.seq,
    'sallyport.instance': record.instance,
  }
}

function logRecord(out: ProtobufWriter, record: StoredRecord, scope: OtlpScope): void {
  const start = out.begin(2)
  const time = BigInt(Date.parse(record.time)) * 1_000_000n
  out.fixed64(1, time)
  out.uint32(2, SEVERITY[record.severity])
  out.string(3, record.severity)
  const body = out.begin(5)
  out.string(1, record.event)
  out.end(body)
  const own = ownAttributes(record)
  const left = scope.attributeCount - Object.keys(own).length
  attributes(out, 6, own, Infinity, Infinity)
  const dropped = attributes(out, 6, record.attributes, Math.max(0, left), scope.valueLength)
  if (dropped > 0) out.uint32(7, dropped)
  if (record.trace_flags !== undefined) out.fixed32(8, record.trace_flags & TRACE_FLAGS_MASK)
  if (record.trace_id !== undefined) out.bytes(9, Buffer.from(record.trace_id, 'hex'))
  if (record.span_id !== undefined) out.bytes(10, Buffer.from(record.span_id, 'hex'))
  out.fixed64(11, time)
  out.string(12, record.event)
  out.end(start)
}

/** Returns how many did not fit into `count`. */
function attributes(
  out: ProtobufWriter,
  field: number,
  values: Attributes,
  count: number,
  valueLength: number,
): number {
  let seen = 0
  for (const key in values) {
    const value = values[key]
    if (value === undefined || value === null) continue
    if (++seen > count) continue
    const keyValue = out.begin(field)
    out.string(1, key)
    const any = out.begin(2)
    anyValue(out, value, valueLength)
    out.end(any)
    out.end(keyValue)
  }
  return Math.max(0, seen - count)
}

function anyValue(out: ProtobufWriter, value: AttributeValue, valueLength: number): void {
  if (typeof value === 'string') out.string(1, cut(value, valueLength))
  else if (typeof value === 'boolean') out.bool(2, value)
  else if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) out.int64(3, value)
    else out.double(4, value)
  } else {
    const array = out.begin(5)
    for (const each of value) {
      const element = out.begin(1)
      out.string(1, cut(each, valueLength))
      out.end(element)
    }
    out.end(array)
  }
}

function cut(value: string, length: number): string {
  return value.length > length ? value.slice(0, length) : value
}
