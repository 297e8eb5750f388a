import type { Hostname } from '../core/hostname.ts'
import type { Scope } from './glob.ts'
import { InvalidPattern, type Pattern, parsePattern } from './pattern.ts'

/** What becomes of the lines of a list file, in their order. */
export interface ListReader {
  /** A plain name: `bytes` from `start` to `end`, canonical. Nothing is allocated for it. */
  name(bytes: Uint8Array, start: number, end: number, scope: Scope, line: number): void
  /** Any other pattern. */
  pattern(pattern: Pattern, text: string, line: number): void
  problem(text: string, line: number, problem: InvalidPattern): void
}

/** Longest line that is looked at, in bytes. */
const LINE_LIMIT = 4096

/**
 * Reads a list: one pattern a line; `#` begins a comment; blank lines, CR LF and a byte order mark are fine. Lines of a
 * hosts file (`0.0.0.0 name …`, `127.0.0.1 name …`) are read as their names. Linear in time; a million plain names take
 * a fraction of a second, since they never become strings.
 */
export function readList(bytes: Uint8Array, reader: ListReader): void {
  let start = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  for (let line = 1; start < bytes.length; line++) {
    let end = bytes.indexOf(LF, start)
    if (end === -1) end = bytes.length
    if (!plainLine(bytes, start, end, line, reader)) otherLine(bytes, start, end, line, reader)
    start = end + 1
  }
}

const LF = 0x0a
const DOT = 0x2e
const HYPHEN = 0x2d
const STAR = 0x2a

/** Reads a line that holds nothing but one canonical name, perhaps behind `*.`, `**.` or an address of a hosts file. */
function plainLine(
  bytes: Uint8Array,
  lineStart: number,
  lineEnd: number,
  line: number,
  reader: ListReader,
): boolean {
  let end = lineEnd
  while (end > lineStart && isBlank(bytes[end - 1]!)) end--
  let start = lineStart
  let scope: Scope = 'exact'
  const first = bytes[start]
  if (first === STAR) {
    const stars = bytes[start + 1] === STAR ? 2 : 1
    if (bytes[start + stars] !== DOT) return false
    scope = stars === 2 ? 'all' : 'subdomains'
    start += stars + 1
  } else if (first === 0x30 && hasText(bytes, start, NULL_ADDRESS)) start += NULL_ADDRESS.length
  else if (first === 0x31 && hasText(bytes, start, LOOPBACK)) start += LOOPBACK.length
  if (start !== lineStart && scope === 'exact' && isHostsFileName(bytes, start, end)) return true
  if (!isCanonicalName(bytes, start, end)) return false
  reader.name(bytes, start, end, scope, line)
  return true
}

const NULL_ADDRESS = Buffer.from('0.0.0.0 ')
const LOOPBACK = Buffer.from('127.0.0.1 ')

function hasText(bytes: Uint8Array, start: number, text: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false
  return true
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d
}

/**
 * Whether `parseHost` would take these bytes for a name and return them unchanged. It may say no where it would (such
 * lines take the slow way), never yes where it would not.
 */
function isCanonicalName(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start
  if (length < 1 || length > 253) return false
  let label = start
  for (let i = start; i <= end; i++) {
    const byte = i < end ? bytes[i]! : DOT
    if ((byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x5f || byte === HYPHEN)
      continue
    if (byte !== DOT) return false
    const size = i - label
    if (size === 0 || size > 63 || bytes[label] === HYPHEN || bytes[i - 1] === HYPHEN) return false
    if (bytes[label + 2] === HYPHEN && bytes[label + 3] === HYPHEN && size > 3) return false // xn--, and kin
    if (i < end) label = i + 1
  }
  // A name whose last label begins with a digit may be a number to somebody.
  return !(bytes[label]! >= 0x30 && bytes[label]! <= 0x39)
}

/** Names that hosts files give to the machine itself: they are not part of the list. */
const HOSTS_FILE_NAMES: ReadonlySet<string> = new Set([
  'localhost',
  'localhost.localdomain',
  'localhost4',
  'localhost6',
  'local',
  'broadcasthost',
  'ip6-localhost',
  'ip6-loopback',
  'ip6-localnet',
  'ip6-mcastprefix',
  'ip6-allnodes',
  'ip6-allrouters',
  'ip6-allhosts',
  '0.0.0.0',
])

function isHostsFileName(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > 21) return false
  const first = bytes[start]
  if (first !== 0x6c && first !== 0x62 && first !== 0x69 && first !== 0x30) return false // l, b, i, 0
  return HOSTS_FILE_NAMES.has(textOf(bytes, start, end))
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
}

function otherLine(bytes: Uint8Array, start: number, end: number, line: number, reader: ListReader): void {
  if (end - start > LINE_LIMIT) {
    const shown = `${textOf(bytes, start, start + 60)}…`
    reader.problem(shown, line, new InvalidPattern('the line is too long', 'write one pattern a line'))
    return
  }
  const whole = textOf(bytes, start, end)
  const hash = whole.indexOf('#')
  const text = (hash === -1 ? whole : whole.slice(0, hash)).trim()
  if (text === '') return
  for (const entry of entriesOf(text)) {
    try {
      const pattern = parsePattern(entry)
      if (pattern.kind === 'name' && pattern.port === 0) nameOf(pattern.name, pattern.scope, line, reader)
      else reader.pattern(pattern, entry, line)
    } catch (error) {
      if (!(error instanceof InvalidPattern)) throw error
      reader.problem(entry, line, error)
    }
  }
}

function nameOf(name: Hostname, scope: Scope, line: number, reader: ListReader): void {
  const bytes = Buffer.from(name, 'latin1')
  reader.name(bytes, 0, bytes.length, scope, line)
}

/** The patterns of a line: one, or the names of a line of a hosts file. */
function entriesOf(text: string): string[] {
  const [address, ...names] = text.split(/\s+/)
  if (names.length === 0) return [text]
  const others = names.filter((name) => !HOSTS_FILE_NAMES.has(name))
  if (address === '0.0.0.0' || address === '127.0.0.1' || others.length === 0) return others
  return [text]
}
