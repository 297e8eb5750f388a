import { expect, test } from 'vitest'
import { createFakeClock } from '../kit/fake-clock.ts'
import { readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { startEchoOrigin, startHttpOrigin } from '../kit/origin.ts'
import { rawClient } from '../kit/raw-client.ts'
import { startRoute } from '../kit/route.ts'

const ok = () => startHttpOrigin((_, response) => response.end('ok'))

/** Until the answer to what the proxy was asked before could have been there. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
}

test('HLD-01 an unfamiliar host waits in silence, and goes on when somebody allows it', async () => {
  await using route = await startRoute({ origin: ok() })
  const operator = operatorOf(route.proxy)
  await using client = await route.client()
  client.write(`GET http://new.test:${route.origin.port}/path?q HTTP/1.1\r\nHost: x\r\n\r\n`)
  const approval = await operator.asked('new.test')
  expect(approval).toMatchObject({ host: 'new.test', port: route.origin.port, waiting: 1, status: 'open' })
  await settled()
  expect(client.pending).toBe('')
  expect(route.dns.questions).toEqual([])
  expect(route.decisions()).toEqual([])

  await operator.answer(approval.id, { verdict: 'allow' })
  expect((await readReply(client)).content).toBe('ok')
  expect(route.origin.connections).toBe(1)
  expect(route.decisions()).toHaveLength(1)
  expect(route.decisions()[0]).toMatchObject({
    'sallyport.decision': 'allow',
    'sallyport.decision.source': 'approval',
    'sallyport.approval.id': approval.id,
    'url.path': '/path',
  })
})

test('HLD-02 a denial is 403, and nothing was looked up or dialled', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  const operator = operatorOf(route.proxy)
  await using client = await route.client()
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  const { id } = await operator.asked('new.test')
  await operator.answer(id, { verdict: 'deny' })
  const reply = await readReply(client)
  expect([reply.status, JSON.parse(reply.content)['reason']]).toEqual([403, 'approval_denied'])
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  expect((await readReply(client)).status).toBe(403)
  expect(route.dns.questions).toEqual([])
  expect(route.origin.connections).toBe(0)
  expect(route.decisions().map((each) => each['sallyport.decision'])).toEqual(['deny', 'deny'])
})

test('HLD-03 at its deadline a hold is 503 with Retry-After and the id; a late answer lets the retry pass at once', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: ok(), clock })
  const operator = operatorOf(route.proxy)
  await using client = await route.client()
  const request = `GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`
  client.write(request)
  const { id } = await operator.asked('new.test')
  clock.advance(24_999)
  await settled()
  expect(client.pending).toBe('')
  clock.advance(1)
  const reply = await readReply(client)
  expect(reply.status).toBe(503)
  expect(reply.reason).toMatch(
    new RegExp(
      `^Approval pending for new\\.test:${route.origin.port}, retry in 30 s \\(req [0-9a-z]{12}\\)$`,
    ),
  )
  expect(reply.get('retry-after')).toBe('30')
  expect(reply.get('connection')).toBe('keep-alive')
  expect(JSON.parse(reply.content)).toMatchObject({
    reason: 'approval_pending',
    decision: 'ask',
    approval: { id, status: 'open' },
    retry_after: 30,
  })
  expect(route.decisions()[0]).toMatchObject({
    'sallyport.decision': 'hold',
    'sallyport.approval.id': id,
    'http.response.status_code': 503,
  })

  await operator.answer(id, { verdict: 'allow', scope: 'for', for: '1h' })
  client.write(request)
  expect((await readReply(client)).content).toBe('ok')
  expect(route.decisions()).toHaveLength(2)
  expect(route.proxy.events.filter(({ event }) => event === 'sallyport.approval.opened')).toHaveLength(1)
})

test('HLD-04 equal questions of one client join one approval; another client asks its own', async () => {
  await using route = await startRoute({ origin: ok() })
  const operator = operatorOf(route.proxy)
  const request = `GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`
  const clients = await Promise.all(Array.from({ length: 5 }, () => route.client()))
  for (const client of clients) client.write(request)
  const first = await operator.asked('new.test')
  await using other = await rawClient(route.proxy.port, '127.0.0.1', '127.0.0.2')
  other.write(request)
  const second = await operator.asked('new.test', 2)
  expect([first.client, second.client]).toEqual(['127.0.0.1', '127.0.0.2'])
  while ((await operator.approvals())[0]!.waiting < 5) await settled()

  await operator.answer(first.id, { verdict: 'allow' })
  for (const client of clients) {
    expect((await readReply(client)).content).toBe('ok')
    await client[Symbol.asyncDispose]()
  }
  expect(other.pending).toBe('')
  await operator.answer(second.id, { verdict: 'deny' })
  expect((await readReply(other)).status).toBe(403)
  expect(route.decisions()).toHaveLength(6)
})

test('HLD-05 a client that goes away leaves its approval open, and its exchange recorded', async () => {
  await using route = await startRoute({ origin: ok() })
  const operator = operatorOf(route.proxy)
  const client = await route.client()
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  const { id } = await operator.asked('new.test')
  await client[Symbol.asyncDispose]()
  await route.proxy.event('sallyport.egress.decision')
  expect(route.decisions()).toMatchObject([
    { 'sallyport.decision': 'deny', 'sallyport.decision.reason': 'client_gone', 'sallyport.approval.id': id },
  ])
  expect(await operator.approvals()).toMatchObject([{ id, status: 'open', waiting: 0, requester_left: true }])
  await operator.answer(id, { verdict: 'allow', scope: 'always' })
  await using again = await route.client()
  again.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  expect(await again.until('\r\n\r\n')).toContain(' 200 ')
  expect(route.origin.connections).toBe(1)
})

test('HLD-06 a hundred held at once are released together, each into an exchange of its own', async () => {
  await using route = await startRoute({ origin: ok() })
  const operator = operatorOf(route.proxy)
  const clients = await Promise.all(Array.from({ length: 100 }, () => route.client()))
  for (const client of clients)
    client.write(`GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  const { id } = await operator.asked('new.test')
  while ((await operator.approvals())[0]!.waiting < 100) await settled()
  await operator.answer(id, { verdict: 'allow' })
  for (const client of clients) {
    expect((await readReply(client)).content).toBe('ok')
    await client[Symbol.asyncDispose]()
  }
  expect(route.decisions()).toHaveLength(100)
  expect(new Set(route.decisions().map((each) => each['sallyport.request.id'])).size).toBe(100)
})

test('HLD-07 allow once is for those that wait: the next request is held again', async () => {
  await using route = await startRoute({ origin: ok() })
  const operator = operatorOf(route.proxy)
  await using client = await route.client()
  const request = `GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`
  client.write(request)
  await operator.answer((await operator.asked('new.test')).id, { verdict: 'allow', scope: 'once' })
  expect((await readReply(client)).content).toBe('ok')
  client.write(request)
  const second = await operator.asked('new.test', 2)
  await operator.answer(second.id, { verdict: 'deny' })
  expect((await readReply(client)).status).toBe(403)
})

test('HLD-08 grants and open approvals survive a restart', async () => {
  await using route = await startRoute({ origin: ok(), names: { 'late.test': ['127.0.0.1'] } })
  const operator = operatorOf(route.proxy)
  const { port } = route.origin
  await using first = await route.client()
  first.write(`GET http://new.test:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  await operator.answer((await operator.asked('new.test')).id, { verdict: 'allow', scope: 'for', for: '1h' })
  expect((await readReply(first)).content).toBe('ok')
  await using second = await route.client()
  second.write(`GET http://late.test:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  const late = await operator.asked('late.test')

  await route.proxy.restart()
  await operator.answer(late.id, { verdict: 'allow', scope: 'always' })
  await using after = await route.client()
  for (const host of ['new.test', 'late.test']) {
    after.write(`GET http://${host}:${port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect((await readReply(after)).content, host).toBe('ok')
  }
  expect(await operator.grants()).toHaveLength(2)
})

test('HLD-09 a revoked grant is no longer good for the next request on the same connection', async () => {
  await using route = await startRoute({ origin: ok(), unfamiliar: 'hold' })
  const operator = operatorOf(route.proxy)
  await using client = await route.client()
  const request = `GET http://new.test:${route.origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`
  client.write(request)
  await operator.answer((await operator.asked('new.test')).id, { verdict: 'allow', scope: 'always' })
  await readReply(client)
  client.write(request)
  expect((await readReply(client)).content).toBe('ok')
  const [grant] = await operator.grants()
  await operator.revoke(grant!.id)
  client.write(request)
  await operator.asked('new.test', 2)
  await settled()
  expect(client.pending).toBe('')
})

test('HLD-10 what no approval can permit never becomes one: denied, private, port, malformed', async () => {
  await using route = await startRoute({ origin: ok() })
  const { port } = route.origin
  await using client = await route.client()
  const targets = [
    [`denied.test:${port}`, 403],
    ['10.0.0.1:443', 403],
    ['[fd00::1]:443', 403],
    ['127.0.0.1:443', 403],
    ['169.254.169.254:80', 403],
    ['localhost:443', 403],
    ['metadata.google.internal:80', 403],
    ['new.test:22', 403],
    ['127.1:443', 400],
    ['new..test:443', 400],
  ] as const
  for (const [target, status] of targets) {
    client.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`)
    expect((await readReply(client)).status, target).toBe(status)
  }
  expect(await operatorOf(route.proxy).approvals()).toEqual([])
  expect(route.dns.questions).toEqual([])
  expect(route.decisions()).toHaveLength(targets.length)
})
