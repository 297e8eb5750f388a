import { expect, test } from 'vitest'
import { startDns } from '../kit/dns.ts'
import { startEchoOrigin } from '../kit/origin.ts'
import { startProxy, testConfig } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'

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
