import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { type DomainEntry, DomainSet, type DomainTables } from '../../src/policy/domain-set.ts'
import { DomainSetBuilder } from '../../src/policy/domain-set-builder.ts'
import type { Scope } from '../../src/policy/glob.ts'
import { NameHasher, randomSeeds } from '../../src/policy/name-hash.ts'

type Row = readonly [name: string, scope: Scope, port?: number]

function setOf(rows: readonly Row[], hasher = new NameHasher(randomSeeds())): DomainSet {
  const builder = new DomainSetBuilder(hasher, 0, 0)
  rows.forEach(([name, scope, port = 0], i) => {
    const bytes = Buffer.from(`..${name}..`, 'latin1')
    builder.add(bytes, 2, 2 + name.length, scope, port, i + 1, 7)
  })
  return builder.build()
}

function found(set: DomainSet, name: string, port = 0): DomainEntry | undefined {
  const place = set.find(name, port)
  return place === -1 ? undefined : set.entry(place, name)
}

test('POL-20 an entry is found by its scope, with its line and its file', () => {
  const set = setOf([
    ['example.com', 'exact'],
    ['sub.example.com', 'subdomains'],
    ['all.example.com', 'all'],
  ])
  expect(set.size).toBe(3)
  expect(found(set, 'example.com')).toEqual({
    name: 'example.com',
    scope: 'exact',
    port: 0,
    line: 1,
    file: 7,
  })
  expect(found(set, 'a.b.sub.example.com')).toEqual({
    name: 'sub.example.com',
    scope: 'subdomains',
    port: 0,
    line: 2,
    file: 7,
  })
  expect(found(set, 'all.example.com')?.line).toBe(3)
  expect(found(set, 'x.all.example.com')?.line).toBe(3)
  const missing = [
    'sub.example.com',
    'www.example.com',
    'com',
    'xexample.com',
    'example.co',
    'xall.example.com',
    'm',
    '',
  ]
  for (const name of missing) expect(found(set, name), name).toBeUndefined()
})

test('POL-21 of several entries the most specific is found, whatever their order', () => {
  const rows: Row[] = [
    ['com', 'subdomains'],
    ['example.com', 'all'],
    ['example.com', 'exact'],
    ['example.com', 'subdomains'],
    ['a.example.com', 'exact'],
  ]
  for (const order of [rows, rows.toReversed()]) {
    const set = setOf(order)
    const scope = (name: string) => `${found(set, name)?.scope} ${found(set, name)?.name}`
    expect(scope('a.example.com')).toBe('exact a.example.com')
    expect(scope('example.com')).toBe('exact example.com')
    expect(scope('b.a.example.com')).toBe('subdomains example.com')
    expect(scope('example.net.com')).toBe('subdomains com')
  }
})

test('POL-22 a port is part of the entry, and only an equal one finds it', () => {
  const set = setOf([
    ['example.com', 'exact', 8443],
    ['example.com', 'exact', 65_535],
    ['example.com', 'exact'],
  ])
  expect(found(set, 'example.com', 8443)?.line).toBe(1)
  expect(found(set, 'example.com', 65_535)?.port).toBe(65_535)
  expect(found(set, 'example.com')?.line).toBe(3)
  expect(found(set, 'example.com', 443)).toBeUndefined()
})

test('POL-23 of equal entries the first stays', () => {
  const set = setOf([
    ['example.com', 'all'],
    ['example.com', 'all'],
    ['example.com', 'exact'],
  ])
  expect(set.size).toBe(2)
  expect(found(set, 'x.example.com')?.line).toBe(1)
})

test('POL-24 names as long as names can be, with as many labels, are found', () => {
  const longest = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`
  const deepest = `${'x.'.repeat(126)}y`
  expect([longest.length, deepest.length]).toEqual([253, 253])
  const set = setOf([
    [longest, 'exact'],
    [deepest, 'exact'],
    ['y', 'subdomains'],
  ])
  expect(found(set, longest)?.name).toBe(longest)
  expect(found(set, deepest)?.line).toBe(2)
  expect(found(set, deepest.slice(2))?.line).toBe(3)
})

test('POL-25 the whole name is found without its domains where only that is asked for', () => {
  const set = setOf([
    ['2.1', 'all'],
    ['192.0.2.1', 'exact'],
  ])
  expect(set.entry(set.findWhole('192.0.2.1', 0), '192.0.2.1').line).toBe(2)
  expect(set.findWhole('10.0.2.1', 0)).toBe(-1)
})

test('POL-26 a hash that another name shares is not a match', () => {
  // Every byte has the same word, zero: all names collide.
  const hasher = new NameHasher(new Int32Array(new SharedArrayBuffer(1024)))
  const rows = Array.from({ length: 300 }, (_, i): Row => [`n${String(i).padStart(4, '0')}.test`, 'exact'])
  const set = setOf(rows, hasher)
  expect(set.size).toBe(300)
  for (const [i, [name]] of rows.entries()) expect(found(set, name)?.line).toBe(i + 1)
  for (const name of ['n9999.test', 'n0001.testing', 'n0001.tes', 'n0001', 'test', 'x.n0001.test'])
    expect(found(set, name), name).toBeUndefined()
})

test('POL-27 two tables do not hash alike, so that nobody can prepare names that collide', () => {
  const one = new NameHasher(randomSeeds())
  const other = new NameHasher(randomSeeds())
  one.read('example.com')
  other.read('example.com')
  expect(one.hashes[1]).not.toBe(other.hashes[1])
})

test('POL-28 another thread uses the same memory', () => {
  const hasher = new NameHasher(randomSeeds())
  const set = setOf([['example.com', 'all']], hasher)
  const { port1, port2 } = new MessageChannel()
  port1.postMessage({ tables: set.tables, seeds: hasher.seeds })
  const { message } = receiveMessageOnPort(port2) as { message: { tables: DomainTables; seeds: Int32Array } }
  port1.close()
  const copy = new DomainSet(message.tables, new NameHasher(message.seeds))
  expect(found(copy, 'www.example.com')?.line).toBe(1)
  // What is written on one side is seen on the other: it is one memory, not a copy.
  message.tables.records[1] = 99
  expect(found(set, 'www.example.com')?.line).toBe(99)
})

const names = fc
  .array(fc.constantFrom('a', 'b', 'ab', 'x-1', 'com'), { minLength: 1, maxLength: 5 })
  .map((labels) => labels.join('.'))
const scopes = fc.constantFrom<Scope>('exact', 'subdomains', 'all')

test('POL-29 property: it agrees with a loop over all entries', () => {
  const rows = fc.array(fc.tuple(names, scopes, fc.constantFrom(0, 443)), { maxLength: 40 })
  fc.assert(
    fc.property(rows, names, fc.constantFrom(0, 443, 80), (entries, name, port) => {
      const set = setOf(entries)
      const expected = entries.some(([suffix, scope, its]) => {
        if (its !== port) return false
        if (name === suffix) return scope !== 'subdomains'
        return name.endsWith(`.${suffix}`) && scope !== 'exact'
      })
      expect(set.find(name, port) !== -1).toBe(expected)
    }),
    { numRuns: 5000 },
  )
})

test('POL-30 it grows from nothing to whatever is put in', () => {
  const rows = Array.from({ length: 20_000 }, (_, i): Row => [
    `host-${i}.example`,
    i % 2 === 0 ? 'exact' : 'all',
  ])
  const set = setOf(rows)
  expect(set.size).toBe(20_000)
  expect(rows.filter(([name], i) => found(set, name)?.line !== i + 1)).toEqual([])
  expect(found(set, 'host-20000.example')).toBeUndefined()
  expect(found(set, 'www.host-2.example')).toBeUndefined()
})
