import { expect, test } from 'vitest'
import type { ApprovalOutcome } from '../../src/approvals/approval.ts'
import { client, openDesk, patient, question, reviewer } from './desk.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND

test('HOLD-01 a question waits, and goes on when it is allowed', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(question(), patient())
  const [open] = desk.approvals.list()
  expect(open).toMatchObject({
    status: 'open',
    waiting: 1,
    client: '192.0.2.1',
    asked: 1,
    requesterLeft: false,
  })
  expect(open!.patienceUntil).toBe(desk.clock.now() + 25 * SECOND)
  desk.clock.advance(3 * SECOND)
  const answered = desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer })
  expect(answered).toMatchObject({
    kind: 'answered',
    approval: { status: 'answered', answer: { released: 1 } },
  })
  expect(await asked).toMatchObject({
    kind: 'allow',
    approval: open!.id,
    heldMs: 3000,
    by: 'alice via socket',
    rule: { list: 'approval' },
  })
  expect(desk.approvals.list()).toEqual([])
  expect(desk.approvals.grants()).toEqual([])
  expect(desk.eventNames()).toEqual(['sallyport.approval.opened', 'sallyport.approval.decided'])
})

test('HOLD-02 equal questions from any number of connections join one approval, and one answer frees them all', async () => {
  await using desk = await openDesk()
  const asked = Array.from({ length: 40 }, () => desk.approvals.ask(question(), patient()))
  const [open, ...others] = desk.approvals.list()
  expect(others).toEqual([])
  expect(open).toMatchObject({ waiting: 40, asked: 40 })
  expect(open!.requests).toHaveLength(10)
  expect(desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer })).toMatchObject({
    kind: 'answered',
    approval: { answer: { released: 40 } },
  })
  const outcomes = await Promise.all(asked)
  expect(outcomes.every((outcome) => outcome.kind === 'allow')).toBe(true)
  expect(desk.eventNames().filter((name) => name === 'sallyport.approval.opened')).toHaveLength(1)
})

test('HOLD-03 an answer to A never frees B: another client, host or port is another question', async () => {
  await using desk = await openDesk()
  const ended: string[] = []
  const ask = (name: string, target: string, address: string) =>
    void desk.approvals
      .ask(question(target, address), patient())
      .then((outcome) => ended.push(`${name} ${outcome.kind}`))
  ask('a', 'example.com:443', '192.0.2.1')
  ask('other client', 'example.com:443', '192.0.2.2')
  ask('other port', 'example.com:8443', '192.0.2.1')
  ask('other host', 'www.example.com:443', '192.0.2.1')
  expect(desk.approvals.list()).toHaveLength(4)
  const [a] = desk.approvals.list()
  desk.approvals.answer(a!.id, { verdict: 'allow', scope: 'always', by: reviewer })
  await desk.turn()
  expect(ended).toEqual(['a allow'])
  expect(desk.approvals.counts).toEqual({ open: 3, waiting: 3, grants: 1 })
})

test('HOLD-04 at the end of the wait the client is told to come back, and a late answer lets the retry pass at once', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(question(), patient())
  desk.clock.advance(25 * SECOND - 1)
  expect(desk.approvals.counts.waiting).toBe(1)
  desk.clock.advance(1)
  expect(await asked).toEqual({
    kind: 'pending',
    approval: expect.any(String),
    heldMs: 25_000,
    retryAfter: 30,
  })
  const [open] = desk.approvals.list()
  expect(open).toMatchObject({ status: 'open', waiting: 0, requesterLeft: true })
  desk.clock.advance(5 * MINUTE)
  desk.approvals.answer(open!.id, { verdict: 'allow', scope: 'for', forMs: 60 * MINUTE, by: reviewer })
  const retry = await desk.approvals.ask(question(), patient())
  expect(retry).toMatchObject({ kind: 'allow', heldMs: 0, approval: open!.id, rule: { list: 'grant' } })
  expect(desk.approvals.list()).toEqual([])
})

test('HOLD-05 a late once lets exactly one retry pass, whatever the restart in between', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(question(), patient())
  desk.clock.advance(25 * SECOND)
  expect((await asked).kind).toBe('pending')
  const [open] = desk.approvals.list()
  desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer })
  await desk.restart()
  const { authority } = question()
  // A dry run may look as often as it likes.
  for (let i = 0; i < 3; i++)
    expect(desk.approvals.findGrant(client('192.0.2.1'), authority)).toMatchObject({
      verdict: 'allow',
      once: true,
    })
  const verdict = desk.approvals.findGrant(client('192.0.2.1'), authority)!
  expect(desk.approvals.consume(verdict.grant)).toBe(true)
  expect(desk.approvals.consume(verdict.grant)).toBe(false)
  expect(desk.approvals.findGrant(client('192.0.2.1'), authority)).toBeUndefined()
  await desk.restart()
  expect(desk.approvals.findGrant(client('192.0.2.1'), authority)).toBeUndefined()
  void desk.approvals.ask(question(), patient())
  expect(desk.approvals.list()).toHaveLength(1)
})

test('HOLD-06 a late once is good as long as its approval would have lived, and no longer', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(question(), patient())
  desk.clock.advance(10 * MINUTE)
  await asked
  const [open] = desk.approvals.list()
  desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer })
  desk.clock.advance(5 * MINUTE - 1)
  expect(desk.approvals.findGrant(client('192.0.2.1'), question().authority)).toBeDefined()
  desk.clock.advance(1)
  expect(desk.approvals.findGrant(client('192.0.2.1'), question().authority)).toBeUndefined()
  expect(desk.approvals.grants()).toEqual([])
})

test('HOLD-07 two retries race for one late once: one passes, the other opens a new question', async () => {
  await using desk = await openDesk()
  const first = desk.approvals.ask(question(), patient())
  desk.clock.advance(25 * SECOND)
  await first
  desk.approvals.answer(desk.approvals.list()[0]!.id, { verdict: 'allow', by: reviewer })
  const outcomes: ApprovalOutcome['kind'][] = []
  for (let i = 0; i < 2; i++)
    void desk.approvals.ask(question(), patient()).then((outcome) => outcomes.push(outcome.kind))
  await desk.turn()
  expect(outcomes).toEqual(['allow'])
  expect(desk.approvals.list()).toMatchObject([{ waiting: 1 }])
})

test('HOLD-08 a client that goes away is not an answer: the approval stays and says that its requester left', async () => {
  await using desk = await openDesk()
  const going = new AbortController()
  const asked = desk.approvals.ask(question(), going.signal)
  const staying = desk.approvals.ask(question(), patient())
  desk.clock.advance(2 * SECOND)
  going.abort()
  const [open] = desk.approvals.list()
  expect(await asked).toEqual({ kind: 'gone', approval: open!.id, heldMs: 2000 })
  expect(open).toMatchObject({ status: 'open', waiting: 1, requesterLeft: false })
  desk.clock.advance(23 * SECOND)
  expect((await staying).kind).toBe('pending')
  expect(desk.approvals.get(open!.id)).toMatchObject({
    status: 'open',
    waiting: 0,
    requesterLeft: true,
    asked: 2,
  })
  const rejoined = desk.approvals.ask(question(), patient())
  expect(desk.approvals.get(open!.id)).toMatchObject({ waiting: 1, requesterLeft: false, asked: 3 })
  desk.approvals.answer(open!.id, { verdict: 'deny', by: reviewer })
  expect((await rejoined).kind).toBe('deny')
})

test('HOLD-09 a client that is gone already still leaves its question', async () => {
  await using desk = await openDesk()
  const outcome = await desk.approvals.ask(question(), AbortSignal.abort())
  expect(outcome).toEqual({ kind: 'gone', approval: desk.approvals.list()[0]!.id, heldMs: 0 })
  expect(desk.approvals.counts.waiting).toBe(0)
})

test('HOLD-10 a deny refuses those who wait, and the retries as long as an approval would live', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(question(), patient())
  const [open] = desk.approvals.list()
  const answered = desk.approvals.answer(open!.id, { verdict: 'deny', by: reviewer, note: 'not for us' })
  expect(answered).toMatchObject({
    kind: 'answered',
    grant: { verdict: 'deny', scope: 'for', expiresAt: desk.clock.now() + 15 * MINUTE, note: 'not for us' },
  })
  expect(await asked).toMatchObject({ kind: 'deny', approval: open!.id })
  desk.clock.advance(15 * MINUTE - 1)
  expect(await desk.approvals.ask(question(), patient())).toMatchObject({ kind: 'deny', heldMs: 0 })
  desk.clock.advance(1)
  void desk.approvals.ask(question(), patient())
  expect(desk.approvals.list()).toHaveLength(1)
})

test('HOLD-11 the first answer wins; the second learns who won, what was said, and when', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(question(), patient())
  const [open] = desk.approvals.list()
  const at = desk.clock.now()
  // Both are given in the same turn, before the waiter has had a chance to wake.
  desk.approvals.answer(open!.id, { verdict: 'deny', by: { via: 'socket', name: 'alice' } })
  const second = desk.approvals.answer(open!.id, {
    verdict: 'allow',
    scope: 'always',
    by: { via: 'token', name: 'bob' },
  })
  expect(second).toMatchObject({
    kind: 'conflict',
    approval: { status: 'answered', closedAt: at, answer: { verdict: 'deny', by: { name: 'alice' }, at } },
  })
  expect((await asked).kind).toBe('deny')
  expect(desk.approvals.grants()).toMatchObject([{ verdict: 'deny' }])
  await desk.restart()
  expect(desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer })).toMatchObject({
    kind: 'conflict',
    approval: { answer: { by: { name: 'alice' } } },
  })
})

test('HOLD-12 an approval expires, says so once, and can no longer be answered', async () => {
  await using desk = await openDesk({ waitMs: 20 * MINUTE })
  const asked = desk.approvals.ask(question(), patient())
  const [open] = desk.approvals.list()
  desk.clock.advance(15 * MINUTE)
  expect(await asked).toMatchObject({ kind: 'pending', heldMs: 15 * MINUTE })
  expect(desk.approvals.list()).toEqual([])
  expect(desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer })).toMatchObject({
    kind: 'conflict',
    approval: { status: 'expired', closedAt: open!.expiresAt },
  })
  expect(desk.approvals.grants()).toEqual([])
  expect(desk.eventNames()).toEqual(['sallyport.approval.opened', 'sallyport.approval.expired'])
})

test('HOLD-13 when the wall clock is set forward, neither a stale approval nor a stale grant counts', async () => {
  await using desk = await openDesk()
  void desk.approvals.ask(question('a.example:443'), patient())
  const asked = desk.approvals.ask(question('b.example:443'), patient())
  const [a, b] = desk.approvals.list()
  desk.approvals.answer(a!.id, { verdict: 'allow', scope: 'for', forMs: MINUTE, by: reviewer })
  desk.skew = 16 * MINUTE // no alarm has rung
  expect(desk.approvals.findGrant(client('192.0.2.1'), question('a.example:443').authority)).toBeUndefined()
  expect(desk.approvals.answer(b!.id, { verdict: 'allow', by: reviewer })).toMatchObject({
    kind: 'conflict',
    approval: { status: 'expired' },
  })
  expect((await asked).kind).toBe('pending')
})

test('HOLD-14 draining lets everybody go, opens nothing new, and loses nothing', async () => {
  await using desk = await openDesk()
  const asked = [question('a.example:443'), question('b.example:443')].map((each) =>
    desk.approvals.ask(each, patient()),
  )
  desk.approvals.drain()
  expect(await Promise.all(asked)).toEqual([{ kind: 'draining' }, { kind: 'draining' }])
  expect(await desk.approvals.ask(question('c.example:443'), patient())).toEqual({ kind: 'draining' })
  await desk.restart()
  expect(desk.approvals.list().map((each) => each.authority.host.text)).toEqual(['a.example', 'b.example'])
})

test('HOLD-15 with nobody to answer, policy may say to deny at once; a grant still counts', async () => {
  await using desk = await openDesk({ whenUnattended: 'deny' })
  const asked = desk.approvals.ask(question(), patient())
  desk.approvals.answer(desk.approvals.list()[0]!.id, { verdict: 'allow', scope: 'always', by: reviewer })
  await asked
  desk.reviewers = false
  expect(await desk.approvals.ask(question('other.example:443'), patient())).toEqual({ kind: 'no_reviewer' })
  expect(await desk.approvals.ask(question(), patient())).toMatchObject({ kind: 'allow' })
  expect(desk.approvals.list()).toEqual([])
  desk.settings = { ...desk.settings, whenUnattended: 'hold' }
  void desk.approvals.ask(question('other.example:443'), patient())
  expect(desk.approvals.list()).toHaveLength(1)
})

test('HOLD-16 a thousand held exchanges cost one timer', async () => {
  await using desk = await openDesk({ maxPerClient: 2000, maxTotal: 2000 })
  const asked = Array.from({ length: 1000 }, (_, i) => {
    desk.clock.advance(1)
    return desk.approvals.ask(question(`host-${i}.example:443`), patient())
  })
  expect(desk.approvals.counts).toEqual({ open: 1000, waiting: 1000, grants: 0 })
  expect(desk.clock.pending).toBe(1)
  desk.clock.advance(26 * SECOND)
  const outcomes = await Promise.all(asked)
  expect(outcomes.every((outcome) => outcome.kind === 'pending' && outcome.heldMs === 25_000)).toBe(true)
  desk.clock.advance(15 * MINUTE)
  expect(desk.approvals.counts.open).toBe(0)
  expect(desk.clock.pending).toBe(0)
})

test('HOLD-17 what the client sends cannot harm the terminal of the reviewer', async () => {
  await using desk = await openDesk()
  const nasty = '\u001B]0;owned\u0007 allow\r\nme \u202Eevil\u2028'
  void desk.approvals.ask(
    { ...question(), door: 'http', method: nasty, path: `/${nasty}${'x'.repeat(500)}`, userAgent: nasty },
    patient(),
  )
  const [request] = desk.approvals.list()[0]!.requests
  for (const text of [request!.method, request!.path!, request!.userAgent!]) {
    expect(text).toMatch(/^[\x20-\x7E]*$/)
    expect(text.length).toBeLessThanOrEqual(200)
  }
  const opened = desk.events[0]!
  expect(JSON.stringify(opened.attributes)).not.toMatch(/\\u001b|\\r|\\n|\u202E|\u2028/i)
})

test('HOLD-18 a new wait and a new life apply to the next question', async () => {
  await using desk = await openDesk()
  const before = desk.approvals.ask(question('a.example:443'), patient())
  desk.settings = { ...desk.settings, waitMs: 5 * SECOND, ttlMs: MINUTE }
  const after = desk.approvals.ask(question('b.example:443'), patient())
  desk.clock.advance(5 * SECOND)
  expect(await after).toMatchObject({ kind: 'pending', heldMs: 5000 })
  desk.clock.advance(20 * SECOND)
  expect(await before).toMatchObject({ kind: 'pending', heldMs: 25_000 })
  desk.clock.advance(35 * SECOND)
  expect(desk.approvals.list().map((each) => each.authority.host.text)).toEqual(['a.example'])
})

test('HOLD-19 with no wait at all the client is told at once, and the question is open', async () => {
  await using desk = await openDesk({ waitMs: 0 })
  const asked = desk.approvals.ask(question(), patient())
  desk.clock.advance(0)
  expect(await asked).toMatchObject({ kind: 'pending', heldMs: 0 })
  expect(desk.approvals.list()).toHaveLength(1)
})
