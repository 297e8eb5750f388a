import { expect, test } from 'vitest'
import { openDesk, patient, question, reviewer } from './desk.ts'

test('HOLD-01 a question waits, and goes on when it is allowed', async () => {
  await using desk = await openDesk()
  const asked = desk.approvals.ask(question(), patient())
  const [open] = desk.approvals.list()
  expect(open).toMatchObject({ status: 'open', waiting: 1, client: '192.0.2.1', asked: 1 })
  desk.clock.advance(3000)
  const answered = desk.approvals.answer(open!.id, { verdict: 'allow', by: reviewer })
  expect(answered).toMatchObject({ kind: 'answered', approval: { status: 'answered' } })
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
