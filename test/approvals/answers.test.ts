import { expect, test } from 'vitest'
import type { ApprovalAnswer } from '../../src/approvals/approval.ts'
import { parseAuthority } from '../../src/core/authority.ts'
import { client, openDesk, patient, question, reviewer } from './desk.ts'

const HOUR = 3_600_000

test.each<[string, Partial<ApprovalAnswer>, string, RegExp]>([
  ['for without a duration', { scope: 'for' }, 'for', /needs a duration/],
  ['a duration with always', { scope: 'always', forMs: HOUR }, 'for', /means nothing with scope always/],
  ['half a second', { forMs: 500 }, 'for', /from 1 second to 366 days/],
  ['two years', { forMs: 2 * 366 * 24 * HOUR }, 'for', /from 1 second to 366 days/],
  ['not a number', { forMs: Number.NaN }, 'for', /from 1 second/],
  ['once for all clients', { who: 'all' }, 'who', /scope once is about the client/],
  ['a session of all clients', { scope: 'session', who: 'all' }, 'who', /scope session is about the client/],
  ['once for the whole host', { what: 'host' }, 'what', /scope once is about the requests/],
  ['an endless note', { note: 'x'.repeat(501) }, 'note', /longer than 500/],
  ['a note with an escape', { note: 'red \u001B[31m' }, 'note', /control characters/],
  ['a note with a direction mark', { note: 'ab\u202Ecd' }, 'note', /control characters/],
  ['a name with a line break', { by: { via: 'socket', name: 'a\nb' } }, 'by', /control characters/],
])(
  'HOLD-30 an answer that means something else than it says is refused: %s',
  async (_, given, field, problem) => {
    await using desk = await openDesk()
    void desk.approvals.ask(question(), patient())
    const [open] = desk.approvals.list()
    const outcome = desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer, ...given })
    expect(outcome).toMatchObject({
      kind: 'invalid',
      problem: { field, problem: expect.stringMatching(problem) },
    })
    expect(outcome).toHaveProperty('problem.remedy')
    expect(desk.approvals.counts).toEqual({ open: 1, waiting: 1, grants: 0 })
    expect(desk.eventNames()).toEqual(['sallyport.approval.opened'])
  },
)

test.each<[string, string, string[], string[]]>([
  [
    'host_port',
    'www.example.co.uk:8443',
    ['www.example.co.uk:8443'],
    ['www.example.co.uk:443', 'example.co.uk:8443'],
  ],
  [
    'host',
    'www.example.co.uk:443',
    ['www.example.co.uk:443', 'www.example.co.uk:80'],
    ['a.www.example.co.uk:443'],
  ],
  [
    'domain',
    'www.example.co.uk:443',
    ['example.co.uk:443', 'www.example.co.uk:443', 'a.b.example.co.uk:80'],
    ['co.uk:443', 'other.co.uk:443', 'notexample.co.uk:443', 'example.co.uk.evil.com:443'],
  ],
  [
    'domain',
    'alice.github.io:443',
    ['alice.github.io:443', 'x.alice.github.io:443'],
    ['bob.github.io:443', 'github.io:443'],
  ],
  ['host', '198.51.100.7:443', ['198.51.100.7:80'], ['198.51.100.8:443']],
  ['host', '[2001:db8::7]:443', ['[2001:db8:0:0::7]:80'], ['[2001:db8::8]:443']],
])('HOLD-31 a grant for %s of %s covers exactly that', async (what, asked, covered, others) => {
  await using desk = await openDesk()
  void desk.approvals.ask(question(asked), patient())
  const answer = { verdict: 'allow', scope: 'always', what: what as 'host', by: reviewer } as const
  expect(desk.approvals.answer(desk.approvals.list()[0]!.id, answer).kind).toBe('answered')
  const found = (target: string, address = '192.0.2.1') =>
    desk.approvals.findGrant(client(address), parseAuthority(target)) !== undefined
  for (const target of [asked, ...covered]) expect([target, found(target)]).toEqual([target, true])
  for (const target of others) expect([target, found(target)]).toEqual([target, false])
  expect(found(asked, '192.0.2.2')).toBe(false)
})

test.each(['198.51.100.7:443', '[2001:db8::7]:443', 'co.uk:443', 'github.io:443', 'localhost:443'])(
  'HOLD-32 %s has no domain to widen to',
  async (target) => {
    await using desk = await openDesk()
    void desk.approvals.ask(question(target), patient())
    const answer = { verdict: 'allow', scope: 'always', what: 'domain', by: reviewer } as const
    expect(desk.approvals.answer(desk.approvals.list()[0]!.id, answer)).toMatchObject({
      kind: 'invalid',
      problem: { field: 'what', remedy: 'answer for host or host_port' },
    })
    expect(desk.approvals.grants()).toEqual([])
  },
)

test('HOLD-33 a wide answer settles every open question that it covers, and no other', async () => {
  await using desk = await openDesk()
  const ended = new Map<string, string>()
  for (const [target, address] of [
    ['www.example.com:443', '192.0.2.1'],
    ['www.example.com:80', '192.0.2.1'],
    ['api.example.com:443', '192.0.2.2'],
    ['example.org:443', '192.0.2.1'],
    ['notexample.com:443', '192.0.2.1'],
  ] as const)
    void desk.approvals
      .ask(question(target, address), patient())
      .then((outcome) => ended.set(`${target} ${address}`, outcome.kind))
  const [first] = desk.approvals.list()
  desk.approvals.answer(first!.id, {
    verdict: 'allow',
    scope: 'for',
    forMs: HOUR,
    what: 'domain',
    who: 'all',
    by: reviewer,
  })
  await desk.turn()
  expect([...ended].toSorted()).toEqual([
    ['api.example.com:443 192.0.2.2', 'allow'],
    ['www.example.com:443 192.0.2.1', 'allow'],
    ['www.example.com:80 192.0.2.1', 'allow'],
  ])
  expect(desk.approvals.list().map((each) => each.authority.host.text)).toEqual([
    'example.org',
    'notexample.com',
  ])
  const answered = desk.approvals.list({ status: 'answered' })
  expect(answered).toHaveLength(3)
  const others = answered.filter((each) => each.id !== first!.id)
  expect(others.map((each) => each.answer?.settledBy)).toEqual([first!.id, first!.id])
  expect(desk.eventNames().filter((name) => name === 'sallyport.approval.decided')).toHaveLength(3)
})

test('HOLD-34 for this client alone, the same answer settles nothing of another client', async () => {
  await using desk = await openDesk()
  void desk.approvals.ask(question('www.example.com:443', '192.0.2.1'), patient())
  void desk.approvals.ask(question('www.example.com:443', '192.0.2.2'), patient())
  const [first] = desk.approvals.list()
  desk.approvals.answer(first!.id, { verdict: 'allow', scope: 'always', what: 'domain', by: reviewer })
  await desk.turn()
  expect(desk.approvals.list()).toMatchObject([{ client: '192.0.2.2', waiting: 1 }])
})

test('HOLD-35 a unique beginning of an id is enough; a short, an ambiguous, and a wrong one say so', async () => {
  await using desk = await openDesk()
  const insert = desk.database.prepare(
    `INSERT INTO approvals (id, status, client, host, port, opened_at, expires_at, asked, requester_left, requests)
     VALUES (?, 'open', '192.0.2.1', ?, 443, ?, ?, 1, 1, '[]')`,
  )
  const now = desk.clock.now()
  for (const [i, id] of ['abcd1', 'abcd2', 'wxyz1'].entries())
    insert.run(id.padEnd(26, '0'), `host-${i}.example`, now, now + HOUR)
  await desk.restart()
  expect(desk.approvals.find('wxyz')).toMatchObject({ kind: 'found', value: { id: 'wxyz1'.padEnd(26, '0') } })
  expect(desk.approvals.find('  WXYZ1 ')).toMatchObject({ kind: 'found' })
  expect(desk.approvals.find('abcd1')).toMatchObject({ kind: 'found' })
  expect(desk.approvals.find('abc')).toEqual({ kind: 'too_short', id: 'abc', shortest: 4 })
  expect(desk.approvals.find('nope-!')).toMatchObject({ kind: 'none' })
  expect(desk.approvals.find('')).toMatchObject({ kind: 'none' })
  expect(desk.approvals.find('abce')).toMatchObject({ kind: 'none' })
  const ambiguous = desk.approvals.answer('abcd', { verdict: 'allow', by: reviewer })
  expect(ambiguous).toEqual({
    kind: 'ambiguous',
    id: 'abcd',
    matches: ['abcd1'.padEnd(26, '0'), 'abcd2'.padEnd(26, '0')],
  })
  expect(desk.approvals.counts.open).toBe(3)
  expect(desk.approvals.answer('abcd2', { verdict: 'allow', by: reviewer }).kind).toBe('answered')
  // Closed or not, two are two.
  expect(desk.approvals.find('abcd').kind).toBe('ambiguous')
  expect(desk.approvals.get('abcd2')).toMatchObject({ status: 'answered' })
})

test('HOLD-36 an answer that the disk refuses has not been given', async () => {
  await using desk = await openDesk()
  const ended: string[] = []
  void desk.approvals.ask(question(), patient()).then((outcome) => ended.push(outcome.kind))
  await desk.turn()
  const pages = desk.database.prepare('PRAGMA page_count').get()!['page_count']
  desk.database.exec(`PRAGMA max_page_count = ${Number(pages)}`)
  const [open] = desk.approvals.list()
  const answer = { verdict: 'allow', scope: 'always', note: 'x'.repeat(500), by: reviewer } as const
  // Answers fill what is left of the pages, until one needs a new page.
  let outcome = desk.approvals.answer(open!.id, answer)
  for (let i = 0; outcome.kind === 'answered' && i < 100; i++) {
    await desk.turn()
    void desk.approvals
      .ask(question(`host-${i}.example:443`), patient())
      .then((each) => ended.push(each.kind))
    outcome = desk.approvals.answer(desk.approvals.list()[0]!.id, answer)
  }
  const answered = ended.length
  expect(outcome).toMatchObject({ kind: 'not_stored', error: { message: expect.stringMatching(/full/) } })
  await desk.turn()
  const [still] = desk.approvals.list()
  expect(still).toMatchObject({ status: 'open', waiting: 1 })
  expect(desk.approvals.findGrant(still!.client, still!.authority)).toBeUndefined()
  expect(desk.eventNames().filter((name) => name === 'sallyport.approval.decided')).toHaveLength(answered)
  desk.database.exec('PRAGMA max_page_count = 1000000')
  expect(desk.approvals.answer(still!.id, answer).kind).toBe('answered')
  await desk.turn()
  expect(ended).toHaveLength(answered + 1)
})
