import { expect, test } from 'vitest'
import { openDesk, patient, question, reviewer } from './desk.ts'

test('HOLD-20 one client has a bounded number of open questions; joining one that is open is still possible', async () => {
  await using desk = await openDesk({ maxPerClient: 3 })
  for (let i = 0; i < 3; i++) void desk.approvals.ask(question(`host-${i}.example:443`), patient())
  expect(await desk.approvals.ask(question('host-3.example:443'), patient())).toEqual({ kind: 'too_many' })
  void desk.approvals.ask(question('host-0.example:443'), patient())
  void desk.approvals.ask(question('host-3.example:443', '192.0.2.2'), patient())
  expect(desk.approvals.counts).toMatchObject({ open: 4, waiting: 5 })
  // An answer makes room again.
  desk.approvals.answer(desk.approvals.list()[0]!.id, { verdict: 'allow', by: reviewer })
  void desk.approvals.ask(question('host-3.example:443'), patient())
  expect(desk.approvals.counts.open).toBe(4)
})

test('HOLD-21 one approval has a bounded number of waiters', async () => {
  await using desk = await openDesk({ maxWaiters: 2 })
  const going = new AbortController()
  const first = desk.approvals.ask(question(), going.signal)
  void desk.approvals.ask(question(), patient())
  expect(await desk.approvals.ask(question(), patient())).toEqual({ kind: 'too_many' })
  expect(desk.approvals.list()).toMatchObject([{ waiting: 2, asked: 2 }])
  going.abort()
  await first
  void desk.approvals.ask(question(), patient())
  expect(desk.approvals.counts.waiting).toBe(2)
})

test('HOLD-22 past the total bound the noisiest client loses its oldest question; honest ones survive the flood', async () => {
  await using desk = await openDesk({ maxTotal: 10, maxPerClient: 9 })
  const honest = ['192.0.2.50', '192.0.2.51', '192.0.2.52'].map((address) => {
    const outcomes: string[] = []
    void desk.approvals
      .ask(question('needed.example:443', address), patient())
      .then((outcome) => outcomes.push(outcome.kind))
    return outcomes
  })
  const noisy: string[] = []
  for (let i = 0; i < 500; i++)
    void desk.approvals
      .ask(question(`flood-${i}.example:443`, '192.0.2.66'), patient())
      .then((outcome) => noisy.push(outcome.kind))
  await desk.turn()
  expect(honest).toEqual([[], [], []])
  // 7 of its own fit; each further one cost it the oldest of them.
  expect(noisy).toEqual(Array.from({ length: 493 }, () => 'too_many'))
  const hosts = desk.approvals.list().map((each) => each.authority.host.text)
  expect(hosts.filter((host) => host === 'needed.example')).toHaveLength(3)
  expect(hosts.slice(3)).toEqual(Array.from({ length: 7 }, (_, i) => `flood-${493 + i}.example`))
  // A new honest client is let in at the cost of the noisy one, too.
  void desk.approvals.ask(question('needed.example:443', '192.0.2.53'), patient())
  expect(desk.approvals.list().filter((each) => each.client === '192.0.2.66')).toHaveLength(6)
  const cut = desk.events.filter((event) => event.event === 'sallyport.approval.expired')
  expect(cut.every((event) => event.attributes['error.type'] === 'too_many_pending')).toBe(true)
  expect(cut.every((event) => event.attributes['client.address'] === '192.0.2.66')).toBe(true)
  expect(cut).toHaveLength(494)
})

test('HOLD-23 where every client has one question nobody is noisy, and the newcomer is refused', async () => {
  await using desk = await openDesk({ maxTotal: 3 })
  for (let i = 1; i <= 3; i++) void desk.approvals.ask(question('example.com:443', `192.0.2.${i}`), patient())
  expect(await desk.approvals.ask(question('example.com:443', '192.0.2.4'), patient())).toEqual({
    kind: 'too_many',
  })
  expect(desk.approvals.counts).toMatchObject({ open: 3, waiting: 3 })
})

test('HOLD-24 a question that was cut to make room cannot be answered, and says why', async () => {
  await using desk = await openDesk({ maxTotal: 2 })
  void desk.approvals.ask(question('a.example:443', '192.0.2.66'), patient())
  const [a] = desk.approvals.list()
  void desk.approvals.ask(question('b.example:443', '192.0.2.66'), patient())
  void desk.approvals.ask(question('c.example:443', '192.0.2.1'), patient())
  expect(desk.approvals.answer(a!.id, { verdict: 'allow', by: reviewer })).toMatchObject({
    kind: 'conflict',
    approval: { status: 'cancelled' },
  })
})

test('HOLD-25 closed approvals are remembered up to a bound, the latest of them', async () => {
  await using desk = await openDesk({ maxTotal: 2000, maxPerClient: 2000 })
  for (let i = 0; i < 1200; i++) {
    void desk.approvals.ask(question(`host-${i}.example:443`), patient())
    desk.clock.advance(1)
  }
  desk.clock.advance(20 * 60_000)
  await desk.turn()
  const closed = desk.approvals.list({ status: 'all', limit: 5000 })
  expect(closed).toHaveLength(1000)
  expect(closed[0]!.authority.host.text).toBe('host-1199.example')
  expect(closed.at(-1)!.authority.host.text).toBe('host-200.example')
})

test('HOLD-26 a flood of joins is not a flood of updates for those who watch', async () => {
  await using desk = await openDesk()
  const changes: string[] = []
  const stop = desk.approvals.subscribe((change) => changes.push(change.kind))
  for (let i = 0; i < 500; i++) void desk.approvals.ask(question(), patient())
  expect(changes).toEqual(['opened'])
  desk.clock.advance(250)
  expect(changes).toEqual(['opened', 'updated'])
  desk.approvals.answer(desk.approvals.list()[0]!.id, { verdict: 'allow', scope: 'always', by: reviewer })
  desk.approvals.revoke(desk.approvals.grants()[0]!.id, reviewer)
  expect(changes).toEqual(['opened', 'updated', 'answered', 'revoked'])
  stop()
  void desk.approvals.ask(question(), patient())
  expect(changes).toHaveLength(4)
})

test('HOLD-27 one who watches and throws harms nobody else', async () => {
  await using desk = await openDesk()
  const seen: string[] = []
  desk.approvals.subscribe(() => {
    throw new Error('a watcher fell over')
  })
  desk.approvals.subscribe((change) => seen.push(change.kind))
  const asked = desk.approvals.ask(question(), patient())
  desk.approvals.answer(desk.approvals.list()[0]!.id, { verdict: 'allow', by: reviewer })
  expect((await asked).kind).toBe('allow')
  expect(seen).toEqual(['opened', 'answered'])
  expect(desk.troubles.map((error) => error.message)).toEqual(['a watcher fell over', 'a watcher fell over'])
})
