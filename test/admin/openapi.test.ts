import { expect, test } from 'vitest'
import { openApiDocument } from '../../src/admin/openapi.ts'
import { PROBLEMS } from '../../src/admin/problem.ts'
import { patient, question } from '../approvals/desk.ts'
import { violations } from './json-schema.ts'
import { type Answer, type CallOptions, decisionEvent, openOffice } from './office.ts'
import { watch } from './stream.ts'

// oxlint-disable-next-line typescript/no-explicit-any
const document = openApiDocument('0.1.0') as any

/** The schema that the document promises for this answer; undefined where it promises none. */
function promised(
  method: string,
  path: string,
  status: number,
  type: string,
): Record<string, unknown> | undefined {
  const plain = path.split('?')[0]!
  const template = Object.keys(document.paths).find((each) =>
    new RegExp(`^${each.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(plain),
  )
  return document.paths[template ?? '']?.[method.toLowerCase()]?.responses[status]?.content?.[type]?.schema
}

test('ADM-80 every answer of a real run is what the document says', async () => {
  await using office = await openOffice()
  const seen = new Set<string>()
  async function run(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    const answer = await office.call(method, path, options)
    const type = answer.headers['content-type']!.split(';')[0]!
    const schema = promised(method, path, answer.status, type)
    const where = `${method} ${path} ${answer.status} ${type}`
    expect(schema, where).toBeDefined()
    expect(violations(document, schema!, answer.json), where).toEqual([])
    seen.add(answer.json.code ?? `${method} ${path.replaceAll(/[0-9a-z]{26}/g, '{id}').split('?')[0]!}`)
    return answer
  }

  for (const host of ['a.example', 'b.example', 'c.example', '198.51.100.7'])
    void office.desk.approvals.ask(
      { ...question(`${host}:443`), door: 'http', method: 'GET', path: '/x', userAgent: 'curl/8' },
      patient(),
    )
  const [a, b, c] = office.desk.approvals.list()
  await run('GET', '/v1/approvals')
  await run('GET', `/v1/approvals/${a!.id}`)
  const wide = {
    verdict: 'allow',
    scope: 'for',
    for: '90m',
    who: 'all',
    what: 'domain',
    note: 'n',
    by: 'alice',
  }
  const answered = await run('POST', `/v1/approvals/${a!.id}/answer`, { body: wide })
  await run('POST', `/v1/approvals/${b!.id}/answer`, { body: { verdict: 'allow' } })
  await run('POST', `/v1/approvals/${c!.id}/answer`, { body: { verdict: 'deny', scope: 'session' } })
  await run('POST', `/v1/approvals/${c!.id}/answer`, { body: { verdict: 'allow' } })
  office.desk.approvals.consume(answered.json.grant.id)
  await run('GET', '/v1/grants')
  office.desk.clock.advance(16 * 60_000)
  await run('GET', '/v1/approvals?status=all')
  await run('DELETE', `/v1/grants/${answered.json.grant.id}?by=bob`)
  await run('DELETE', `/v1/grants/${answered.json.grant.id}`)
  await run('GET', '/v1/policy')
  await run('GET', '/v1/status')
  await run('POST', '/v1/explain', { body: { url: 'https://example.com/' } })
  await run('POST', '/v1/reload', { body: {} })
  await run('GET', '/livez')
  await run('GET', '/readyz?verbose')
  await run('GET', '/openapi.json')

  await run('GET', '/v1/approvals?status=closed')
  await run('GET', '/v1/approvals/abc')
  await run('POST', '/v1/reload', { raw: '{' })
  await run('POST', '/v1/reload', { raw: 'x'.repeat(70_000) })
  await run('POST', '/v1/reload', { raw: '{}', headers: { 'Content-Type': 'text/plain' } })
  await run('GET', '/v1/status', { headers: { Host: 'evil.example' } })
  await run('GET', '/v1/status', { headers: { Origin: 'https://evil.example' } })
  office.daemon.health = () => [{ name: 'audit', ok: false, detail: 'the disk is full' }]
  await run('GET', '/readyz?verbose')
  const problem = { file: 'a.toml', line: 1, field: 'f', problem: 'p', remedy: 'r' }
  office.daemon.reload = () => Promise.resolve({ kind: 'refused', problems: [problem] })
  await run('POST', '/v1/reload', { body: {} })
  office.daemon.explain = () => {
    throw new Error('broken')
  }
  await run('POST', '/v1/explain', { body: { url: 'https://example.com/' } })

  expect([...seen].toSorted()).toEqual(
    [
      'GET /v1/approvals',
      'GET /v1/approvals/{id}',
      'POST /v1/approvals/{id}/answer',
      'GET /v1/grants',
      'DELETE /v1/grants/{id}',
      'GET /v1/policy',
      'GET /v1/status',
      'POST /v1/explain',
      'POST /v1/reload',
      'GET /livez',
      'GET /readyz',
      'GET /openapi.json',
      'conflict',
      'not_found',
      'invalid',
      'malformed_json',
      'body_too_large',
      'unsupported_media_type',
      'wrong_host',
      'cross_site',
      'config_refused',
      'internal_error',
    ].toSorted(),
  )
})

test('ADM-81 every event of a stream is what the document says', async () => {
  await using office = await openOffice()
  const schema = promised('GET', '/v1/events', 200, 'text/event-stream')!
  void office.desk.approvals.ask(question('a.example:443'), patient())
  using stream = await watch({ kind: 'socket', path: office.socket })
  const names: string[] = []
  const check = async () => {
    const { event, data } = await stream.next()
    expect(violations(document, schema, data), event).toEqual([])
    names.push(event)
    return data
  }
  await check()
  void office.desk.approvals.ask(question('b.example:443'), patient())
  await check()
  const [a] = office.desk.approvals.list()
  await office.call('POST', `/v1/approvals/${a!.id}/answer`, { body: { verdict: 'allow', scope: 'session' } })
  const { grant } = await check()
  await office.call('DELETE', `/v1/grants/${grant.id}`)
  await check()
  office.record(decisionEvent())
  await check()
  expect(names).toEqual(['snapshot', 'approval', 'approval', 'grant', 'decision'])
})

test('ADM-82 the document names every kind of problem and every resource, and nothing twice', () => {
  const operations = Object.values(document.paths).flatMap((each) => Object.values(each as object))
  const ids = operations.map((each) => each.operationId)
  expect(new Set(ids).size).toBe(ids.length)
  const text = JSON.stringify(document)
  for (const code of Object.keys(PROBLEMS)) expect(text).toContain(code)
  for (const [, ref] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g))
    expect(document.components.schemas).toHaveProperty(ref!)
  expect(Object.keys(document.components.schemas).filter((name) => name.endsWith('Output'))).toEqual([])
})

test('ADM-83 the document is served, and says the version', async () => {
  await using office = await openOffice()
  const answer = await office.call('GET', '/openapi.json')
  expect(answer.json).toEqual(JSON.parse(JSON.stringify(document)))
  expect(answer.json).toMatchObject({ openapi: '3.1.0', info: { version: '0.1.0' } })
})

test('ADM-84 the check of these tests can fail', () => {
  const schema = document.components.schemas.Approval
  expect(violations(document, schema, { id: 'short' }).length).toBeGreaterThan(5)
  const health = document.components.schemas.Health
  expect(violations(document, health, { status: 'ok' })).toEqual([])
  expect(violations(document, health, { status: 'fine' })).toHaveLength(1)
  expect(violations(document, health, { status: 'ok', more: 1 })).toEqual(['$.more is not in the document'])
})
