import { expect, test } from 'vitest'
import { pushUntilStuck } from '../kit/bulk.ts'
import { startDeafOrigin } from '../kit/deaf-origin.ts'
import { startDns } from '../kit/dns.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { readReply } from '../kit/http-reply.ts'
import { operatorOf } from '../kit/operator.ts'
import { startEchoOrigin, startRawOrigin } from '../kit/origin.ts'
import { startProxy, testConfig } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'
import { startRoute } from '../kit/route.ts'

test('CON-01 a tunnel to an allowed host carries bytes both ways and leaves one decision and one completion', async () => {
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  await using origin = await startEchoOrigin()
  await using proxy = await startProxy({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
  await using client = await rawClient(proxy.port)
  client.write(`CONNECT ok.test:${origin.port} HTTP/1.1\r\nHost: ok.test:${origin.port}\r\n\r\n`)
  expect(await client.until('\r\n\r\n')).toBe('HTTP/1.1 200 Connection established\r\n\r\n')
  client.write('hello')
  expect(await client.until('hello')).toBe('hello')
  client.socket.end()
  expect(await client.rest()).toBe('')
  const completed = await proxy.event('sallyport.egress.completed')
  expect(completed.attributes).toMatchObject({ 'sallyport.bytes.sent': 5, 'sallyport.bytes.received': 5 })
  expect(proxy.decisions()).toHaveLength(1)
  expect(proxy.decisions()[0]!.attributes).toMatchObject({
    'sallyport.decision': 'allow',
    'server.address': 'ok.test',
  })
  expect(origin.connections).toBe(1)
  expect(proxy.complaints).toEqual([])
})

test('CON-02 a denied host is refused with 403, without a look-up and without a dial', async () => {
  await using dns = await startDns({ 'denied.test': ['127.0.0.1'] })
  await using origin = await startEchoOrigin()
  await using proxy = await startProxy({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
  await using client = await rawClient(proxy.port)
  client.write(`CONNECT DENIED.test.:${origin.port} HTTP/1.1\r\n\r\n`)
  const head = await client.until('\r\n\r\n')
  expect(head).toMatch(/^HTTP\/1\.1 403 Blocked by policy: denied \(req [0-9a-z]{12}\)\r\n/)
  expect(head).toContain('X-Proxy-Error: blocked-by-denylist')
  expect(dns.questions).toEqual([])
  expect(origin.connections).toBe(0)
  expect(proxy.decisions()).toHaveLength(1)
})

test('CON-03 HTTP/1.0 without Host or any other field opens a tunnel', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  await using client = await route.client()
  client.write(`CONNECT ${route.authority} HTTP/1.0\r\n\r\n`)
  expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  client.write('ping')
  expect(await client.until('ping')).toBe('ping')
  expect(route.decisions()).toHaveLength(1)
})

test('CON-04 only the target counts, whatever the Host field says', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  const hosts = ['denied.test', 'ok.test', 'other.test:443', '127.0.0.1', 'OK.TEST:1', '', '[::1]:80']
  for (const host of hosts) {
    await using allowed = await route.client()
    allowed.write(`CONNECT ${route.authority} HTTP/1.1\r\nX-First: 1\r\nHost: ${host}\r\n\r\n`)
    expect(await allowed.until('\r\n\r\n'), host).toMatch(/^HTTP\/1\.1 200 /)
    await using denied = await route.client()
    denied.write(`CONNECT denied.test:443 HTTP/1.1\r\nHost: ${route.authority}\r\n\r\n`)
    expect(await denied.until('\r\n\r\n'), host).toMatch(/^HTTP\/1\.1 403 /)
  }
  expect(route.origin.connections).toBe(hosts.length)
  expect(new Set(route.dns.questions)).toEqual(new Set(['ok.test A', 'ok.test AAAA']))
})

test('CON-05 every spelling of a host is the same host', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  const { port } = route.origin
  for (const spelling of ['OK.test', 'ok.TEST.', 'Ok.Test']) {
    await using client = await route.client()
    client.write(`CONNECT ${spelling}:${port} HTTP/1.1\r\n\r\n`)
    expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  }
  for (const decision of route.decisions()) expect(decision['server.address']).toBe('ok.test')
})

test('CON-06 no 200 before the origin has accepted: a refused port is 502, and the connection goes on', async () => {
  await using route = await startRoute({
    origin: startEchoOrigin(),
    names: { 'shut.test': ['127.0.0.2'] },
    allowed: ['ok.test', 'shut.test'],
  })
  await using client = await route.client()
  client.write(`CONNECT shut.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  const reply = await readReply(client)
  expect(reply.status).toBe(502)
  expect(reply.reason).toMatch(/^The destination refused the connection \(req [0-9a-z]{12}\)$/)
  expect(reply.get('proxy-status')).toMatch(/^sallyport; error=connection_refused/)
  expect(reply.get('x-proxy-error')).toBe('connection-refused')
  expect(JSON.parse(reply.content)).toMatchObject({ reason: 'connection_refused', host: 'shut.test' })
  expect(reply.content).not.toContain('127.0.0.2')
  expect(await route.completed()).toMatchObject({
    'error.type': 'connection_refused',
    'http.response.status_code': 502,
  })

  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  expect(route.decisions()).toHaveLength(2)
})

test('CON-07 a name that does not exist is 502 dns_error, and nothing is dialled', async () => {
  await using route = await startRoute({ origin: startEchoOrigin(), allowed: ['missing.test'] })
  await using client = await route.client()
  client.write('CONNECT missing.test:443 HTTP/1.1\r\n\r\n')
  const reply = await readReply(client)
  expect(reply.status).toBe(502)
  expect(reply.get('proxy-status')).toBe('sallyport; error=dns_error; details="NXDOMAIN"')
  expect(route.origin.connections).toBe(0)
  expect(route.decisions()).toHaveLength(1)
  expect(route.decisions()[0]).toMatchObject({ 'sallyport.decision': 'allow' })
})

test('CON-08 a name server that does not answer is 504 dns_timeout', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: startEchoOrigin(), clock })
  route.dns.silence('ok.test')
  await using client = await route.client()
  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  await route.dns.asked('ok.test')
  clock.advance(4999)
  await new Promise(setImmediate)
  expect(client.pending).toBe('')
  clock.advance(1)
  const reply = await readReply(client)
  expect(reply.status).toBe(504)
  expect(reply.get('proxy-status')).toMatch(/^sallyport; error=dns_timeout/)
  expect(route.origin.connections).toBe(0)
  expect(route.decisions()).toHaveLength(1)
})

test('CON-09 an origin that does not accept in time is 504 connection_timeout', async () => {
  const clock = createFakeClock()
  await using route = await startRoute({ origin: startDeafOrigin(), clock })
  await using client = await route.client()
  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  await route.proxy.event('sallyport.egress.decision')
  while (clock.pendingAt(10_000) === 0) await new Promise(setImmediate) // Until the dial has set its limit.
  clock.advance(10_000)
  const reply = await readReply(client)
  expect(reply.status).toBe(504)
  expect(reply.get('proxy-status')).toMatch(/^sallyport; error=connection_timeout/)
  expect(await route.completed()).toMatchObject({ 'error.type': 'connection_timeout' })
})

test('CON-10 a client that goes away while its target is dialled ends the dial', async () => {
  await using route = await startRoute({ origin: startDeafOrigin() })
  const client = await route.client()
  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  await route.proxy.event('sallyport.egress.decision')
  await client[Symbol.asyncDispose]()
  expect(await route.completed()).toMatchObject({ 'error.type': 'client_gone' })
  expect(route.decisions()).toHaveLength(1)
})

test('CON-11 bytes behind a CONNECT wait for the decision and then arrive whole', async () => {
  const heard = Promise.withResolvers<string>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => socket.once('data', (bytes) => heard.resolve(bytes.toString()))),
  })
  await using client = await route.client()
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\nearly `)
  const operator = operatorOf(route.proxy)
  const { id } = await operator.asked('new.test')
  client.write('and a little later')
  await using other = await route.tunnel() // What was written before has been read by now.
  expect(route.origin.connections).toBe(1)
  expect(route.dns.questions.some((each) => each.startsWith('new.test'))).toBe(false)
  await operator.answer(id, { verdict: 'allow' })
  expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  expect(await heard.promise).toBe('early and a little later')
  expect(other.pending).toBe('')
})

test('CON-12 bytes behind a CONNECT that is denied reach nobody', async () => {
  let heard = 0
  await using route = await startRoute({
    origin: startRawOrigin((socket) => socket.on('data', () => heard++)),
  })
  await using client = await route.client()
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n\x16\x03\x01secret`)
  const operator = operatorOf(route.proxy)
  const { id } = await operator.asked('new.test')
  await operator.answer(id, { verdict: 'deny' })
  expect((await readReply(client)).status).toBe(403)
  expect({ heard, connections: route.origin.connections }).toEqual({ heard: 0, connections: 0 })
})

test('CON-13 what a client sends too early is bounded, and nothing of it is lost', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  await using client = await route.client()
  client.write(`CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`)
  const operator = operatorOf(route.proxy)
  const { id } = await operator.asked('new.test')
  const taken = await pushUntilStuck(client.socket, 64 * 1024 * 1024)
  // The kernel's own buffers and the 64 KiB of limits.early_bytes.
  expect(taken).toBeLessThan(32 * 1024 * 1024)
  const written = client.socket.bytesWritten
  client.socket.end()
  await operator.answer(id, { verdict: 'allow' })
  await client.until('\r\n\r\n')
  const echoed = await client.rest()
  expect(echoed.length).toBe(written - `CONNECT new.test:${route.origin.port} HTTP/1.1\r\n\r\n`.length)
})

test('CON-14 a connection on which a CONNECT was denied serves the next request', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  await using client = await route.client()
  for (let i = 0; i < 3; i++) {
    client.write('CONNECT denied.test:443 HTTP/1.1\r\n\r\n')
    const reply = await readReply(client)
    expect(reply.status).toBe(403)
    expect(reply.get('connection')).toBe('keep-alive')
    client.write('GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\n\r\n')
    expect((await readReply(client)).status).toBe(403)
  }
  client.write(`CONNECT ${route.authority} HTTP/1.1\r\n\r\n`)
  expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /)
  expect(route.decisions()).toHaveLength(7)
  expect(route.dns.questions).toHaveLength(2)
})
