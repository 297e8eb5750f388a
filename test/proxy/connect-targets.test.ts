import { expect, test } from 'vitest'
import { readReply } from '../kit/http-reply.ts'
import { startEchoOrigin, startRawOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

test('CON-15 a target that is malformed or ambiguous is 400: nothing is looked up, nothing dialled', async () => {
  await using route = await startRoute({ origin: startEchoOrigin(), unfamiliar: 'allow' })
  const { port } = route.origin
  const targets = [
    'ok.test',
    'ok.test:',
    'ok.test:0',
    'ok.test:65536',
    'ok.test:+443',
    'ok.test:0443',
    'ok.test:443x',
    'ok.test:443:443',
    ':443',
    `user@ok.test:${port}`,
    `ok.test@denied.test:${port}`,
    `http://ok.test:${port}/`,
    `ok.test:${port}/`,
    `ok.test..:${port}`,
    `.ok.test:${port}`,
    `-ok.test:${port}`,
    `[ok.test]:${port}`,
    `ok%2etest:${port}`,
    `ok.test%00.denied.test:${port}`,
    `[::1%25lo]:${port}`,
    `[::1]x:${port}`,
    `127.1:${port}`,
    `0x7f.0.0.1:${port}`,
    `0177.0.0.1:${port}`,
    `2130706433:${port}`,
    `127.0.0.01:${port}`,
    `1.2.3.4.5:${port}`,
    `*:${port}`,
    '*',
    '/',
  ]
  for (const target of targets) {
    await using client = await route.client()
    client.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`)
    const reply = await readReply(client)
    expect(reply.status, target).toBe(400)
    expect(reply.get('x-proxy-error'), target).toBe('invalid-target')
  }
  expect(route.decisions()).toHaveLength(targets.length)
  for (const decision of route.decisions())
    expect(decision).toMatchObject({
      'sallyport.decision': 'deny',
      'sallyport.decision.reason': 'invalid_target',
      'http.response.status_code': 400,
    })
  expect(route.dns.questions).toEqual([])
  expect(route.origin.connections).toBe(0)
})

test('CON-16 a port that is not permitted, and a literal private address, are 403 without a dial', async () => {
  await using route = await startRoute({ origin: startEchoOrigin(), unfamiliar: 'allow' })
  await using client = await route.client()
  client.write('CONNECT ok.test:22 HTTP/1.1\r\n\r\n')
  const port = await readReply(client)
  expect([port.status, JSON.parse(port.content)['reason']]).toEqual([403, 'port_not_allowed'])
  for (const host of ['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '10.0.0.1', '169.254.169.254', '0.0.0.0']) {
    client.write(`CONNECT ${host}:443 HTTP/1.1\r\n\r\n`)
    const reply = await readReply(client)
    expect([reply.status, JSON.parse(reply.content)['reason']], host).toEqual([403, 'not_allowed_local'])
  }
  client.write('CONNECT localhost:443 HTTP/1.1\r\n\r\n')
  expect(JSON.parse((await readReply(client)).content)['reason']).toBe('not_allowed_local')
  expect(route.dns.questions).toEqual([])
  expect(route.origin.connections).toBe(0)
})

test('CON-17 content of a CONNECT has no meaning: the request is refused and the connection closed', async () => {
  await using route = await startRoute({ origin: startEchoOrigin() })
  for (const framing of ['Content-Length: 5', 'Transfer-Encoding: chunked']) {
    await using client = await route.client()
    client.write(`CONNECT ${route.authority} HTTP/1.1\r\n${framing}\r\n\r\nhello`)
    const answer = await client.rest()
    expect(answer, framing).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer.match(/HTTP\/1\.1 \d/g)).toHaveLength(1)
  }
  expect(route.decisions()).toHaveLength(2)
  expect(route.origin.connections).toBe(0)
})

test('CON-18 what a client says to the proxy is neither forwarded nor recorded', async () => {
  const heard = Promise.withResolvers<string>()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => socket.once('data', (bytes) => heard.resolve(bytes.toString()))),
  })
  await using client = await route.client()
  client.write(
    `CONNECT ${route.authority} HTTP/1.1\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n` +
      'User-Agent: test/1\r\n\r\nfirst',
  )
  await client.until('\r\n\r\n')
  expect(await heard.promise).toBe('first')
  client.socket.resetAndDestroy()
  await route.completed()
  expect(route.decisions()[0]).toMatchObject({ 'user_agent.original': 'test/1' })
  expect(JSON.stringify(await route.proxy.log())).not.toContain('c2VjcmV0')
})
