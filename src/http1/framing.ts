import type { Field } from '../core/fields.ts'
import { sliceTrimmed, TOKEN } from './field-lines.ts'
import { ProtocolError } from './protocol-error.ts'

/** Where the content of a message ends (RFC 9112 §6.3). `close` (the end of the connection) is for responses only. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' }

export const NO_CONTENT: Framing = { kind: 'none' }
export const CHUNKED: Framing = { kind: 'chunked' }
export const UNTIL_CLOSE: Framing = { kind: 'close' }

export type Version = '1.0' | '1.1'

/** What the fields of one head say about framing and about the connection. */
export interface Claims {
  readonly contentLength: number | undefined
  readonly chunked: boolean
  readonly keepAlive: boolean
  /** Members of Upgrade in lower case; empty unless Connection nominates it (RFC 9110 §7.8) and in HTTP/1.0. */
  readonly upgrade: readonly string[]
  readonly expectContinue: boolean
  readonly hosts: number
  readonly host: string
}

/** Asked first: most fields claim nothing, and one look at a set is cheaper than six comparisons. */
const CLAIMING: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'transfer-encoding',
  'upgrade',
])

const NONE: readonly string[] = []

/** Reads them in one pass. Throws ProtocolError where two readers could disagree on where the message ends. */
export function readClaims(fields: readonly Field[], version: Version, kind: 'request' | 'response'): Claims {
  let contentLength: number | undefined
  let chunked = false
  let close = false
  let persist = false
  let upgradeNominated = false
  let upgrade: string[] | undefined
  let expectContinue = false
  let hosts = 0
  let host = ''
  for (const { key, value } of fields) {
    if (!CLAIMING.has(key)) continue
    switch (key) {
      case 'content-length':
        if (contentLength !== undefined)
          throw new ProtocolError('bad_content_length', 'there are several Content-Length fields')
        contentLength = parseContentLength(value)
        break
      case 'transfer-encoding':
        if (chunked)
          throw new ProtocolError('bad_transfer_encoding', 'there are several Transfer-Encoding fields')
        requireChunked(value, kind)
        chunked = true
        break
      case 'connection':
        if (value === 'keep-alive') persist = true
        else
          for (const option of members(value)) {
            if (option === 'close') close = true
            else if (option === 'keep-alive') persist = true
            else if (option === 'upgrade') upgradeNominated = true
          }
        break
      case 'upgrade':
        upgrade = [...(upgrade ?? NONE), ...members(value)]
        break
      case 'expect':
        if (value.toLowerCase() === '100-continue') expectContinue = true
        break
      case 'host':
        hosts++
        host = value
        break
    }
  }
  if (chunked && contentLength !== undefined)
    // RFC 9112 §6.3 would let Transfer-Encoding win and calls it an attempt at smuggling in the same breath.
    throw new ProtocolError('ambiguous_framing', 'Content-Length and Transfer-Encoding stand together')
  if (chunked && version === '1.0')
    // RFC 9112 §6.1: a 1.0 peer cannot mean it, and one that forwards it does not know that it is there.
    throw new ProtocolError('bad_transfer_encoding', 'HTTP/1.0 has no Transfer-Encoding')
  return {
    contentLength,
    chunked,
    keepAlive: !close && (version === '1.1' || persist), // RFC 9112 §9.3
    upgrade: upgrade !== undefined && upgradeNominated && version === '1.1' ? upgrade : NONE,
    expectContinue: expectContinue && version === '1.1', // RFC 9110 §10.1.1
    hosts,
    host,
  }
}

/** Stricter than RFC 9110 §8.6 in refusing `5, 5` and leading zeros, which some parsers take for octal. */
function parseContentLength(value: string): number {
  const length = /^(?:0|[1-9][0-9]{0,15})$/.test(value) ? Number(value) : Number.NaN
  if (Number.isSafeInteger(length)) return length
  throw new ProtocolError('bad_content_length', 'Content-Length is not one number of plain digits')
}

/**
 * Exactly `chunked`: other codings hide where the content ends from whoever does not know them. In other letters, which RFC 9112
 * §7 permits, some origins send it, but no client does; and a proxy in front of us may not know it then (CVE-2026-31842).
 */
function requireChunked(value: string, kind: 'request' | 'response'): void {
  if (value === 'chunked' || (kind === 'response' && value.toLowerCase() === 'chunked')) return
  const codings = value.split(',').map((coding) => sliceTrimmed(coding, 0, coding.length))
  if (codings.every((coding) => TOKEN.test(coding)) && codings.some((coding) => !/^chunked$/i.test(coding)))
    throw new ProtocolError('unknown_transfer_coding', 'the only Transfer-Encoding is chunked') // RFC 9112 §6.1
  throw new ProtocolError('bad_transfer_encoding', 'Transfer-Encoding is not exactly chunked')
}

function members(value: string): string[] {
  const found: string[] = []
  for (const member of value.toLowerCase().split(',')) {
    const trimmed = sliceTrimmed(member, 0, member.length)
    if (trimmed !== '') found.push(trimmed)
  }
  return found
}
