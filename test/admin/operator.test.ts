import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { openOffice, POLICY } from './office.ts'

test('ADM-20 the effective policy comes with its version, its counts, and where each setting was made', async () => {
  await using office = await openOffice()
  expect(await office.call('GET', '/v1/policy')).toMatchObject({
    status: 200,
    json: {
      version: POLICY.version,
      counts: { allowed: 2, denied: 1 },
      settings: { hold: { wait: 25_000 } },
      sources: { 'hold.wait': { layer: 'file', file: 'config/sallyport.toml', line: 12, column: 3 } },
      loaded_at: '2026-01-01T00:00:00.000Z',
    },
  })
})

test('ADM-21 explain tells what would happen, for whom, and by which policy', async () => {
  await using office = await openOffice()
  const asked: unknown[] = []
  const { explain } = office.daemon
  office.daemon.explain = (question) => {
    asked.push(question)
    return explain(question)
  }
  const url = 'https://example.com/path'
  const first = await office.call('POST', '/v1/explain', { body: { url } })
  expect(first).toMatchObject({
    status: 200,
    json: {
      decision: 'hold',
      client: '127.0.0.1',
      policy_version: POLICY.version,
      rule: { list: 'unfamiliar', source: { line: 7 } },
    },
  })
  await office.call('POST', '/v1/explain', { body: { url, method: 'POST', client: '::ffff:192.0.2.7' } })
  expect(asked).toEqual([
    { url, client: '127.0.0.1' },
    { url, client: '192.0.2.7', method: 'POST' },
  ])
  expect(await office.call('POST', '/v1/explain', { body: { url, client: 'somebody' } })).toMatchObject({
    status: 422,
    json: { field: 'client', value: 'somebody' },
  })
  expect(asked).toHaveLength(2)
})

test('ADM-22 a reload says what changed; a refused one says what is wrong and where', async () => {
  await using office = await openOffice()
  expect(await office.call('POST', '/v1/reload', { body: { by: 'alice' } })).toMatchObject({
    status: 200,
    json: {
      version: 'ba9876543210',
      previous: POLICY.version,
      changed: true,
      waiting_for_restart: ['proxy.name'],
    },
  })
  const problem = {
    file: 'config/sallyport.toml',
    line: 3,
    column: 1,
    field: 'policy.unfamiliar',
    value: '"holdd"',
    problem: 'it is not one of its words',
    remedy: 'did you mean "hold"?',
  }
  office.daemon.reload = () => Promise.resolve({ kind: 'refused', problems: [problem] })
  expect(await office.call('POST', '/v1/reload', { body: {} })).toMatchObject({
    status: 422,
    json: { code: 'config_refused', problems: [problem], remedy: 'did you mean "hold"?' },
  })
  const actions = office.events.map((event) => event.attributes['sallyport.admin.outcome'])
  expect(actions).toEqual(['reloaded', 'refused'])
})

test('ADM-23 status counts what there is', async () => {
  await using office = await openOffice()
  expect(await office.call('GET', '/v1/status')).toMatchObject({
    status: 200,
    json: {
      version: '0.1.0',
      uptime_ms: 5000,
      draining: false,
      proxy: ['127.0.0.1:3128'],
      admin: [`unix:${office.socket}`],
      approvals: { open: 0, waiting: 0 },
      grants: 0,
      watchers: 0,
      policy_version: POLICY.version,
    },
  })
})

test('ADM-24 livez answers while the process turns; readyz only where every check is well', async () => {
  await using office = await openOffice()
  expect(await office.call('GET', '/livez')).toMatchObject({ status: 200, json: { status: 'ok' } })
  expect((await office.call('GET', '/readyz')).json).toEqual({ status: 'ok' })
  office.daemon.health = () => [
    { name: 'policy', ok: true },
    { name: 'audit', ok: false, detail: 'the disk is full' },
  ]
  expect(await office.call('GET', '/readyz')).toMatchObject({ status: 503, json: { status: 'failing' } })
  expect(await office.call('GET', '/readyz?verbose')).toMatchObject({
    status: 503,
    json: {
      checks: [
        { name: 'policy', ok: true },
        { name: 'audit', ok: false, detail: 'the disk is full' },
      ],
    },
  })
  expect((await office.call('GET', '/livez')).status).toBe(200)
})

test('ADM-25 an unknown resource is 404, and a known one with a wrong method 405 with what is right', async () => {
  await using office = await openOffice()
  expect(await office.call('GET', '/v1/nothing')).toMatchObject({
    status: 404,
    json: { code: 'not_found', field: 'path', value: '/v1/nothing' },
  })
  for (const [method, path, allow] of [
    ['POST', '/v1/approvals', 'GET, HEAD'],
    ['GET', '/v1/reload', 'POST'],
    ['GET', '/v1/approvals/abcd/answer', 'POST'],
    ['PUT', '/v1/grants/abcd', 'DELETE'],
    ['OPTIONS', '/v1/reload', 'POST'],
  ] as const)
    expect(await office.call(method, path)).toMatchObject({
      status: 405,
      headers: { allow },
      json: { code: 'method_not_allowed', field: 'method', value: method },
    })
})

test.each<[string, { raw: string; headers?: Record<string, string> }, number, string]>([
  ['not JSON', { raw: '{"verdict": allow}' }, 400, 'malformed_json'],
  ['half of it', { raw: '{"verdict":' }, 400, 'malformed_json'],
  [
    'a form',
    { raw: 'a=b', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } },
    415,
    'unsupported_media_type',
  ],
  ['text', { raw: '{}', headers: { 'Content-Type': 'text/plain' } }, 415, 'unsupported_media_type'],
  [
    'nearly JSON',
    { raw: '{}', headers: { 'Content-Type': 'application/jsonx' } },
    415,
    'unsupported_media_type',
  ],
  ['too long', { raw: JSON.stringify({ by: 'x'.repeat(70_000) }) }, 413, 'body_too_large'],
])(
  'ADM-26 a body of reload that is %s is refused, and nothing is reloaded',
  async (_, options, status, code) => {
    await using office = await openOffice()
    office.daemon.reload = () => expect.unreachable('it was reloaded')
    const answer = await office.call('POST', '/v1/reload', options)
    expect(answer).toMatchObject({ status, json: { code, status } })
    expect(answer.json.remedy).toMatch(/\w/)
    expect(answer.text).not.toContain('xxx')
    expect(office.events).toEqual([])
  },
)

test('ADM-27 JSON with a charset is JSON, and a change without any content type is refused', async () => {
  await using office = await openOffice()
  const typed = { raw: '{}', headers: { 'Content-Type': 'Application/JSON; charset=utf-8' } }
  expect((await office.call('POST', '/v1/reload', typed)).status).toBe(200)
  expect((await office.call('POST', '/v1/reload')).status).toBe(415)
})

/** Writes bytes as they are and gives what comes back until the end. */
function raw(path: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => (text += chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
    socket.write(bytes)
  })
}

test('ADM-28 a chunked body is bounded as well', async () => {
  await using office = await openOffice()
  office.daemon.reload = () => expect.unreachable('it was reloaded')
  const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`
  const answer = await raw(
    office.socket,
    `POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(6)}0\r\n\r\n`,
  )
  expect(answer).toMatch(/^HTTP\/1\.1 413 /)
  expect(answer).toContain('"code":"body_too_large"')
})

test.each([
  ['no HTTP', 'hello\r\n\r\n'],
  [
    'two framings',
    'POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}',
  ],
  ['no Host', 'GET /v1/status HTTP/1.1\r\n\r\n'],
  ['an empty Host', 'GET /v1/status HTTP/1.1\r\nHost: \r\n\r\n'],
  ['two Hosts', 'GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n'],
  ['an endless head', `GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
])('ADM-29 %s gets a problem and the end of the connection', async (_, bytes) => {
  await using office = await openOffice()
  const answer = await raw(office.socket, bytes)
  expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /)
  expect(answer.toLowerCase()).toContain('connection: close')
  expect((await office.call('GET', '/livez')).status).toBe(200)
})

test('ADM-30 what fails inside is a 500 without details, and is reported', async () => {
  await using office = await openOffice()
  office.daemon.explain = () => {
    throw new Error('the secret of the house')
  }
  const answer = await office.call('POST', '/v1/explain', { body: { url: 'https://example.com/' } })
  expect(answer).toMatchObject({ status: 500, json: { code: 'internal_error' } })
  expect(answer.text).not.toContain('secret')
  expect(office.troubles.map((error) => error.message)).toEqual(['the secret of the house'])
})
