import { expect, test } from 'vitest'
import { startDeafOrigin } from '../kit/deaf-origin.ts'
import { readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { startEchoOrigin, startHttpOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

const CLOSED = /tunnels that the new policy denies were closed/

test('REL-01 a reload drops no tunnel that is still permitted, and closes those that are denied now', async () => {
  await using route = await startRoute({
    origin: startEchoOrigin(),
    names: { 'also.test': ['127.0.0.1'] },
    allowed: ['ok.test', 'also.test'],
    complaints: CLOSED,
  })
  await using kept = await route.tunnel()
  await using lost = await route.client()
  lost.write(`CONNECT also.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  await lost.until('\r\n\r\n')
  await route.reload({ allowed: ['ok.test'], denied: ['also.test'] })
  await lost.rest()
  expect(lost.wasReset).toBe(true)
  expect(await route.completed()).toMatchObject({
    'error.type': 'policy_changed',
    'server.address': 'also.test',
  })
  kept.write('still here')
  expect(await kept.until('still here')).toBe('still here')
  expect(route.decisions()).toHaveLength(2)
})

test('REL-02 a tunnel to what is now unfamiliar stays: it is not denied', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  await using client = await route.tunnel()
  await route.reload({ allowed: [] })
  client.write('still here')
  await client.until('still here')
})

test('REL-03 a tunnel whose port, or whose private exception, is taken away is closed', async () => {
  for (const changes of [{ privateHost: 'other.test' }, { denied: ['127.0.0.0/8'] }]) {
    await using route = await startRoute({ origin: startEchoOrigin(), complaints: CLOSED })
    await using client = await route.tunnel()
    await route.reload(changes)
    await client.rest()
    expect(await route.completed()).toMatchObject({ 'error.type': 'policy_changed' })
  }
})

test('REL-04 the new policy counts for the next request on a connection that is open already', async () => {
  await using route = await startRoute({ origin: startHttpOrigin((_, response) => response.end('ok')) })
  await using client = await route.client()
  const request = `GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`
  client.write(request)
  expect((await readReply(client)).content).toBe('ok')
  await route.reload({ allowed: [], denied: ['ok.test'] })
  client.write(request)
  expect((await readReply(client)).status).toBe(403)
  await route.reload({})
  client.write(request)
  expect((await readReply(client)).content).toBe('ok')
  const versions = route.decisions().map((each) => each['security_rule.version'])
  expect(versions[0]).toBe(versions[2])
  expect(versions[1]).not.toBe(versions[0])
})

test('REL-05 a file that is not valid changes nothing, and is told with file and line', async () => {
  await using route = await startRoute({
    origin: startEchoOrigin(),
    complaints: /the new configuration was refused/,
  })
  await using client = await route.tunnel()
  const { version } = route.proxy.daemon.snapshot
  await route.proxy.writeConfig('[policy]\nallowed_domians = ["evil.test"]\n')
  const outcome = await route.proxy.daemon.reload()
  expect(outcome.kind).toBe('refused')
  expect(route.proxy.daemon.snapshot.version).toBe(version)
  expect(route.proxy.complaints.join()).toMatch(/sallyport\.toml:2.*allowed_domains/)
  client.write('still here')
  await client.until('still here')
  await using other = await route.tunnel()
  expect(other.pending).toBe('')
  expect(
    route.proxy.events
      .filter(({ event }) => event === 'sallyport.policy.changed')
      .map(({ attributes }) => attributes),
  ).toMatchObject([{ 'sallyport.policy.outcome': 'refused', 'security_rule.version': version }])
})

test('REL-06 an exchange that runs during a reload is not disturbed by it', async () => {
  const started = Promise.withResolvers<() => void>()
  await using route = await startRoute({
    origin: startHttpOrigin((_, response) => {
      response.write('first ')
      started.resolve(() => response.end('second'))
    }),
  })
  await using client = await route.client()
  client.write(`GET ${route.url('/')} HTTP/1.0\r\n\r\n`)
  await client.until('first ')
  await route.reload({ allowed: [], denied: ['ok.test'] })
  ;(await started.promise)()
  expect(await client.rest()).toBe('second')
  expect(client.wasReset).toBe(false)
})

test('REL-07 a hundred reloads under load fail no request', async () => {
  await using route = await startRoute({ origin: startHttpOrigin((_, response) => response.end('ok')) })
  const done = new AbortController()
  const load = Array.from({ length: 8 }, async () => {
    await using client = await route.client()
    let served = 0
    while (!done.signal.aborted) {
      client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
      const reply = await readReply(client)
      if (reply.status !== 200) throw new Error(`${reply.status} ${reply.reason}`)
      served++
    }
    return served
  })
  for (let i = 0; i < 100; i++) await route.reload({ denied: [`denied${i}.test`] })
  done.abort()
  const served = (await Promise.all(load)).reduce((sum, each) => sum + each, 0)
  expect(served).toBeGreaterThan(100)
  expect(route.decisions()).toHaveLength(served)
})

test('REL-08 a policy that denies a host while it is being looked up is not outrun by the look-up', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  route.dns.silence('ok.test')
  await using client = await route.client()
  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  await route.dns.asked('ok.test')
  await route.reload({ allowed: [], denied: ['ok.test'] })
  route.dns.speak('ok.test')
  expect((await readReply(client)).status).toBe(403)
  expect(route.origin.connections).toBe(0)
  const { version } = route.proxy.daemon.snapshot
  expect(route.decisions()).toMatchObject([
    { 'sallyport.decision': 'deny', 'security_rule.version': version },
  ])
})

test('REL-09 a limit that changed counts for the next connection', async () => {
  await using route = await startRoute({
    origin: startEchoOrigin(),
    complaints: /a connection was turned away/,
  })
  await using first = await route.tunnel()
  await route.reload({ more: '[limits]\nconnections_per_client = 1' })
  await using second = await route.client()
  expect(await second.rest()).toMatch(/^HTTP\/1\.1 503 Too many connections/)
  await route.reload({})
  await using third = await route.tunnel()
  expect([first.pending, third.pending]).toEqual(['', ''])
})

test('REL-10 an open approval does not outlive a policy that denies its host', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  const operator = operatorOf(route.proxy)
  await using client = await route.client()
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  const { id } = await operator.asked('new.test')
  await route.reload({ denied: ['new.test'] })
  await operator.answer(id, { verdict: 'allow', scope: 'always' })
  expect((await readReply(client)).status).toBe(403)
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  const reply = await readReply(client)
  expect([reply.status, JSON.parse(reply.content)['reason']]).toEqual([403, 'denied'])
  expect(route.origin.connections).toBe(0)
})

test('REL-11 what a policy denies, or a revocation, while it is dialled is 403 and not dialled any further', async () => {
  await using route = await startRoute({ origin: startDeafOrigin(), complaints: CLOSED })
  await using client = await route.client()
  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  await route.proxy.event('sallyport.egress.decision')
  await route.reload({ allowed: [], denied: ['ok.test'] })
  const denied = await readReply(client)
  expect([denied.status, denied.reason, denied.get('proxy-status')]).toEqual([
    403,
    expect.stringMatching(/^A new policy denies this destination \(req /),
    'sallyport; error=http_request_denied',
  ])
  expect(JSON.parse(denied.content)).toMatchObject({ reason: 'policy_changed', decision: 'deny' })
  expect(await route.completed()).toMatchObject({ 'error.type': 'policy_changed' })

  const operator = operatorOf(route.proxy)
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  const { id } = await operator.asked('new.test')
  await operator.answer(id, { verdict: 'allow', scope: 'always' })
  await route.proxy.event('sallyport.egress.decision', () => true, 2)
  const [grant] = await operator.grants()
  await operator.revoke(grant!.id)
  const revoked = await readReply(client)
  expect([revoked.status, JSON.parse(revoked.content)['reason']]).toEqual([403, 'grant_revoked'])
})
