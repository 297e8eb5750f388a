import { expect, test } from 'vitest'
import { watchDials } from '../kit/dials.ts'
import { readHead, readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { startHttpOrigin, startRawOrigin } from '../kit/origin.ts'
import { rawClient } from '../kit/raw-client.ts'
import { startRoute } from '../kit/route.ts'

const answering = () => startHttpOrigin((_, response) => response.end('reached'))

function get(host: string, path = '/'): string {
  return `GET http://${host}${path} HTTP/1.1\r\nHost: x\r\n\r\n`
}

test('SEC-13a a kept connection serves the same client, host and port only, by whatever spelling', async () => {
  await using other = await answering()
  await using route = await startRoute({
    origin: answering(),
    names: { 'also.test': ['127.0.0.1'], 'sub.ok.test': ['127.0.0.1'], 'alias.test': [] },
    allowed: ['**.ok.test', 'also.test', 'alias.test'],
    ports: [other.port],
  })
  route.dns.alias('alias.test', 'ok.test')
  const { port } = route.origin
  const ask = async (authority: string, from = '127.0.0.1') => {
    await using client = await rawClient(route.proxy.port, '127.0.0.1', from)
    client.write(get(authority))
    expect((await readReply(client)).content, authority).toBe('reached')
    return route.origin.connections
  }
  expect(await ask(`ok.test:${port}`)).toBe(1)
  expect(await ask(`OK.TEST.:${port}`)).toBe(1)
  expect(await ask(`ok.test:${port}`, '127.0.0.2')).toBe(2)
  expect(await ask(`also.test:${port}`)).toBe(3)
  expect(await ask(`sub.ok.test:${port}`)).toBe(4)
  expect(await ask(`alias.test:${port}`)).toBe(5)
  expect([await ask(`ok.test:${other.port}`), other.connections]).toEqual([5, 1])
  expect(await ask(`ok.test:${port}`)).toBe(5)
  expect(route.decisions()).toHaveLength(8)
})

test('SEC-13b a kept connection is no way around a decision: each request is decided, and what was permitted once is asked for again', async () => {
  await using route = await startRoute({ origin: answering() })
  const operator = operatorOf(route.proxy)
  const authority = `new.test:${route.origin.port}`
  await using client = await route.client()
  client.write(get(authority))
  const { id } = await operator.asked('new.test')
  await operator.answer(id, { verdict: 'allow', scope: 'once' })
  expect((await readReply(client)).content).toBe('reached')
  // The connection is still there, and the answer is used up.
  expect(route.origin.open.size).toBe(1)
  client.write(get(authority, '/again'))
  const again = await operator.asked('new.test', 2)
  await operator.answer(again.id, { verdict: 'deny' })
  expect((await readReply(client)).status).toBe(403)
  // And a denial that comes with the configuration counts at once.
  client.write(get(route.authority))
  expect((await readReply(client)).content).toBe('reached')
  await route.reload({ allowed: [], denied: ['ok.test'] })
  client.write(get(route.authority))
  expect((await readReply(client)).status).toBe(403)
  expect(route.decisions().map((each) => each['sallyport.decision'])).toEqual([
    'allow',
    'deny',
    'allow',
    'deny',
  ])
})

test('SEC-14a who is held, denied or not understood causes no question to the DNS and no connection, until the answer is yes', async () => {
  await using route = await startRoute({ origin: answering() })
  using dials = watchDials()
  const operator = operatorOf(route.proxy)
  const { port } = route.origin
  await using client = await route.client()
  for (const [host, status] of [
    ['denied.test', 403],
    ['bad..test', 400],
  ] as const) {
    await using each = await route.client()
    each.write(get(`${host}:${port}`))
    expect((await readReply(each)).status).toBe(status)
  }
  client.write(`CONNECT new.test:${port} HTTP/1.1\r\n\r\nbytes that came early`)
  const { id } = await operator.asked('new.test')
  expect(route.dns.questions).toEqual([])
  expect(dials.beyond(route.proxy.port)).toEqual([])
  await operator.answer(id, { verdict: 'deny' })
  expect((await readReply(client)).status).toBe(403)
  expect(route.dns.questions).toEqual([])

  await using second = await route.client()
  second.write(get(`other.test:${port}`))
  const other = await operator.asked('other.test')
  route.dns.set('other.test', '127.0.0.1')
  await operator.answer(other.id, { verdict: 'allow' })
  expect((await readReply(second)).content).toBe('reached')
  expect(route.dns.questions.toSorted()).toEqual(['other.test A', 'other.test AAAA'])
  expect(dials.beyond(route.proxy.port)).toEqual([`127.0.0.1:${port}`])
  expect(route.decisions()).toHaveLength(4)
})

test('SEC-15a what an origin says about other places is passed on and never followed', async () => {
  await using elsewhere = await answering()
  const at = `denied.test:${elsewhere.port}`
  const heads = [
    `302 Found\r\nLocation: http://${at}/`,
    `301 Moved Permanently\r\nLocation: //${at}/`,
    `307 Temporary Redirect\r\nLocation: http://127.0.0.1:${elsewhere.port}/`,
    `308 Permanent Redirect\r\nLocation: http://ok.test:${elsewhere.port}/`,
    `305 Use Proxy\r\nLocation: http://${at}/`,
    `300 Multiple Choices\r\nLocation: http://${at}/\r\nAlternates: {"http://${at}/" 1}`,
    `201 Created\r\nLocation: http://${at}/\r\nContent-Location: http://${at}/`,
    `200 OK\r\nRefresh: 0; url=http://${at}/`,
    `200 OK\r\nLink: <http://${at}/x.css>; rel=preload; as=style, <http://${at}>; rel=preconnect`,
    `200 OK\r\nAlt-Svc: h2="${at}"; ma=86400, h3=":${elsewhere.port}"`,
    `200 OK\r\nAlternate-Protocol: ${elsewhere.port}:quic\r\nX-Accel-Redirect: http://${at}/`,
    `200 OK\r\nX-Forwarded-Host: ${at}\r\nHost: ${at}\r\nProxy-Location: http://${at}/`,
    `401 Unauthorized\r\nWWW-Authenticate: Basic realm="http://${at}/"`,
    `421 Misdirected Request\r\nLocation: http://${at}/`,
    `503 Service Unavailable\r\nRetry-After: 0\r\nLocation: http://${at}/`,
    `103 Early Hints\r\nLink: <http://${at}/x.js>; rel=preload; as=script\r\n\r\nHTTP/1.1 200 OK`,
  ]
  let next = 0
  await using route = await startRoute({
    origin: startRawOrigin((socket) => {
      socket.on('data', () => void socket.write(`HTTP/1.1 ${heads[next++]}\r\nContent-Length: 0\r\n\r\n`))
      socket.on('end', () => socket.end())
    }),
    ports: [elsewhere.port],
    unfamiliar: 'allow',
    more: 'dns_ttl_max = "0s"',
  })
  using dials = watchDials()
  await using client = await route.client()
  for (const head of heads) {
    client.write(get(route.authority))
    let reply = await readHead(client)
    expect(reply.status, head).toBe(Number(head.slice(0, 3)))
    if (reply.status === 103) reply = await readHead(client)
    const location = /\nLocation: (.*)/.exec(head)?.[1]?.trim()
    expect(reply.get('location'), head).toBe(location)
  }
  // Every request after such an answer went where it said, over the first connection.
  expect(next).toBe(heads.length)
  expect(elsewhere.connections).toBe(0)
  expect(new Set(dials.beyond(route.proxy.port))).toEqual(new Set([`127.0.0.1:${route.origin.port}`]))
  expect(new Set(route.dns.questions)).toEqual(new Set(['ok.test A', 'ok.test AAAA']))
  expect(route.decisions()).toHaveLength(heads.length)
})

test('SEC-40a an approval is of one client, host and port: every spelling of them joins it, everything else is another one', async () => {
  await using route = await startRoute({ origin: answering(), ports: [8080] })
  const operator = operatorOf(route.proxy)
  const { port } = route.origin
  const rows: readonly (readonly [authority: string, from: string])[] = [
    [`new.test:${port}`, '127.0.0.1'],
    [`NEW.TEST.:${port}`, '127.0.0.1'],
    [`nEw.test:${port}`, '127.0.0.1'],
    [`new.test:${port}`, '127.0.0.2'],
    ['new.test:8080', '127.0.0.1'],
    [`sub.new.test:${port}`, '127.0.0.1'],
  ]
  await using stack = new AsyncDisposableStack()
  const clients = []
  for (const [i, [authority, from]] of rows.entries()) {
    const client = stack.use(await rawClient(route.proxy.port, '127.0.0.1', from))
    clients.push(client)
    client.write(i % 2 === 0 ? get(authority) : `CONNECT ${authority} HTTP/1.1\r\n\r\n`)
    await expect
      .poll(async () => (await operator.approvals()).reduce((sum, each) => sum + each.waiting, 0), {
        timeout: 15_000,
      })
      .toBe(i + 1)
  }
  const open = (await operator.approvals()).map(
    ({ host, port: to, client, waiting }) => `${client} ${host}:${to} ${waiting}`,
  )
  expect(open.toSorted()).toEqual(
    [
      `127.0.0.1 new.test:${port} 3`,
      `127.0.0.2 new.test:${port} 1`,
      '127.0.0.1 new.test:8080 1',
      `127.0.0.1 sub.new.test:${port} 1`,
    ].toSorted(),
  )
  expect(route.dns.questions).toEqual([])
  // The answer is for those who asked this question, and for nobody else.
  const { id } = await operator.asked('new.test')
  await operator.answer(id, { verdict: 'allow', scope: 'always' })
  expect((await readReply(clients[0]!)).content).toBe('reached')
  expect(await clients[1]!.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  expect((await readReply(clients[2]!)).content).toBe('reached')
  expect((await operator.approvals()).filter((each) => each.waiting > 0)).toHaveLength(3)
  expect(clients.slice(3).map(({ pending }) => pending)).toEqual(['', '', ''])
})

test('SEC-40b what is denied, private, invalid or a bare address is refused at once and never asked about', async () => {
  await using route = await startRoute({
    origin: answering(),
    denied: ['**.denied.test', '9.9.9.0/24'],
    allowed: ['ok.test', '1.1.1.1'],
  })
  using dials = watchDials()
  const { port } = route.origin
  const rows: readonly (readonly [authority: string, reason: string])[] = [
    [`denied.test:${port}`, 'denied'],
    [`sub.DENIED.test.:${port}`, 'denied'],
    ['9.9.9.9:443', 'denied'],
    ['[2002:909:909::1]:443', 'denied'],
    ['10.0.0.1:443', 'not_allowed_local'],
    [`127.0.0.1:${port}`, 'not_allowed_local'],
    ['[::1]:443', 'not_allowed_local'],
    ['169.254.169.254:80', 'not_allowed_local'],
    ['localhost:443', 'not_allowed_local'],
    ['metadata.google.internal:80', 'not_allowed_local'],
    ['new.test:22', 'port_not_allowed'],
    ['bad..test:443', 'invalid_target'],
    ['2130706433:443', 'invalid_target'],
    ['new.test:65561', 'invalid_target'],
    ['93.184.216.34:443', 'not_allowed'],
    ['93.184.216.34.:443', 'not_allowed'],
    ['[2606:4700::1111]:443', 'not_allowed'],
    ['[::ffff:93.184.216.34]:80', 'not_allowed'],
    ['[64:ff9b::93.184.216.34]:443', 'not_allowed'],
  ]
  for (const [authority, reason] of rows)
    for (const request of [get(authority), `CONNECT ${authority} HTTP/1.1\r\n\r\n`]) {
      await using client = await route.client()
      client.write(request)
      expect(JSON.parse((await readReply(client)).content)['reason'], request).toBe(reason)
    }
  expect(await operatorOf(route.proxy).approvals()).toEqual([])
  expect(route.proxy.events.map(({ event }) => event)).not.toContain('sallyport.approval.opened')
  expect(route.decisions()).toHaveLength(2 * rows.length)
  expect(route.dns.questions).toEqual([])
  expect(dials.beyond(route.proxy.port)).toEqual([])
  // An entry of the configuration permits an address as before.
  await using client = await route.client()
  client.write('CONNECT 1.1.1.1:443 HTTP/1.1\r\n\r\n')
  expect((await readReply(client)).status).toBe(502)
  expect(dials.beyond(route.proxy.port)).toEqual(['1.1.1.1:443'])
  expect(route.decisions().at(-1)).toMatchObject({
    'sallyport.decision': 'allow',
    'sallyport.decision.source': 'allow_rule',
  })
})
