import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { AdminAddress } from '../../src/admin/admin.ts'
import { patient, question } from '../approvals/desk.ts'
import { type Office, openOffice } from './office.ts'

/** The loopback listener, and the fields that a good caller sends there. */
async function loopback(
  office: Office,
): Promise<{ to: AdminAddress & { kind: 'tcp' }; headers: Record<string, string> }> {
  const tokenFile = join(office.dir, 'run', 'token')
  const to = await office.admin.listenTcp('127.0.0.1', 0, tokenFile)
  if (to.kind !== 'tcp') throw new Error('not a port')
  return { to, headers: { Authorization: `Bearer ${readFileSync(tokenFile, 'utf8').trim()}` } }
}

test.each<[string, Record<string, string | string[]>, number, string]>([
  ['a name that was rebound to loopback', { Host: 'evil.example' }, 421, 'wrong_host'],
  ['that name with our port', { Host: 'evil.example:PORT' }, 421, 'wrong_host'],
  ['the right address with another port', { Host: '127.0.0.1:1' }, 421, 'wrong_host'],
  ['the right address without a port', { Host: '127.0.0.1' }, 421, 'wrong_host'],
  ['another spelling of the address', { Host: '127.1:PORT' }, 421, 'wrong_host'],
  ['a trailing dot', { Host: 'localhost.:PORT' }, 421, 'wrong_host'],
  ['user information', { Host: 'localhost@evil.example:PORT' }, 421, 'wrong_host'],
  ['a page of another site', { Origin: 'https://evil.example' }, 403, 'cross_site'],
  ['a page of another port', { Origin: 'http://127.0.0.1:1' }, 403, 'cross_site'],
  ['the right authority by https', { Origin: 'https://127.0.0.1:PORT' }, 403, 'cross_site'],
  ['an opaque origin', { Origin: 'null' }, 403, 'cross_site'],
  ['two origins', { Origin: ['http://127.0.0.1:PORT', 'https://evil.example'] }, 403, 'cross_site'],
  ['a cross-site fetch', { 'Sec-Fetch-Site': 'cross-site' }, 403, 'cross_site'],
  ['a fetch of a sibling site', { 'Sec-Fetch-Site': 'same-site' }, 403, 'cross_site'],
  ['a proxy in between', { Via: '1.1 sallyport' }, 403, 'cross_site'],
])(
  'ADM-40 %s is refused on loopback, with the good token, before anything is done',
  async (_, fields, status, code) => {
    await using office = await openOffice()
    const { to, headers } = await loopback(office)
    const filled = Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [
        name,
        [value].flat().map((each) => each.replace('PORT', String(to.port))),
      ]),
    ) as Record<string, string[]>
    void office.desk.approvals.ask(question(), patient())
    const [open] = office.desk.approvals.list()
    const path = `/v1/approvals/${open!.id}/answer`
    const sent = Object.fromEntries(
      Object.entries(filled).map(([name, value]) => [name, value.length === 1 ? value[0]! : value]),
    )
    const answer = await office.call('POST', path, {
      to,
      body: { verdict: 'allow' },
      headers: { ...headers, ...sent },
    })
    expect(answer).toMatchObject({ status, json: { code, status } })
    expect(answer.json.remedy).toMatch(/\w/)
    expect(office.desk.approvals.counts).toMatchObject({ open: 1, waiting: 1 })
    expect(office.events.map((event) => event.event)).toEqual(['sallyport.approval.opened'])
  },
)

test.each<[string, Record<string, string>]>([
  ['nothing about origins', {}],
  ['the same origin', { Origin: 'http://127.0.0.1:PORT', 'Sec-Fetch-Site': 'same-origin' }],
  ['a typed address', { 'Sec-Fetch-Site': 'none' }],
  ['localhost', { Host: 'localhost:PORT' }],
  ['LOCALHOST', { Host: 'LOCALHOST:PORT', Origin: 'http://localhost:PORT' }],
])('ADM-41 a caller that sends %s is served on loopback', async (_, fields) => {
  await using office = await openOffice()
  const { to, headers } = await loopback(office)
  const filled = Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, value.replace('PORT', String(to.port))]),
  )
  expect((await office.call('GET', '/v1/status', { to, headers: { ...headers, ...filled } })).status).toBe(
    200,
  )
})

test.each([
  ['localhost', 200],
  ['sallyport', 200],
  ['Sallyport', 200],
  ['evil.example', 421],
  ['127.0.0.1', 421],
  ['localhost:80', 421],
])('ADM-42 on the socket Host %s gets %i', async (host, status) => {
  await using office = await openOffice()
  expect((await office.call('GET', '/v1/status', { headers: { Host: host } })).status).toBe(status)
})

test('ADM-43 a request in the form of a proxy request is refused', async () => {
  await using office = await openOffice()
  expect(await office.call('GET', 'http://localhost/v1/status')).toMatchObject({
    status: 400,
    json: { code: 'malformed_request', field: 'request target' },
  })
})

test('ADM-44 no answer has a CORS field, and every answer forbids sniffing, framing and storing', async () => {
  await using office = await openOffice()
  const { to, headers } = await loopback(office)
  const preflight = {
    ...headers,
    Origin: `http://127.0.0.1:${to.port}`,
    'Access-Control-Request-Method': 'POST',
    'Access-Control-Request-Headers': 'content-type',
  }
  const answers = await Promise.all([
    office.call('GET', '/v1/status', { to, headers }),
    office.call('GET', '/v1/status', { to }),
    office.call('OPTIONS', '/v1/reload', { to, headers: preflight }),
    office.call('OPTIONS', '/v1/reload', { to, headers: { ...preflight, Origin: 'https://evil.example' } }),
    office.call('GET', '/nothing', { to, headers }),
    office.call('GET', '/livez', { to, headers: { Host: 'evil.example' } }),
    office.call('POST', '/v1/reload', { to, headers, raw: 'x' }),
    office.call('GET', '/openapi.json'),
  ])
  expect(answers.map((answer) => answer.status)).toEqual([200, 401, 405, 403, 404, 421, 400, 200])
  for (const { headers: fields } of answers) {
    expect(Object.keys(fields).filter((name) => name.startsWith('access-control-'))).toEqual([])
    expect(fields).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    })
    expect(fields).not.toHaveProperty('set-cookie')
  }
})

test('ADM-45 neither GET nor HEAD changes anything, whatever the path', async () => {
  await using office = await openOffice()
  office.daemon.reload = () => expect.unreachable('it was reloaded')
  void office.desk.approvals.ask(question('a.example:443'), patient())
  void office.desk.approvals.ask(question('b.example:443'), patient())
  const [a, b] = office.desk.approvals.list()
  office.desk.approvals.answer(a!.id, { verdict: 'allow', scope: 'always', by: { via: 'test' } })
  const [grant] = office.desk.approvals.grants()
  const before = { counts: office.desk.approvals.counts, list: office.desk.approvals.list({ status: 'all' }) }
  const events = office.events.length
  for (const method of ['GET', 'HEAD'])
    for (const path of [
      '/v1/approvals',
      `/v1/approvals/${b!.id}`,
      `/v1/approvals/${b!.id}/answer?verdict=allow`,
      '/v1/grants',
      `/v1/grants/${grant!.id}`,
      '/v1/policy',
      '/v1/explain?url=https://example.com/',
      '/v1/reload',
      '/v1/status',
      '/livez',
      '/readyz?verbose',
      '/openapi.json',
    ]) {
      const answer = await office.call(method, path)
      expect([200, 404, 405]).toContain(answer.status)
      if (method === 'HEAD') expect(answer.text).toBe('')
    }
  expect({
    counts: office.desk.approvals.counts,
    list: office.desk.approvals.list({ status: 'all' }),
  }).toEqual(before)
  expect(office.desk.approvals.grants()).toEqual([grant])
  expect(office.events).toHaveLength(events)
})
