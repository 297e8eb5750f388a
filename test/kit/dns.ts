import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { parseIpAddress } from '../../src/core/ip-address.ts'

export interface DnsServer extends AsyncDisposable {
  /** `address:port`, for `upstream.resolver`. */
  readonly address: string
  /** Every name that was asked for, in order, one entry a question. */
  readonly questions: string[]
  /** Waits until somebody has asked for this name. */
  asked(name: string): Promise<void>
  /** What a name resolves to from now on; several calls in a row can tell different stories. */
  set(name: string, ...addresses: string[]): void
  /** From now on a name is another one (CNAME), whose addresses come in the same answer; aliases may follow each other. */
  alias(name: string, to: string): void
  /** Seconds that answers for this name may be remembered from now on; default 60. */
  ttl(name: string, seconds: number): void
  /** From now on questions for this name get no answer at all. */
  silence(name: string): void
  /** Answers for this name again, what was asked meanwhile as well. */
  speak(name: string): void
  /** From now on questions of this type get SERVFAIL. */
  fail(name: string, type: 'A' | 'AAAA'): void
}

const TYPE_A = 1
const TYPE_CNAME = 5
const TYPE_AAAA = 28
const TTL = 60
/** Aliases that are followed for one answer, so that a circle of them ends. */
const ALIASES_LIMIT = 8
const SERVFAIL = 0x8182

/** A DNS server on loopback that knows the names it was told, `*.suffix` included, and answers NXDOMAIN for the rest. */
export async function startDns(names: Record<string, readonly string[]> = {}): Promise<DnsServer> {
  const known = new Map<string, readonly string[]>(Object.entries(names))
  const aliases = new Map<string, string>()
  const ttls = new Map<string, number>()
  const silent = new Map<string, (() => void)[]>()
  const failing = new Set<string>()
  const questions: string[] = []
  const waiting = new Set<() => void>()
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    const { name, type } = readQuestion(query)
    questions.push(`${name} ${type === TYPE_AAAA ? 'AAAA' : 'A'}`)
    for (const wake of waiting) wake()
    const reply = () => replyTo(query, from.port, from.address)
    const kept = silent.get(name)
    if (kept === undefined) reply()
    else kept.push(reply)
  })
  function replyTo(query: Buffer, port: number, address: string): void {
    const { name, end, type } = readQuestion(query)
    const chain = [name]
    for (let to = aliases.get(name); to !== undefined && chain.length < ALIASES_LIMIT; to = aliases.get(to))
      chain.push(to)
    const last = chain.at(-1)!
    const addresses = known.get(last) ?? known.get(`*.${last.slice(last.indexOf('.') + 1)}`)
    const ttl = ttls.get(name) ?? TTL
    const lines = chain.slice(1).map((to, i) => resourceRecord(chain[i]!, TYPE_CNAME, ttl, encodedName(to)))
    for (const text of addresses ?? []) {
      const address = parseIpAddress(text)!
      if ((address.family === 4 ? TYPE_A : TYPE_AAAA) === type)
        lines.push(resourceRecord(last, type, ttl, address.bytes))
    }
    const reply = answer(query, end, addresses === undefined, lines)
    if (failing.has(`${name} ${type}`)) reply.writeUInt16BE(SERVFAIL, 2)
    socket.send(reply, port, address)
  }
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    address: `127.0.0.1:${socket.address().port}`,
    questions,
    asked: (name) =>
      new Promise((resolve) => {
        const look = () => {
          if (!questions.some((each) => each.startsWith(`${name} `))) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
    set: (name, ...addresses) => void known.set(name, addresses),
    alias: (name, to) => void aliases.set(name, to),
    ttl: (name, seconds) => void ttls.set(name, seconds),
    fail: (name, type) => void failing.add(`${name} ${type === 'A' ? TYPE_A : TYPE_AAAA}`),
    silence: (name) => void silent.set(name, []),
    speak(name) {
      const kept = silent.get(name) ?? []
      silent.delete(name)
      for (const reply of kept) reply()
    },
    async [Symbol.asyncDispose]() {
      socket.close()
      await once(socket, 'close')
    },
  }
}

function readQuestion(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function answer(query: Buffer, end: number, missing: boolean, lines: readonly Buffer[]): Buffer {
  const head = Buffer.from(query.subarray(0, end))
  head.writeUInt16BE(missing ? 0x8183 : 0x8180, 2)
  head.writeUInt16BE(lines.length, 6)
  head.writeUInt32BE(0, 8)
  return Buffer.concat([head, ...lines])
}

function resourceRecord(name: string, type: number, ttl: number, data: Uint8Array): Buffer {
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(type, 0)
  fixed.writeUInt16BE(1, 2)
  fixed.writeUInt32BE(ttl, 4)
  fixed.writeUInt16BE(data.length, 8)
  return Buffer.concat([encodedName(name), fixed, data])
}

function encodedName(name: string): Buffer {
  const labels = name
    .split('.')
    .map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`, 'latin1'))
  return Buffer.concat([...labels, Buffer.alloc(1)])
}
