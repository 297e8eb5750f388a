import { expect, test } from 'vitest'
import { parseAuthority } from '../../src/core/authority.ts'
import { clientOf } from '../../src/core/client.ts'
import { ProxyError } from '../../src/core/errors.ts'
import { Exchange, type ExchangeRecorder } from '../../src/core/exchange.ts'
import type { GrantVerdict } from '../../src/core/grant.ts'
import type { Hostname } from '../../src/core/hostname.ts'
import { parseIpAddress } from '../../src/core/ip-address.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { type AdmissionParts, createAdmission, type HoldOutcome } from '../../src/proxy/admission.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { policyOf } from '../policy/ask.ts'

const PUBLIC = parseIpAddress('192.0.2.1')!
const ALLOWED = policyOf({ allowed: ['ok.example'], denied: ['denied.example'], local: [] })

/** Admission over parts of which a test breaks some; nothing else is what it would be in the daemon. */
function desk(broken: Partial<AdmissionParts> = {}, written?: Error) {
  const faults: unknown[] = []
  const records: string[] = []
  const recorder: ExchangeRecorder = {
    decided(exchange, done) {
      const { decision } = exchange
      records.push(decision!.kind === 'deny' ? decision!.reason : decision!.kind)
      setImmediate(() => done(written))
    },
    completed: () => {},
  }
  let looked = 0
  const admission = createAdmission({
    snapshot: () => ({ policy: ALLOWED, version: 'one' }),
    findGrant: () => undefined,
    consumeGrant: () => true,
    hold: () => Promise.resolve({ kind: 'no_reviewer' }),
    resolver: {
      cached: () => undefined,
      resolve: () => {
        looked++
        return Promise.resolve([parseIpAddress('8.8.8.8')!])
      },
    },
    onAuditError: () => 'deny',
    onFault: (error) => void faults.push(error),
    ...broken,
  })
  return {
    faults,
    records,
    looked: () => looked,
    async ask(target: string) {
      const exchange = new Exchange('connect', clientOf('127.0.0.1', 1), recorder, createFakeClock())
      exchange.method = 'CONNECT'
      exchange.authority = parseAuthority(target, 443)
      const admitted = await admission.admit(exchange, () => new AbortController().signal)
      return admitted.kind === 'refused' ? admitted.refusal.reason : admitted.kind
    },
  }
}

function fail(): never {
  throw new Error('this part is broken')
}

test('ADMIT-01 what is allowed goes, after one look-up and one record', async () => {
  const { ask, records, looked, faults } = desk()
  expect(await ask('ok.example')).toBe('go')
  expect({ records, looked: looked(), faults }).toEqual({ records: ['allow'], looked: 1, faults: [] })
})

test('ADMIT-02 whatever part fails, nothing is let through: an internal error, told and recorded once', async () => {
  const parts: readonly (readonly [name: string, broken: Partial<AdmissionParts>, target: string])[] = [
    ['the grants', { findGrant: fail }, 'new.example'],
    ['the use of a grant', { findGrant: () => grant('allow'), consumeGrant: fail }, 'new.example'],
    ['the hold', { hold: () => Promise.reject(new Error('broken')) }, 'new.example'],
    ['the hold, at once', { hold: fail }, 'new.example'],
    ['the resolver', { resolver: { cached: fail, resolve: fail } }, 'ok.example'],
    [
      'the look-up',
      { resolver: { cached: () => undefined, resolve: () => Promise.reject(new Error('x')) } },
      'ok.example',
    ],
    [
      'an answer that is none',
      { hold: () => Promise.resolve({ kind: 'what' } as unknown as HoldOutcome) },
      'new.example',
    ],
  ]
  for (const [name, broken, target] of parts) {
    const { ask, records, faults } = desk(broken)
    expect(await ask(target), name).toBe('internal_error')
    expect(records, name).toEqual(['internal_error'])
    expect(faults, name).toHaveLength(1)
  }
})

test('ADMIT-03 what cannot be recorded is refused, an allow, a denial and trouble alike', async () => {
  const full = new Error('no space left on device')
  const failing = {
    resolver: { cached: () => undefined, resolve: () => Promise.reject(new ProxyError('dns_error')) },
  }
  expect(await desk({}, full).ask('ok.example')).toBe('audit_unavailable')
  expect(await desk({}, full).ask('denied.example')).toBe('audit_unavailable')
  expect(await desk(failing, full).ask('ok.example')).toBe('audit_unavailable')
  const lenient = { onAuditError: () => 'allow' as const }
  expect(await desk(lenient, full).ask('ok.example')).toBe('go')
  expect(await desk(lenient, full).ask('denied.example')).toBe('denied')
  expect(await desk({ ...failing, ...lenient }, full).ask('ok.example')).toBe('trouble')
})

test('ADMIT-04 an empty answer of a resolver is nothing that was judged', async () => {
  const { ask, records } = desk({ resolver: { cached: () => [], resolve: () => Promise.resolve([]) } })
  expect(await ask('ok.example')).toBe('not_allowed_local')
  expect(records).toEqual(['not_allowed_local'])
})

test('ADMIT-05 an answer counts against the policy of then: a denial wins over it, whatever it said', async () => {
  const stricter = policyOf({ denied: ['new.example'] })
  for (const kind of ['allow', 'deny'] as const) {
    let policy: Policy = ALLOWED
    const { ask, looked } = desk({
      snapshot: () => ({ policy, version: policy === ALLOWED ? 'one' : 'two' }),
      async hold() {
        policy = stricter
        return { kind, approval: 'a', heldMs: 5, rule: { list: 'grant', text: 'x' } }
      },
    })
    expect(await ask('new.example')).toBe('denied')
    expect(looked()).toBe(0)
  }
})

test('ADMIT-06 a grant that was used up by somebody else in the same moment asks again', async () => {
  let held = 0
  const { ask } = desk({
    findGrant: () => grant('allow'),
    consumeGrant: () => false,
    hold() {
      held++
      return Promise.resolve({ kind: 'deny', approval: 'a', heldMs: 1, rule: { list: 'grant', text: 'x' } })
    },
  })
  expect(await ask('new.example')).toBe('approval_denied')
  expect(held).toBe(1)
})

test('ADMIT-07 a name that is denied is never looked up, and one that is held not before the answer', async () => {
  const names: string[] = []
  const resolver = {
    cached: (name: Hostname) => {
      names.push(name)
      return [PUBLIC]
    },
    resolve: fail,
  }
  await desk({ resolver }).ask('denied.example')
  await desk({ resolver }).ask('new.example')
  expect(names).toEqual([])
})

function grant(verdict: 'allow' | 'deny'): GrantVerdict {
  return { verdict, grant: 'g', once: true, rule: { list: 'grant', text: 'x' } }
}
