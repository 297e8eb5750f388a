import { errnoOf } from '../core/errors.ts'
import type { ExportOutcome } from './exporter.ts'

/** Bytes of an answer that are read; what a collector says is short. */
export const ANSWER_LIMIT = 65_536

/** The outcome that an ExportLogsServiceResponse speaks of. What cannot be read is taken as plain success. */
export function acceptedOutcome(response: Uint8Array): ExportOutcome {
  let rejected = 0
  let message = ''
  for (const partial of fields(response)) {
    if (partial.number !== 1 || partial.bytes === undefined) continue
    for (const { number, bytes, value } of fields(partial.bytes)) {
      if (number === 1 && value !== undefined) rejected = Number(BigInt.asIntN(64, value))
      if (number === 2 && bytes) message = text(bytes)
    }
  }
  return { kind: 'accepted', rejected: Math.max(0, rejected), message }
}

export interface RpcStatus {
  readonly message: string
  /** Milliseconds, from a google.rpc.RetryInfo among the details. */
  readonly retryAfter: number | undefined
}

/** google.rpc.Status: the body of an HTTP failure, and `grpc-status-details-bin`. */
export function readRpcStatus(status: Uint8Array): RpcStatus {
  let message = ''
  let retryAfter: number | undefined
  for (const { number, bytes } of fields(status)) {
    if (!bytes) continue
    if (number === 2) message = text(bytes)
    if (number === 3) retryAfter ??= retryDelay(bytes)
  }
  return { message, retryAfter }
}

function retryDelay(any: Uint8Array): number | undefined {
  let type = ''
  let info: Uint8Array | undefined
  for (const { number, bytes } of fields(any)) {
    if (number === 1 && bytes) type = text(bytes)
    if (number === 2) info = bytes
  }
  if (!type.endsWith('/google.rpc.RetryInfo') || !info) return undefined
  for (const { number, bytes } of fields(info)) {
    if (number !== 1 || !bytes) continue
    let ms = 0
    for (const { number, value } of fields(bytes)) {
      if (number === 1 && value !== undefined) ms += Number(BigInt.asIntN(64, value)) * 1000
      if (number === 2 && value !== undefined) ms += Number(BigInt.asIntN(64, value)) / 1_000_000
    }
    return Math.max(0, Math.ceil(ms))
  }
  return undefined
}

/** The exchange with the collector broke off; says what is at the bottom of it (a TLS error beneath a closed stream). */
export function noAnswer(cause: unknown): ExportOutcome {
  let reason = ''
  for (let error = cause; error instanceof Error; error = error.cause)
    reason = errnoOf(error) ?? error.message
  return { kind: 'retry', error: new Error(`no answer (${reason || String(cause)})`, { cause }) }
}

/** Retry-After (RFC 9110 §10.2.3), in milliseconds from now. */
export function retryAfterMs(field: string | undefined, now: number): number | undefined {
  if (field === undefined) return undefined
  if (/^\d{1,9}$/.test(field)) return Number(field) * 1000
  const date = Date.parse(field)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

interface ProtobufField {
  readonly number: number
  /** Of a varint. */
  readonly value?: bigint
  /** Of a length-delimited field. */
  readonly bytes?: Uint8Array
}

/** The fields of a message, up to the first thing that is not protobuf. */
function* fields(message: Uint8Array): Generator<ProtobufField> {
  let at = 0
  const varint = (): bigint | undefined => {
    let value = 0n
    for (let shift = 0n; shift < 70n && at < message.length; shift += 7n) {
      const byte = message[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return undefined
  }
  while (at < message.length) {
    const tag = varint()
    if (tag === undefined) return
    const number = Number(tag >> 3n)
    switch (Number(tag & 7n)) {
      case 0: {
        const value = varint()
        if (value === undefined) return
        yield { number, value }
        break
      }
      case 1:
        at += 8
        break
      case 2: {
        const length = varint()
        if (length === undefined || BigInt(at) + length > BigInt(message.length)) return
        yield { number, bytes: message.subarray(at, at + Number(length)) }
        at += Number(length)
        break
      }
      case 5:
        at += 4
        break
      default:
        return
    }
  }
}

/** What a collector says ends in our own log and record: bounded, on one line. */
function text(bytes: Uint8Array): string {
  return plainText(new TextDecoder().decode(bytes.subarray(0, 1024)))
}

export function plainText(value: string): string {
  return value
    .slice(0, 512)
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim()
}
