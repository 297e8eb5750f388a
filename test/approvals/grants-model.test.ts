import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AnswerScope, AnswerTarget } from '../../src/approvals/approval.ts'
import { parseAuthority } from '../../src/core/authority.ts'
import { client, type Desk, openDesk, question, reviewer } from './desk.ts'

const CLIENTS = ['192.0.2.1', '192.0.2.2'].map(client)
const TARGETS = [
  'a.example.com:443',
  'a.example.com:80',
  'b.example.com:443',
  'example.com:443',
  'example.net:443',
]
const IDLE = 60_000

/** What the manual says a grant is, with none of the machinery: a list, looked through from the beginning. */
interface ModelGrant {
  id: string
  verdict: 'allow' | 'deny'
  scope: AnswerScope
  client: string | undefined
  pattern: { what: AnswerTarget; host: string; port: string }
  end: number
}

class Model {
  grants: ModelGrant[] = []
  readonly connected = new Set<string>()
  readonly seen = new Map<string, number>()

  see(who: string, now: number): void {
    this.seen.set(who, Math.max(now, this.seen.get(who) ?? 0))
  }

  prune(now: number): void {
    this.grants = this.grants.filter((grant) => {
      if (grant.scope !== 'session') return now < grant.end
      return this.connected.has(grant.client!) || now < this.seen.get(grant.client!)! + IDLE
    })
  }

  find(who: string, target: string): { verdict: string; once: boolean } | undefined {
    const [host, port] = target.split(':') as [string, string]
    const matching = this.grants.filter(({ client, pattern }) => {
      if (client !== undefined && client !== who) return false
      if (pattern.what === 'domain')
        return (
          (`.${host}`.endsWith('.example.com') && pattern.host === 'example.com') ||
          (`.${host}`.endsWith('.example.net') && pattern.host === 'example.net')
        )
      return host === pattern.host && (pattern.what === 'host' || port === pattern.port)
    })
    const denies = matching.filter((grant) => grant.verdict === 'deny')
    const counting = denies.length > 0 ? denies : matching
    if (counting.length === 0) return undefined
    return { verdict: counting[0]!.verdict, once: counting.every((grant) => grant.scope === 'once') }
  }
}

const who = fc.nat(CLIENTS.length - 1)
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('answer' as const),
      who,
      target: fc.nat(TARGETS.length - 1),
      verdict: fc.constantFrom('allow' as const, 'deny' as const),
      scope: fc.constantFrom('once' as const, 'session' as const, 'for' as const, 'always' as const),
      what: fc.constantFrom('host_port' as const, 'host' as const, 'domain' as const),
      all: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.nat(90_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('connect' as const), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('disconnect' as const), who }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke' as const), which: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('consume' as const), who, target: fc.nat(TARGETS.length - 1) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), ms: fc.nat(40_000) }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Does it to both, then they must agree about everything that can be asked. */
async function run(desk: Desk, model: Model, each: Step): Promise<void> {
  const { approvals, clock } = desk
  switch (each.kind) {
    case 'answer': {
      const id = CLIENTS[each.who]!
      const target = TARGETS[each.target]!
      const narrow = each.scope === 'once'
      const what = narrow ? 'host_port' : each.what
      const all = each.all && !narrow && each.scope !== 'session'
      const before = model.find(id, target)
      const outcome = await approvals.ask({ ...question(target, id) }, AbortSignal.abort())
      if (before) {
        // A grant answers the question, and is used up if it was good for one.
        expect(outcome.kind).toBe(before.verdict)
        if (before.once) {
          const left = new Set(approvals.grants().map((grant) => grant.id))
          model.grants = model.grants.filter((grant) => left.has(grant.id))
          expect(model.grants).toHaveLength(left.size)
        }
        return
      }
      if (outcome.kind !== 'gone') throw new Error(`not a question, but ${outcome.kind}`)
      const answered = approvals.answer(outcome.approval, {
        verdict: each.verdict,
        scope: each.scope,
        what,
        who: all ? 'all' : 'client',
        by: reviewer,
        ...(each.scope === 'for' ? { forMs: 100_000 } : {}),
      })
      if (answered.kind !== 'answered') throw new Error(answered.kind)
      const [host, port] = target.split(':') as [string, string]
      const ends = { once: clock.now() + desk.settings.ttlMs, for: clock.now() + 100_000 }
      if (each.scope === 'session') model.see(id, clock.now())
      model.grants.push({
        id: answered.grant!.id,
        verdict: each.verdict,
        scope: each.scope,
        client: all ? undefined : id,
        pattern: { what, host: what === 'domain' ? host.split('.').slice(-2).join('.') : host, port },
        end: each.scope === 'once' || each.scope === 'for' ? ends[each.scope] : Infinity,
      })
      return
    }
    case 'advance':
      clock.advance(each.ms)
      return
    case 'connect':
      model.prune(clock.now())
      model.connected.add(CLIENTS[each.who]!)
      approvals.touch(CLIENTS[each.who]!)
      return
    case 'disconnect':
      if (model.connected.delete(CLIENTS[each.who]!)) model.see(CLIENTS[each.who]!, clock.now())
      else return
      approvals.released(CLIENTS[each.who]!)
      return
    case 'revoke': {
      const grant = model.grants[each.which]
      if (!grant) return
      expect(approvals.revoke(grant.id, reviewer).kind).toBe('revoked')
      model.grants = model.grants.filter((other) => other !== grant)
      return
    }
    case 'consume': {
      const verdict = approvals.findGrant(CLIENTS[each.who]!, parseAuthority(TARGETS[each.target]!))
      if (!verdict) return
      expect(approvals.consume(verdict.grant)).toBe(true)
      if (verdict.once) model.grants = model.grants.filter((grant) => grant.id !== verdict.grant)
      return
    }
    case 'restart':
      for (const id of model.connected) model.see(id, clock.now())
      model.connected.clear()
      await desk.restart({ downFor: each.ms })
  }
}

test('HOLD-80 whatever happens to grants, they are what the manual says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      await using desk = await openDesk({ sessionIdleMs: IDLE, ttlMs: 100_000 })
      const model = new Model()
      for (const each of steps) {
        await run(desk, model, each)
        model.prune(desk.clock.now())
        expect(
          desk.approvals
            .grants()
            .map((grant) => grant.id)
            .toSorted(),
        ).toEqual(model.grants.map((grant) => grant.id).toSorted())
        for (const id of CLIENTS)
          for (const target of TARGETS) {
            const found = desk.approvals.findGrant(id, parseAuthority(target))
            expect(found && { verdict: found.verdict, once: found.once }).toEqual(model.find(id, target))
          }
        expect(desk.clock.pending).toBeLessThanOrEqual(1)
      }
      expect(desk.troubles).toEqual([])
    }),
    { numRuns: 40 },
  )
}, 60_000)
