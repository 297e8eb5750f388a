import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { readClientHello } from '../../src/tls/client-hello.ts'
import { clientHello, inRecords, nodeClientHello, serverNameList, vector } from '../kit/client-hello.ts'

const HELLO = clientHello({ serverName: 'ok.test', alpn: ['h2', 'http/1.1'] })
const UNDERSTOOD = { kind: 'hello', serverName: 'ok.test', alpn: ['h2', 'http/1.1'], encrypted: false }

test('TLS-01 a whole ClientHello is read: server name, protocols, no encrypted part', () => {
  expect(readClientHello(inRecords(HELLO))).toMatchObject(UNDERSTOOD)
})

test('TLS-02 split into two records at every byte it reads the same', () => {
  for (let at = 1; at < HELLO.length; at++)
    expect(readClientHello(inRecords(HELLO, at)), `at ${at}`).toMatchObject(UNDERSTOOD)
})

test('TLS-03 one byte a record reads the same', () => {
  const splits = Array.from({ length: HELLO.length - 1 }, (_, i) => i + 1)
  expect(readClientHello(inRecords(HELLO, ...splits))).toMatchObject(UNDERSTOOD)
})

test('TLS-04 cut at every byte it is incomplete, and with fewer bytes than it asks for nothing new is known', () => {
  for (const whole of [inRecords(HELLO), inRecords(HELLO, 1, 2, 3, 50, 51)]) {
    const openings = Array.from(whole, (_, length) => readClientHello(whole.subarray(0, length)))
    expect(openings.map(({ kind }) => kind)).toEqual(openings.map(() => 'incomplete'))
    const needed = openings.map((opening, length) =>
      opening.kind === 'incomplete' ? opening.needed : length,
    )
    expect(needed.every((count, length) => count > length && count <= whole.length)).toBe(true)
    expect(needed.at(-1)).toBe(whole.length)
  }
})

test('TLS-05 what follows in records of its own, such as early data, is not looked at', () => {
  const early = Buffer.concat([inRecords(HELLO), Buffer.from([23, 3, 3, 0, 3, 1, 2, 3])])
  expect(readClientHello(early)).toMatchObject(UNDERSTOOD)
})

test('TLS-06 hellos of Node are understood, with and without a server name, old versions too', async () => {
  const cases = [
    { options: { servername: 'ok.test', ALPNProtocols: ['h2', 'http/1.1'] }, alpn: ['h2', 'http/1.1'] },
    { options: { servername: 'ok.test', maxVersion: 'TLSv1.2' as const }, alpn: [] },
  ]
  for (const { options, alpn } of cases)
    expect(readClientHello(await nodeClientHello(options))).toMatchObject({ ...UNDERSTOOD, alpn })
  expect(readClientHello(await nodeClientHello({}))).toMatchObject({ kind: 'hello', serverName: undefined })
})

test('TLS-07 a hello without extensions has no server name; an encrypted part is seen', () => {
  expect(readClientHello(inRecords(clientHello({ withExtensions: false })))).toMatchObject({
    kind: 'hello',
    serverName: undefined,
    alpn: [],
    encrypted: false,
  })
  const encrypted = clientHello({ serverName: 'front.test', extensions: [[0xfe0d, Buffer.alloc(40)]] })
  expect(readClientHello(inRecords(encrypted))).toMatchObject({ serverName: 'front.test', encrypted: true })
})

const twoNames = Buffer.concat([Buffer.from([0]), vector(2, Buffer.from('a.test'))])

const NOT_TLS: readonly [what: string, bytes: Buffer][] = [
  ['plain text', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['an SSH banner', Buffer.from('SSH-2.0-OpenSSH_9.6\r\n')],
  ['one byte that is no record', Buffer.from([0x80])],
  ['an SSLv2 hello', Buffer.from([0x80, 0x2e, 1, 0, 2])],
  ['a record of TLS version 4', Buffer.from([22, 4])],
  ['an alert', Buffer.from([21, 3, 1, 0, 2, 2, 40])],
  ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
  ['a record that is too long', Buffer.from([22, 3, 1, 0x40, 1])],
  ['a ServerHello', Buffer.from([22, 3, 3, 0, 4, 2, 0, 0, 0])],
  ['a hello that is too long', Buffer.from([22, 3, 1, 0, 4, 1, 1, 0, 1])],
  ['a hello and one byte more in its record', inRecords(Buffer.concat([HELLO, Buffer.from([0])]))],
  [
    'a second record that is no handshake',
    Buffer.concat([inRecords(HELLO.subarray(0, 9)), Buffer.from([23])]),
  ],
  ['a hello of no length', inRecords(Buffer.from([1, 0, 0, 0]))],
  [
    'two server_name extensions',
    inRecords(clientHello({ serverName: 'ok.test', extensions: [[0, serverNameList('b.test')]] })),
  ],
  [
    'two names in one extension',
    inRecords(clientHello({ extensions: [[0, vector(2, Buffer.concat([twoNames, twoNames]))]] })),
  ],
  [
    'a name of an unknown type',
    inRecords(clientHello({ extensions: [[0, vector(2, Buffer.from([1, 0, 1, 0x61]))]] })),
  ],
  ['an empty name', inRecords(clientHello({ serverName: '' }))],
  [
    'an extension that reaches beyond the list',
    inRecords(clientHello({ extensions: [[0, Buffer.from([0, 9])]] })),
  ],
  [
    'more records than anybody needs',
    Buffer.concat(Array.from({ length: 5000 }, () => Buffer.from([22, 3, 1, 0, 1, 1]))),
  ],
]

test('TLS-08 what is no ClientHello, or an ambiguous one, is not TLS', () => {
  for (const [what, bytes] of NOT_TLS) expect(readClientHello(bytes).kind, what).toBe('not_tls')
})

test('TLS-09 whatever is changed in a hello, reading it never throws and never waits for more than the limit', () => {
  const change = fc.record({ at: fc.nat({ max: 5000 }), to: fc.nat({ max: 255 }) })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), fc.nat({ max: 400 }), (changes, cut) => {
      const bytes = Buffer.from(inRecords(HELLO, 30, 60))
      for (const { at, to } of changes) bytes[at % bytes.length] = to
      const opening = readClientHello(bytes.subarray(0, bytes.length - cut))
      if (opening.kind === 'incomplete') expect(opening.needed).toBeLessThanOrEqual(5 + 16_384 + bytes.length)
      if (opening.kind === 'hello') expect(opening.serverName).not.toBe('')
    }),
    { numRuns: 5000 },
  )
})

test('TLS-10 whatever bytes come, reading them never throws', () => {
  const bytes = fc.uint8Array({ maxLength: 600 })
  fc.assert(
    fc.property(bytes, (noise) => {
      readClientHello(Buffer.from(noise))
      readClientHello(Buffer.concat([Buffer.from([22, 3, 1, 0, 200, 1, 0, 0, 196]), Buffer.from(noise)]))
    }),
    { numRuns: 5000 },
  )
})

test('TLS-11 a hello in endless tiny records is given up after a bounded number of looks', () => {
  const head = inRecords(Buffer.from([1, 0, 0xff, 0]))
  const one = inRecords(Buffer.from([7]))
  const bytes = Buffer.concat([head, ...Array.from({ length: 10_000 }, () => one)])
  let looks = 0
  let opening = readClientHello(bytes.subarray(0, 0))
  for (let length = 1; opening.kind === 'incomplete' && length <= bytes.length; length++) {
    if (length < opening.needed) continue
    looks++
    opening = readClientHello(bytes.subarray(0, length))
  }
  expect(opening).toMatchObject({ kind: 'not_tls' })
  expect(looks).toBeLessThan(3100)
})
