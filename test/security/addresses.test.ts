import { networkInterfaces } from 'node:os'
import { expect, test, vi } from 'vitest'
import { watchDials } from '../kit/dials.ts'
import { readReply } from '../kit/http-reply.ts'
import { startHttpOrigin } from '../kit/origin.ts'
import { startProxy } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'
import { type Route, startRoute } from '../kit/route.ts'
import { startDns } from '../kit/dns.ts'

/** An address that looks public and is this machine's, as on a server in a data centre. */
const WAN = '93.184.217.77'

vi.mock('node:os', async (original) => {
  const os = await original<typeof import('node:os')>()
  const wan = [
    {
      address: '93.184.217.77',
      netmask: '255.255.255.0',
      family: 'IPv4',
      mac: '',
      internal: false,
      cidr: null,
    },
  ]
  return { ...os, networkInterfaces: () => ({ ...os.networkInterfaces(), wan0: wan }) }
})

/** Addresses to which nothing may go, one of each kind that is known to have been used for it. */
const IPV4 = [
  '127.0.0.1',
  '127.255.255.254',
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.0.1',
  '100.64.0.1',
  '100.127.255.255',
  '169.254.0.1',
  // Metadata and credentials: AWS, ECS, EKS, Tencent, Scaleway, Azure, Alibaba, Oracle.
  '169.254.169.254',
  '169.254.170.2',
  '169.254.170.23',
  '169.254.0.23',
  '169.254.42.42',
  '168.63.129.16',
  '100.100.100.200',
  '192.0.0.192',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
]

const IPV6 = [
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::ffff:a9fe:a9fe',
  '::ffff:10.0.0.1',
  '::ffff:0.0.0.0',
  // Compatible, SIIT.
  '::127.0.0.1',
  '::a00:1',
  '::8.8.8.8',
  '::ffff:0:127.0.0.1',
  '::ffff:0:a9fe:a9fe',
  // NAT64 by both prefixes, and by the lengths of prefix that a network may have chosen.
  '64:ff9b::127.0.0.1',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b::a00:1',
  '64:ff9b:1::a00:1',
  '64:ff9b:1:a00:0:100::',
  '64:ff9b:1::8.8.8.8',
  // 6to4, Teredo (server, and client inverted), ISATAP under a global prefix.
  '2002:7f00:1::1',
  '2002:a9fe:a9fe::',
  '2002:c0a8:1::1',
  '2001:0:7f00:1::',
  '2001:0:808:808:0:0:f5ff:fffe',
  '2001:0:4136:e378:8000:63bf:3fff:fdd2',
  '2606:4700::5efe:10.0.0.1',
  '2606:4700::200:5efe:a9fe:a9fe',
  'fe80::5efe:8.8.8.8',
  'fe80::1',
  'febf::1',
  'fec0::1',
  'feff::1',
  'fc00::1',
  'fd12:3456::1',
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
  'fd00:42::42',
  'ff02::1',
  'ff0e::1',
  '2001:db8::1',
  '3fff::1',
  '100::1',
  '2001:2::1',
  '2001:10::1',
  '2001:20::1',
  '2001:1::1',
  '5f00::1',
  '4000::1',
  'e000::1',
  '200::1',
]

/** A public address, which is never dialled here: it stands among others that forbid it. */
const PUBLIC = ['93.184.216.34', '2606:4700::1111']

/** Whatever is not denied passes, so that only the guard stands in the way; no exception but for ok.test. */
function guardedRoute(more = '') {
  return startRoute({
    origin: startHttpOrigin((_, response) => response.end('reached')),
    unfamiliar: 'allow',
    allowed: ['ok.test', '*', '0.0.0.0/0', '[::]/0'],
    privateHost: 'ok.test',
    more,
  })
}

/** Both doors, each answered with this refusal and one record, without a dial; returns the contents of the answers. */
async function refusedAtBothDoors(
  route: Route,
  authority: string,
  expected: readonly [status: number, reason: string],
): Promise<string> {
  using dials = watchDials()
  const before = route.decisions().length
  await using client = await route.client()
  let said = ''
  for (const request of [
    `GET http://${authority}/ HTTP/1.1\r\nHost: ok.test\r\n\r\n`,
    `CONNECT ${authority} HTTP/1.1\r\n\r\n`,
  ]) {
    client.write(Buffer.from(request))
    const reply = await readReply(client)
    said += reply.content + reply.fields.join()
    const reason = (JSON.parse(reply.content) as { reason: string }).reason
    expect([reply.status, reason], request).toEqual(expected)
    // What is malformed ends the connection; the other door is another one then.
    if (reply.get('connection') === 'close') break
  }
  if (expected[0] === 400) {
    await using other = await route.client()
    other.write(Buffer.from(`CONNECT ${authority} HTTP/1.1\r\n\r\n`))
    expect((await readReply(other)).status, authority).toBe(400)
  }
  const records = route.decisions().slice(before)
  expect(
    records.map((each) => each['sallyport.decision']),
    authority,
  ).toEqual(['deny', 'deny'])
  expect(dials.beyond(route.proxy.port), authority).toEqual([])
  return said
}

const LOCAL = [403, 'not_allowed_local'] as const

test('SEC-09a no address is dialled that is not global unicast, by literal, whatever the policy allows', async () => {
  await using route = await guardedRoute()
  const literals = [
    ...IPV4,
    ...IPV4.map((each) => `${each}.`),
    ...IPV6.map((each) => `[${each}]`),
    '[::FFFF:7F00:1]',
    '[0:0:0:0:0:0:0:1]',
    '[0000:0000:0000:0000:0000:0000:0000:0001]',
    '[0:0:0:0:0:FFFF:169.254.169.254]',
    '[64:FF9B:0:0:0:0:A9FE:A9FE]',
  ]
  for (const literal of literals)
    for (const port of [443, route.origin.port]) await refusedAtBothDoors(route, `${literal}:${port}`, LOCAL)
  expect(route.dns.questions).toEqual([])
  expect(route.origin.connections).toBe(0)
})

test('SEC-09b an address in any other spelling than dotted decimal, or IPv6 in brackets without a zone, is 400', async () => {
  await using route = await guardedRoute()
  const spellings = [
    '2130706433',
    '0x7f000001',
    '0X7F000001',
    '017700000001',
    '127.1',
    '127.0.1',
    '0x7f.1',
    '0x7f.0.0.1',
    '0x7f.0x0.0x0.0x1',
    '0177.0.0.1',
    '0177.0.0.01',
    '127.0.0.01',
    '127.0.0.001',
    '127.000.000.001',
    '127.0.0.0x1',
    '127.0.0.1..',
    '127..0.1',
    '127.0.0.1.1',
    '127.0.0.256',
    '127.0.0.1%00',
    '127.0.0.1%20',
    '127%2e0%2e0%2e1',
    '１２７.0.0.1',
    '127。0。0。1',
    '①②⑦.0.0.1',
    '2852039166',
    '0xA9FEA9FE',
    '0251.0376.0251.0376',
    '169.254.43518',
    '169.16689662',
    '0',
    '00',
    '0x0',
    '0.0',
    '4294967295',
    '4294967296',
    '18446744073709551617',
    '::1',
    '[::1',
    '::1]',
    '[::1]x',
    '[[::1]]',
    '[::1%lo]',
    '[::1%25lo]',
    '[fe80::1%eth0]',
    '[fe80::1%25eth0]',
    '[::1%25.ok.test]',
    '[::1%2525.ok.test]',
    '[::ffff:127.1]',
    '[::ffff:0x7f.0.0.1]',
    '[::ffff:0177.0.0.1]',
    '[::ffff:2130706433]',
    '[127.0.0.1]',
    '[ok.test]',
    '[v1.127.0.0.1]',
    '[]',
    '[:::1]',
    '[::1::]',
    '[0:0:0:0:0:0:0:0:1]',
    '[00000::1]',
    '[::1].',
    '[::1 ]',
  ]
  for (const spelling of spellings) {
    const authority = `${spelling}:${route.origin.port}`
    for (const request of [
      `CONNECT ${authority} HTTP/1.1\r\n\r\n`,
      `GET http://${authority}/ HTTP/1.1\r\nHost: x\r\n\r\n`,
    ]) {
      using dials = watchDials()
      const before = route.decisions().length
      await using client = await route.client()
      client.write(Buffer.from(request))
      expect((await readReply(client)).status, request).toBe(400)
      expect(dials.beyond(route.proxy.port), request).toEqual([])
      expect(route.decisions().length - before, request).toBe(1)
    }
  }
  expect(route.dns.questions).toEqual([])
})

test('SEC-09c a name leads to none of them either: as A, as AAAA, behind aliases, as one answer among good ones; and none is told', async () => {
  await using route = await guardedRoute()
  for (const [i, address] of [...IPV4, ...IPV6].entries()) {
    route.dns.set(`plain${i}.test`, address)
    route.dns.alias(`alias${i}.test`, `further${i}.test`)
    route.dns.alias(`further${i}.test`, `plain${i}.test`)
    const among = i % 2 === 0 ? [address, ...PUBLIC] : [...PUBLIC, address]
    route.dns.set(`among${i}.test`, ...among)
    for (const kind of ['plain', 'alias', 'among']) {
      const said = await refusedAtBothDoors(route, `${kind}${i}.test:443`, LOCAL)
      if (address.length > 6) expect(said, address).not.toContain(address)
    }
  }
  expect(route.origin.connections).toBe(0)
  // Addresses are asked for, and nothing else.
  expect(new Set(route.dns.questions.map((each) => each.split(' ')[1]))).toEqual(new Set(['A', 'AAAA']))
})

test('SEC-09d a forbidden address cannot hide behind so many good ones that it is cut off', async () => {
  await using route = await guardedRoute()
  const many = Array.from({ length: 255 }, (_, i) => `93.184.216.${i}`)
  const rows = [
    ['10.0.0.1', 403],
    // One more than is looked at, good or not: nobody has judged them all.
    ['93.184.217.1', 502],
  ] as const
  for (const [i, [last, status]] of rows.entries()) {
    route.dns.set(`many${i}.test`, ...many, ...(status === 502 ? ['93.184.218.1'] : []), last)
    using dials = watchDials()
    await using client = await route.client()
    for (const request of [
      `GET http://many${i}.test/ HTTP/1.1\r\nHost: x\r\n\r\n`,
      `CONNECT many${i}.test:443 HTTP/1.1\r\n\r\n`,
    ]) {
      client.write(request)
      expect((await readReply(client)).status, request).toBe(status)
    }
    expect(dials.beyond(route.proxy.port)).toEqual([])
  }
  expect(route.decisions()).toHaveLength(4)
})

test('SEC-10a names of the machine itself and of metadata services are refused without a question', async () => {
  await using route = await guardedRoute()
  const names = [
    'localhost',
    'LOCALHOST',
    'localhost.',
    'x.localhost',
    'a.b.LocalHost.',
    'ok.test.localhost',
    'localhost.localdomain',
    'localhost4',
    'localhost6',
    'ip6-localhost',
    'ip6-loopback',
    'metadata',
    'metadata.google.internal',
    'METADATA.Google.Internal.',
    'metadata.goog',
    'instance-data',
    'instance-data.ec2.internal',
    'instance-data.eu-west-1.compute.internal',
    'metadata.tencentyun.com',
  ]
  for (const name of names)
    for (const port of [80, 443, route.origin.port]) await refusedAtBothDoors(route, `${name}:${port}`, LOCAL)
  expect(route.dns.questions).toEqual([])
})

test('SEC-10b an address of an interface of this machine is refused on every port, a public one as well', async () => {
  await using route = await guardedRoute()
  route.dns.set('self.test', WAN)
  route.dns.set('among.test', ...PUBLIC, WAN)
  route.dns.set('mapped.test', `::ffff:${WAN}`)
  for (const host of [WAN, `[::ffff:${WAN}]`, `[64:ff9b::${WAN}]`, 'self.test', 'among.test', 'mapped.test'])
    for (const port of [80, 443]) await refusedAtBothDoors(route, `${host}:${port}`, LOCAL)
  expect(route.decisions().at(-1)).toMatchObject({ 'sallyport.decision.source': 'address_guard' })
})

test('SEC-11a an exception is for its host, its network and its ports together; an allowed name implies none', async () => {
  await using route = await guardedRoute()
  const { port } = route.origin
  route.dns.set('also.test', '127.0.0.1')
  await refusedAtBothDoors(route, `also.test:${port}`, LOCAL)
  await refusedAtBothDoors(route, 'ok.test:443', LOCAL)
  await refusedAtBothDoors(route, `sub.ok.test.localhost:${port}`, LOCAL)
  await refusedAtBothDoors(route, `127.0.0.1:${port}`, LOCAL)
  route.dns.set('alias-target.test', '127.0.0.1')
  route.dns.alias('alias.test', 'ok.test')
  await refusedAtBothDoors(route, `alias.test:${port}`, LOCAL)
  expect(route.origin.connections).toBe(0)
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).content).toBe('reached')
})

test('SEC-12a a name that is bound anew between two requests, with no lifetime, is judged anew, at both doors and over kept connections', async () => {
  await using route = await guardedRoute()
  using dials = watchDials()
  route.dns.ttl('ok.test', 0)
  await using client = await route.client()
  const get = `GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`
  const connect = `CONNECT ${route.authority} HTTP/1.1\r\n\r\n`
  client.write(get)
  expect((await readReply(client)).content).toBe('reached')
  for (const address of ['10.0.0.1', '169.254.169.254', '::1', '0.0.0.0']) {
    route.dns.set('ok.test', address)
    for (const request of [get, connect]) {
      client.write(request)
      expect((await readReply(client)).status, `${address} ${request}`).toBe(403)
    }
  }
  // The only connection is the one of the first request, and each exchange asked once.
  expect(dials.beyond(route.proxy.port)).toEqual([`127.0.0.1:${route.origin.port}`])
  expect(route.dns.questions).toHaveLength(2 * 9)
  expect(route.decisions()).toHaveLength(9)
})

test('SEC-12b a remembered answer is dialled as it was judged, though the name has moved meanwhile', async () => {
  await using route = await guardedRoute()
  using dials = watchDials()
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
  await client.rest()
  route.dns.set('ok.test', '10.0.0.1')
  await using tunnel = await route.tunnel()
  expect(tunnel.pending).toBe('')
  expect(new Set(dials.beyond(route.proxy.port))).toEqual(new Set([`127.0.0.1:${route.origin.port}`]))
  expect(route.dns.questions.toSorted()).toEqual(['ok.test A', 'ok.test AAAA'])
})

test('SEC-12c a connection that reached another address than the one that was judged is closed, and nothing is sent over it', async () => {
  let heard = ''
  await using origin = await startHttpOrigin((request) => void (heard += String(request.url)))
  await using route = await startRoute({ origin: Promise.resolve(origin) })
  route.dns.set('ok.test', '127.0.0.2')
  // What a rule of a firewall, or a transparent proxy on the way, would do.
  using dials = watchDials({ reroute: { '127.0.0.2': '127.0.0.1' } })
  await using client = await route.client()
  for (const request of [
    `GET ${route.url('/secret')} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `CONNECT ${route.authority} HTTP/1.1\r\n\r\n`,
  ]) {
    client.write(request)
    expect((await readReply(client)).status, request).toBe(502)
  }
  expect(dials.beyond(route.proxy.port)).toEqual(Array(2).fill(`127.0.0.2:${origin.port}`))
  expect(heard).toBe('')
  expect(route.decisions()).toHaveLength(2)
})

test('SEC-57a a proxy that listens on all addresses is reached by none of them through itself, though exceptions cover them', async () => {
  const machine = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  const addresses = [...machine.map(({ address }) => address.replace(/%.*$/, '')), '127.0.0.2', '127.9.9.9']
  const literal = (address: string) => (address.includes(':') ? `[${address}]` : address)
  const hosts = [
    ...addresses.map(literal),
    ...addresses.filter((each) => !each.includes(':')).map((each) => `[::ffff:${each}]`),
    '0.0.0.0',
    '[::]',
    'localhost',
    ...addresses.map((_, i) => `own${i}.test`),
  ]
  const names = Object.fromEntries(addresses.map((address, i) => [`own${i}.test`, [address]]))
  await using dns = await startDns({ ...names, localhost: ['127.0.0.1', '::1'] })
  const config = (port: number) => {
    const exception = (host: string, cidr: string) =>
      `{ host = "${host}", cidr = "${cidr}", ports = [${port}] }`
    const exceptions = [
      ...['0.0.0.0/0', '::/0'].map((cidr) => exception('**.test', cidr)),
      ...hosts
        .filter((host) => !host.endsWith('.test'))
        .flatMap((host) => ['0.0.0.0/0', '::/0'].map((cidr) => exception(host, cidr))),
    ]
    return `
[proxy]
allow_non_loopback = true
[policy]
allowed_domains = ["*", "0.0.0.0/0", "[::]/0"]
allowed_ports = [${port}]
unfamiliar = "allow"
private = [${exceptions.join(', ')}]
[upstream]
resolver = "${dns.address}"
`
  }
  await using proxy = await startProxy({ config: config(1), listen: '0.0.0.0:0' })
  await proxy.writeConfig(config(proxy.port))
  expect((await proxy.daemon.reload()).kind).toBe('swapped')
  using dials = watchDials()
  await using client = await rawClient(proxy.port)
  for (const host of hosts) {
    client.write(`GET http://${host}:${proxy.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.status, JSON.parse(reply.content)['rule']], host).toEqual([
      403,
      'built-in: address guard: own listener',
    ])
    client.write(`CONNECT ${host}:${proxy.port} HTTP/1.1\r\n\r\n`)
    expect((await readReply(client)).status, host).toBe(403)
  }
  expect(dials.beyond()).toEqual([`127.0.0.1:${proxy.port}`])
  expect(proxy.decisions()).toHaveLength(2 * hosts.length)
})

test('SEC-57b a request that has been here already is refused before anything is asked, by the name in its Via', async () => {
  await using route = await guardedRoute()
  using dials = watchDials()
  for (const via of [
    '1.1 sallyport',
    '1.0 SallyPort',
    '1.1 other, HTTP/1.1 sallyport (egress)',
    '1.1 a\r\nVia: 1.1 sallyport',
  ]) {
    await using client = await route.client()
    client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\nVia: ${via}\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.status, JSON.parse(reply.content)['reason']], via).toEqual([502, 'loop_detected'])
  }
  expect(route.decisions()).toHaveLength(4)
  expect(route.dns.questions).toEqual([])
  expect(dials.beyond(route.proxy.port)).toEqual([])
})
