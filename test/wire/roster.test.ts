import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { Roster, type Seat } from '../../src/wire/roster.ts'

function visited<T>(roster: Roster<T>): T[] {
  const items: T[] = []
  roster.forEach((item) => void items.push(item))
  return items
}

test('WIRE-20 property: whoever comes and leaves, in whatever order, it is what a Set would be', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 20 }), { maxLength: 200 }), (moves) => {
      const roster = new Roster<number>()
      const seats = new Map<number, Seat>()
      const model = new Set<number>()
      for (const each of moves) {
        const seat = seats.get(each)
        if (seat === undefined) {
          seats.set(each, roster.add(each))
          model.add(each)
        } else {
          seat.leave()
          seat.leave() // Leaving twice is leaving once.
          seats.delete(each)
          model.delete(each)
        }
        expect(visited(roster)).toEqual([...model])
        expect([roster.size, roster.first]).toEqual([model.size, [...model][0]])
      }
    }),
  )
})

test('WIRE-21 who leaves during a walk is not visited any more, and who comes is not visited yet', () => {
  const roster = new Roster<string>()
  const seats = new Map(['a', 'b', 'c', 'd'].map((item) => [item, roster.add(item)]))
  const seen: string[] = []
  roster.forEach((item) => {
    seen.push(item)
    if (item === 'a') seats.get('a')!.leave()
    if (item === 'b') {
      seats.get('d')!.leave()
      roster.add('e')
    }
  })
  expect(seen).toEqual(['a', 'b', 'c'])
  expect(visited(roster)).toEqual(['b', 'c', 'e'])
})

test('WIRE-22 what has left is garbage for the next small collection, however old the roster is', () => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as (options: { type: 'minor' }) => void
  const collect = () => {
    for (let i = 0; i < 3; i++) gc({ type: 'minor' })
  }
  const roster = new Roster<unknown[]>()
  let seats: Seat[] = []
  const change = (times: number) => {
    for (let i = 0; i < times; i++) {
      seats.push(roster.add(Array.from({ length: 200 }, () => i)))
      if (seats.length > 64) seats.shift()!.leave()
      if (i % 100 === 0) seats = [...seats]
    }
  }
  change(64)
  collect() // Now it is old, and everything in it.
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 10; i++) {
    change(1000)
    collect()
  }
  // With a Set it is more than 6 MB: most of what was ever in it.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(4_000_000)
})
