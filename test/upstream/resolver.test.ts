import { expect, test } from 'vitest'
import type { Hostname } from '../../src/core/hostname.ts'
import { createResolver, type ResolverOptions } from '../../src/upstream/resolver.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { createFakeClock } from '../kit/fake-clock.ts'

const NAME = 'ok.test' as Hostname

function open(dns: DnsServer, options: Partial<ResolverOptions> = {}) {
  const clock = createFakeClock()
  const resolver = createResolver({
    server: dns.address,
    timeout: 5000,
    cacheEntries: 100,
    longestTtl: 300_000,
    clock,
    ...options,
  })
  const texts = async (name: string) =>
    (await resolver.resolve(name as Hostname)).map(({ text }) => text as string)
  return { clock, resolver, texts }
}

test('DNS-01 all addresses of both families are given, each once', async () => {
  await using dns = await startDns({ 'ok.test': ['192.0.2.1', '2001:db8::1', '192.0.2.2', '192.0.2.1'] })
  const { texts } = open(dns)
  expect((await texts('ok.test')).toSorted()).toEqual(['192.0.2.1', '192.0.2.2', '2001:db8::1'])
  expect(dns.questions.toSorted()).toEqual(['ok.test A', 'ok.test AAAA'])
})

test('DNS-02 an answer is remembered for its lifetime, at most for the longest that is permitted', async () => {
  await using dns = await startDns({ 'ok.test': ['192.0.2.1'] })
  const { resolver, texts, clock } = open(dns)
  expect(resolver.cached(NAME)).toBeUndefined()
  await texts('ok.test')
  clock.advance(59_000)
  expect(resolver.cached(NAME)).toHaveLength(1)
  await texts('ok.test')
  expect(dns.questions).toHaveLength(2)
  clock.advance(1001)
  expect(resolver.cached(NAME)).toBeUndefined()
  dns.set('ok.test', '192.0.2.9')
  expect(await texts('ok.test')).toEqual(['192.0.2.9'])
  expect(dns.questions).toHaveLength(4)

  const short = open(dns, { longestTtl: 10_000 })
  await short.texts('ok.test')
  short.clock.advance(10_001)
  expect(short.resolver.cached(NAME)).toBeUndefined()
})

test('DNS-03 with a longest lifetime of nothing, or no room, nothing is remembered', async () => {
  await using dns = await startDns({ 'ok.test': ['192.0.2.1'] })
  const warnings: string[] = []
  const hear = (warning: Error) => void warnings.push(warning.message)
  process.on('warning', hear)
  for (const options of [{ longestTtl: 0 }, { cacheEntries: 0 }]) {
    const before = dns.questions.length
    const { resolver, texts } = open(dns, options)
    await texts('ok.test')
    expect(resolver.cached(NAME), JSON.stringify(options)).toBeUndefined()
    await texts('ok.test')
    expect(dns.questions.length - before).toBe(4)
    await expect(texts('missing.test')).rejects.toMatchObject({ code: 'dns_error' })
  }
  await new Promise(setImmediate)
  process.off('warning', hear)
  expect(warnings).toEqual([])
})

test('DNS-04 no more names are remembered than there is room for', async () => {
  await using dns = await startDns({ '*.test': ['192.0.2.1'] })
  const { resolver, texts } = open(dns, { cacheEntries: 3 })
  for (let i = 0; i < 10; i++) await texts(`n${i}.test`)
  const kept = Array.from({ length: 10 }, (_, i) => resolver.cached(`n${i}.test` as Hostname) !== undefined)
  expect(kept.filter(Boolean)).toHaveLength(3)
})

test('DNS-05 equal questions at the same time are one look-up', async () => {
  await using dns = await startDns({ 'ok.test': ['192.0.2.1'] })
  const { texts } = open(dns, { longestTtl: 0 })
  const answers = await Promise.all(Array.from({ length: 50 }, () => texts('ok.test')))
  expect(new Set(answers.flat())).toEqual(new Set(['192.0.2.1']))
  expect(dns.questions).toHaveLength(2)
})

test('DNS-06 a name that does not exist is dns_error, and is not asked for again at once', async () => {
  await using dns = await startDns()
  const { resolver, texts, clock } = open(dns)
  await expect(texts('missing.test')).rejects.toMatchObject({ code: 'dns_error', detail: 'NXDOMAIN' })
  await expect(texts('missing.test')).rejects.toMatchObject({ code: 'dns_error' })
  expect(resolver.cached('missing.test' as Hostname)).toBeUndefined()
  expect(dns.questions).toHaveLength(2)
  clock.advance(2001)
  dns.set('missing.test', '192.0.2.1')
  expect(await texts('missing.test')).toEqual(['192.0.2.1'])
})

test('DNS-07 a name without addresses is dns_error', async () => {
  await using dns = await startDns({ 'none.test': [] })
  const { texts } = open(dns)
  await expect(texts('none.test')).rejects.toMatchObject({ code: 'dns_error' })
})

test('DNS-08 a server that does not answer is dns_timeout after the time limit, and asked again by the next', async () => {
  await using dns = await startDns({ 'ok.test': ['192.0.2.1'] })
  dns.silence('ok.test')
  const { texts, clock } = open(dns)
  const first = texts('ok.test')
  await dns.asked('ok.test')
  clock.advance(5000)
  await expect(first).rejects.toMatchObject({ code: 'dns_timeout' })
  dns.speak('ok.test')
  expect(await texts('ok.test')).toEqual(['192.0.2.1'])
})

test('DNS-09 where one family could not be asked, the other does not count: it might hide what the guard refuses', async () => {
  await using dns = await startDns({ 'ok.test': ['192.0.2.1'] })
  dns.fail('ok.test', 'AAAA')
  const { texts } = open(dns)
  await expect(texts('ok.test')).rejects.toMatchObject({ code: 'dns_error' })
})

test('DNS-10 slow names hold up others no longer than their time', async () => {
  await using dns = await startDns({ '*.test': ['192.0.2.1'] })
  for (let i = 0; i < 20; i++) dns.silence(`slow${i}.test`)
  const { texts, clock } = open(dns, { timeout: 1000 })
  const slow = Array.from({ length: 20 }, (_, i) =>
    texts(`slow${i}.test`).catch(({ code }) => code as string),
  )
  await dns.asked('slow0.test')
  clock.advance(1000)
  expect(new Set(await Promise.all(slow))).toEqual(new Set(['dns_timeout']))
  expect(await texts('good.test')).toEqual(['192.0.2.1'])
})
