import { expect, test } from 'vitest'
import { readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { startHttpOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

const ok = () => startHttpOrigin((_, response) => response.end('ok'))

test('HLD-20 an approved name that resolves to a private address is refused all the same, without saying which', async () => {
  await using route = await startRoute({ origin: ok() })
  const operator = operatorOf(route.proxy)
  for (const [i, address] of [
    '10.0.0.1',
    '::1',
    '169.254.169.254',
    '64:ff9b::a00:1',
    '::ffff:10.0.0.1',
  ].entries()) {
    const host = `inner${i}.test`
    route.dns.set(host, address)
    await using client = await route.client()
    client.write(`GET http://${host}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    const { id } = await operator.asked(host)
    await operator.answer(id, { verdict: 'allow' })
    const reply = await readReply(client)
    expect([reply.status, JSON.parse(reply.content)['reason']], address).toEqual([403, 'not_allowed_local'])
    expect(reply.content + reply.get('proxy-status')).not.toContain(address)
    expect(route.decisions().at(-1)).toMatchObject({
      'sallyport.decision': 'deny',
      'sallyport.decision.source': 'address_guard',
      'sallyport.approval.id': id,
    })
  }
  expect(route.decisions()).toHaveLength(5)
  expect(route.origin.connections).toBe(0)
})

test('HLD-21 one private answer among good ones refuses the whole name', async () => {
  await using route = await startRoute({ origin: ok() })
  route.dns.set('ok.test', '127.0.0.1', '10.0.0.1')
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).status).toBe(403)
  expect(route.origin.connections).toBe(0)
  expect(route.decisions()).toHaveLength(1)
})

test('HLD-22 a name that is bound to another address between two requests is judged anew', async () => {
  await using route = await startRoute({ origin: ok(), more: 'dns_ttl_max = "0s"' })
  await using client = await route.client()
  const request = `GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`
  client.write(request)
  expect((await readReply(client)).content).toBe('ok')
  route.dns.set('ok.test', '10.0.0.1')
  client.write(request)
  expect((await readReply(client)).status).toBe(403)
  route.dns.set('ok.test', '127.0.0.1')
  client.write(request)
  expect((await readReply(client)).content).toBe('ok')
  expect(route.decisions().map((each) => each['sallyport.decision'])).toEqual(['allow', 'deny', 'allow'])
})

test('HLD-23 the address that was judged is the one that is dialled: one look-up an exchange', async () => {
  await using route = await startRoute({ origin: ok(), more: 'dns_ttl_max = "0s"' })
  await using client = await route.client()
  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  await client.until('\r\n\r\n')
  expect(route.dns.questions.toSorted()).toEqual(['ok.test A', 'ok.test AAAA'])
})

test('HLD-24 a policy that became stricter while a client was held counts when the answer comes', async () => {
  await using route = await startRoute({ origin: ok() })
  const operator = operatorOf(route.proxy)
  await using client = await route.client()
  client.write(`GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  const { id } = await operator.asked('new.test')
  await route.reload({ denied: ['new.test'] })
  await operator.answer(id, { verdict: 'allow', scope: 'always' })
  const reply = await readReply(client)
  expect([reply.status, JSON.parse(reply.content)['reason']]).toEqual([403, 'denied'])
  expect(route.decisions()).toMatchObject([
    {
      'sallyport.decision': 'deny',
      'sallyport.decision.source': 'deny_rule',
      'security_rule.version': route.proxy.daemon.snapshot.version,
    },
  ])
  expect(route.dns.questions).toEqual([])
  expect(route.origin.connections).toBe(0)
})

test('HLD-25 with unfamiliar = deny and unfamiliar = allow nobody is asked', async () => {
  for (const [unfamiliar, status] of [
    ['deny', 403],
    ['allow', 200],
  ] as const) {
    await using route = await startRoute({ origin: ok(), unfamiliar })
    await using client = await route.client()
    client.write(`GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect((await readReply(client)).status).toBe(status)
    expect(await operatorOf(route.proxy).approvals()).toEqual([])
    expect(route.decisions()).toHaveLength(1)
  }
})

test('HLD-26 when nobody is there and policy says so, nobody waits', async () => {
  await using route = await startRoute({ origin: ok(), more: '[hold]\nwhen_unattended = "deny"' })
  await using client = await route.client()
  client.write(`GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  const reply = await readReply(client)
  expect([reply.status, JSON.parse(reply.content)['reason']]).toEqual([403, 'no_reviewer'])
  expect(route.decisions()).toHaveLength(1)
})

test('HLD-27 past the bound of open approvals a client is turned away at once', async () => {
  await using route = await startRoute({ origin: ok(), more: '[hold]\nper_client = 2' })
  const operator = operatorOf(route.proxy)
  const clients = await Promise.all([route.client(), route.client(), route.client()])
  for (const [i, client] of clients.entries()) {
    client.write(`CONNECT new${i}.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
    if (i < 2) await operator.asked(`new${i}.test`)
  }
  const reply = await readReply(clients[2]!)
  expect([reply.status, JSON.parse(reply.content)['reason']]).toEqual([503, 'too_many_pending'])
  expect(reply.get('retry-after')).toBe('30')
  for (const client of clients) await client[Symbol.asyncDispose]()
})
