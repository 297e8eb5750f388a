import { domainToUnicode } from 'node:url'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Authority, InvalidTarget } from '../../src/core/authority.ts'
import type { GrantFinder } from '../../src/core/grant.ts'
import { ipAddressFromBytes } from '../../src/core/ip-address.ts'
import { parseRequestTarget } from '../../src/core/request-target.ts'
import { classifyAddress } from '../../src/policy/addresses.ts'
import { decide } from '../../src/policy/decide.ts'
import { matchesLabel } from '../../src/policy/glob.ts'
import { type Lists, ask, CLIENT, policyOf, verdict } from './ask.ts'

const label = fc.constantFrom('a', 'b', 'ab', 'x-1', 'com', 'xn--9ca', 'région')
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => {
  // A name uses one form of internationalised labels; which one is the writer's choice.
  const text = labels.join('.')
  return text.includes('région') ? text.replaceAll('xn--9ca', 'é') : text
})
const port = fc.constantFrom(80, 443, 8443)

/** The ways in which a client may write one and the same name. */
function spelled(host: string, upper: readonly boolean[], dot: boolean, unicode: boolean): string {
  const form = unicode ? domainToUnicode(host) : host
  const cased = [...form]
    .map((letter, i) => (upper[i % upper.length] ? letter.toUpperCase() : letter))
    .join('')
  return dot ? `${cased}.` : cased
}

const spelling = fc.tuple(fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }), fc.boolean(), fc.boolean())

test('POL-140 property: a denied host is denied in every spelling, whatever else permits it', () => {
  const prefix = fc.constantFrom('', '**.')
  const allow: GrantFinder = () => ({
    verdict: 'allow',
    grant: 'g',
    once: false,
    rule: { list: 'grant', text: 'g' },
  })
  fc.assert(
    fc.property(name, prefix, spelling, spelling, fc.boolean(), (host, scope, written, asked, inFile) => {
      const entry = scope + spelled(host, ...written)
      const lists: Lists = { allowed: ['*', spelled(host, ...asked), `**.${host}`], unfamiliar: 'allow' }
      const policy = policyOf(inFile ? { ...lists, files: [`${entry}\n`] } : { ...lists, denied: [entry] })
      const target = spelled(host, ...asked)
      expect(verdict(ask(policy, target, undefined, allow))).toBe('denied')
      expect(verdict(ask(policy, target, ['93.184.216.34'], allow))).toBe('denied')
      if (scope === '**.') expect(verdict(ask(policy, `www.${target}`, undefined, allow))).toBe('denied')
    }),
    { numRuns: 500 },
  )
})

test('POL-141 property: the doors decide alike, however the target is written', () => {
  const policy = policyOf({
    allowed: ['**.a.com', '*.xn--9ca', 'ab.b', '9.9.9.9', '[2620:fe::fe]', '*.b:8443'],
    denied: ['b.a.com', 'x-1.a.com', '**.xn--rgion-bsa.com'],
  })
  const read = (method: string, target: string): Authority | undefined => {
    try {
      return parseRequestTarget(method, target).authority
    } catch (error) {
      if (error instanceof InvalidTarget) return undefined
      throw error
    }
  }
  const host = fc.oneof(
    name,
    fc.tuple(name, spelling).map(([text, how]) => spelled(text, ...how)),
    fc.constantFrom(
      '9.9.9.9',
      '[2620:FE::fe]',
      '127.1',
      '10.0.0.1',
      'localhost',
      '[::ffff:127.0.0.1]',
      'a..com',
      '9.9.9',
    ),
  )
  fc.assert(
    fc.property(host, port, (text, number) => {
      const tunnel = read('CONNECT', `${text}:${number}`)
      const forwarded = read('GET', `http://${text}:${number}/path?query`)
      expect(forwarded).toEqual(tunnel)
      if (!tunnel || !forwarded) return
      expect(decide(policy, { authority: forwarded, client: CLIENT }, () => undefined)).toEqual(
        decide(policy, { authority: tunnel, client: CLIENT }, () => undefined),
      )
    }),
    { numRuns: 2000 },
  )
})

test('POL-142 property: no grant changes what the port, a denial, the guard or an allowance decides', () => {
  const policy = policyOf({
    allowed: ['**.a.com', 'ab.b', '*.b:8443'],
    denied: ['b.a.com', '9.9.9.0/24'],
    unfamiliar: 'hold',
  })
  const target = fc.oneof(
    name,
    fc.constantFrom('localhost', '10.0.0.1', '9.9.9.9', '[::1]', '8.8.8.8', 'metadata.goog'),
  )
  const addresses = fc.option(
    fc.array(fc.constantFrom('93.184.216.34', '10.0.0.1', '9.9.9.9', '::1', '2606:4700::1111'), {
      minLength: 1,
      maxLength: 3,
    }),
    { nil: undefined },
  )
  fc.assert(
    fc.property(target, fc.constantFrom(22, 80, 443, 8443), addresses, (host, number, answers) => {
      const without = ask(policy, `${host}:${number}`, answers)
      for (const answer of ['allow', 'deny'] as const) {
        const grant = {
          verdict: answer,
          grant: 'g',
          once: false,
          rule: { list: 'grant', text: 'g' },
        } as const
        const withGrant = ask(policy, `${host}:${number}`, answers, () => grant)
        if (without.kind === 'hold')
          expect(verdict(withGrant)).toBe(answer === 'allow' ? 'allow' : 'approval_denied')
        // An unfamiliar address: what nobody is asked about, nobody can permit.
        else if (without.source === 'default' && answer === 'deny')
          expect(verdict(withGrant)).toBe('approval_denied')
        else expect(withGrant).toEqual(without)
      }
    }),
    { numRuns: 1000 },
  )
})

test('POL-143 property: one answer that is not public refuses the name, wherever it stands among the others', () => {
  const policy = policyOf({ allowed: ['*'] })
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc
      .uint8Array({ minLength: 4, maxLength: 4 })
      .map((inner) => Uint8Array.of(0x20, 2, ...inner, ...new Uint8Array(10))),
  )
  fc.assert(
    fc.property(fc.array(bytes, { minLength: 1, maxLength: 4 }), (answers) => {
      const addresses = answers.map((each) => ipAddressFromBytes(each))
      const expected = addresses.every((each) => classifyAddress(each) === 'public')
        ? 'allow'
        : 'not_allowed_local'
      expect(
        verdict(
          ask(
            policy,
            'example.com',
            addresses.map((each) => each.text),
          ),
        ),
      ).toBe(expected)
    }),
    { numRuns: 2000 },
  )
})

type Entry = readonly [scope: '' | '*.' | '**.', labels: readonly string[], port: '' | ':443' | ':8443']

/** What an entry means, in the plainest words. */
function means([scope, labels, its]: Entry, host: readonly string[], asked: number): boolean {
  if (its !== '' && its !== `:${asked}`) return false
  const over = host.length - labels.length
  if (over < 0 || (scope === '' && over > 0) || (scope === '*.' && over === 0)) return false
  return labels.every((glob, i) => matchesLabel(glob, host[over + i]!))
}

test('POL-144 property: a compiled list agrees with a loop over its entries', () => {
  const plain = fc.constantFrom('a', 'b', 'ab', 'cd', 'x-1')
  const glob = fc.constantFrom('a*', '?', '*b', 'x-?')
  const entry: fc.Arbitrary<Entry> = fc.tuple(
    fc.constantFrom('', '*.', '**.'),
    fc.array(fc.oneof({ weight: 4, arbitrary: plain }, { weight: 1, arbitrary: glob }), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.constantFrom('', ':443', ':8443'),
  )
  const host = fc.array(plain, { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 12 }),
      fc.array(entry, { maxLength: 6 }),
      host,
      port,
      fc.boolean(),
      (allowed, denied, labels, number, inFile) => {
        const texts = (entries: readonly Entry[]) =>
          entries.map(([scope, parts, its]) => scope + parts.join('.') + its)
        const policy = policyOf({
          allowed: texts(allowed),
          ...(inFile ? { files: [texts(denied).join('\n')] } : { denied: texts(denied) }),
          ports: [80, 443],
        })
        const matching = (entries: readonly Entry[]) => entries.filter((each) => means(each, labels, number))
        const portOk = number !== 8443 || matching(allowed).some(([, , its]) => its === ':8443')
        const expected = !portOk
          ? 'port_not_allowed'
          : matching(denied).length > 0
            ? 'denied'
            : matching(allowed).length > 0
              ? 'allow'
              : 'hold'
        const decision = ask(policy, `${labels.join('.')}:${number}`)
        expect(verdict(decision)).toBe(expected)
        // The rule that is named is one that matches.
        if (expected === 'allow') expect(texts(matching(allowed))).toContain(decision.rule?.text)
        if (expected === 'denied') expect(texts(matching(denied))).toContain(decision.rule?.text)
      },
    ),
    { numRuns: 3000 },
  )
})

test('POL-145 property: networks agree with arithmetic', () => {
  const ipv4 = fc.tuple(fc.constantFrom(9, 20), fc.nat(3), fc.nat(255), fc.nat(255))
  const value = (parts: readonly number[]) => parts.reduce((sum, part) => sum * 256 + part, 0)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(ipv4, fc.integer({ min: 4, max: 32 })), { maxLength: 8 }),
      ipv4,
      (blocks, target) => {
        const starts = blocks.map(
          ([parts, bits]) => Math.floor(value(parts) / 2 ** (32 - bits)) * 2 ** (32 - bits),
        )
        const text = (start: number) =>
          [24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256).join('.')
        const allowed = blocks.map(([, bits], i) => `${text(starts[i]!)}/${bits}`)
        const inside = blocks.some(([, bits], i) => {
          const at = value(target)
          return at >= starts[i]! && at < starts[i]! + 2 ** (32 - bits)
        })
        expect(verdict(ask(policyOf({ allowed, unfamiliar: 'deny' }), target.join('.')))).toBe(
          inside ? 'allow' : 'not_allowed',
        )
      },
    ),
    { numRuns: 1000 },
  )
})

test('POL-146 the time for a decision grows no faster than the host, with wildcards of every kind in the lists', () => {
  const policy = policyOf({
    allowed: ['**.a*b*c*d.example', '*.*a*a*a*a*b.*.example', 'a*', '*'],
    denied: Array.from({ length: 500 }, (_, i) => `a*a*a*a*a*a*b${i}.example`),
  })
  const longest = `${'a'.repeat(63)}.${'a'.repeat(63)}.${'a'.repeat(63)}.${'a'.repeat(53)}.example`
  expect(longest.length).toBe(253)
  const start = performance.now()
  for (let i = 0; i < 200; i++) expect(ask(policy, longest).kind).toBe('allow')
  expect(performance.now() - start).toBeLessThan(10_000)
})
