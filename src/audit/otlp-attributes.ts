import type { AttributeValue, Attributes } from '../core/event.ts'
import { ProtobufWriter } from './protobuf-writer.ts'

/** Keys that are remembered; ours are a few dozen. */
const REMEMBERED = 1024

/** Writes KeyValue messages (opentelemetry/proto/common/v1) into a message. */
export class AttributeWriter {
  readonly message: ProtobufWriter
  /** Each key as field 1 of a KeyValue, tag and length included. */
  readonly #keys = new Map<string, Buffer>()
  readonly #scratch = new ProtobufWriter(256)

  constructor(message: ProtobufWriter) {
    this.message = message
  }

  /** As repeated field `field`; returns how many did not fit into `count`. */
  writeAll(field: number, values: Attributes, count: number, valueLength: number): number {
    let seen = 0
    for (const key in values) {
      const value = values[key]
      if (value === undefined || value === null) continue
      if (++seen <= count) this.write(field, key, value, valueLength)
    }
    return Math.max(0, seen - count)
  }

  write(field: number, key: string, value: AttributeValue, valueLength = Infinity): void {
    const encodedKey = this.#key(key)
    const { message } = this
    if (typeof value === 'string' && message.shortText(field, encodedKey, cut(value, valueLength))) return
    const keyValue = message.begin(field)
    message.raw(encodedKey)
    const any = message.begin(2)
    this.#any(value, valueLength)
    message.end(any)
    message.end(keyValue)
  }

  #any(value: AttributeValue, valueLength: number): void {
    const { message } = this
    if (typeof value === 'string') message.string(1, cut(value, valueLength))
    else if (typeof value === 'boolean') message.bool(2, value)
    else if (typeof value === 'number') {
      if (Number.isSafeInteger(value)) message.int64(3, value)
      else message.double(4, value)
    } else {
      const array = message.begin(5)
      for (const each of value) {
        const element = message.begin(1)
        message.string(1, cut(each, valueLength))
        message.end(element)
      }
      message.end(array)
    }
  }

  #key(key: string): Buffer {
    let encoded = this.#keys.get(key)
    if (encoded) return encoded
    if (this.#keys.size >= REMEMBERED) this.#keys.clear()
    this.#scratch.string(1, key)
    encoded = this.#scratch.take()
    this.#keys.set(key, encoded)
    return encoded
  }
}

function cut(value: string, length: number): string {
  return value.length > length ? value.slice(0, length) : value
}
