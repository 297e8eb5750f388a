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
