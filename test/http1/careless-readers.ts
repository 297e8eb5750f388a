/**
 * One way of being careless: what is left out is read as RFC 9112 says. No proxy can satisfy a server that does not know
 * `chunked`, nor one that counts an upload of more than 4 GiB in 32 bits; those two are left out of the set.
 */
export interface Carelessness {
  readonly name: string
  /** What ends a line beside CRLF: a LF; a LF or a CR. */
  readonly lineEnd?: 'lf' | 'cr or lf'
  /** White space of any kind in front of the first line is skipped. */
  readonly skipsSpaceInFront?: boolean
  /** What counts as the name of a field. */
  readonly nameOf?: (raw: string) => string
  /** What becomes of a line that begins with white space. */
  readonly folded?: 'joined' | 'dropped'
  /** Where both stand, the length decides, and not the coding; or whichever comes first. */
  readonly both?: 'length' | 'first'
  /** Of several lengths. Without it a second one is refused. */
  readonly lengths?: 'first' | 'last'
  /** NaN: refused. */
  readonly lengthOf?: (value: string) => number
  readonly isChunked?: (value: string) => boolean
  /** NaN: refused. */
  readonly sizeOf?: (line: string) => number
  /** A quoted string in a chunk extension may hold a line end. */
  readonly quotesLineEnds?: boolean
  /** Whatever two bytes stand behind a chunk are taken for its end; or none need stand there. */
  readonly chunkEnd?: 'any' | 'optional'
  /** Such a request has no content whatever its fields say; but after `Connection: close` nothing follows. */
  readonly ignoresContentOf?: (startLine: string) => boolean
  /** Such a response has no content whatever its fields say. */
  readonly bodiless?: (status: number) => boolean
  /** A 1xx is the response. */
  readonly knowsNoInterim?: boolean
}

/** `rest`: what stands behind the one message, food for a smuggler. */
export type Reading =
  | { readonly outcome: 'refuses' | 'waits' }
  | {
      readonly outcome: 'message'
      readonly startLine: string
      readonly fieldCount: number
      readonly hosts: number
      readonly body: string
      readonly rest: string
    }

const REFUSES: Reading = { outcome: 'refuses' }
const WAITS: Reading = { outcome: 'waits' }

const plainLength = (value: string) => (/^[0-9]+$/.test(value) ? Number(value) : Number.NaN)
const plainSize = (line: string) =>
  /^[0-9a-f]+(?:;.*)?$/i.test(line) ? Number.parseInt(line, 16) : Number.NaN
const exactlyChunked = (value: string) => value.toLowerCase() === 'chunked'
const visibleOnly = (raw: string) => raw.replaceAll(/[^!-~]/g, '')
const anyNumber = (value: string) => Number.parseInt(value, 10) || 0
const anySize = (line: string) => Number.parseInt(line, 16) || 0
const anywhereChunked = (value: string) => /chunked/i.test(value)

function octalOrHex(value: string): number {
  if (/^0x[0-9a-f]+$/i.test(value)) return Number.parseInt(value, 16)
  return /^0[0-7]+$/.test(value) ? Number.parseInt(value, 8) : plainLength(value)
}

/** Those that repair everything, and differ in what they take for the end. */
export const REPAIRING: readonly Carelessness[] = (['length', undefined] as const).flatMap((both) =>
  (['first', 'last'] as const).flatMap((lengths) =>
    (['lf', 'cr or lf'] as const).map((lineEnd) => ({
      name: `repairs everything: ${both ?? 'coding'}, ${lengths} length, ${lineEnd}`,
      ...(both === undefined ? {} : { both }),
      lengths,
      lineEnd,
      skipsSpaceInFront: true,
      folded: 'joined' as const,
      nameOf: visibleOnly,
      lengthOf: anyNumber,
      isChunked: anywhereChunked,
      sizeOf: anySize,
      chunkEnd: 'any' as const,
    })),
  ),
)

/** Servers and clients that differ from the grammar in one thing each, or in all. */
export const CARELESS: readonly Carelessness[] = [
  { name: 'knows the grammar' },
  { name: 'the length wins over the coding', both: 'length' },
  { name: 'the first of length and coding wins', both: 'first' },
  { name: 'the first of several lengths counts', lengths: 'first' },
  { name: 'the last of several lengths counts', lengths: 'last' },
  { name: 'a LF alone ends a line', lineEnd: 'lf' },
  { name: 'a CR alone ends a line', lineEnd: 'cr or lf' },
  { name: 'white space in front of the first line is skipped', skipsSpaceInFront: true },
  { name: 'a NUL in a name is skipped', nameOf: (raw) => raw.replaceAll('\0', '') },
  { name: 'a NUL ends a name', nameOf: (raw) => raw.split('\0')[0]! },
  { name: 'white space before the colon is skipped', nameOf: (raw) => raw.trimEnd() },
  { name: 'white space in front of a name is skipped', nameOf: (raw) => raw.trimStart() },
  { name: 'all but visible ASCII is skipped in a name', nameOf: visibleOnly },
  {
    name: 'a name is cut at its first strange character',
    nameOf: (raw) => /^[!#$%&'*+\-.^_`|~\w]*/.exec(raw)![0],
  },
  { name: 'an underscore in a name is a hyphen', nameOf: (raw) => raw.replaceAll('_', '-') },
  { name: 'a folded line is joined', folded: 'joined' },
  { name: 'a folded line is dropped', folded: 'dropped' },
  { name: 'chunked anywhere in the coding', isChunked: anywhereChunked },
  { name: 'chunked with a parameter', isChunked: (value) => /^\s*chunked\s*(?:;.*)?$/i.test(value) },
  { name: 'chunked last in a list', isChunked: (value) => /(?:^|[\s,])chunked\s*$/i.test(value) },
  { name: 'chunked first in a list', isChunked: (value) => /^\s*chunked\s*(?:,.*)?$/i.test(value) },
  { name: 'chunked in lower case only', isChunked: (value) => value === 'chunked' },
  { name: 'any coding but identity is chunked', isChunked: (value) => !/^identity$/i.test(value) },
  { name: 'chunked with quotes', isChunked: (value) => /^"?chunked"?$/i.test(value) },
  { name: 'a length with a sign', lengthOf: (value) => Math.abs(plainLength(value.replace(/^[+-]/, ''))) },
  { name: 'the first of a list of lengths', lengthOf: (value) => plainLength(value.split(',')[0]!.trim()) },
  {
    name: 'the last of a list of lengths',
    lengthOf: (value) => plainLength(value.split(',').at(-1)!.trim()),
  },
  { name: 'the digits in front are the length', lengthOf: anyNumber },
  { name: 'an octal or hexadecimal length', lengthOf: octalOrHex },
  { name: 'an underscore within a length', lengthOf: (value) => plainLength(value.replaceAll('_', '')) },
  { name: 'a length in 32 bits', lengthOf: (value) => plainLength(value) % 4_294_967_296 },
  { name: 'no length is the length zero', lengthOf: (value) => (value === '' ? 0 : plainLength(value)) },
  { name: 'a chunk size with 0x', sizeOf: (line) => plainSize(line.replace(/^0x/i, '')) },
  { name: 'a chunk size with a sign', sizeOf: (line) => plainSize(line.replace(/^[+-]/, '')) },
  { name: 'a chunk size with underscores', sizeOf: (line) => plainSize(line.replaceAll('_', '')) },
  { name: 'a chunk size in 32 bits', sizeOf: (line) => plainSize(line) % 4_294_967_296 },
  { name: 'a chunk size with white space', sizeOf: (line) => plainSize(line.replaceAll(/[\t ]/g, '')) },
  { name: 'the digits in front are the chunk size', sizeOf: anySize },
  { name: 'an empty chunk size is zero', sizeOf: (line) => (line === '' ? 0 : plainSize(line)) },
  { name: 'a quoted line end in an extension', quotesLineEnds: true },
  { name: 'a LF alone ends a chunk extension', lineEnd: 'lf', sizeOf: plainSize },
  { name: 'two bytes of any kind end a chunk', chunkEnd: 'any' },
  { name: 'nothing need end a chunk', chunkEnd: 'optional' },
  ...REPAIRING,
]

/** Servers: they read requests. */
export const CARELESS_SERVERS: readonly Carelessness[] = [
  ...CARELESS,
  {
    name: 'GET and its like have no content',
    ignoresContentOf: (line) => /^(?:GET|HEAD|DELETE|OPTIONS|TRACE) /.test(line),
  },
]

/** Clients: they read responses. */
export const CARELESS_CLIENTS: readonly Carelessness[] = [
  ...CARELESS,
  { name: 'a 205 has no content', bodiless: (status) => status === 205 },
]

/** Why the next response need not be told from this one. */
export interface Asked {
  readonly method: string
}

/** A head as its lines, and where what follows it begins. */
interface Head {
  readonly startLine: string
  readonly lines: readonly string[]
  /** Those fields that a careful reader looks at. */
  readonly claims: readonly Claim[]
  readonly end: number
}

interface Claim {
  readonly key: 'content-length' | 'transfer-encoding' | 'connection' | 'host'
  readonly value: string
}

/** Bytes that many readers read: what they find in the same way is found once. */
export class Wire {
  readonly text: string
  readonly #heads = new Map<number, Head | undefined>()
  constructor(text: string) {
    this.text = text
  }

  headAt(at: number, how: Carelessness): Head | undefined {
    const lineEnd = how.lineEnd === undefined ? 0 : how.lineEnd === 'lf' ? 1 : 2
    const folded = how.folded === undefined ? 0 : how.folded === 'joined' ? 1 : 2
    const key = at * 18 + lineEnd * 6 + folded * 2 + (how.skipsSpaceInFront === true ? 1 : 0)
    let head = this.#heads.get(key)
    if (head !== undefined) return head
    head = readHead(this.text, at, how)
    this.#heads.set(key, head)
    return head
  }
}

interface Line {
  readonly text: string
  readonly next: number
}

function lineAt(wire: string, at: number, lineEnd: Carelessness['lineEnd']): Line | undefined {
  if (lineEnd === undefined) {
    const end = wire.indexOf('\r\n', at)
    return end === -1 ? undefined : { text: wire.slice(at, end), next: end + 2 }
  }
  const lf = wire.indexOf('\n', at)
  if (lineEnd === 'cr or lf') {
    const cr = wire.indexOf('\r', at)
    if (cr !== -1 && (lf === -1 || cr < lf))
      return { text: wire.slice(at, cr), next: cr + (wire[cr + 1] === '\n' ? 2 : 1) }
  }
  if (lf === -1) return undefined
  return { text: wire.slice(at, lf > at && wire[lf - 1] === '\r' ? lf - 1 : lf), next: lf + 1 }
}

function readHead(wire: string, from: number, how: Carelessness): Head | undefined {
  let at = from
  if (how.skipsSpaceInFront) while (at < wire.length && wire.charCodeAt(at) <= 0x20) at++
  let startLine: string | undefined
  const lines: string[] = []
  for (;;) {
    const line = lineAt(wire, at, how.lineEnd)
    if (line === undefined) return undefined
    const { text } = line
    at = line.next
    if (startLine === undefined) {
      if (text !== '') startLine = text
      continue
    }
    if (text === '') return { startLine, lines, claims: claimsOf(lines, (raw) => raw), end: at }
    if (how.folded !== undefined && (text[0] === ' ' || text[0] === '\t') && lines.length > 0) {
      if (how.folded === 'joined') lines.push(`${lines.pop()} ${text.trim()}`)
    } else lines.push(text)
  }
}

function claimsOf(lines: readonly string[], nameOf: (raw: string) => string): Claim[] {
  const claims: Claim[] = []
  for (const text of lines) {
    const colon = text.indexOf(':')
    if (colon === -1) continue
    const key = nameOf(text.slice(0, colon)).toLowerCase()
    if (key === 'content-length' || key === 'transfer-encoding' || key === 'connection' || key === 'host')
      claims.push({ key, value: text.slice(colon + 1).trim() })
  }
  return claims
}

/** Reads the first message off `wire`. `asked`: it is the response to that. */
export function readCarelessly(given: string | Wire, how: Carelessness, asked?: Asked): Reading {
  const wire = typeof given === 'string' ? new Wire(given) : given
  const { text } = wire
  let head = wire.headAt(0, how)
  if (asked !== undefined && !how.knowsNoInterim) {
    while (head !== undefined && isInterim(head)) head = wire.headAt(head.end, how)
  }
  if (head === undefined) return WAITS
  const { startLine, end } = head
  const claims = how.nameOf === undefined ? head.claims : claimsOf(head.lines, how.nameOf)
  let length: number | undefined
  let chunked = false
  let codingFirst = false
  let hosts = 0
  let closes = false
  for (const { key, value } of claims) {
    if (key === 'content-length') {
      const said = (how.lengthOf ?? plainLength)(value)
      if (Number.isNaN(said)) return REFUSES
      if (length !== undefined && how.lengths === undefined && how.both === undefined) return REFUSES
      if (length === undefined || how.lengths === 'last') length = said
    } else if (key === 'transfer-encoding') {
      if (!(how.isChunked ?? exactlyChunked)(value)) continue
      if (length === undefined) codingFirst = true
      chunked = true
    } else if (key === 'host') hosts++
    else if (key === 'connection') closes ||= /close/i.test(value)
  }
  const fieldCount = head.lines.length
  const message = (body: string, rest: string): Reading => ({
    outcome: 'message',
    startLine,
    fieldCount,
    hosts,
    body,
    rest,
  })
  if (how.ignoresContentOf?.(startLine)) return message('', closes ? '' : text.slice(end))
  if (asked !== undefined) {
    const status = statusOf(startLine)
    if (how.bodiless?.(status)) return message('', closes ? '' : text.slice(end))
    if (asked.method === 'HEAD' || status < 200 || status === 204 || status === 304)
      return message('', text.slice(end))
  }
  const lengthDecides =
    length !== undefined && (how.both === 'length' || (how.both === 'first' && !codingFirst))
  if (chunked && !lengthDecides) {
    const content = readChunks(text, end, how)
    return 'outcome' in content ? content : message(content.body, text.slice(content.end))
  }
  // A response without a length is everything until the connection ends.
  if (length === undefined)
    return asked === undefined ? message('', text.slice(end)) : message(text.slice(end), '')
  if (end + length > text.length) return WAITS
  return message(text.slice(end, end + length), text.slice(end + length))
}

function statusOf(startLine: string): number {
  return Number(startLine.slice(9, 12))
}

function isInterim({ startLine }: Head): boolean {
  const status = statusOf(startLine)
  return status < 200 && status !== 101
}

function readChunks(wire: string, from: number, how: Carelessness): Reading | { body: string; end: number } {
  let at = from
  const line = (): string | undefined => {
    const found = lineAt(wire, at, how.lineEnd)
    if (found !== undefined) at = found.next
    return found?.text
  }
  let body = ''
  for (;;) {
    let text = line()
    if (how.quotesLineEnds) {
      while (text !== undefined && (text.match(/"/g)?.length ?? 0) % 2 === 1) {
        const more = line()
        text = more === undefined ? undefined : `${text} ${more}`
      }
    }
    if (text === undefined) return WAITS
    const size = (how.sizeOf ?? plainSize)(text)
    if (Number.isNaN(size) || size < 0) return REFUSES
    if (size === 0) break
    if (at + size > wire.length) return WAITS
    body += wire.slice(at, at + size)
    at += size
    if (how.chunkEnd === 'any' || wire.startsWith('\r\n', at)) at += 2
    else if (how.lineEnd !== undefined && /[\r\n]/.test(wire[at] ?? '')) at += 1
    else if (how.chunkEnd !== 'optional') return at + 1 < wire.length ? REFUSES : WAITS
    if (at > wire.length) return WAITS
  }
  for (;;) {
    const trailer = line()
    if (trailer === undefined) return WAITS
    if (trailer === '') return { body, end: at }
  }
}
