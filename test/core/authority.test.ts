import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Authority,
  authorityText,
  InvalidTarget,
  parseAuthority,
  parsePort,
} from '../../src/core/authority.ts'

function outcome(text: string, defaultPort?: number): string {
  try {
    const authority = parseAuthority(text, defaultPort)
    return `${authority.host.text} ${authority.port}`
  } catch (error) {
    if (error instanceof InvalidTarget) return error.problem
    throw error
  }
}

const PORT = 'the port must be a number from 1 to 65535'

test('HOST-20 an authority is a host and a port', () => {
  const rows = [
    ['example.com:443', 'example.com 443'],
    ['EXAMPLE.com.:1', 'example.com 1'],
    ['192.0.2.1:65535', '192.0.2.1 65535'],
    ['[::1]:80', '::1 80'],
    ['bücher.example:443', 'xn--bcher-kva.example 443'],
  ] as const
  for (const [text, expected] of rows) expect(outcome(text), text).toBe(expected)
})

test('HOST-21 without a default the port must be there; with one it may be left out or empty', () => {
  expect(outcome('example.com')).toBe('the port is missing')
  expect(outcome('[::1]')).toBe('the port is missing')
  expect(outcome('example.com:')).toBe(PORT)
  expect(outcome('example.com', 80)).toBe('example.com 80')
  expect(outcome('example.com:', 80)).toBe('example.com 80')
  expect(outcome('[::1]', 443)).toBe('::1 443')
  expect(outcome('[::1]:', 443)).toBe('::1 443')
  expect(outcome('example.com:8080', 80)).toBe('example.com 8080')
})

test('HOST-22 a port is digits from 1 to 65535, without sign, leading zero, white space or overflow', () => {
  const bad = [
    '0',
    '00',
    '080',
    '+80',
    '-80',
    ' 80',
    '80 ',
    '65536',
    '65561',
    '99999',
    '100000',
    '4294967376',
  ]
  for (const port of [...bad, '8o', '0x50', '80.0', '1e3', '８０', '80,443', '80:80', 'http', ''])
    expect(outcome(`example.com:${port}`), port).not.toMatch(/^example\.com \d/)
  expect(outcome('example.com:65561')).toBe(PORT)
  expect([parsePort('1'), parsePort('80'), parsePort('65535')]).toEqual([1, 80, 65_535])
})

test('HOST-23 user information, a bare IPv6 address and anything around brackets are refused', () => {
  const rows = [
    ['user@example.com:443', 'user information (…@) is not permitted in a target'],
    ['allowed.example:443@denied.example:443', 'user information (…@) is not permitted in a target'],
    ['::1:80', 'an IPv6 address must stand in brackets'],
    ['fe80::1', 'an IPv6 address must stand in brackets'],
    ['[::1]80', 'a bracket is not closed'],
    ['[::1]x:80', 'a bracket is not closed'],
    ['x[::1]:80', "a host may not contain '['"],
    [':80', 'the host is empty'],
    ['', 'the host is empty'],
    [':', 'the host is empty'],
    ['http://example.com:80', 'an IPv6 address must stand in brackets'],
    ['example.com:80/', PORT],
  ] as const
  for (const [text, problem] of rows) expect(outcome(text, 80), text).toBe(problem)
})

test('HOST-24 the text of an authority is read back as the same authority', () => {
  const hosts = fc.oneof(
    fc.domain(),
    fc.ipV4(),
    fc.ipV6().map((text) => `[${text}]`),
  )
  fc.assert(
    fc.property(hosts, fc.integer({ min: 1, max: 65_535 }), (host, port) => {
      const first: Authority = parseAuthority(`${host}:${port}`)
      expect(parseAuthority(authorityText(first))).toEqual(first)
      expect(parseAuthority(authorityText(first, port), port)).toEqual(first)
      expect(authorityText(first, port)).not.toMatch(/[^\]:]:\d+$/)
    }),
  )
})

test('HOST-25 property: no text makes parseAuthority throw anything but InvalidTarget', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.boolean(), (text, hasDefault) => {
      outcome(text, hasDefault ? 80 : undefined)
    }),
    { numRuns: 2000 },
  )
})
