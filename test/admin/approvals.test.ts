import { expect, test } from 'vitest'
import { patient, question } from '../approvals/desk.ts'
import { openOffice } from './office.ts'

test('ADM-01 what waits is listed, and an answer lets it go on', async () => {
  await using office = await openOffice()
  const asked = office.desk.approvals.ask(question('example.com:443'), patient())
  const listed = await office.call('GET', '/v1/approvals')
  expect(listed.status).toBe(200)
  expect(listed.json).toMatchObject({
    open: 1,
    waiting: 1,
    approvals: [
      { status: 'open', host: 'example.com', port: 443, client: '192.0.2.1', domain: 'example.com' },
    ],
  })
  const { id } = listed.json.approvals[0]
  const answered = await office.call('POST', `/v1/approvals/${id}/answer`, {
    body: { verdict: 'allow', scope: 'for', for: '1h', by: 'alice', note: 'for the build' },
  })
  expect(answered.json).toMatchObject({
    approval: {
      status: 'answered',
      answer: {
        verdict: 'allow',
        scope: 'for',
        for: '1h',
        by: { via: 'socket', name: 'alice' },
        released: 1,
      },
    },
    grant: { pattern: 'example.com:443', who: 'client', client: '192.0.2.1', note: 'for the build' },
  })
  expect(await asked).toMatchObject({ kind: 'allow', by: 'alice via socket' })
})

test('ADM-02 of two answers over two connections one wins, and the other is told who did', async () => {
  await using office = await openOffice()
  const asked = office.desk.approvals.ask(question(), patient())
  const [open] = office.desk.approvals.list()
  const answers = await Promise.all(
    ['alice', 'bob'].map((by) =>
      office.call('POST', `/v1/approvals/${open!.id}/answer`, { body: { verdict: 'allow', by } }),
    ),
  )
  expect(answers.map((answer) => answer.status).toSorted()).toEqual([200, 409])
  const winner = answers.find((answer) => answer.status === 200)!.json.approval.answer.by.name
  const conflict = answers.find((answer) => answer.status === 409)!
  expect(conflict.headers['content-type']).toBe('application/problem+json')
  expect(conflict.json).toMatchObject({
    code: 'conflict',
    field: 'id',
    value: open!.id,
    detail: `${winner} via socket said allow (once) to example.com:443 at 2026-01-01T00:00:00.000Z`,
    approval: { status: 'answered', answer: { by: { name: winner } } },
  })
  expect(await asked).toMatchObject({ kind: 'allow', by: `${winner} via socket` })
})

test('ADM-03 an expired approval cannot be answered, and says since when', async () => {
  await using office = await openOffice()
  void office.desk.approvals.ask(question(), patient())
  const [open] = office.desk.approvals.list()
  office.desk.clock.advance(15 * 60_000)
  const answer = await office.call('POST', `/v1/approvals/${open!.id}/answer`, { body: { verdict: 'allow' } })
  expect(answer).toMatchObject({
    status: 409,
    json: { detail: 'the approval of example.com:443 expired at 2026-01-01T00:15:00.000Z' },
  })
  expect((await office.call('GET', `/v1/approvals/${open!.id}`)).json).toMatchObject({ status: 'expired' })
})

test('ADM-04 approvals can be listed by status and shown by a beginning of the id', async () => {
  await using office = await openOffice()
  for (const host of ['a.example', 'b.example'])
    void office.desk.approvals.ask(question(`${host}:443`), patient())
  const [a] = office.desk.approvals.list()
  await office.call('POST', `/v1/approvals/${a!.id.slice(0, 12)}/answer`, { body: { verdict: 'deny' } })
  const hosts = async (query: string) =>
    (await office.call('GET', `/v1/approvals${query}`)).json.approvals.map(
      (each: { host: string }) => each.host,
    )
  expect(await hosts('')).toEqual(['b.example'])
  expect(await hosts('?status=answered')).toEqual(['a.example'])
  expect(await hosts('?status=all')).toEqual(['b.example', 'a.example'])
  expect(await hosts('?status=all&limit=1')).toEqual(['b.example'])
  const shown = await office.call('GET', `/v1/approvals/${a!.id.slice(0, 12).toUpperCase()}`)
  expect(shown.json).toMatchObject({ id: a!.id, answer: { verdict: 'deny', scope: 'for', for: '15m' } })
})

test('ADM-05 ids that name nothing, or too much, say so', async () => {
  await using office = await openOffice()
  const insert = office.desk.database.prepare(
    `INSERT INTO approvals (id, status, client, host, port, opened_at, expires_at, closed_at, asked, requester_left, requests)
     VALUES (?, 'expired', '192.0.2.1', 'example.com', 443, 1, 2, 3, 1, 1, '[]')`,
  )
  const ids = ['abcd1', 'abcd2'].map((id) => id.padEnd(26, '0'))
  for (const id of ids) insert.run(id)
  expect(await office.call('GET', '/v1/approvals/zzzz')).toMatchObject({
    status: 404,
    json: { code: 'not_found', field: 'id', value: 'zzzz', remedy: 'see GET /v1/approvals' },
  })
  expect(await office.call('GET', '/v1/approvals/abc')).toMatchObject({
    status: 422,
    json: {
      code: 'invalid',
      field: 'id',
      value: 'abc',
      detail: expect.stringContaining('at least 4 characters'),
    },
  })
  for (const [method, path] of [
    ['GET', '/v1/approvals/abcd'],
    ['POST', '/v1/approvals/abcd/answer'],
  ] as const)
    expect(
      await office.call(method, path, method === 'POST' ? { body: { verdict: 'allow' } } : {}),
    ).toMatchObject({ status: 422, json: { code: 'ambiguous_id', matches: ids } })
  expect((await office.call('GET', `/v1/approvals/${'%00'.repeat(3)}x`)).status).toBe(404)
  expect((await office.call('DELETE', '/v1/grants/zzzz')).status).toBe(404)
})

test('ADM-06 a grant is listed and revoked, and the record says by whom', async () => {
  await using office = await openOffice()
  const asked = office.desk.approvals.ask(question(), patient())
  const [open] = office.desk.approvals.list()
  await office.call('POST', `/v1/approvals/${open!.id}/answer`, {
    body: { verdict: 'allow', scope: 'always', who: 'all', what: 'domain' },
  })
  await asked
  const { grants } = (await office.call('GET', '/v1/grants')).json
  expect(grants).toMatchObject([{ pattern: '**.example.com', who: 'all', scope: 'always', uses: 0 }])
  expect(grants[0]).not.toHaveProperty('client')
  const revoked = await office.call('DELETE', `/v1/grants/${grants[0].id.slice(0, 10)}?by=bob`)
  expect(revoked).toMatchObject({ status: 200, json: { grant: { id: grants[0].id } } })
  expect((await office.call('GET', '/v1/grants')).json).toEqual({ grants: [] })
  expect((await office.call('DELETE', `/v1/grants/${grants[0].id}`)).status).toBe(404)
  void office.desk.approvals.ask(question(), patient())
  expect(office.desk.approvals.list()).toHaveLength(1)
  const actions = office.events.filter((event) => event.event === 'sallyport.admin.action')
  expect(actions.map((event) => event.attributes)).toMatchObject([
    {
      'sallyport.admin.action': 'approval.answer',
      'sallyport.admin.outcome': 'answered',
      'sallyport.approval.id': open!.id,
      'sallyport.actor.via': 'socket',
    },
    {
      'sallyport.admin.action': 'grant.revoke',
      'sallyport.admin.outcome': 'revoked',
      'sallyport.grant.id': grants[0].id,
      'sallyport.actor.claimed_name': 'bob',
    },
    { 'sallyport.admin.action': 'grant.revoke', 'sallyport.admin.outcome': 'none' },
  ])
})

test.each<[string, object, string, string]>([
  ['no verdict', {}, 'verdict', 'it is missing'],
  ['an unknown verdict', { verdict: 'alow' }, 'verdict', 'it is not one of its words'],
  ['an unknown member', { verdict: 'allow', scop: 'once' }, 'scop', 'it is not known in this body'],
  ['a number as scope', { verdict: 'allow', scope: 7 }, 'scope', 'it is not one of its words'],
  ['a number as duration', { verdict: 'allow', for: 60 }, 'for', 'it is not of type string'],
  ['a bare number', { verdict: 'allow', for: '60' }, 'for', 'it is not a duration'],
  [
    'an endless duration',
    { verdict: 'allow', for: '99999d' },
    'for',
    'a duration is from 1 second to 366 days',
  ],
  ['no duration at all', { verdict: 'allow', scope: 'for' }, 'for', 'scope for needs a duration'],
  ['once for all', { verdict: 'allow', who: 'all' }, 'who', 'scope once is about the client that asked'],
  ['a long note', { verdict: 'allow', note: 'x'.repeat(501) }, 'note', 'it is larger than 500'],
  [
    'an escape in the note',
    { verdict: 'allow', note: '\u001B[31m' },
    'note',
    'it contains control characters',
  ],
  ['a line break in the name', { verdict: 'allow', by: 'a\nb' }, 'by', 'it contains control characters'],
  ['a list', [], 'body', 'it is not of type object'],
])(
  'ADM-07 a body that is wrong names field, problem and remedy, and changes nothing: %s',
  async (_, body, field, problem) => {
    await using office = await openOffice()
    void office.desk.approvals.ask(question(), patient())
    const [open] = office.desk.approvals.list()
    const answer = await office.call('POST', `/v1/approvals/${open!.id}/answer`, { body })
    expect(answer).toMatchObject({
      status: 422,
      json: { code: 'invalid', status: 422, field, problems: [{ field, problem }] },
    })
    expect(answer.json.remedy).toMatch(/\w/)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(office.desk.approvals.counts).toEqual({ open: 1, waiting: 1, grants: 0 })
  },
)

test('ADM-08 a member that is nearly right is recognised', async () => {
  await using office = await openOffice()
  const answer = await office.call('POST', '/v1/approvals/abcd/answer', {
    body: { verdict: 'allow', scop: 'once' },
  })
  expect(answer.json.remedy).toBe('did you mean scope?')
})

test('ADM-09 a disk that refuses an answer is a 500 that says the answer was not given', async () => {
  await using office = await openOffice()
  void office.desk.approvals.ask(question(), patient())
  await office.desk.turn()
  const [open] = office.desk.approvals.list()
  office.desk.database.exec('PRAGMA query_only = 1')
  const answer = await office.call('POST', `/v1/approvals/${open!.id}/answer`, { body: { verdict: 'allow' } })
  expect(answer).toMatchObject({ status: 500, json: { code: 'not_stored' } })
  expect(office.desk.approvals.counts).toEqual({ open: 1, waiting: 1, grants: 0 })
  expect(office.troubles).toHaveLength(1)
  office.desk.database.exec('PRAGMA query_only = 0')
  expect(
    (await office.call('POST', `/v1/approvals/${open!.id}/answer`, { body: { verdict: 'allow' } })).status,
  ).toBe(200)
})
