import { expect, test } from 'vitest'
import { readReply } from '../kit/http-reply.ts'
import { startHttpOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

const origin = () =>
  startHttpOrigin((request, response) => response.end(`${request.method} ${request.headers['max-forwards']}`))

test('FWD-25 a refusal says the same on both doors, in the status line, in fields, and in a problem document', async () => {
  await using route = await startRoute({ origin: origin() })
  await using client = await route.client()
  const requests = [
    ['http', 'GET http://denied.test/path?secret=1 HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['https_connect', 'CONNECT denied.test:80 HTTP/1.1\r\n\r\n'],
  ] as const
  for (const [protocol, request] of requests) {
    client.write(request)
    const reply = await readReply(client)
    const id = reply.get('x-request-id')!
    expect(reply.reason).toBe(`Blocked by policy: denied (req ${id})`)
    expect(reply.get('proxy-status')).toBe('sallyport; error=http_request_denied')
    expect(reply.get('x-proxy-error')).toBe('blocked-by-denylist')
    expect(reply.get('content-type')).toBe('application/problem+json')
    expect(reply.get('cache-control')).toBe('no-store')
    expect(JSON.parse(reply.content)).toEqual({
      type: 'urn:sallyport:problem:denied',
      title: 'This host is on the deny list.',
      status: 403,
      decision: 'deny',
      reason: 'denied',
      advice: 'Do not try to reach it another way; no approval can permit it. Use another source.',
      instance: `urn:sallyport:request:${id}`,
      protocol,
      source: 'deny_rule',
      host: 'denied.test',
      port: 80,
      rule: 'denied_domains: denied.test',
      policy_version: route.proxy.daemon.snapshot.version,
    })
    expect(route.decisions().at(-1)).toMatchObject({ 'sallyport.request.id': id })
  }
  expect(JSON.stringify(await route.proxy.log())).not.toContain('secret')
})

test('FWD-26 a browser gets a page without scripts, HEAD gets no content', async () => {
  await using route = await startRoute({ origin: origin() })
  await using client = await route.client()
  client.write('GET http://denied.test/ HTTP/1.1\r\nHost: x\r\nAccept: text/html,*/*\r\n\r\n')
  const page = await readReply(client)
  expect(page.get('content-type')).toBe('text/html; charset=utf-8')
  expect(page.get('content-security-policy')).toContain("default-src 'none'")
  expect(page.content).toContain('This host is on the deny list.')
  expect(page.content).not.toMatch(/<script|javascript:/i)
  client.write('HEAD http://denied.test/ HTTP/1.1\r\nHost: x\r\n\r\n')
  const head = await readReply(client, 'HEAD')
  expect(head.status).toBe(403)
  expect(Number(head.get('content-length'))).toBeGreaterThan(0)
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\n\r\n`)
  expect((await readReply(client)).content).toBe('GET undefined')
})

test('FWD-27 Max-Forwards counts for OPTIONS and TRACE: the last hop answers by itself', async () => {
  await using route = await startRoute({ origin: origin() })
  await using client = await route.client()
  client.write(`OPTIONS ${route.url('/')} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 3\r\n\r\n`)
  expect((await readReply(client)).content).toBe('OPTIONS 2')
  client.write(`GET ${route.url('/')} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n`)
  expect((await readReply(client)).content).toBe('GET 0')
  client.write(`OPTIONS ${route.url('/')} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n`)
  const last = await readReply(client)
  expect([last.status, last.get('via')]).toEqual([200, undefined])
  client.write(
    `TRACE ${route.url('/')} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\nProxy-Authorization: Basic x\r\n\r\n`,
  )
  const trace = await readReply(client)
  expect([trace.status, trace.content]).toEqual([405, ''])
  client.write('OPTIONS http://denied.test/ HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n')
  expect((await readReply(client)).status, 'policy comes first').toBe(403)
  expect(route.decisions()).toHaveLength(5)
})
