import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { authorityText, InvalidTarget, parseAuthority } from '../../src/core/authority.ts'
import { parseRequestTarget, parseTargetInside } from '../../src/core/request-target.ts'

function outcome(method: string, target: string): string {
  try {
    const read = parseRequestTarget(method, target)
    const authority = authorityText(read.authority)
    return read.kind === 'http' ? `http ${authority} ${read.path}` : `connect ${authority}`
  } catch (error) {
    if (error instanceof InvalidTarget) return 'refused'
    throw error
  }
}

test('HOST-40 CONNECT takes host:port and nothing else', () => {
  expect(outcome('CONNECT', 'example.com:443')).toBe('connect example.com:443')
  expect(outcome('CONNECT', '[2001:DB8::1]:443')).toBe('connect [2001:db8::1]:443')
  const bad = [
    'example.com',
    'https://example.com:443',
    'example.com:443/',
    '/',
    '*',
    '',
    'a@example.com:443',
    '[::1]',
  ]
  for (const target of bad) expect(outcome('CONNECT', target), target).toBe('refused')
})

test('HOST-41 other methods take an absolute http URL, whose path goes on as it was sent', () => {
  const rows = [
    ['http://example.com/', 'http example.com:80 /'],
    ['HTTP://EXAMPLE.com', 'http example.com:80 /'],
    ['http://example.com:8080/a%2Fb/../c?q=%0a', 'http example.com:8080 /a%2Fb/../c?q=%0a'],
    ['http://example.com?q', 'http example.com:80 /?q'],
    ['http://example.com//double', 'http example.com:80 //double'],
    ['http://[::1]:3000/x', 'http [::1]:3000 /x'],
    ['http://example.com:/x', 'http example.com:80 /x'],
    ['http://example.com/@x:1', 'http example.com:80 /@x:1'],
    ['http://example.com/http://other.example/', 'http example.com:80 /http://other.example/'],
  ] as const
  for (const [target, expected] of rows) expect(outcome('GET', target), target).toBe(expected)
  expect(outcome('OPTIONS', 'http://example.com')).toBe('http example.com:80 *')
  expect(outcome('OPTIONS', 'http://example.com/')).toBe('http example.com:80 /')
})

test('HOST-42 every other form and scheme is refused', () => {
  const bad = [
    '/',
    '/path',
    '*',
    '',
    'example.com',
    'example.com:80',
    '//example.com/',
    'http:/example.com/',
    'http:example.com',
    'https://example.com/',
    'ftp://example.com/',
    'ws://example.com/',
    'file:///etc/passwd',
    'http+unix://x/',
    'http:///path',
    'http://',
    'http://?',
    'http://user@example.com/',
    'http://user:pass@example.com/',
    'http://@/',
    'http://example.com#f',
    'http://example.com/a#f',
    'http://example.com\\@denied.example/',
    'http:\\\\example.com\\',
    'http://exa mple.com/',
    ' http://example.com/',
    'http://example.com:0/',
    'http://example.com:65536/',
    'javascript:x',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://[::1%25lo]/',
    'http://example..com/',
    'http://allowed.example:80:443/',
  ]
  for (const target of bad) expect(outcome('GET', target), target).toBe('refused')
  // Only the exact method is a tunnel (RFC 9110 §9.1: methods are case-sensitive).
  expect(outcome('connect', 'example.com:443')).toBe('refused')
})

test('HOST-43 property: no door is laxer than the other about which host a text names', () => {
  const hosts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.domain(),
    fc.array(fc.constantFrom(...'aZ9-.é。１%[]:@*xn--'), { maxLength: 20 }).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(hosts, fc.integer({ min: 1, max: 65_535 }), (host, port) => {
      const tunnel = outcome('CONNECT', `${host}:${port}`)
      const forwarded = outcome('GET', `http://${host}:${port}/`)
      // Only what ends an authority in a URL may tell them apart: then CONNECT must be the one that refuses.
      if (/[/?#\\]/.test(host)) expect(tunnel).toBe('refused')
      else expect(forwarded.replace(/^http (.*) \/$/, 'connect $1')).toBe(tunnel)
    }),
    { numRuns: 3000 },
  )
})

function inside(tunnel: string, method: string, target: string, host?: string): string {
  try {
    const read = parseTargetInside(parseAuthority(tunnel), method, target, host)
    return read === undefined ? 'elsewhere' : `${authorityText(read.authority)} ${read.path}`
  } catch (error) {
    if (error instanceof InvalidTarget) return 'refused'
    throw error
  }
}

test('HOST-44 a request inside a tunnel is for the host of the tunnel, or for nobody', () => {
  const rows = [
    ['example.com:80', 'GET', '/a?b', 'example.com', 'example.com:80 /a?b'],
    ['example.com:80', 'GET', '/a', 'EXAMPLE.com.:80', 'example.com:80 /a'],
    ['example.com:80', 'GET', '/a', undefined, 'example.com:80 /a'],
    ['example.com:80', 'GET', 'http://example.com/a', 'example.com', 'example.com:80 /a'],
    ['example.com:80', 'OPTIONS', '*', 'example.com', 'example.com:80 *'],
    ['example.com:8080', 'GET', '/', 'example.com:8080', 'example.com:8080 /'],
    ['[::1]:80', 'GET', '/', '[::1]', '[::1]:80 /'],
    ['example.com:80', 'GET', '/', 'denied.example', 'elsewhere'],
    ['example.com:8080', 'GET', '/', 'example.com', 'elsewhere'],
    ['example.com:80', 'GET', '/', 'example.com:8080', 'elsewhere'],
    ['example.com:80', 'GET', 'http://denied.example/', 'example.com', 'elsewhere'],
    ['example.com:80', 'GET', 'http://example.com:8080/', 'example.com', 'elsewhere'],
    ['example.com:80', 'GET', '/', 'a@example.com', 'refused'],
    ['example.com:80', 'GET', '/', '', 'refused'],
    ['example.com:80', 'CONNECT', 'example.com:80', 'example.com', 'refused'],
    ['example.com:80', 'GET', '*', 'example.com', 'refused'],
    ['example.com:80', 'GET', 'https://example.com/', 'example.com', 'refused'],
    ['example.com:80', 'GET', '/a#b', 'example.com', 'refused'],
    ['example.com:80', 'GET', '/a\\b', 'example.com', 'refused'],
  ] as const
  for (const [tunnel, method, target, host, expected] of rows)
    expect(inside(tunnel, method, target, host), `${method} ${target} with Host ${host} in ${tunnel}`).toBe(
      expected,
    )
})
