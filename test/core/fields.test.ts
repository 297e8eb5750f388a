import { expect, test } from 'vitest'
import { endToEndFields, field, firstValue, listMembers } from '../../src/core/fields.ts'

const names = (fields: readonly { name: string }[]) => fields.map(({ name }) => name)

test('CORE-01 a field keeps its spelling and is compared in lower case', () => {
  expect(field('X-Thing', 'Value')).toEqual({ name: 'X-Thing', key: 'x-thing', value: 'Value' })
})

test('CORE-02 the first value and the members of a list over all its lines', () => {
  const fields = [
    field('Via', 'a'),
    field('via', 'b'),
    field('Connection', 'Close, ,X-One'),
    field('connection', ' TE '),
  ]
  expect(firstValue(fields, 'via')).toBe('a')
  expect(firstValue(fields, 'Via')).toBeUndefined()
  expect(listMembers(fields, 'connection')).toEqual(['close', 'x-one', 'te'])
  expect(listMembers(fields, 'absent')).toEqual([])
})

test('CORE-03 hop-by-hop fields do not go on, and neither does what is addressed to a proxy', () => {
  const hop = [
    'Connection',
    'Keep-Alive',
    'Proxy-Connection',
    'Proxy-Authenticate',
    'Proxy-Authentication-Info',
    'Proxy-Authorization',
    'TE',
    'Transfer-Encoding',
    'Upgrade',
    'HTTP2-Settings',
  ]
  const kept = endToEndFields([
    field('Host', 'a'),
    ...hop.map((name) => field(name, 'x')),
    field('Accept', '*/*'),
  ])
  expect(names(kept)).toEqual(['Host', 'Accept'])
})

test('CORE-04 what Connection nominates does not go on, in any case and on any line', () => {
  const kept = endToEndFields([
    field('X-One', '1'),
    field('Connection', 'x-one, CLOSE'),
    field('x-ONE', '2'),
    field('connection', 'X-Two'),
    field('X-Two', '3'),
    field('X-Three', '4'),
  ])
  expect(names(kept)).toEqual(['X-Three'])
})

test('CORE-05 Connection cannot take away what says what the message is and whom it is for', () => {
  const kept = endToEndFields([
    field('Connection', 'host, content-length, via, date, x-gone'),
    field('Host', 'example.com'),
    field('Content-Length', '3'),
    field('Via', '1.1 a'),
    field('Date', 'now'),
    field('X-Gone', '1'),
  ])
  expect(names(kept)).toEqual(['Host', 'Content-Length', 'Via', 'Date'])
})

test('CORE-06 order, case and duplicates of the others are kept', () => {
  const fields = [
    field('b', '1'),
    field('A', '2'),
    field('B', '3'),
    field('Set-Cookie', 'x'),
    field('Set-Cookie', 'y'),
  ]
  expect(endToEndFields(fields)).toEqual(fields)
})
