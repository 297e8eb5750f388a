import { METHODS } from 'node:http'
import type { Random } from './random.ts'

// Messages that are mostly well-formed, made of the words that matter to framing, and then damaged a little. All text is
// latin1. Nothing here knows what either parser accepts.

const NAMES = [
  'Accept',
  'User-Agent',
  'Cookie',
  'X-A',
  'x-a',
  'TE',
  'Via',
  'Content-Type',
  'Keep-Alive',
  'Trailer',
  'a',
  'X_underscore',
  "!#$%&'*+-.^_`|~",
]
const VALUES = [
  '',
  'a',
  'a b',
  'a\tb',
  '*/*',
  'a, b',
  '"q;=\\""',
  'trailers',
  '\xe4\xff\x80',
  'x'.repeat(70),
  'chunked',
  '5',
]
const WHITE_SPACE = ['', ' ', '  ', '\t', ' \t ']
const TARGETS = [
  '/',
  '/a/b?c=d&e',
  '*',
  'http://a.example/',
  'http://a.example:8080/x?y',
  'http://[::1]/',
  'a.example:443',
  '/%zz;"<>{}',
]
const NASTY = [
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  '\0',
  '\t',
  ' ',
  ':',
  ';',
  ',',
  '"',
  '\\',
  '\x7f',
  '\x80',
  '\xff',
  '\x0b',
  '\x0c',
  '0',
  '1',
  '5',
  'a',
  'f',
  'x',
  '+',
  '-',
  '/',
  '_',
]
const LINES = [
  'Content-Length: 5',
  'Content-Length: 0',
  'content-length:5',
  'Content-Length: 05',
  'Content-Length: +5',
  'Content-Length: 5, 5',
  'Content-Length: 0x5',
  'Content-Length : 5',
  'Content-Length: 99999999999999999999',
  'Transfer-Encoding: chunked',
  'transfer-encoding:CHUNKED',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: identity',
  'Transfer-Encoding:\tchunked\t',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding:',
  'Host: a.example',
  'Host: b.example',
  'Host:',
  'Connection: close',
  'Connection: keep-alive',
  'Connection: keep-alive, Upgrade',
  'Connection: upgrade, close',
  'Proxy-Connection: close',
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Expect: 100-continue',
  'Expect: tea',
  ' folded: 1',
  '\tfolded',
  ': empty',
  'no colon',
]

function randomCase(random: Random, name: string): string {
  const style = random.int(8)
  if (style === 0) return name.toUpperCase()
  if (style === 1) return name.toLowerCase()
  return name
}

function fieldLine(random: Random): string {
  const value = random.pick(VALUES)
  return `${randomCase(random, random.pick(NAMES))}:${random.pick(WHITE_SPACE)}${value}${random.pick(WHITE_SPACE)}\r\n`
}

function content(random: Random): string {
  return random.pick([
    '',
    'hello',
    '\r\n\r\n',
    '0\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: b\r\n\r\n',
    '\0\xff\x80',
    'y'.repeat(300),
  ])
}

function hex(random: Random, size: number): string {
  const digits = size.toString(16)
  return (random.chance(0.1) ? digits.toUpperCase() : digits).padStart(
    random.chance(0.1) ? random.int(16) : 0,
    '0',
  )
}

function extension(random: Random): string {
  if (!random.chance(0.15)) return ''
  return random.pick([
    ';a',
    ';a=b',
    ';a="b;c"',
    ';a="\\""',
    ';',
    ';a=',
    ' ;a',
    ';a b',
    ';a="\t\xe4"',
    ';;',
    ';a;b=c',
  ])
}

export function chunkedContent(random: Random): string {
  const chunks = random.many(0, 3, () => content(random)).filter((data) => data !== '')
  const body = chunks.map((data) => `${hex(random, data.length)}${extension(random)}\r\n${data}\r\n`).join('')
  const trailers = random.chance(0.2) ? random.many(1, 2, () => fieldLine(random)).join('') : ''
  return `${body}${hex(random, 0)}${extension(random)}\r\n${trailers}\r\n`
}

function edge(random: Random): string {
  return random.chance(0.1) ? random.pick(WHITE_SPACE) : ''
}

/** Content and the line that frames it; the line stands anywhere among the others. */
function framed(random: Random, lines: string[], noFraming: string): string {
  const kind = random.int(4)
  if (kind === 0) {
    lines.push(
      `${randomCase(random, 'Transfer-Encoding')}: ${random.chance(0.1) ? 'Chunked' : 'chunked'}${edge(random)}\r\n`,
    )
    return chunkedContent(random)
  }
  if (kind <= 2) {
    const data = content(random)
    lines.push(`${randomCase(random, 'Content-Length')}: ${edge(random)}${data.length}${edge(random)}\r\n`)
    return data
  }
  return noFraming
}

function shuffled(random: Random, lines: string[]): string {
  for (let i = lines.length - 1; i > 0; i--) {
    const j = random.int(i + 1)
    ;[lines[i], lines[j]] = [lines[j]!, lines[i]!]
  }
  return lines.join('')
}

export function randomRequest(random: Random): string {
  const version = random.chance(0.1) ? 'HTTP/1.0' : 'HTTP/1.1'
  const connect = random.chance(0.05)
  const method = connect
    ? 'CONNECT'
    : random.chance(0.1)
      ? random.pick(METHODS)
      : random.pick(['GET', 'POST', 'PUT', 'HEAD'])
  const target = method === 'CONNECT' ? 'a.example:443' : random.pick(TARGETS.slice(0, 6))
  const lines = random.many(0, 4, () => fieldLine(random))
  if (!random.chance(0.05)) lines.push(`${randomCase(random, 'Host')}: a.example\r\n`)
  if (random.chance(0.1)) lines.push(`${random.pick(LINES)}\r\n`)
  const body = method === 'CONNECT' ? '' : framed(random, lines, '')
  const before = random.chance(0.05) ? '\r\n' : ''
  return `${before}${method} ${target} ${version}\r\n${shuffled(random, lines)}\r\n${body}`
}

export function randomResponse(random: Random): string {
  const interim = random.chance(0.1)
    ? random.many(1, 2, () => 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n').join('')
    : ''
  const version = random.chance(0.1) ? 'HTTP/1.0' : 'HTTP/1.1'
  const status = random.chance(0.7)
    ? '200 OK'
    : random.pick([
        '204 No Content',
        '304 Not Modified',
        '404 ',
        '500',
        '101 Switching',
        '302 \xe4',
        '999 x',
        '205 Reset',
      ])
  const lines = random.many(0, 4, () => fieldLine(random))
  if (random.chance(0.1)) lines.push(`${random.pick(LINES)}\r\n`)
  const body = framed(random, lines, random.chance(0.5) ? content(random) : '')
  return `${interim}${version} ${status}\r\n${shuffled(random, lines)}\r\n${body}`
}

const MUTATIONS: ((random: Random, wire: string) => string)[] = [
  (random, wire) => splice(wire, random.int(wire.length + 1), 0, random.pick(NASTY)),
  (random, wire) => splice(wire, random.int(wire.length + 1), 0, random.pick(NASTY)),
  (random, wire) => splice(wire, random.int(wire.length + 1), 1 + random.int(2), ''),
  (random, wire) => splice(wire, random.int(wire.length + 1), 1, random.pick(NASTY)),
  (random, wire) => splice(wire, random.int(wire.length + 1), 1, String.fromCharCode(random.int(256))),
  // around the bytes that structure the message, where damage tells most
  (random, wire) =>
    splice(wire, nextOf(random, wire, ['\r\n', ':', ' ', ';']), random.int(3), random.pick(NASTY)),
  (random, wire) => splice(wire, nextOf(random, wire, ['\r']), 1, ''),
  (random, wire) => splice(wire, nextOf(random, wire, ['\n']), 1, ''),
  (random, wire) => splice(wire, nextOf(random, wire, ['\r\n']) + 2, 0, `${random.pick(LINES)}\r\n`),
  (random, wire) => splice(wire, nextOf(random, wire, ['\r\n']) + 2, 0, `${random.pick(LINES)}\r\n`),
  (random, wire) => splice(wire, nextOf(random, wire, ['\r\n']) + 2, 0, '\r\n'),
  (random, wire) => {
    const at = random.int(wire.length)
    return splice(wire, random.int(wire.length + 1), 0, wire.slice(at, at + 1 + random.int(40)))
  },
  (random, wire) => wire.slice(0, random.int(wire.length + 1)),
  (random, wire) =>
    wire.replace(
      'HTTP/1.1',
      random.pick(['HTTP/1.0', 'HTTP/1.2', 'HTTP/0.9', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 ', 'HTTP/11']),
    ),
  (random, wire) => wire.replace('\r\n', '\n').replaceAll('\r\n', random.chance(0.5) ? '\n' : '\r\n'),
]

function splice(text: string, at: number, remove: number, insert: string): string {
  return text.slice(0, at) + insert + text.slice(at + remove)
}

/** Where one of `marks` stands next after a random place. */
function nextOf(random: Random, text: string, marks: string[]): number {
  const found = text.indexOf(random.pick(marks), random.int(text.length + 1))
  return found === -1 ? text.length : found
}

export function mutate(random: Random, wire: string): string {
  let mutated = wire
  for (const mutation of random.many(0, 3, () => random.pick(MUTATIONS))) mutated = mutation(random, mutated)
  return mutated
}
