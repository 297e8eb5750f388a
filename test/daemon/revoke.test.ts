import { Agent, request } from 'undici'
import { expect, test } from 'vitest'
import { startDns } from '../kit/dns.ts'
import { startEchoOrigin } from '../kit/origin.ts'
import { startProxy, testConfig } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'

test('REV-01 revoking a grant ends the tunnels that rest on it, those that waited for it too, and no other', async () => {
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'], 'new.test': ['127.0.0.1'] })
  await using origin = await startEchoOrigin()
  await using proxy = await startProxy({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
  const agent = new Agent({ connect: { socketPath: proxy.socket } })
  const call = async (method: 'POST' | 'DELETE', path: string, body?: object) => {
    const response = await request(`http://localhost${path}`, {
      method,
      dispatcher: agent,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    return (await response.body.json()) as { grant: { id: string } }
  }
  await using allowed = await rawClient(proxy.port)
  await using waited = await rawClient(proxy.port)
  await using later = await rawClient(proxy.port)
  allowed.write(`CONNECT ok.test:${origin.port} HTTP/1.1\r\n\r\n`)
  await allowed.until('\r\n\r\n')
  waited.write(`CONNECT new.test:${origin.port} HTTP/1.1\r\n\r\n`)
  const opened = await proxy.event('sallyport.approval.opened')
  const id = String(opened.attributes['sallyport.approval.id'])
  const { grant } = await call('POST', `/v1/approvals/${id}/answer`, {
    verdict: 'allow',
    scope: 'for',
    for: '1h',
  })
  expect(await waited.until('\r\n\r\n')).toContain('200')
  later.write(`CONNECT new.test:${origin.port} HTTP/1.1\r\n\r\n`)
  expect(await later.until('\r\n\r\n')).toContain('200')

  await call('DELETE', `/v1/grants/${grant.id}`)
  for (const client of [waited, later]) await expect(client.rest()).resolves.toBe('')
  allowed.write('still here')
  expect(await allowed.until('still here')).toBe('still here')
  const ended = [1, 2].map((n) =>
    proxy.event(
      'sallyport.egress.completed',
      (event) => event.attributes['server.address'] === 'new.test',
      n,
    ),
  )
  for (const event of await Promise.all(ended)) expect(event.attributes['error.type']).toBe('grant_revoked')
  await agent.close()
})
