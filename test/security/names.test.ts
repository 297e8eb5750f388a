import { expect, test } from 'vitest'
import { watchDials } from '../kit/dials.ts'
import { readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { loopbackAddress, type OriginServer, startHttpOrigin } from '../kit/origin.ts'
import { type Route, type RouteOptions, startRoute } from '../kit/route.ts'

/**
 * The most generous proxy there is, so that the deny list alone stands in the way: whatever is not denied passes, every name under
 * .test resolves to the origin, and no private address there is refused.
 */
async function generousRoute(options: Partial<RouteOptions<OriginServer>> = {}) {
  const heard: string[] = []
  const route = await startRoute({
    origin: startHttpOrigin((request, response) => {
      heard.push(`${request.headers.host} ${request.url}`)
      response.end('reached')
    }),
    names: { '*.test': ['127.0.0.1'], '*.ok.test': ['127.0.0.1'], '*.denied.test': ['127.0.0.1'] },
    unfamiliar: 'allow',
    denied: ['**.denied.test'],
    ...options,
  })
  return Object.assign(route, { heard })
}

interface Refused {
  readonly status: number
  readonly reason: string
}

/** What becomes of one request, on a connection of its own, which must be one refusal with one record and nothing else. */
async function refusalOf(route: Route, bytes: Buffer | string, label: string): Promise<Refused> {
  using dials = watchDials()
  const [questions, records] = [route.dns.questions.length, route.decisions().length]
  await using client = await route.client()
  client.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes)
  const { status, content } = await readReply(client)
  const reason =
    (content.startsWith('{') ? (JSON.parse(content) as { reason?: string }).reason : content) ?? ''
  expect(route.dns.questions.slice(questions), `${label}: DNS`).toEqual([])
  expect(dials.beyond(route.proxy.port), `${label}: dials`).toEqual([])
  const recorded = route
    .decisions()
    .slice(records)
    .map((each) => `${String(each['sallyport.decision'])} ${String(each['sallyport.decision.reason'])}`)
  expect(recorded, `${label}: record`).toEqual([`deny ${reason}`])
  return { status, reason }
}

/** Both doors, for an authority as a client may spell it. */
function doors(authority: string): readonly string[] {
  return [
    `CONNECT ${authority} HTTP/1.1\r\nHost: ok.test\r\n\r\n`,
    `GET http://${authority}/ HTTP/1.1\r\nHost: ok.test\r\n\r\n`,
  ]
}

test('SEC-01a every accepted spelling of a host is one host: in the record, the question to the DNS, the Host that the origin sees', async () => {
  await using route = await generousRoute({ more: 'dns_ttl_max = "0s"', unfamiliar: 'deny' })
  const { port } = route.origin
  for (const [i, host] of ['ok.test', 'OK.TEST', 'ok.test.', 'oK.tEsT.'].entries()) {
    await using client = await route.client()
    client.write(`GET http://${host}:${port}/${i} HTTP/1.1\r\nHost: denied.test\r\n\r\n`)
    expect((await readReply(client)).content, host).toBe('reached')
    client.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: denied.test\r\n\r\n`)
    expect(await client.until('\r\n\r\n'), host).toMatch(/^HTTP\/1\.1 200 /)
  }
  expect(new Set(route.decisions().map((each) => each['server.address']))).toEqual(new Set(['ok.test']))
  expect(route.decisions()).toHaveLength(8)
  expect(new Set(route.dns.questions)).toEqual(new Set(['ok.test A', 'ok.test AAAA']))
  expect(route.heard).toEqual([0, 1, 2, 3].map((i) => `ok.test:${port} /${i}`))
})

test('SEC-02a a denied host is denied in every spelling of it, at both doors: no question, no dial, one record', async () => {
  await using route = await generousRoute({ allowed: ['**.test', 'denied.test'] })
  for (const host of [
    'denied.test',
    'DENIED.TEST',
    'DeNiEd.TeSt',
    'denied.test.',
    'DENIED.TEST.',
    'sub.denied.test',
    'a.b.c.DENIED.test.',
    '_x.denied.test',
    'xn--bcher-kva.denied.test',
    'XN--BCHER-KVA.DENIED.TEST',
    '127.0.0.1.denied.test',
  ])
    for (const request of doors(`${host}:${route.origin.port}`))
      expect(await refusalOf(route, request, request), request).toEqual({ status: 403, reason: 'denied' })
  expect(route.origin.connections).toBe(0)
})

test('SEC-02b what is no plain host name is 400 at both doors, whatever another reader would make of it', async () => {
  await using route = await generousRoute()
  const hosts = [
    // A trailing dot is one, and a label is something.
    'denied.test..',
    '.denied.test',
    'denied..test',
    '.',
    '..',
    '',
    // Escapes and delimiters of URLs.
    '%64enied.test',
    'denied%2etest',
    'denied%2Etest',
    'denied.test%2e',
    'denied.test%00.ok.test',
    'ok.test%23.denied.test',
    'ok.test%40denied.test',
    'ok.test@denied.test',
    'denied.test@ok.test',
    'ok.test:80@denied.test',
    'ok.test:@denied.test',
    '@denied.test',
    'ok.test#@denied.test',
    'denied.test#.ok.test',
    'denied.test\\.ok.test',
    'ok.test\\@denied.test',
    'ok.test\\denied.test',
    'denied.test;.ok.test',
    'denied.test,ok.test',
    'denied.test&ok.test',
    '"denied.test"',
    "'denied.test'",
    '<denied.test>',
    '{denied.test}',
    'denied.test|ok.test',
    'denied^.test',
    '$denied.test',
    '~denied.test',
    'denied!.test',
    'denied+.test',
    'denied=.test',
    'denied`.test',
    '(denied.test)',
    '*',
    '*.test',
    'denied*.test',
    '[denied.test]',
    '[denied.test',
    'denied.test]',
    'denied.test:80:80',
    // White space and control characters.
    ' denied.test',
    'denied.test ',
    'denied .test',
    '\tdenied.test',
    'denied.test\t',
    'denied.test\t.ok.test',
    'denied.test\0',
    'denied.test\0.ok.test',
    'denied.test\x0b',
    'denied.test\x1b[0m',
    'denied.test\x7f',
    'denied.test\r.ok.test',
    'denied.test\n.ok.test',
    'denied.test\r\n.ok.test',
    // Labels that are none.
    '-denied.test',
    'denied-.test',
    'denied.-test',
    'xn--.denied.test',
    'xn--denied-.test',
    'xn--0.test',
    `${'a'.repeat(64)}.denied.test`,
    `${'a.'.repeat(127)}denied.test`,
  ]
  for (const host of hosts)
    for (const request of doors(`${host}:${route.origin.port}`)) {
      const { status, reason } = await refusalOf(route, request, JSON.stringify(request))
      expect([status, /^invalid_(target|request)$/.test(reason)], JSON.stringify(request)).toEqual([
        400,
        true,
      ])
    }
  expect(route.origin.connections).toBe(0)
})

test('SEC-03a a host with other characters than ASCII is 400 in a request, in whatever encoding, also where policy names it so', async () => {
  await using route = await generousRoute({
    allowed: ['bücher.test', 'ok.test'],
    denied: ['**.denied.test', 'verboten-ä.test'],
  })
  const port = route.origin.port
  const hosts = [
    'bücher.test',
    'verboten-ä.test',
    'ｄenied.test',
    'ｄｅｎｉｅｄ.test',
    'denied。test',
    'denied．test',
    'denied｡test',
    'denied․test',
    'deníed.test',
    'dеnied.test',
    'denіed.test',
    'ⓓenied.test',
    '𝐝enied.test',
    'DENİED.TEST',
    'denied\u00ad.test',
    'denied\u200d.test',
    'denied\u200b.test',
    'denied\u2060.test',
    '\u202edenied.test',
    '\ufeffdenied.test',
    'denied\u00a0.test',
    'denied\u2028.test',
    'ok.test／denied.test',
    'ok.test＠denied.test',
    'ok.test＃.denied.test',
    'ok.test：80',
    '１２７.0.0.1',
    '☃.denied.test',
  ]
  for (const host of hosts)
    for (const encoding of ['utf8', 'latin1', 'utf16le'] as const)
      for (const [before, after] of [
        ['CONNECT ', `:${port} HTTP/1.1\r\n\r\n`],
        ['GET http://', `:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`],
      ] as const) {
        const spelled = Buffer.from(host, encoding)
        // Characters that Latin-1 has no byte for are cut down to something else there.
        if (encoding === 'latin1' && spelled.toString('latin1') !== host) continue
        const bytes = Buffer.concat([Buffer.from(before), spelled, Buffer.from(after)])
        const label = `${before}${host} as ${encoding}`
        expect((await refusalOf(route, bytes, label)).status, label).toBe(400)
      }
  // An overlong encoding of a dot, and of a slash.
  for (const bytes of [
    [0xc0, 0xae],
    [0xc0, 0xaf],
    [0xe0, 0x80, 0xae],
  ]) {
    const request = Buffer.concat([
      Buffer.from('CONNECT denied'),
      Buffer.from(bytes),
      Buffer.from(`test:${port} HTTP/1.1\r\n\r\n`),
    ])
    expect((await refusalOf(route, request, String(bytes))).status).toBe(400)
  }
  // The policy that was written in Unicode speaks of these A-labels.
  const denied = `CONNECT xn--verboten--32a.test:${port} HTTP/1.1\r\n\r\n`
  expect(await refusalOf(route, denied, denied)).toEqual({ status: 403, reason: 'denied' })
  await using client = await route.client()
  client.write(`GET http://xn--bcher-kva.test:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).content).toBe('reached')
  expect(route.decisions().at(-1)).toMatchObject({
    'server.address': 'xn--bcher-kva.test',
    'sallyport.decision.source': 'allow_rule',
  })
})

test('SEC-04a a denial wins over an allowance of the very same host, and over the answer of a reviewer', async () => {
  const lists = { allowed: ['**.test', 'denied.test'], unfamiliar: 'hold' } as const
  await using route = await generousRoute(lists)
  const { port } = route.origin
  for (const request of doors(`denied.test:${port}`))
    expect((await refusalOf(route, request, request)).reason).toBe('denied')

  await route.reload({ allowed: ['ok.test'], denied: ['**.denied.test'], unfamiliar: 'hold' })
  await using client = await route.client()
  client.write(`GET http://new.test:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  const operator = operatorOf(route.proxy)
  const { id } = await operator.asked('new.test')
  await operator.answer(id, { verdict: 'allow', scope: 'always' })
  expect((await readReply(client)).content).toBe('reached')
  await route.reload({ allowed: ['ok.test'], denied: ['new.test'], unfamiliar: 'hold' })
  for (const request of doors(`NEW.test.:${port}`))
    expect((await refusalOf(route, request, request)).reason).toBe('denied')
  expect(route.origin.connections).toBe(1)
})

test('SEC-04b an empty list of allowed hosts, or none at all, allows nothing', async () => {
  for (const missing of [false, true]) {
    await using route = await generousRoute({ allowed: [], unfamiliar: 'deny' })
    if (missing) {
      await route.proxy.writeConfig(
        `[policy]\nunfamiliar = "deny"\nallowed_ports = [${route.origin.port}]\n[upstream]\nresolver = "${route.dns.address}"\n`,
      )
      expect((await route.proxy.daemon.reload()).kind).not.toBe('invalid')
    }
    for (const host of ['ok.test', 'test', '93.184.216.34', '[2606:4700::1111]'])
      for (const request of doors(`${host}:${route.origin.port}`))
        expect(await refusalOf(route, request, request), request).toEqual({
          status: 403,
          reason: 'not_allowed',
        })
  }
})

test('SEC-05a *.x is for names strictly below x, and no wildcard is for an address', async () => {
  await using route = await generousRoute({ allowed: ['*.ok.test'], unfamiliar: 'deny' })
  const { port } = route.origin
  for (const host of ['ok.test', 'notok.test', 'not-ok.test', 'ok.test.other.test', 'xok.test.', 'test'])
    for (const request of doors(`${host}:${port}`))
      expect(await refusalOf(route, request, request), request).toEqual({
        status: 403,
        reason: 'not_allowed',
      })
  await using client = await route.client()
  client.write(`GET http://a.ok.test:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).content).toBe('reached')

  await route.reload({ allowed: ['*'], unfamiliar: 'deny' })
  for (const host of ['93.184.216.34', '[2606:4700::1111]', '[::ffff:93.184.216.34]'])
    for (const request of doors(`${host}:${port}`))
      expect(await refusalOf(route, request, request), request).toEqual({
        status: 403,
        reason: 'not_allowed',
      })
})

test('SEC-06a a port is digits from 1 to 65535, and one that policy does not permit is refused for an allowed host', async () => {
  await using route = await generousRoute()
  const { port } = route.origin
  const bad = [
    '0',
    '00',
    `0${port}`,
    `+${port}`,
    `-${port}`,
    `${port + 65_536}`, // the port of the origin to a reader of 16 bits
    `${port + 4_294_967_296}`, // and of 32
    '65536',
    '65561',
    '99999999999999999999',
    `${port} `,
    ` ${port}`,
    `${port}\t`,
    `${port}x`,
    `x${port}`,
    `0x${port.toString(16)}`,
    `0X${port.toString(16)}`,
    '4e2',
    `${port}.0`,
    `${port},80`,
    `${port}%20`,
    `${port}:${port}`,
    `:${port}`,
    `１${port}`,
    '٤٤٣',
    'http',
  ]
  for (const spelled of bad)
    for (const request of doors(`ok.test:${spelled}`))
      expect((await refusalOf(route, request, request)).status, request).toBe(400)
  for (const target of ['ok.test', 'ok.test:'])
    expect((await refusalOf(route, doors(target)[0]!, target)).status, target).toBe(400)
  for (const other of [1, 22, 25, 8080, 65_535])
    for (const request of doors(`ok.test:${other}`))
      expect((await refusalOf(route, request, request)).reason, request).toBe('port_not_allowed')
  // Without a port an http URL means 80.
  for (const authority of ['denied.test', 'denied.test:'])
    expect((await refusalOf(route, doors(authority)[1]!, authority)).reason).toBe('denied')
  expect(route.decisions().slice(-2)).toMatchObject([{ 'server.port': 80 }, { 'server.port': 80 }])
  expect(route.origin.connections).toBe(0)
})

test('SEC-07a the proxy port takes absolute http URLs and CONNECT host:port: all other forms are 400, and no page is there', async () => {
  await using route = await generousRoute()
  const at = `denied.test:${route.origin.port}`
  const own = `127.0.0.1:${route.proxy.port}`
  const lines: readonly (readonly [line: string, host: string])[] = [
    ['GET /', at],
    ['GET /', own],
    ['GET /livez', own],
    ['GET /v1/approvals', own],
    ['GET /openapi.json', 'localhost'],
    ['POST /', at],
    [`GET //${at}/`, 'ok.test'],
    [`GET ///${at}/`, 'ok.test'],
    [`GET ${at}/`, 'ok.test'],
    [`GET ${at}`, 'ok.test'],
    ['OPTIONS *', at],
    ['GET *', at],
    [`GET https://${at}/`, 'ok.test'],
    [`GET HTTPS://${at}/`, 'ok.test'],
    [`GET ftp://${at}/`, 'ok.test'],
    [`GET ws://${at}/`, 'ok.test'],
    [`GET wss://${at}/`, 'ok.test'],
    [`GET gopher://${at}/`, 'ok.test'],
    [`GET file://${at}/etc/passwd`, 'ok.test'],
    [`GET http+unix://${at}/`, 'ok.test'],
    [`GET http:${at}/`, 'ok.test'],
    [`GET http:/${at}/`, 'ok.test'],
    [`GET http:///${at}/`, 'ok.test'],
    [`GET http:\\\\${at}\\`, 'ok.test'],
    [`GET http:/\\${at}/`, 'ok.test'],
    [`GET view-source:http://${at}/`, 'ok.test'],
    [`GET http://ok.test:80:${at}/`, 'ok.test'],
    [`GET http://ok.test/#@${at}/`, 'ok.test'],
    [`GET http://ok.test#@${at}/`, 'ok.test'],
    [`GET http://ok.test\\@${at}/`, 'ok.test'],
    [`CONNECT http://${at}`, 'ok.test'],
    [`CONNECT http://${at}/`, 'ok.test'],
    [`CONNECT //${at}`, 'ok.test'],
    [`CONNECT ${at}/`, 'ok.test'],
    [`CONNECT ${at}?`, 'ok.test'],
    [`CONNECT ${at}#`, 'ok.test'],
    ['CONNECT denied.test', at],
    ['CONNECT /', at],
    ['CONNECT *', at],
    [`connect ${at}`, at],
    [`Connect ${at}`, at],
  ]
  for (const [line, host] of lines) {
    const request = `${line} HTTP/1.1\r\nHost: ${host}\r\n\r\n`
    expect((await refusalOf(route, request, request)).status, line).toBe(400)
  }
  // The preface of HTTP/2.
  expect((await refusalOf(route, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'PRI')).status).toBe(505)
  expect(route.heard).toEqual([])
})

test('SEC-07b the target wins over Host, and a request with two Hosts, or one that is none, has no target', async () => {
  await using route = await generousRoute()
  const { port } = route.origin
  await using client = await route.client()
  client.write(`GET ${route.url('/a')} HTTP/1.1\r\nHost: denied.test:${port}\r\n\r\n`)
  expect((await readReply(client)).content).toBe('reached')
  expect(route.heard).toEqual([`${route.authority} /a`])
  const line = `GET ${route.url('/b')} HTTP/1.1\r\n`
  for (const hosts of [
    '',
    `Host: ok.test:${port}\r\nHost: denied.test:${port}\r\n`,
    `Host: ok.test:${port}\r\nhost: ok.test:${port}\r\n`,
    `Host: ok.test:${port}, denied.test:${port}\r\n`,
    `Host: ok.test:${port} denied.test\r\n`,
    `Host: user@denied.test\r\n`,
    `Host: denied.test/\r\n`,
    `Host: http://denied.test\r\n`,
    `Host: denied.test\\\r\n`,
    `Host : denied.test\r\n`,
    `Host: ok.test\r\n denied.test\r\n`,
    `Host: ok.test\0denied.test\r\n`,
    `Host: bücher.test\r\n`,
  ])
    expect((await refusalOf(route, `${line}${hosts}\r\n`, hosts)).status, hosts).toBe(400)
  // The other way round: what Host says does not open what the target names.
  for (const more of ['', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'])
    expect(
      await refusalOf(
        route,
        `GET http://denied.test:${port}/ HTTP/1.1\r\nHost: ${route.authority}\r\n${more}\r\n`,
        more,
      ),
    ).toEqual({ status: 403, reason: 'denied' })
  expect(route.heard).toHaveLength(1)
})

test.runIf(process.getuid?.() === 0)(
  'SEC-08a inside a tunnel to port 80 no spelling of a request leads to another host than that of the tunnel',
  async () => {
    const host = loopbackAddress()
    const heard: string[] = []
    await using route = await startRoute({
      origin: startHttpOrigin(
        (request, response) => {
          heard.push(`${request.headers.host} ${request.url}`)
          response.end('reached')
        },
        { host, port: 80 },
      ),
      names: { 'ok.test': [host], 'denied.test': [host] },
      unfamiliar: 'allow',
    })
    const rows: readonly (readonly [line: string, hosts: string, status: number])[] = [
      ['GET http://denied.test/', 'ok.test', 421],
      ['GET http://DENIED.test.:80/', 'ok.test', 421],
      ['GET http://ok.test:8080/', 'ok.test', 421],
      ['GET http://ok.test/', 'denied.test', 421],
      ['GET /', 'denied.test', 421],
      ['GET /', 'DENIED.TEST.', 421],
      ['GET /', '127.0.0.1', 421],
      ['GET /', 'ok.test:443', 421],
      ['GET http://ok.test@denied.test/', 'ok.test', 400],
      ['GET http://ok.test\\@denied.test/', 'ok.test', 400],
      ['GET https://denied.test/', 'ok.test', 400],
      ['GET /\\denied.test', 'ok.test', 400],
      ['GET /#@denied.test', 'ok.test', 400],
      ['GET denied.test', 'ok.test', 400],
      ['GET *', 'ok.test', 400],
      ['GET /', 'denied%2etest', 400],
      ['GET /', 'ok.test\r\nHost: denied.test', 400],
      ['CONNECT denied.test:80', 'ok.test', 400],
      ['CONNECT ok.test:80', 'ok.test', 400],
    ]
    for (const [line, hosts, status] of rows) {
      await using client = await route.tunnel()
      client.write(`${line} HTTP/1.1\r\nHost: ${hosts}\r\n\r\n`)
      expect((await readReply(client)).status, line).toBe(status)
    }
    // Two doubled slashes are a path, of the host of the tunnel.
    await using client = await route.tunnel()
    client.write('GET //denied.test/ HTTP/1.1\r\nHost: OK.test.\r\n\r\n')
    expect((await readReply(client)).content).toBe('reached')
    expect(heard).toEqual(['ok.test //denied.test/'])
    expect(route.decisions()).toHaveLength(2 * rows.length + 2)
    expect(new Set(route.dns.questions)).toEqual(new Set(['ok.test A', 'ok.test AAAA']))
  },
)
