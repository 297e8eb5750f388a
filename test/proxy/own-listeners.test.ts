import { expect, test } from 'vitest'
import { readReply } from '../kit/http-reply.ts'
import { startEchoOrigin } from '../kit/origin.ts'
import { rawClient } from '../kit/raw-client.ts'
import { startRoute } from '../kit/route.ts'

test('OWN-01 the proxy is not reached through itself, in no spelling, whatever is allowed', async () => {
  await using route = await startRoute({ origin: startEchoOrigin(), unfamiliar: 'allow' })
  const own = route.proxy.port
  await route.reload({
    unfamiliar: 'allow',
    ports: [own],
    allowed: ['ok.test', 'self.test', '127.0.0.1', `[::1]:${own}`, '0.0.0.0'],
    more: '',
  })
  route.dns.set('self.test', '127.0.0.1')
  route.dns.set('any.test', '0.0.0.0')
  route.dns.set('mapped.test', '::ffff:127.0.0.1')
  const hosts = [
    '127.0.0.1',
    '0.0.0.0',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[64:ff9b::7f00:1]',
    'self.test',
    'SELF.test.',
    'any.test',
    'mapped.test',
    'localhost',
    'x.localhost',
  ]
  await using client = await route.client()
  for (const host of hosts) {
    client.write(`CONNECT ${host}:${own} HTTP/1.1\r\n\r\n`)
    const tunnel = await readReply(client)
    expect([tunnel.status, JSON.parse(tunnel.content)['reason']], host).toEqual([403, 'not_allowed_local'])
    client.write(`GET http://${host}:${own}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
    expect((await readReply(client)).status, host).toBe(403)
  }
  expect(route.decisions()).toHaveLength(2 * hosts.length)
  expect(route.proxy.events.map(({ event }) => event)).not.toContain('sallyport.egress.completed')
})

test('OWN-02 the admin API on TCP is not reached through the proxy either', async () => {
  // The port is free a moment before the daemon takes it.
  const admin = await (async () => {
    await using unused = await startEchoOrigin()
    return unused.port
  })()
  await using route = await startRoute({
    origin: startEchoOrigin(),
    unfamiliar: 'allow',
    ports: [admin],
    more: `[admin]\nlisten = "127.0.0.1:${admin}"`,
  })
  route.dns.set('self.test', '127.0.0.1')
  await using direct = await rawClient(admin)
  direct.write('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  expect((await readReply(direct)).status, 'it is there').toBeGreaterThan(0)
  await using client = await route.client()
  for (const host of ['127.0.0.1', 'self.test', 'localhost', '0.0.0.0']) {
    client.write(`GET http://${host}:${admin}/livez HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
    expect((await readReply(client)).status, host).toBe(403)
  }
})
