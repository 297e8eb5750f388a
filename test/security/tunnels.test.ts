import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect as tlsConnect, createServer as createTlsServer } from 'node:tls'
import { expect, test } from 'vitest'
import { makeCertificate } from '../kit/certificate.ts'
import { clientHello, inRecords, serverNameList } from '../kit/client-hello.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { loopbackAddress, type OriginServer, startEchoOrigin, startRawOrigin } from '../kit/origin.ts'
import type { RawClient } from '../kit/raw-client.ts'
import { type Route, type RouteOptions, startRoute } from '../kit/route.ts'

// Ports 80 and 443 are what give a tunnel its meaning, so these tests bind them, on loopback addresses of their own.
const testOnLowPorts = test.runIf(process.getuid?.() === 0)

interface Listening extends Route {
  /** What the origin has heard, latin1: on its n-th connection (from 1), or on all of them. */
  heard(n?: number): string
}

/** A proxy in front of an origin on this port, whose every name leads there; `answer`: what the origin says to the first bytes. */
async function routeTo(
  port: number,
  {
    answer,
    greeting,
    ...options
  }: Partial<RouteOptions<OriginServer>> & { answer?: Buffer | string; greeting?: string } = {},
): Promise<Listening> {
  const host = loopbackAddress()
  const heard: string[] = []
  const origin = startRawOrigin(
    (socket) => {
      const n = heard.push('') - 1
      if (greeting !== undefined) socket.write(greeting)
      if (answer !== undefined) socket.once('data', () => socket.write(answer))
      socket.on('data', (bytes: Buffer) => void (heard[n] += bytes.toString('latin1')))
      socket.on('end', () => socket.end())
    },
    { host, port },
  )
  const names = { 'ok.test': [host], 'other.test': [host], 'denied.test': [host], 'new.test': [host] }
  const allowed = ['ok.test', 'other.test']
  const route = await startRoute({ origin, names, allowed, ...options })
  return Object.assign(route, { heard: (n?: number) => (n === undefined ? heard.join('') : heard[n - 1]!) })
}

const helloFor = (serverName: string, more: readonly (readonly [number, Buffer])[] = []) =>
  clientHello({ serverName, extensions: more })
const ENCRYPTED: readonly [number, Buffer] = [0xfe0d, Buffer.alloc(250, 7)]

/** What must not pass a tunnel to ok.test:443, and how its end is told. */
const STRANGERS: readonly (readonly [what: string, bytes: Buffer | string, trouble: string])[] = [
  ['an SSH banner', 'SSH-2.0-OpenSSH_9.6\r\n', 'tls_required'],
  ['plain HTTP', 'GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n', 'tls_required'],
  ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'tls_required'],
  ['a CONNECT', 'CONNECT ok.test:443 HTTP/1.1\r\n\r\n', 'tls_required'],
  ['a SOCKS greeting', '\x05\x01\x00', 'tls_required'],
  ['SMTP', 'EHLO ok.test\r\n', 'tls_required'],
  ['a PROXY header before TLS', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n', 'tls_required'],
  ['an SSLv2 hello', '\x80\x2e\x01\x03\x01', 'tls_required'],
  ['an alert first', Buffer.from([21, 3, 1, 0, 2, 1, 0]), 'tls_required'],
  ['a change_cipher_spec first', Buffer.from([20, 3, 1, 0, 1, 1]), 'tls_required'],
  ['no name', inRecords(clientHello({})), 'tls_server_name_mismatch'],
  ['a denied name', inRecords(helloFor('denied.test')), 'tls_server_name_mismatch'],
  ['an allowed name, but another', inRecords(helloFor('other.test')), 'tls_server_name_mismatch'],
  ['a foreign name over two records', inRecords(helloFor('denied.test'), 60), 'tls_server_name_mismatch'],
  [
    'an encrypted hello with a foreign outer name',
    inRecords(helloFor('front.test', [ENCRYPTED])),
    'tls_server_name_mismatch',
  ],
  [
    'an encrypted hello without a name',
    inRecords(clientHello({ extensions: [ENCRYPTED] })),
    'tls_server_name_mismatch',
  ],
  ['an address as name', inRecords(helloFor('127.0.0.1')), 'tls_server_name_mismatch'],
  ['a name with NUL', inRecords(helloFor('ok.test\0.denied.test')), 'tls_server_name_mismatch'],
  ['two names', inRecords(helloFor('ok.test', [[0, serverNameList('denied.test')]])), 'tls_required'],
]

/** Opens a tunnel to this authority with these bytes right behind the CONNECT. */
async function tunnelWith(route: Route, authority: string, bytes: Buffer | string): Promise<RawClient> {
  const client = await route.client()
  client.write(
    Buffer.concat([
      Buffer.from(`CONNECT ${authority} HTTP/1.1\r\n\r\n`),
      Buffer.from(bytes as string, 'latin1'),
    ]),
  )
  expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  return client
}

const completions = (route: Route) =>
  route.proxy.events
    .filter(({ event }) => event === 'sallyport.egress.completed')
    .map(({ attributes }) => attributes)

testOnLowPorts(
  'SEC-22m what is no hello for the target is refused on 443 and recorded once; the origin hears not one byte',
  async () => {
    await using route = await routeTo(443)
    for (const [i, [what, bytes, trouble]] of STRANGERS.entries()) {
      await using client = await tunnelWith(route, 'ok.test:443', bytes)
      await client.rest()
      expect(await route.completed(i + 1), what).toMatchObject({
        'error.type': trouble,
        'sallyport.bytes.sent': 0,
        'sallyport.bytes.received': 0,
      })
      expect(route.heard(), what).toBe('')
    }
    expect(route.decisions()).toHaveLength(STRANGERS.length)
    expect(completions(route)).toHaveLength(STRANGERS.length)
  },
)

testOnLowPorts('SEC-22n with raw for this host and port the same strangers pass, byte for byte', async () => {
  await using route = await routeTo(443, { more: '[tunnel]\nraw = ["ok.test:443"]' })
  let all = ''
  for (const [i, [what, bytes]] of STRANGERS.entries()) {
    await using client = await tunnelWith(route, 'ok.test:443', bytes)
    client.socket.end()
    await client.rest()
    all += Buffer.from(bytes as string, 'latin1').toString('latin1')
    expect((await route.completed(i + 1))['error.type'], what).toBeUndefined()
    expect(route.heard(), what).toBe(all)
  }
  // For this host and no other.
  await using client = await tunnelWith(route, 'other.test:443', STRANGERS[0]![1])
  await client.rest()
  expect(await route.completed(STRANGERS.length + 1)).toMatchObject({ 'error.type': 'tls_required' })
  expect(route.heard()).toBe(all)
})

testOnLowPorts(
  'SEC-22o an encrypted hello whose outer name is the target passes: many clients send one that means nothing',
  async () => {
    await using route = await routeTo(443)
    const hello = inRecords(helloFor('ok.test', [ENCRYPTED]))
    await using client = await tunnelWith(route, 'ok.test:443', hello)
    await expect.poll(() => route.heard(), { timeout: 15_000 }).toBe(hello.toString('latin1'))
    client.socket.end()
    await client.rest()
    expect((await route.completed())['error.type']).toBeUndefined()
  },
)

testOnLowPorts(
  'SEC-22p a server that speaks first is not heard on 443, and a client that stays silent is given up',
  async () => {
    const clock = createFakeClock()
    await using route = await routeTo(443, { clock, greeting: 'SSH-2.0-server\r\n' })
    await using client = await route.tunnel()
    clock.advance(30_000)
    expect(await client.rest()).toBe('')
    expect(await route.completed()).toMatchObject({
      'error.type': 'idle_timeout',
      'sallyport.bytes.received': 0,
    })
    expect(route.decisions()).toHaveLength(1)
    expect(completions(route)).toHaveLength(1)
    expect(route.heard()).toBe('')
  },
)

test('SEC-22q on another port that policy names, what is spoken is up to the two ends', async () => {
  const heard: string[] = []
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.write('SSH-2.0-server\r\n')
      socket.on('data', (bytes) => void heard.push(bytes.toString('latin1')))
      socket.on('end', () => socket.end())
    }),
  })
  await using client = await route.tunnel()
  await client.until('SSH-2.0-server\r\n')
  client.write('SSH-2.0-client\r\n')
  client.socket.end()
  await client.rest()
  expect(heard.join('')).toBe('SSH-2.0-client\r\n')
  expect((await route.completed())['error.type']).toBeUndefined()
})

/** The beginning of a ServerHello that asks for a second ClientHello (RFC 8446 §4.1.3). */
const RETRY = inRecords(
  Buffer.concat([
    Buffer.from([2, 0, 0, 38, 3, 3]),
    Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex'),
    Buffer.from([0, 0x13, 1, 0]),
  ]),
)
const CHANGE_CIPHER_SPEC = Buffer.from([20, 3, 3, 0, 1, 1])
const EARLY_DATA = Buffer.from([23, 3, 3, 0, 4, 1, 2, 3, 4])

testOnLowPorts(
  'SEC-22r a second ClientHello for another host is refused, and nothing of it reaches the origin',
  async () => {
    const first = inRecords(helloFor('ok.test'))
    const foreign = helloFor('denied.test')
    const seconds: readonly (readonly [what: string, passes: Buffer, rest: readonly Buffer[]])[] = [
      ['at once', Buffer.alloc(0), [inRecords(foreign)]],
      ['behind a change_cipher_spec', CHANGE_CIPHER_SPEC, [inRecords(foreign)]],
      ['behind early data', Buffer.concat([EARLY_DATA, CHANGE_CIPHER_SPEC]), [inRecords(foreign)]],
      ['over several records', CHANGE_CIPHER_SPEC, [inRecords(foreign, 1, 3, 50)]],
      ['byte by byte', CHANGE_CIPHER_SPEC, Array.from(inRecords(foreign, 70), (byte) => Buffer.from([byte]))],
      ['without a name', CHANGE_CIPHER_SPEC, [inRecords(clientHello({}))]],
      [
        'that is broken off by another message',
        CHANGE_CIPHER_SPEC,
        [inRecords(foreign.subarray(0, 50)), EARLY_DATA],
      ],
      ['that is empty', CHANGE_CIPHER_SPEC, [Buffer.from([22, 3, 3, 0, 0, 1])]],
    ]
    await using route = await routeTo(443, { answer: RETRY })
    let n = 0
    for (const [what, passes, rest] of seconds)
      for (const waits of [true, false]) {
        n++
        await using client = await route.tunnel()
        if (waits) {
          client.write(first)
          await client.until(RETRY.toString('latin1'))
          client.write(passes)
          for (const piece of rest) client.write(piece)
        } else client.write(Buffer.concat([first, passes, ...rest]))
        await client.rest()
        const completed = await route.completed(n)
        expect(completed['error.type'], what).toBe('tls_server_name_mismatch')
        // What came in one piece with the second hello is not passed on any more.
        expect(completed['sallyport.bytes.sent'], what).toBeGreaterThanOrEqual(first.length)
        expect(completed['sallyport.bytes.sent'], what).toBeLessThanOrEqual(first.length + passes.length)
        if (rest.some((piece) => piece.includes('denied.test')))
          expect(completed['tls.client.server_name'], what).toBe('denied.test')
        // What was passed on before the reset may be lost by it.
        expect(Buffer.concat([first, passes]).toString('latin1').startsWith(route.heard(n)), what).toBe(true)
      }
    expect(route.decisions()).toHaveLength(n)
    expect(completions(route)).toHaveLength(n)
    expect(route.heard()).not.toContain('denied.test')
  },
)

testOnLowPorts(
  'SEC-22s a second ClientHello for the same host passes in any pieces, and what follows is not looked at',
  async () => {
    const second = Buffer.concat([CHANGE_CIPHER_SPEC, inRecords(helloFor('OK.test'), 30)])
    // After it the tunnel is as opaque as any, and so it is where the server has asked for nothing.
    const rest = Buffer.concat([EARLY_DATA, inRecords(helloFor('denied.test')), Buffer.from('SSH-2.0')])
    const answered = Buffer.from(RETRY)
    answered[20]! ^= 1
    for (const [answer, behind] of [
      [RETRY, Buffer.concat([second, rest])],
      [answered, rest],
      [Buffer.from([21, 3, 3, 0, 2, 2, 40]), Buffer.concat([inRecords(Buffer.from([16, 0, 0, 0])), rest])],
    ] as const) {
      await using route = await routeTo(443, { answer })
      for (const [i, size] of [1, 7, 1000].entries()) {
        await using client = await route.tunnel()
        const first = inRecords(helloFor('ok.test'))
        client.write(first)
        await client.until(answer.toString('latin1'))
        for (let at = 0; at < behind.length; at += size) client.write(behind.subarray(at, at + size))
        client.socket.end()
        await client.rest()
        expect((await route.completed(i + 1))['error.type']).toBeUndefined()
        expect(route.heard(i + 1)).toBe(Buffer.concat([first, behind]).toString('latin1'))
      }
    }
  },
)

testOnLowPorts(
  'SEC-22t a TLS server that asks for another key share gets it through the tunnel',
  async () => {
    const host = loopbackAddress()
    await using certificate = await makeCertificate('ok.test')
    const { cert, key } = certificate
    await using server = createTlsServer({ cert, key, ecdhCurve: 'X25519' }, (socket) => socket.pipe(socket))
    server.listen(443, host)
    await once(server, 'listening')
    await using route = await startRoute({
      origin: startEchoOrigin(),
      ports: [443],
      names: { 'ok.test': [host] },
    })
    await using client = await tunnelWith(route, 'ok.test:443', '')
    client.socket.removeAllListeners('data')
    const secure = tlsConnect({
      socket: client.socket,
      servername: 'ok.test',
      ca: cert,
      ecdhCurve: 'P-384:X25519',
    })
    await once(secure, 'secureConnect')
    secure.write('through')
    const [echo] = (await once(secure, 'data')) as [Buffer]
    expect(echo.toString()).toBe('through')
    secure.end()
    await once(secure, 'close')
    expect((await route.completed())['error.type']).toBeUndefined()
  },
)

testOnLowPorts(
  'SEC-21a bytes behind a CONNECT that waits are held, and are gone with a refusal: no dial, no look-up, no byte',
  async () => {
    await using route = await routeTo(443)
    await using client = await route.client()
    const early = Buffer.concat([inRecords(helloFor('new.test')), Buffer.alloc(200_000, 'x')])
    client.write(Buffer.concat([Buffer.from('CONNECT new.test:443 HTTP/1.1\r\n\r\n'), early]))
    const operator = operatorOf(route.proxy)
    const { id } = await operator.asked('new.test')
    expect(route.dns.questions).toEqual([])
    await operator.answer(id, { verdict: 'deny' })
    expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 403 /)
    expect({
      heard: route.heard(),
      connections: route.origin.connections,
      asked: route.dns.questions,
    }).toEqual({
      heard: '',
      connections: 0,
      asked: [],
    })
  },
)

testOnLowPorts(
  'SEC-24a inside a tunnel to port 80 no tunnel, no other host and no other protocol is served',
  async () => {
    await using route = await routeTo(80)
    const requests: readonly (readonly [request: string, status: number])[] = [
      ['CONNECT ok.test:80 HTTP/1.1\r\nHost: ok.test\r\n\r\n', 400],
      ['CONNECT other.test:443 HTTP/1.1\r\nHost: other.test\r\n\r\n', 400],
      [`CONNECT 127.0.0.1:${route.proxy.port} HTTP/1.1\r\n\r\n`, 400],
      ['GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n', 421],
      ['GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n', 421],
      ['GET / HTTP/1.1\r\nHost: ok.test.denied.test\r\n\r\n', 421],
      ['GET / HTTP/1.1\r\nHost: ok.test:443\r\n\r\n', 421],
      ['GET https://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nHost: ok.test@denied.test\r\n\r\n', 400],
      ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
      ['SSH-2.0-OpenSSH_9.6\r\n\r\n', 400],
      [inRecords(helloFor('ok.test')).toString('latin1'), 400],
    ]
    for (const [i, [request, status]] of requests.entries()) {
      await using client = await tunnelWith(route, 'ok.test:80', request)
      expect(await client.until('\r\n\r\n'), request).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      await route.proxy.event('sallyport.egress.decision', () => true, 2 * i + 2)
      expect(route.decisions()).toHaveLength(2 * i + 2)
      expect(route.decisions().at(-1), request).toMatchObject({ 'sallyport.decision': 'deny' })
    }
    expect(route.heard()).toBe('')
  },
)

const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

test('SEC-19u a 101 that nobody asked for switches nothing: 502, and what the client sends stays a request', async () => {
  const heard: string[] = []
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.on('data', (bytes) => {
        heard.push(bytes.toString('latin1'))
        socket.write(`${SWITCH}frames of the server`)
      })
    }),
  })
  for (const more of ['', 'Connection: Upgrade\r\nUpgrade: h2c\r\n', 'Upgrade: websocket\r\n']) {
    heard.length = 0
    await using client = await route.client()
    client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n${more}\r\n`)
    const reply = await readReply(client)
    expect([reply.status, reply.content.includes('frames')], more).toEqual([502, false])
    client.write(`${'frames of the client'}\r\n\r\n`)
    expect(await client.rest()).not.toContain('frames')
    expect(heard.join('')).not.toContain('frames')
  }
})

test('SEC-19v a 200 to an upgrade that was asked for switches nothing either: early frames do not reach the origin', async () => {
  const heard: string[] = []
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.on('data', (bytes) => void heard.push(bytes.toString('latin1')))
      socket.once('data', () =>
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nUpgrade: websocket\r\n\r\nok'),
      )
      socket.on('end', () => socket.end())
    }),
  })
  await using client = await route.client()
  client.write(
    `GET ${route.url('/chat')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05early`,
  )
  const reply = await readReply(client)
  expect([reply.status, reply.content]).toEqual([200, 'ok'])
  client.write('\x81\x05later\r\n\r\n')
  expect(await client.rest()).toContain('HTTP/1.1 400 ')
  expect(heard.join('')).not.toMatch(/early|later/)
})

/** TCP_ESTABLISHED, and «the keep-alive timer runs», of /proc/net/tcp. */
const ESTABLISHED = '01'
const KEEP_ALIVE_TIMER = '02'

/** Seconds until the kernel probes the peer of this connection; undefined: it will not. Linux tells, others do not. */
async function probeAfter(
  is: (localPort: number, remotePort: number) => boolean,
): Promise<number | undefined> {
  const port = (address: string) => Number.parseInt(address.slice(address.indexOf(':') + 1), 16)
  for (const line of (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)) {
    const [, local, remote, state, , timer] = line.trim().split(/\s+/)
    if (state !== ESTABLISHED || !is(port(local!), port(remote!))) continue
    const [kind, ticks] = timer!.split(':')
    if (kind === KEEP_ALIVE_TIMER) return Number.parseInt(ticks!, 16) / 100
  }
  return undefined
}

test.runIf(process.platform === 'linux')(
  'SEC-21k both sides of a tunnel are probed after a minute of silence, so that a peer that vanished is noticed',
  async () => {
    await using route = await startRoute({ origin: startEchoOrigin() })
    await using client = await route.tunnel()
    client.write('x')
    await client.until('x')
    const sides = [
      (local: number, remote: number) => local === route.proxy.port && remote === client.socket.localPort,
      (_: number, remote: number) => remote === route.origin.port,
    ]
    for (const side of sides) {
      // While the last bytes wait for their acknowledgement, another timer runs.
      let seconds: number | undefined
      await expect.poll(async () => (seconds = await probeAfter(side)), { timeout: 15_000 }).toBeDefined()
      expect(seconds).toBeGreaterThan(20)
      expect(seconds).toBeLessThanOrEqual(60)
    }
  },
)
