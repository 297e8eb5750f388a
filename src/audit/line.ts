import type { AttributeValue, AuditEvent } from '../core/event.ts'
import { SEVERITY } from '../core/event.ts'

/** One line of the log, as it is read back. `id` is unique over all logs and restarts: receivers drop duplicates by it. */
export interface StoredRecord {
  readonly seq: number
  readonly id: string
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string
  readonly event: string
  readonly severity: keyof typeof SEVERITY
  readonly instance: string
  readonly attributes: Readonly<Record<string, AttributeValue>>
  readonly trace_id?: string
  readonly span_id?: string
  readonly trace_flags?: number
}

/** Characters. A line that would be longer is refused, so that whoever reads the log needs no more memory than this. */
export const LINE_LIMIT = 262_144

const SEVERITY_TEXT = new Map(Object.entries(SEVERITY).map(([text, number]) => [number, text]))

/**
 * What follows the sequence number and id of a line, without the line end. The number is given out when the line is
 * written, not before, so that a failed write leaves no hole. Throws RangeError where the line would be too long.
 *
 * JSON.stringify escapes C0 controls, quotes and lone surrogates, and leaves undefined attributes out; `escapeLines` does
 * the rest for a whole batch.
 */
export function lineTail(event: AuditEvent, instanceJson: string): string {
  const attributes = event.attributesJson ?? JSON.stringify(event.attributes)
  if (attributes.length > LINE_LIMIT - 1024)
    throw new RangeError(`a record of ${attributes.length} characters is longer than a line may be`)
  const { trace } = event
  const context = trace
    ? `"trace_id":${JSON.stringify(trace.traceId)},"span_id":${JSON.stringify(trace.spanId)},"trace_flags":${trace.flags},`
    : ''
  return `"time":"${timeText(event.time)}","event":"${event.event}","severity":"${SEVERITY_TEXT.get(event.severity)}","instance":${instanceJson},${context}"attributes":${attributes}}\n`
}

export function lineHead(logId: string, sequence: number): string {
  return `{"seq":${sequence},"id":"${logId}-${sequence}",`
}

/** DEL, C1 controls, line and paragraph separators, and what reorders text: they could forge what a terminal shows. */
const DANGEROUS = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** JSON has these characters inside strings only, so that escaping them anywhere in the text keeps its meaning. */
export function escapeLines(text: string): string {
  return text.replace(DANGEROUS, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

let lastSecond = Number.NaN
let lastSecondText = ''

/** Date.prototype.toISOString, of which all but the milliseconds is remembered for a second. */
function timeText(ms: number): string {
  const whole = Math.floor(ms)
  const second = Math.floor(whole / 1000)
  if (second !== lastSecond) {
    lastSecondText = new Date(second * 1000).toISOString().slice(0, 20)
    lastSecond = second
  }
  return `${lastSecondText}${String(whole - second * 1000).padStart(3, '0')}Z`
}

/** Reads a line without its end; undefined where it is not a whole record. */
export function parseLine(text: string): StoredRecord | undefined {
  if (!text.startsWith('{"seq":')) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  return isStoredRecord(value) ? value : undefined
}

function isStoredRecord(value: unknown): value is StoredRecord {
  if (typeof value !== 'object' || value === null) return false
  const record = value as Partial<Record<keyof StoredRecord, unknown>>
  return (
    Number.isSafeInteger(record.seq) &&
    typeof record.id === 'string' &&
    typeof record.time === 'string' &&
    typeof record.event === 'string' &&
    typeof record.severity === 'string' &&
    Object.hasOwn(SEVERITY, record.severity) &&
    typeof record.instance === 'string' &&
    typeof record.attributes === 'object' &&
    record.attributes !== null
  )
}
