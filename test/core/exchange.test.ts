import { expect, test } from 'vitest'
import { clientOf } from '../../src/core/client.ts'
import type { Decision } from '../../src/core/decision.ts'
import { Exchange } from '../../src/core/exchange.ts'
import { createFakeClock } from '../kit/fake-clock.ts'

const ALLOW: Decision = {
  kind: 'allow',
  source: 'allow_rule',
  rule: { list: 'allowed_domains', text: 'example.com' },
}
const DENY: Decision = { kind: 'deny', reason: 'denied', source: 'deny_rule' }

function open() {
  const clock = createFakeClock()
  const records: string[] = []
  const exchange = new Exchange(
    'connect',
    clientOf('127.0.0.1', 1),
    {
      decided: ({ decision }, written) => {
        records.push(decision?.kind === 'deny' ? `denied ${decision.reason}` : `decided ${decision?.kind}`)
        written()
      },
      completed: ({ trouble }) => records.push(`completed ${trouble ?? 'well'}`),
    },
    clock,
  )
  return { exchange, records, clock }
}

test('CORE-40 an allowed exchange is recorded when it is decided and when it ends, once each', () => {
  const { exchange, records, clock } = open()
  let written = 0
  exchange.decide(ALLOW, () => written++)
  clock.advance(250)
  exchange.close()
  exchange.close('idle_timeout')
  expect(records).toEqual(['decided allow', 'completed well'])
  expect(written).toBe(1)
  expect(exchange.durationMs).toBe(250)
})

test('CORE-41 a denied exchange has no completion', () => {
  const { exchange, records } = open()
  exchange.decide(DENY, () => {})
  exchange.close()
  expect(records).toEqual(['denied denied'])
})

test('CORE-42 an exchange cannot be decided twice', () => {
  const { exchange, records } = open()
  exchange.decide(DENY, () => {})
  expect(() => exchange.decide(ALLOW, () => {})).toThrow('was decided twice')
  expect(records).toEqual(['denied denied'])
  expect(exchange.decision).toBe(DENY)
})

test('CORE-43 an exchange that nobody decided is recorded as our own error', () => {
  const { exchange, records } = open()
  expect(exchange.isDecided).toBe(false)
  exchange.close()
  expect(records).toEqual(['denied internal_error'])
  expect(exchange.isDecided).toBe(true)
})

test('CORE-44 the first trouble is the one that is recorded', () => {
  const { exchange, records } = open()
  exchange.decide(ALLOW, () => {})
  exchange.trouble = 'connection_refused'
  exchange.close('client_gone')
  expect(records.at(-1)).toBe('completed connection_refused')
})
