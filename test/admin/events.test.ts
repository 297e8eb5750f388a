import { expect, test } from 'vitest'
import type { AdminAddress } from '../../src/admin/admin.ts'
import { patient, question, reviewer } from '../approvals/desk.ts'
import { decisionEvent, type Office, openOffice } from './office.ts'
import { type Stream, watch } from './stream.ts'

const at = (office: Office): AdminAddress => ({ kind: 'socket', path: office.socket })

test('ADM-70 a watcher first learns what is open, then everything as it happens', async () => {
  await using office = await openOffice()
  const { approvals } = office.desk
  void approvals.ask(question('a.example:443'), patient())
  using stream = await watch(at(office))
  expect(await stream.next()).toMatchObject({
    event: 'snapshot',
    data: { approvals: [{ host: 'a.example', status: 'open', waiting: 1 }] },
  })
  void approvals.ask(question('b.example:443'), patient())
  expect(await stream.next()).toMatchObject({
    event: 'approval',
    data: { change: 'opened', approval: { host: 'b.example' } },
  })
  const [a] = approvals.list()
  await office.call('POST', `/v1/approvals/${a!.id}/answer`, { body: { verdict: 'allow', scope: 'always' } })
  const answered = await stream.next()
  expect(answered).toMatchObject({
    event: 'approval',
    data: {
      change: 'answered',
      approval: { id: a!.id, status: 'answered' },
      grant: { pattern: 'a.example:443' },
    },
  })
  await office.call('DELETE', `/v1/grants/${answered.data.grant.id}`)
  expect(await stream.next()).toMatchObject({
    event: 'grant',
    data: { change: 'revoked', grant: { uses: 0 } },
  })
  office.record(decisionEvent('c.example'))
  expect(await stream.next()).toMatchObject({
    event: 'decision',
    data: { event: 'sallyport.egress.decision', attributes: { 'server.address': 'c.example' } },
  })
  office.record({ ...decisionEvent(), event: 'sallyport.egress.completed' })
  office.desk.clock.advance(250)
  expect(await stream.next()).toMatchObject({ data: { change: 'updated', approval: { host: 'b.example' } } })
  office.desk.clock.advance(25_000)
  office.desk.clock.advance(250)
  expect(await stream.next()).toMatchObject({
    data: { change: 'updated', approval: { requester_left: true } },
  })
  office.desk.clock.advance(15 * 60_000)
  expect(await stream.next()).toMatchObject({
    event: 'approval',
    data: { change: 'expired', approval: { host: 'b.example' } },
  })
})

test('ADM-71 who only wants approvals is not sent decisions, and the other way round', async () => {
  await using office = await openOffice()
  using approvals = await watch(at(office), '/v1/events?kinds=approvals')
  using decisions = await watch(at(office), '/v1/events?kinds=decisions')
  office.record(decisionEvent())
  void office.desk.approvals.ask(question(), patient())
  expect((await decisions.next()).event).toBe('snapshot')
  expect((await decisions.next()).event).toBe('decision')
  expect((await approvals.next()).event).toBe('snapshot')
  expect((await approvals.next()).event).toBe('approval')
  expect(approvals.text()).not.toContain('event: decision')
  expect(decisions.text()).not.toContain('event: approval')
  expect(await office.call('GET', '/v1/events?kinds=everything')).toMatchObject({
    status: 422,
    json: { field: 'kinds', value: 'everything', remedy: expect.stringContaining('approvals') },
  })
})

test('ADM-72 whoever watches approvals counts as a reviewer, until the connection is gone', async () => {
  await using office = await openOffice()
  const { admin } = office
  expect(admin.reviewersPresent()).toBe(false)
  using decisions = await watch(at(office), '/v1/events?kinds=decisions')
  await decisions.next()
  expect(admin.reviewersPresent()).toBe(false)
  const approvals = await watch(at(office))
  await approvals.next()
  expect(admin.reviewersPresent()).toBe(true)
  expect((await office.call('GET', '/v1/status')).json.watchers).toBe(2)
  approvals[Symbol.dispose]()
  await expect.poll(() => admin.reviewersPresent()).toBe(false)
})

test('ADM-73 a quiet stream says every 15 seconds that it lives', async () => {
  await using office = await openOffice()
  using stream = await watch(at(office))
  await stream.next()
  office.desk.clock.advance(14_999)
  expect(stream.text()).not.toContain(': still here')
  office.desk.clock.advance(1)
  await stream.until((text) => text.includes(': still here\n\n'))
  office.desk.clock.advance(15_000)
  await stream.until((text) => text.split(': still here').length === 3)
  expect(office.desk.clock.pending).toBe(1)
  stream[Symbol.dispose]()
  await expect.poll(() => office.desk.clock.pending).toBe(0)
})

test('ADM-74 a reader that is too slow is cut, and costs the others nothing', async () => {
  await using office = await openOffice()
  using slow = await watch(at(office))
  using quick = await watch(at(office))
  await slow.next()
  slow.stall()
  const padding = 'x'.repeat(8000)
  let sent = 0
  while ((await office.call('GET', '/v1/status')).json.watchers === 2 && sent < 1000) {
    const host = `host-${sent++}.example`
    office.record({ ...decisionEvent(host), attributes: { host, padding } })
    await quick.until((text) => text.includes(host, Math.max(0, text.length - 20_000)))
  }
  // What the kernel takes, and a quarter of a megabyte of ours.
  expect(sent).toBeGreaterThan(30)
  expect(sent).toBeLessThan(1000)
  slow.resume() // only then does it see the end
  await slow.ended
  expect(slow.text()).not.toContain(`host-${sent - 1}.example`)
  void office.desk.approvals.ask(question(), patient())
  await quick.until((text) => text.includes('event: approval'))
  expect(office.troubles).toEqual([])
})

test('ADM-75 only so many may watch at once', async () => {
  await using office = await openOffice()
  const streams: Stream[] = []
  for (let i = 0; i < 64; i++) streams.push(await watch(at(office)))
  expect(await office.call('GET', '/v1/events')).toMatchObject({
    status: 503,
    json: { code: 'too_many_watchers' },
  })
  streams[0]![Symbol.dispose]()
  await expect.poll(async () => (await office.call('GET', '/v1/status')).json.watchers).toBe(63)
  using another = await watch(at(office))
  expect(another.status).toBe(200)
  for (const stream of streams) stream[Symbol.dispose]()
})

test('ADM-76 HEAD of the stream ends, and nobody watches', async () => {
  await using office = await openOffice()
  expect((await office.call('HEAD', '/v1/events')).status).toBe(200)
  expect(office.admin.reviewersPresent()).toBe(false)
})

test('ADM-77 what a client sent cannot add an event to the stream', async () => {
  await using office = await openOffice()
  using stream = await watch(at(office))
  await stream.next()
  const forged = 'x\n\nevent: approval\ndata: {"change":"answered"}\n\n'
  void office.desk.approvals.ask({ ...question(), method: forged, userAgent: forged }, patient())
  office.record({ ...decisionEvent(), attributes: { 'user_agent.original': forged } })
  expect(await stream.next()).toMatchObject({ event: 'approval', data: { change: 'opened' } })
  expect(await stream.next()).toMatchObject({
    event: 'decision',
    data: { attributes: { 'user_agent.original': forged } },
  })
  office.desk.approvals.answer(office.desk.approvals.list()[0]!.id, { verdict: 'deny', by: reviewer })
  expect(await stream.next()).toMatchObject({ event: 'approval', data: { change: 'answered' } })
})
