import { expect, test } from 'vitest'
import type { ApprovalAnswer } from '../../src/approvals/approval.ts'
import type { Grant } from '../../src/approvals/grant.ts'
import { StorageError } from '../../src/storage/private-path.ts'
import { client, type Desk, openDesk, patient, question, reviewer } from './desk.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const A = client('192.0.2.1')
const { authority } = question()

/** Asks, answers, and gives the grant that came of it. */
async function granted(
  desk: Desk,
  answer: Partial<ApprovalAnswer>,
  target?: string,
  address?: string,
): Promise<Grant> {
  const asked = desk.approvals.ask(question(target, address), patient())
  const open = desk.approvals.list().at(-1)
  const outcome = desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer, ...answer })
  if (outcome.kind !== 'answered' || !outcome.grant) throw new Error(`no grant, but ${outcome.kind}`)
  await asked
  return outcome.grant
}

test('HOLD-40 a grant carries who, when, what for, and for how long', async () => {
  await using desk = await openDesk()
  const grant = await granted(desk, { forMs: HOUR, note: 'for the build' })
  expect(desk.approvals.grants()).toEqual([
    {
      id: grant.id,
      verdict: 'allow',
      scope: 'for',
      client: A,
      what: 'host_port',
      authority,
      createdAt: desk.clock.now(),
      expiresAt: desk.clock.now() + HOUR,
      approval: grant.approval,
      by: { via: 'socket', name: 'alice' },
      note: 'for the build',
      uses: 0,
    },
  ])
  // What the client is shown names the grant, not the reviewer.
  const verdict = desk.approvals.findGrant(A, authority)!
  expect(verdict).toMatchObject({ verdict: 'allow', once: false, grant: grant.id })
  expect(verdict.rule).toEqual({ list: 'grant', text: `example.com:443 (allow, grant ${grant.id})` })
})

test('HOLD-41 a grant for an hour ends after an hour, also on the disk', async () => {
  await using desk = await openDesk()
  await granted(desk, { forMs: HOUR })
  desk.clock.advance(HOUR - 1)
  expect(desk.approvals.findGrant(A, authority)).toBeDefined()
  desk.clock.advance(1)
  expect(desk.approvals.findGrant(A, authority)).toBeUndefined()
  await desk.turn()
  expect(desk.database.prepare('SELECT count(*) AS n FROM grants').get()).toEqual({ n: 0 })
})

test('HOLD-42 a deny beats every allow, whichever came first and however wide', async () => {
  await using desk = await openDesk()
  await granted(desk, { scope: 'always', what: 'domain', who: 'all' }, 'www.example.com:443')
  // Somebody else's question, about a host that is not covered, is denied for the whole domain.
  await granted(desk, { scope: 'always', what: 'host' }, 'example.net:443', '192.0.2.2')
  expect(desk.approvals.findGrant(A, question('api.example.com:443').authority)?.verdict).toBe('allow')
  const insert = desk.database.prepare(
    `INSERT INTO grants (id, verdict, scope, client, what, host, port, created_at, approval, by_via, uses)
     VALUES (?, 'deny', 'always', NULL, ?, ?, 443, 1, ?, 'socket', 0)`,
  )
  insert.run('d'.repeat(26), 'host_port', 'api.example.com', 'a'.repeat(26))
  insert.run('e'.repeat(26), 'domain', 'example.net', 'a'.repeat(26))
  await desk.restart()
  expect(desk.approvals.findGrant(A, question('api.example.com:443').authority)?.verdict).toBe('deny')
  expect(desk.approvals.findGrant(A, question('www.example.com:443').authority)?.verdict).toBe('allow')
  expect(desk.approvals.findGrant(client('192.0.2.2'), question('example.net:443').authority)?.verdict).toBe(
    'deny',
  )
})

test('HOLD-43 a revoked grant is out of force at once and for good, and the record says who revoked it', async () => {
  await using desk = await openDesk()
  const grant = await granted(desk, { scope: 'always' })
  const other = await granted(desk, { scope: 'always' }, 'example.org:443')
  const outcome = desk.approvals.revoke(grant.id.slice(0, 8), { via: 'token', name: 'bob' })
  expect(outcome).toMatchObject({ kind: 'revoked', grant: { id: grant.id } })
  expect(desk.approvals.findGrant(A, authority)).toBeUndefined()
  expect(desk.approvals.consume(grant.id)).toBe(false)
  expect(desk.approvals.revoke(grant.id, reviewer)).toEqual({ kind: 'none', id: grant.id })
  expect(desk.events.at(-1)).toMatchObject({
    event: 'sallyport.grant.revoked',
    attributes: {
      'sallyport.grant.id': grant.id,
      'server.address': 'example.com',
      'sallyport.actor.via': 'token',
      'sallyport.actor.claimed_name': 'bob',
    },
  })
  await desk.restart()
  expect(desk.approvals.grants().map((each) => each.id)).toEqual([other.id])
})

test('HOLD-44 a session lasts while its client has a connection, and a while longer', async () => {
  await using desk = await openDesk()
  desk.approvals.touch(A)
  await granted(desk, { scope: 'session' })
  desk.clock.advance(5 * HOUR)
  expect(desk.approvals.grants()[0]).not.toHaveProperty('expiresAt')
  expect(desk.approvals.findGrant(A, authority)).toBeDefined()
  desk.approvals.released(A)
  expect(desk.approvals.grants()[0]!.expiresAt).toBe(desk.clock.now() + 30 * MINUTE)
  desk.clock.advance(29 * MINUTE)
  desk.approvals.touch(A)
  desk.clock.advance(HOUR)
  expect(desk.approvals.findGrant(A, authority)).toBeDefined()
  desk.approvals.released(A)
  desk.clock.advance(30 * MINUTE)
  expect(desk.approvals.findGrant(A, authority)).toBeUndefined()
  // Coming back does not bring it back.
  desk.approvals.touch(A)
  expect(desk.approvals.findGrant(A, authority)).toBeUndefined()
  expect(desk.approvals.grants()).toEqual([])
  await desk.turn()
  expect(desk.database.prepare('SELECT count(*) AS n FROM grants').get()).toEqual({ n: 0 })
})

test('HOLD-45 a session grant for a client that left counts from the answer', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(question(), patient())
  desk.clock.advance(25_000)
  await asked
  desk.clock.advance(10 * MINUTE)
  desk.approvals.answer(desk.approvals.list()[0]!.id, { verdict: 'allow', scope: 'session', by: reviewer })
  desk.clock.advance(30 * MINUTE - 1)
  expect(desk.approvals.findGrant(A, authority)).toBeDefined()
  desk.clock.advance(1)
  expect(desk.approvals.findGrant(A, authority)).toBeUndefined()
})

test('HOLD-46 a session survives a restart, but neither a long absence nor a daemon that was down for long', async () => {
  await using desk = await openDesk()
  desk.approvals.touch(A)
  await granted(desk, { scope: 'session' })
  desk.clock.advance(10 * HOUR)
  await desk.restart({ downFor: 10 * MINUTE })
  expect(desk.approvals.findGrant(A, authority)).toBeDefined()
  desk.approvals.touch(A)
  desk.clock.advance(5 * HOUR)
  expect(desk.approvals.findGrant(A, authority)).toBeDefined()
  await desk.restart({ downFor: 31 * MINUTE })
  desk.approvals.touch(A)
  expect(desk.approvals.findGrant(A, authority)).toBeUndefined()
})

test('HOLD-54 a second answer for the session keeps the first one in force over a restart as well', async () => {
  await using desk = await openDesk()
  await granted(desk, { scope: 'session' })
  desk.clock.advance(20 * MINUTE)
  await granted(desk, { scope: 'session' }, 'other.example:443')
  desk.clock.advance(20 * MINUTE)
  expect(desk.approvals.grants()).toHaveLength(2)
  await desk.restart({ downFor: MINUTE })
  expect(desk.approvals.grants()).toHaveLength(2)
})

test('HOLD-53 a session that ran out while no alarm rang does not come back with its client', async () => {
  await using desk = await openDesk()
  desk.approvals.touch(A)
  await granted(desk, { scope: 'session' })
  desk.approvals.released(A)
  desk.skew = 30 * MINUTE // the machine slept: the wall clock went on, no timer did
  desk.approvals.touch(A)
  expect(desk.approvals.findGrant(A, authority)).toBeUndefined()
  expect(desk.approvals.grants()).toEqual([])
})

test('HOLD-47 a session of one client is not that of another', async () => {
  await using desk = await openDesk()
  desk.approvals.touch(A)
  desk.approvals.touch(client('192.0.2.2'))
  await granted(desk, { scope: 'session' })
  expect(desk.approvals.findGrant(client('192.0.2.2'), authority)).toBeUndefined()
  desk.approvals.released(client('192.0.2.2'))
  desk.clock.advance(HOUR)
  expect(desk.approvals.findGrant(A, authority)).toBeDefined()
})

test('HOLD-48 uses are counted, and the count survives', async () => {
  await using desk = await openDesk()
  const grant = await granted(desk, { scope: 'always' })
  desk.clock.advance(MINUTE)
  for (let i = 0; i < 5; i++) expect(desk.approvals.consume(grant.id)).toBe(true)
  expect(desk.approvals.grants()).toMatchObject([{ uses: 5, lastUsedAt: desk.clock.now() }])
  const uses = () => desk.database.prepare('SELECT uses FROM grants').get()
  await desk.turn()
  expect(uses()).toEqual({ uses: 0 }) // no write for each use
  desk.clock.advance(5000)
  await desk.turn()
  expect(uses()).toEqual({ uses: 5 })
  desk.approvals.consume(grant.id)
  await desk.restart()
  expect(desk.approvals.grants()).toMatchObject([{ id: grant.id, uses: 6 }])
})

test('HOLD-49 open approvals and grants outlive a restart; what ended meanwhile is gone', async () => {
  await using desk = await openDesk()
  const long = await granted(desk, { scope: 'always', note: 'kept' }, 'kept.example:443')
  await granted(desk, { forMs: 10 * MINUTE }, 'short.example:443')
  void desk.approvals.ask(question('early.example:443'), patient())
  desk.clock.advance(10 * MINUTE - 1)
  void desk.approvals.ask({ ...question('late.example:443'), userAgent: 'curl/8' }, patient())
  const [, late] = desk.approvals.list()
  await desk.restart({ downFor: 6 * MINUTE })
  expect(desk.approvals.grants()).toEqual([long])
  desk.clock.advance(0) // alarms that fell due while it was down
  expect(desk.approvals.list()).toEqual([
    { ...late, waiting: 0, requesterLeft: true, patienceUntil: undefined },
  ])
  expect(desk.events.at(-1)).toMatchObject({
    event: 'sallyport.approval.expired',
    attributes: { 'server.address': 'early.example' },
  })
  // A retry joins what is open since before the restart.
  const asked = desk.approvals.ask(question('late.example:443'), patient())
  desk.approvals.answer(late!.id, { verdict: 'allow', by: reviewer })
  expect(await asked).toMatchObject({ kind: 'allow', approval: late!.id })
})

test('HOLD-50 a damaged row stops the start with the file and the remedy, and is left as it is', async () => {
  const desk = await openDesk()
  await granted(desk, { scope: 'always' })
  desk.database.exec(`UPDATE grants SET host = 'not a host'`)
  await expect(desk.restart()).rejects.toThrow(StorageError)
  await expect(desk.restart()).rejects.toThrow(
    /approvals\.db: a row cannot be read .*; restore it from a backup/,
  )
  expect(desk.database.prepare('SELECT host FROM grants').get()).toEqual({ host: 'not a host' })
})

test('HOLD-51 there is a bound for grants; revoking makes room', async () => {
  await using desk = await openDesk()
  const insert = desk.database.prepare(
    `INSERT INTO grants (id, verdict, scope, client, what, host, port, created_at, approval, by_via, uses)
     VALUES (?, 'allow', 'always', NULL, 'host_port', 'filler.example', 443, 1, 'a', 'socket', 0)`,
  )
  desk.database.exec('BEGIN')
  for (let i = 0; i < 10_000; i++) insert.run(String(i).padStart(26, '0'))
  desk.database.exec('COMMIT')
  await desk.restart()
  const asked = desk.approvals.ask(question(), patient())
  const [open] = desk.approvals.list()
  const answer = { verdict: 'allow', scope: 'always', by: reviewer } as const
  expect(desk.approvals.answer(open!.id, answer)).toEqual({ kind: 'too_many_grants', limit: 10_000 })
  expect(desk.approvals.list()).toHaveLength(1)
  // What is not remembered is still possible.
  expect(desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer }).kind).toBe('answered')
  expect((await asked).kind).toBe('allow')
})

test('HOLD-52 the record of an answer says everything about it', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(
    { ...question('www.example.com:443'), door: 'http', method: 'GET', path: '/x', userAgent: 'curl/8' },
    patient(),
  )
  desk.clock.advance(4000)
  const [open] = desk.approvals.list()
  desk.approvals.answer(open!.id, {
    verdict: 'deny',
    scope: 'for',
    forMs: HOUR,
    what: 'domain',
    who: 'all',
    note: 'no',
    by: reviewer,
  })
  await asked
  const [opened, decided] = desk.events
  expect(opened!.attributes).toMatchObject({
    'sallyport.approval.id': open!.id,
    'server.address': 'www.example.com',
    'server.port': 443,
    'client.address': '192.0.2.1',
    'network.protocol.name': 'http',
    'http.request.method': 'GET',
    'url.path': '/x',
    'url.registered_domain': 'example.com',
    'user_agent.original': 'curl/8',
  })
  expect(decided).toMatchObject({
    event: 'sallyport.approval.decided',
    time: desk.clock.now(),
    attributes: {
      'sallyport.approval.id': open!.id,
      'sallyport.decision': 'deny',
      'sallyport.approval.scope': 'for',
      'sallyport.approval.who': 'all',
      'sallyport.approval.what': 'domain',
      'sallyport.approval.ttl_ms': HOUR,
      'sallyport.approval.note': 'no',
      'sallyport.approval.age_ms': 4000,
      'sallyport.approval.released': 1,
      'sallyport.actor.via': 'socket',
      'sallyport.actor.claimed_name': 'alice',
      'sallyport.grant.pattern': '**.example.com',
    },
  })
})
