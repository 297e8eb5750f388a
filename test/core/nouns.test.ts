import { expect, test } from 'vitest'
import { clientOf } from '../../src/core/client.ts'
import { REASONS, unreachable } from '../../src/core/decision.ts'
import { errnoOf, ProxyError } from '../../src/core/errors.ts'
import { randomId } from '../../src/core/id.ts'
import { proxyStatus } from '../../src/core/status-fields.ts'

test('CORE-20 a client is its address, and an IPv4 client is the same on a dual-stack listener', () => {
  expect(clientOf('::ffff:192.0.2.1', 5).id).toBe(clientOf('192.0.2.1', 6).id)
  expect(clientOf('2001:db8::1', 5).id).not.toBe(clientOf('2001:db8::2', 5).id)
  expect(clientOf('::ffff:192.0.2.1', 5)).toEqual({ id: '192.0.2.1', address: '192.0.2.1', port: 5 })
})

test('CORE-21 ids have the length that was asked for, an alphabet without look-alikes, and do not repeat', () => {
  const ids = Array.from({ length: 20_000 }, () => randomId(12))
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of ids) expect(id).toMatch(/^[0-9a-hjkmnp-tv-z]{12}$/)
  expect(randomId(26)).toHaveLength(26)
})

test('CORE-22 every reason has a status of an error, a word, a phrase without line ends, and sentences', () => {
  for (const [reason, row] of Object.entries(REASONS)) {
    expect(row.status, reason).toBeGreaterThanOrEqual(400)
    expect(row.status, reason).toBeLessThan(600)
    expect(row.proxyStatus, reason).toMatch(/^[a-z_]+$/)
    expect(row.xProxyError, reason).toMatch(/^[a-z-]+$/)
    expect(row.phrase, reason).toMatch(/^[\x20-\x7e]+$/)
    expect(row.title, reason).toMatch(/^[A-Z].*\.$/)
    expect(row.advice, reason).toMatch(/^[A-Z].*\.$/)
  }
})

test('CORE-23 the words that users of the Codex proxy look for', () => {
  expect(REASONS.denied.xProxyError).toBe('blocked-by-denylist')
  expect(REASONS.not_allowed.xProxyError).toBe('blocked-by-allowlist')
  expect(REASONS.not_allowed_local.xProxyError).toBe('blocked-by-allowlist')
})

test('CORE-24 a trouble shows its title and its safe detail, and keeps its cause', () => {
  const cause = new Error('secret')
  const error = new ProxyError('connection_refused', 'ECONNREFUSED', { cause })
  expect(error.message).toBe('The destination refused the connection. (ECONNREFUSED)')
  expect(error.cause).toBe(cause)
  expect(new ProxyError('dns_timeout').message).toBe('The name could not be resolved in time.')
})

test('CORE-25 the errno of what was thrown, where it has one', () => {
  expect(errnoOf(Object.assign(new Error('x'), { code: 'ECONNRESET' }))).toBe('ECONNRESET')
  for (const thrown of [undefined, null, 'x', new Error('x'), { code: 7 }])
    expect(errnoOf(thrown)).toBeUndefined()
})

test('CORE-26 Proxy-Status is a structured field, whatever the name and the details are', () => {
  expect(proxyStatus('sallyport', 'dns_error')).toBe('sallyport; error=dns_error')
  expect(proxyStatus('sallyport', 'dns_error', 'say "no" \\ é\r\n')).toBe(
    'sallyport; error=dns_error; details="say \\"no\\" \\\\ ???"',
  )
  expect(proxyStatus('the gate', 'dns_error')).toBe('"the gate"; error=dns_error')
  expect(proxyStatus('1gate', 'dns_error')).toBe('"1gate"; error=dns_error')
})

test('CORE-27 a branch that cannot be reached throws when it is', () => {
  expect(() => unreachable({ kind: 'new' } as never)).toThrow('unreachable: {"kind":"new"}')
})
