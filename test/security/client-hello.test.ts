import type { SecureContext } from 'node:tls'
import { beforeAll, expect, test } from 'vitest'
import { type Opening, readClientHello } from '../../src/tls/client-hello.ts'
import { HelloRetry } from '../../src/tls/hello-retry.ts'
import { fuzzRun, Random } from '../http1/random.ts'
import { makeCertificate } from '../kit/certificate.ts'
import { clientHello, inRecords, serverNameList, vector } from '../kit/client-hello.ts'
import { firstFlight, openSslView, serverContext } from './openssl.ts'

// A ClientHello is read by us and then by the server. Whatever the two could see differently is a way to another host, so
// OpenSSL is the oracle: of a hello that we accept and it answers, both must see the same name.

let context: SecureContext
/** Hellos of Node's own TLS: 1.2 and 1.3, with and without a name, with and without ALPN. */
const real: { bytes: Buffer; serverName: string | undefined; alpn: readonly string[] }[] = []

beforeAll(async () => {
  await using certificate = await makeCertificate('ok.test')
  context = serverContext(certificate)
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const)
    for (const serverName of ['ok.test', undefined])
      for (const alpn of [['h2', 'http/1.1'], []])
        real.push({
          bytes: await firstFlight({
            maxVersion,
            ...(serverName !== undefined && { servername: serverName }),
            ...(alpn.length > 0 && { ALPNProtocols: alpn }),
          }),
          serverName,
          alpn,
        })
})

/** The message without its record. */
const messageOf = (record: Buffer) => record.subarray(5)
const understood = (opening: Opening) => opening.kind === 'hello'

/** Fails where OpenSSL answers this hello, which we accept, for another name than the one that we see. */
async function expectSameName(bytes: Buffer, what: string): Promise<'refused' | 'not_answered' | 'same'> {
  const ours = readClientHello(bytes)
  if (ours.kind !== 'hello') return 'refused'
  const theirs = await openSslView(context, bytes)
  if (theirs.kind === 'not_answered') return 'not_answered'
  expect(theirs.serverName, `${what}: ${bytes.toString('hex')}`).toBe(ours.serverName)
  return 'same'
}

/** Asks as a reader does to whom the bytes come one by one: again whenever there is what was needed. */
function readByteByByte(bytes: Buffer): { opening: Opening; looks: number } {
  let opening = readClientHello(bytes.subarray(0, 0))
  let looks = 1
  for (let length = 1; opening.kind === 'incomplete' && length <= bytes.length; length++) {
    if (length < opening.needed) continue
    opening = readClientHello(bytes.subarray(0, length))
    looks++
  }
  return { opening, looks }
}

test('SEC-22a hellos of OpenSSL are understood as OpenSSL understands them, and are incomplete when cut at any byte', async () => {
  expect(real).toHaveLength(8)
  for (const { bytes, serverName, alpn } of real) {
    const whole = { kind: 'hello', serverName, alpn, encrypted: false }
    expect(readClientHello(bytes)).toMatchObject(whole)
    expect(await openSslView(context, bytes)).toEqual({ kind: 'answered', serverName })
    for (let length = 0; length < bytes.length; length++)
      expect(readClientHello(bytes.subarray(0, length)).kind, `cut at ${length}`).toBe('incomplete')
    const { opening, looks } = readByteByByte(bytes)
    expect(opening).toMatchObject(whole)
    // Nothing, the type, the version, the header, the message header, the record: not one look a byte.
    expect(looks).toBeLessThan(12)
  }
})

test('SEC-22b split over records at every byte, a hello is the same to us and to OpenSSL', async () => {
  for (const { bytes, serverName, alpn } of real) {
    const message = messageOf(bytes)
    const whole = { kind: 'hello', serverName, alpn, encrypted: false }
    for (let at = 1; at < message.length; at++) {
      expect(readClientHello(inRecords(message, at)), `at ${at}`).toMatchObject(whole)
      if (at < 5 || at % 97 === 0)
        expect(await expectSameName(inRecords(message, at), `at ${at}`)).toBe('same')
    }
    const thirds = inRecords(message, 1, 2, 3, 4, 5, 40, message.length - 1)
    expect(readByteByByte(thirds).opening).toMatchObject(whole)
    expect(await expectSameName(thirds, 'many records')).toBe('same')
  }
})

test('SEC-22c what is not a handshake record, before or within the hello, is refused, and so is an empty record', () => {
  const message = messageOf(real[0]!.bytes)
  const strangers: readonly (readonly [what: string, bytes: Buffer])[] = [
    ['a warning', Buffer.from([21, 3, 3, 0, 2, 1, 112])],
    ['a close_notify', Buffer.from([21, 3, 3, 0, 2, 1, 0])],
    ['a change_cipher_spec', Buffer.from([20, 3, 3, 0, 1, 1])],
    ['application data', Buffer.from([23, 3, 3, 0, 1, 0])],
    ['a heartbeat', Buffer.from([24, 3, 3, 0, 3, 1, 0, 0])],
    ['an empty handshake record', Buffer.from([22, 3, 1, 0, 0])],
    ['an empty alert', Buffer.from([21, 3, 1, 0, 0])],
  ]
  for (const [what, stranger] of strangers) {
    expect(readClientHello(Buffer.concat([stranger, inRecords(message)])).kind, `${what} before`).toBe(
      'not_tls',
    )
    for (const at of [1, 4, 50, 200, message.length - 1]) {
      const parts = [inRecords(message.subarray(0, at)), stranger, inRecords(message.subarray(at))]
      expect(readClientHello(Buffer.concat(parts)).kind, `${what} at ${at}`).toBe('not_tls')
    }
    // A whole hello is judged, whatever follows.
    expect(understood(readClientHello(Buffer.concat([inRecords(message), stranger]))), what).toBe(true)
  }
})

/** A real hello taken apart, so that single fields can be replaced. */
interface HelloFields {
  readonly start: Buffer
  readonly session: Buffer
  readonly ciphers: Buffer
  readonly compression: Buffer
  readonly extensions: readonly (readonly [type: number, content: Buffer])[]
}

function takeApart(bytes: Buffer): HelloFields {
  const body = messageOf(bytes).subarray(4)
  let at = 34
  const take = (size: 1 | 2) => {
    const length = body.readUIntBE(at, size)
    at += size + length
    return body.subarray(at - length, at)
  }
  const [start, session, ciphers, compression] = [body.subarray(0, 34), take(1), take(2), take(1)]
  const list = take(2)
  const extensions: [number, Buffer][] = []
  for (let i = 0; i < list.length; i += 4 + list.readUInt16BE(i + 2))
    extensions.push([list.readUInt16BE(i), list.subarray(i + 4, i + 4 + list.readUInt16BE(i + 2))])
  return { start, session, ciphers, compression, extensions }
}

function putTogether({ start, session, ciphers, compression, extensions }: HelloFields): Buffer {
  const all = extensions.map(([type, content]) =>
    Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, content)]),
  )
  const body = [start, vector(1, session), vector(2, ciphers), vector(1, compression)]
  const content = Buffer.concat([...body, vector(2, Buffer.concat(all))])
  return inRecords(Buffer.concat([Buffer.from([1]), vector(3, content)]))
}

const GREASE = Array.from({ length: 16 }, (_, i) => i * 0x1010 + 0x0a0a)
const SERVER_NAME = 0
const GROUPS = 10
const ENCRYPTED_HELLO = 0xfe0d
const EARLY_DATA = 42

test('SEC-22d GREASE in ciphers, groups, versions and extensions, and unknown extensions, change nothing', async () => {
  for (const { bytes, serverName, alpn } of real) {
    const fields = takeApart(bytes)
    expect(putTogether(fields).subarray(9).equals(bytes.subarray(9)), 'the taking apart is right').toBe(true)
    for (const value of GREASE) {
      const pair = Buffer.from([value >> 8, value & 255])
      const greased = putTogether({
        ...fields,
        ciphers: Buffer.concat([pair, fields.ciphers]),
        extensions: [
          [value, Buffer.alloc(0)],
          ...fields.extensions.map(
            ([type, content]) =>
              [
                type,
                type === GROUPS ? vector(2, Buffer.concat([pair, content.subarray(2)])) : content,
              ] as const,
          ),
          [value ^ 0x1010, Buffer.from([0])],
          [0xabcd, Buffer.alloc(300, 0)],
        ],
      })
      expect(readClientHello(greased)).toMatchObject({ kind: 'hello', serverName, alpn })
      expect(await expectSameName(greased, `GREASE ${value}`)).toBe('same')
    }
  }
})

const nameOf = (type: number, name: string) =>
  Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(name, 'latin1'))])
const list = (...names: readonly Buffer[]) => vector(2, Buffer.concat(names))
const AMBIGUOUS: readonly (readonly [what: string, extensions: readonly Buffer[]])[] = [
  ['two extensions', [serverNameList('ok.test'), serverNameList('denied.test')]],
  ['the same extension twice', [serverNameList('ok.test'), serverNameList('ok.test')]],
  ['two names', [list(nameOf(0, 'ok.test'), nameOf(0, 'denied.test'))]],
  ['a name behind one of another type', [list(nameOf(1, 'x'), nameOf(0, 'ok.test'))]],
  ['a name of another type behind it', [list(nameOf(0, 'ok.test'), nameOf(1, 'denied.test'))]],
  ['a name of another type only', [list(nameOf(255, 'ok.test'))]],
  ['an empty list', [vector(2, Buffer.alloc(0))]],
  ['an empty extension', [Buffer.alloc(0)]],
  ['an empty name', [serverNameList('')]],
  ['bytes behind the list', [Buffer.concat([serverNameList('ok.test'), Buffer.from([0])])]],
  ['bytes behind the name', [list(nameOf(0, 'ok.test'), Buffer.from([0]))]],
]

test('SEC-22e a server name that two readers could read as two is refused, wherever it stands', () => {
  for (const { bytes } of real) {
    const fields = takeApart(bytes)
    const others = fields.extensions.filter(([type]) => type !== SERVER_NAME)
    for (const [what, contents] of AMBIGUOUS) {
      const names = contents.map((content) => [SERVER_NAME, content] as const)
      const [first, ...rest] = names
      for (const extensions of [
        [...names, ...others],
        [...others, ...names],
        [first!, ...others, ...rest],
      ])
        expect(readClientHello(putTogether({ ...fields, extensions })).kind, what).toBe('not_tls')
    }
    const twice = [...others, ...others.slice(0, 1)]
    expect(readClientHello(putTogether({ ...fields, extensions: twice })).kind, 'any extension twice').toBe(
      'not_tls',
    )
  }
})

test('SEC-22x bytes behind the list of extensions are refused: another reader might read on there', () => {
  for (const { bytes } of real) {
    const body = messageOf(bytes).subarray(4)
    const hidden = Buffer.concat([Buffer.from([0, 0]), vector(2, serverNameList('denied.test'))])
    for (const behind of [Buffer.from([0]), hidden, vector(2, hidden)]) {
      const message = Buffer.concat([Buffer.from([1]), vector(3, Buffer.concat([body, behind]))])
      expect(readClientHello(inRecords(message)).kind).toBe('not_tls')
    }
  }
})

test('SEC-22f odd names come through byte for byte, so that the one parser of hosts judges what the server sees', async () => {
  const names = ['OK.Test', 'ok.test.', 'ok.test..', '127.0.0.1', '::1', '[::1]', 'ok.test:443', ' ok.test']
  names.push('ok.test\n', '*', '\xbak.test', 'ok.test\0', 'ok\0.denied.test', '\0', 'x'.repeat(255))
  names.push('x'.repeat(256), 'x'.repeat(9000))
  const fields = takeApart(real[0]!.bytes)
  for (const name of names) {
    const extensions = fields.extensions.map(
      ([type, content]) => [type, type === SERVER_NAME ? serverNameList(name) : content] as const,
    )
    const hello = putTogether({ ...fields, extensions })
    expect(readClientHello(hello)).toMatchObject({ kind: 'hello', serverName: name })
    const outcome = await expectSameName(hello, name)
    expect(outcome, name).toBe(name.includes('\0') || name.length > 255 ? 'not_answered' : 'same')
  }
})

test('SEC-22g an encrypted hello is seen as one, with the outer name; early data does not hide the name', async () => {
  const fields = takeApart(real[0]!.bytes)
  const outer = (...more: readonly (readonly [number, Buffer])[]) =>
    putTogether({ ...fields, extensions: [...fields.extensions, ...more] })
  for (const content of [Buffer.alloc(0), Buffer.from([1]), Buffer.alloc(250, 7)])
    expect(readClientHello(outer([ENCRYPTED_HELLO, content]))).toMatchObject({
      serverName: 'ok.test',
      encrypted: true,
    })
  const early = Buffer.concat([
    outer([EARLY_DATA, Buffer.alloc(0)]),
    Buffer.from([23, 3, 3, 0, 4]),
    messageOf(inRecords(clientHello({ serverName: 'denied.test' }))).subarray(0, 4),
  ])
  expect(readClientHello(early)).toMatchObject({ serverName: 'ok.test', encrypted: false })
  expect(await expectSameName(early, 'early data')).not.toBe('refused')
})

/** Where the lengths stand in a hello in one record, how many bytes each has, and whether we read what it measures. */
function lengthFields(bytes: Buffer): (readonly [at: number, size: 1 | 2 | 3, isRead: boolean])[] {
  const { session, ciphers, compression, extensions } = takeApart(bytes)
  const places: (readonly [number, 1 | 2 | 3, boolean])[] = [
    [3, 2, true],
    [6, 3, true],
    [43, 1, true],
  ]
  let at = 44 + session.length
  places.push([at, 2, true])
  at += 2 + ciphers.length
  places.push([at, 1, true])
  at += 1 + compression.length
  places.push([at, 2, true])
  at += 2
  for (const [type, content] of extensions) {
    places.push([at + 2, 2, type === SERVER_NAME])
    // Lists within: of the names, of one name, of the protocols.
    if (type === SERVER_NAME) places.push([at + 4, 2, true], [at + 7, 2, true])
    if (type === 16) places.push([at + 4, 2, false], [at + 6, 1, false])
    at += 4 + content.length
  }
  expect(at).toBe(bytes.length)
  return places
}

test('SEC-22h a length that lies, each by one, zero, doubled and at its maximum, is never a hello with another name', async () => {
  const seen = { refused: 0, not_answered: 0, same: 0 }
  for (const { bytes } of real)
    for (const [at, size, isRead] of lengthFields(bytes)) {
      const honest = bytes.readUIntBE(at, size)
      const largest = 256 ** size - 1
      for (const lie of [honest - 1, honest + 1, 0, 1, honest * 2, largest, largest - 1, largest >> 1]) {
        if (lie < 0 || lie > largest || lie === honest) continue
        const lying = Buffer.from(bytes)
        lying.writeUIntBE(lie, at, size)
        const opening = readClientHello(lying)
        if (opening.kind === 'incomplete') expect(opening.needed).toBeLessThanOrEqual(65_536 + 16_384)
        if (isRead && Math.abs(lie - honest) === 1)
          expect(opening.kind, `${lie} instead of ${honest} at ${at}`).not.toBe('hello')
        seen[await expectSameName(lying, `${lie} at ${at}`)]++
      }
    }
  // Extensions of which nobody reads the content may well be lied about; those that we read may not.
  expect(seen.refused).toBeGreaterThan(500)
})

test('SEC-22i a hello that ends at any byte, with lengths that say so, is refused or has no name', () => {
  for (const { bytes } of real) {
    const body = messageOf(bytes).subarray(4)
    const { session, ciphers, compression } = takeApart(bytes)
    const withoutExtensions = 34 + 1 + session.length + 2 + ciphers.length + 1 + compression.length
    for (let length = 0; length < body.length; length++) {
      const message = Buffer.concat([Buffer.from([1]), vector(3, body.subarray(0, length))])
      const opening = readClientHello(inRecords(message))
      if (length === withoutExtensions)
        expect(opening).toMatchObject({ kind: 'hello', serverName: undefined, alpn: [] })
      else expect(opening.kind, `${length} bytes`).toBe('not_tls')
    }
  }
})

test('SEC-22j sixteen megabytes, declared in four bytes, are refused with the fourth; 64 KiB are the most that is waited for', () => {
  const declaring = (length: number) => {
    const head = Buffer.alloc(9)
    head.set([22, 3, 1, 0x40, 0, 1])
    head.writeUIntBE(length, 6, 3)
    return head
  }
  for (const length of [65_533, 65_537, 0x0f_ff_ff, 0xff_ff_ff]) {
    expect(readClientHello(declaring(length).subarray(0, 8)).kind).toBe('incomplete')
    expect(readClientHello(declaring(length)).kind, `${length}`).toBe('not_tls')
  }
  expect(readClientHello(declaring(65_532))).toMatchObject({ kind: 'incomplete' })
})

test('SEC-22k the looks at a hello that comes byte by byte grow with its records, not with its bytes', () => {
  for (const size of [2_000, 16_000, 60_000]) {
    const message = clientHello({ serverName: 'ok.test', extensions: [[0xabcd, Buffer.alloc(size)]] })
    for (const records of [1, 10, 100]) {
      const step = Math.min(16_384, Math.ceil(message.length / records))
      const splits = Array.from({ length: Math.ceil(message.length / step) - 1 }, (_, i) => (i + 1) * step)
      const { opening, looks } = readByteByByte(inRecords(message, ...splits))
      expect(opening).toMatchObject({ kind: 'hello', serverName: 'ok.test' })
      expect(looks).toBeLessThan(12 + 5 * (splits.length + 1))
    }
  }
})

test('SEC-22u however a second hello is cut into pieces, it passes whole for the same host, and not at all for another', () => {
  const before = Buffer.from([20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 3, 22, 1, 22, 23, 3, 3, 0, 0])
  const behind = Buffer.from('whatever')
  const agrees = (name: string | undefined) => name === 'ok.test'
  for (const name of ['ok.test', 'denied.test']) {
    const message = clientHello({ serverName: name })
    const hello = inRecords(message, 1, 60)
    const all = Buffer.concat([before, hello, behind])
    for (let first = 0; first <= all.length; first++)
      for (const step of [1, 11, all.length]) {
        const retry = new HelloRetry(agrees, 65_536)
        const passed: Buffer[] = []
        let refused: string | undefined
        for (let at = 0; at < all.length && refused === undefined;) {
          const end = at < first ? first : Math.min(all.length, at + step)
          // The read buffer of the caller is used again.
          const piece = Buffer.from(all.subarray(at, end))
          const sequel = retry.sent(piece)
          if (sequel.kind === 'refused') refused = String(sequel.serverName)
          else passed.push(Buffer.from(sequel.bytes))
          piece.fill(0)
          at = end
        }
        const through = Buffer.concat(passed)
        if (name === 'ok.test')
          expect([refused, through.equals(all), retry.isOver]).toEqual([undefined, true, true])
        else {
          expect(refused).toBe(name)
          expect(through.equals(before.subarray(0, through.length)), `${first}, ${step}`).toBe(true)
        }
      }
  }
})

test('SEC-22w what is no handshake is not held, so that nothing waits for what will never come', () => {
  const retry = new HelloRetry(() => false, 1000)
  const records = [
    Buffer.from([20, 3, 3, 0, 1, 1]),
    Buffer.from([23, 3, 3, 0, 0]),
    Buffer.from([21, 3, 3, 0, 2, 1, 0]),
  ]
  for (const record of records) {
    expect(retry.sent(record)).toEqual({ kind: 'pass', bytes: record })
    expect(retry.isHolding).toBe(false)
  }
  expect(retry.isOver).toBe(false)
})

test('SEC-22v a second hello that never ends is refused at the limit', () => {
  const retry = new HelloRetry(() => true, 1000)
  const endless = inRecords(Buffer.concat([Buffer.from([1, 0, 0xff, 0]), Buffer.alloc(2000)]))
  let held = 0
  for (const byte of endless) {
    if (retry.sent(Buffer.from([byte])).kind === 'refused') break
    held++
  }
  expect(held).toBeLessThanOrEqual(1000)
})

/** A real hello with a few changes: of extensions, of single bytes, of the records it comes in. */
function mutated(random: Random): Buffer {
  let fields = takeApart(random.pick(real).bytes)
  for (const change of random.many(0, 2, () => random.int(5))) {
    const extensions = [...fields.extensions]
    const at = random.int(extensions.length + 1)
    const name = random.pick(['ok.test', 'denied.test', 'OK.test.', 'a', '\0', 'ok.test\0x'])
    const names = random.many(1, 2, () => nameOf(random.pick([0, 0, 0, 1]), name))
    if (change === 0) extensions.splice(at, 0, [SERVER_NAME, list(...names)])
    if (change === 1) extensions.splice(at, 1)
    if (change === 2) extensions.splice(at, 0, [random.int(65_536), Buffer.alloc(random.int(40))])
    if (change === 3) extensions.splice(at, 1, [random.pick([0, 16, 43, 51, 0xfe0d]), list(...names)])
    if (change === 4 && at < extensions.length)
      extensions.splice(at, 1, [extensions[at]![0], noisy(random, extensions[at]![1])])
    fields = { ...fields, extensions }
  }
  let message: Buffer = messageOf(putTogether({ ...fields, ciphers: Buffer.from([0x13, 1, 0xc0, 0x2b]) }))
  if (random.chance(0.5)) message = noisy(random, message)
  const splits = random.many(0, 3, () => 1 + random.int(message.length)).toSorted((a, b) => a - b)
  const wire = inRecords(message, ...(random.chance(0.5) ? splits : []))
  return random.chance(0.2) ? noisy(random, wire) : wire
}

function noisy(random: Random, bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes)
  if (changed.length === 0) return changed
  for (const value of random.many(1, 3, () => random.int(256))) {
    const at = random.int(Math.min(changed.length, random.pick([60, 200, changed.length])))
    changed[at] = random.chance(0.5) ? value : changed[at]! ^ (1 << (value & 7))
  }
  if (random.chance(0.1)) return changed.subarray(0, random.int(changed.length))
  return changed
}

test(
  'SEC-22l however a hello is mutated, OpenSSL never answers one that we accept for another name than we see',
  { timeout: 3_600_000 },
  async () => {
    const { seed, count } = fuzzRun('ClientHello against OpenSSL', 4_000)
    const random = new Random(seed)
    const seen = { refused: 0, not_answered: 0, same: 0 }
    for (let i = 0; i < count; i++) {
      const bytes = mutated(random)
      seen[await expectSameName(bytes, `seed ${seed}, case ${i}`)]++
      const { opening } = readByteByByte(bytes)
      // Who waits for all that is needed may hear a little later that it is none, and never anything else.
      const whole = readClientHello(bytes).kind
      if (opening.kind !== 'incomplete' || whole === 'hello')
        expect(opening.kind, `seed ${seed}, case ${i}`).toBe(whole)
    }
    // A fuzzer that is always refused, or never, proves nothing.
    expect(seen.same).toBeGreaterThan(count / 20)
    expect(seen.refused).toBeGreaterThan(count / 20)
    process.stdout.write(`ClientHello against OpenSSL: ${JSON.stringify(seen)}\n`)
  },
)
