import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createExchangeRecorder } from '../../src/audit/record.ts'
import { parseAuthority } from '../../src/core/authority.ts'
import { clientOf } from '../../src/core/client.ts'
import type { Decision, Reason } from '../../src/core/decision.ts'
import { REASONS } from '../../src/core/decision.ts'
import { TROUBLES, type Trouble } from '../../src/core/errors.ts'
import type { Attributes, AuditEvent } from '../../src/core/event.ts'
import { type Door, Exchange } from '../../src/core/exchange.ts'
import { createFakeClock } from '../kit/fake-clock.ts'

const START = Date.UTC(2026, 5, 1)
const RULE = {
  list: 'allowed_domains',
  text: '*.example.com',
  source: { file: '/etc/sallyport/sallyport.toml', line: 12 },
}
const ALLOW: Decision = { kind: 'allow', source: 'allow_rule', rule: RULE }

function desk(options: { completed?: boolean } = {}) {
  const events: AuditEvent[] = []
  const clock = createFakeClock(START)
  const recorder = createExchangeRecorder({
    append: (event, written) => {
      events.push(event)
      written?.()
    },
    name: 'gate-1',
    completed: options.completed ?? true,
  })
  const open = (door: Door, method: string, target: string): Exchange => {
    const exchange = new Exchange(door, clientOf('::ffff:10.1.2.3', 50_123), recorder, clock)
    exchange.method = method
    exchange.authority = parseAuthority(target, 80)
    exchange.policyVersion = '0123456789ab'
    return exchange
  }
  return { events, clock, open, recorder }
}

function present(event: AuditEvent | undefined): Attributes {
  return Object.fromEntries(
    Object.entries(event?.attributes ?? {}).filter(([, value]) => value !== undefined),
  )
}

test('AUD-40 an allowed tunnel is one decision with the names of the conventions, of Codex, and ours', () => {
  const { events, clock, open } = desk()
  const exchange = open('connect', 'CONNECT', 'api.example.co.uk:443')
  exchange.userAgent = 'curl/9.0'
  exchange.trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), flags: 1 }
  clock.advance(7)
  exchange.decide(ALLOW, () => {})
  expect(events).toHaveLength(1)
  expect(events[0]).toMatchObject({
    event: 'sallyport.egress.decision',
    severity: 9,
    time: START + 7,
    trace: { traceId: 'a'.repeat(32) },
  })
  expect(present(events[0])).toEqual({
    'sallyport.request.id': exchange.id,
    'sallyport.proxy.name': 'gate-1',
    'server.address': 'api.example.co.uk',
    'server.port': 443,
    'client.address': '10.1.2.3',
    'client.port': 50_123,
    'network.transport': 'tcp',
    'network.protocol.name': 'connect',
    'http.request.method': 'CONNECT',
    'url.domain': 'api.example.co.uk',
    'url.registered_domain': 'example.co.uk',
    'user_agent.original': 'curl/9.0',
    'sallyport.decision': 'allow',
    'sallyport.decision.source': 'allow_rule',
    'security_rule.name': '*.example.com',
    'security_rule.ruleset.name': 'allowed_domains',
    'security_rule.version': '0123456789ab',
    'sallyport.rule.source': '/etc/sallyport/sallyport.toml:12',
    'network.policy.scope': 'domain',
    'network.policy.decision': 'allow',
    'network.policy.source': 'baseline_policy',
    'network.policy.reason': 'allow',
    'network.policy.override': false,
    'network.transport.protocol': 'https_connect',
  })
})

test('AUD-41 a path is recorded for http only, without query or fragment, and no credential ever', () => {
  const { events, open } = desk()
  const exchange = open('http', 'GET', 'example.com')
  exchange.path = '/a/b?token=s3cret#s3cret'
  exchange.decide(ALLOW, () => {})
  const tunnel = open('connect', 'CONNECT', 'example.com:443')
  tunnel.path = '/s3cret'
  tunnel.decide(ALLOW, () => {})
  expect(present(events[0])).toMatchObject({
    'url.path': '/a/b',
    'url.scheme': 'http',
    'network.protocol.name': 'http',
    'network.transport.protocol': 'http',
    'server.port': 80,
  })
  expect(present(events[1])).not.toHaveProperty('url.path')
  expect(present(events[1])).not.toHaveProperty('url.scheme')
  expect(JSON.stringify(events)).not.toContain('s3cret')
})

test('AUD-42 what a client chooses is bounded: 1,024 characters of agent, path and method, and few methods', () => {
  const { events, open } = desk()
  const exchange = open('http', 'X'.repeat(5000), 'example.com')
  exchange.path = `/${'p'.repeat(5000)}`
  exchange.userAgent = 'u'.repeat(5000)
  exchange.decide(ALLOW, () => {})
  const again = open('http', 'GET', 'example.com')
  again.userAgent = `${'u'.repeat(5000)}!`
  again.decide(ALLOW, () => {})
  expect(present(events[0])).toMatchObject({
    'http.request.method': '_OTHER',
    'http.request.method_original': 'X'.repeat(1024),
    'url.path': `/${'p'.repeat(1023)}`,
    'user_agent.original': 'u'.repeat(1024),
  })
  expect(present(events[1])).toMatchObject({
    'http.request.method': 'GET',
    'user_agent.original': 'u'.repeat(1024),
  })
  expect(present(events[1])).not.toHaveProperty('http.request.method_original')
})

test('AUD-43 every reason of a refusal is recorded with its severity, status, error type and Codex words', () => {
  for (const reason of Object.keys(REASONS) as Reason[]) {
    if (reason === 'approval_pending') continue
    const { events, open } = desk()
    open('connect', 'CONNECT', 'example.com:443').decide(
      { kind: 'deny', reason, source: 'default' },
      () => {},
    )
    const failed = reason === 'internal_error' || reason === 'audit_unavailable'
    expect([reason, events[0]?.severity]).toEqual([reason, failed ? 17 : 13])
    const attributes = present(events[0])
    expect(attributes).toMatchObject({
      'sallyport.decision': 'deny',
      'sallyport.decision.reason': reason,
      'error.type': reason,
      'network.policy.decision': 'deny',
      'network.policy.reason': reason,
      'network.policy.override': false,
    })
    // A client that is gone was sent nothing.
    const status = reason === 'client_gone' ? undefined : REASONS[reason].status
    expect(attributes['http.response.status_code']).toBe(status)
  }
})

test('AUD-44 who decided is said in the words of Codex too', () => {
  const sources: [Decision, string, string, string, boolean][] = [
    [
      { kind: 'deny', reason: 'denied', source: 'deny_rule', rule: RULE },
      'domain',
      'baseline_policy',
      'denied',
      false,
    ],
    [
      { kind: 'deny', reason: 'not_allowed_local', source: 'address_guard' },
      'domain',
      'baseline_policy',
      'not_allowed_local',
      false,
    ],
    [
      { kind: 'deny', reason: 'port_not_allowed', source: 'port' },
      'domain',
      'baseline_policy',
      'port_not_allowed',
      false,
    ],
    [
      { kind: 'deny', reason: 'invalid_target', source: 'target' },
      'non_domain',
      'proxy_state',
      'invalid_target',
      false,
    ],
    [
      { kind: 'deny', reason: 'draining', source: 'proxy_state' },
      'non_domain',
      'proxy_state',
      'draining',
      false,
    ],
    [
      { kind: 'deny', reason: 'approval_denied', source: 'approval', rule: RULE },
      'domain',
      'decider',
      'approval_denied',
      false,
    ],
    [{ kind: 'allow', source: 'approval', rule: RULE }, 'domain', 'decider', 'not_allowed', true],
    [{ kind: 'allow', source: 'default', rule: RULE }, 'domain', 'baseline_policy', 'allow', false],
  ]
  for (const [decision, scope, source, reason, override] of sources) {
    const { events, open } = desk()
    open('connect', 'CONNECT', 'example.com:443').decide(decision, () => {})
    expect(present(events[0])).toMatchObject({
      'network.policy.scope': scope,
      'network.policy.source': source,
      'network.policy.reason': reason,
      'network.policy.override': override,
    })
  }
})

test('AUD-45 after a hold the answer is what is recorded, with the approval and how long it took', () => {
  const { events, clock, open } = desk()
  const exchange = open('connect', 'CONNECT', 'new.example.org:443')
  clock.advance(4000)
  exchange.approval = 'ap_1'
  exchange.heldMs = 3999.6
  exchange.decide(
    { kind: 'allow', source: 'approval', rule: { list: 'grant', text: 'new.example.org:443' } },
    () => {},
  )
  expect(events).toHaveLength(1)
  expect(events[0]).toMatchObject({ severity: 9, time: START + 4000 })
  expect(present(events[0])).toMatchObject({
    'sallyport.decision': 'allow',
    'sallyport.decision.source': 'approval',
    'sallyport.approval.id': 'ap_1',
    'sallyport.hold.duration_ms': 4000,
    'security_rule.ruleset.name': 'grant',
    'network.policy.override': true,
  })
})

test('AUD-46 a client that is sent away while the approval is open is a hold: 503, INFO2, and «ask» for Codex', () => {
  const pending: Decision[] = [
    { kind: 'hold', source: 'default', rule: { list: 'unfamiliar', text: 'hold' } },
    { kind: 'deny', reason: 'approval_pending', source: 'default' },
  ]
  for (const decision of pending) {
    const { events, open } = desk()
    const exchange = open('connect', 'CONNECT', 'new.example.org:443')
    exchange.approval = 'ap_1'
    exchange.heldMs = 25_000
    exchange.decide(decision, () => {})
    exchange.close()
    expect(events).toHaveLength(1)
    expect(events[0]?.severity).toBe(10)
    const attributes = present(events[0])
    expect(attributes).toMatchObject({
      'sallyport.decision': 'hold',
      'sallyport.decision.reason': 'approval_pending',
      'http.response.status_code': 503,
      'sallyport.hold.duration_ms': 25_000,
      'network.policy.decision': 'ask',
      'network.policy.source': 'baseline_policy',
      'network.policy.reason': 'not_allowed',
    })
    expect(attributes).not.toHaveProperty('error.type')
  }
})

test('AUD-47 a request without a readable target is recorded with what is known', () => {
  const { events, clock, recorder } = desk()
  const exchange = new Exchange('http', clientOf('', 0), recorder, clock)
  exchange.decide({ kind: 'deny', reason: 'invalid_request', source: 'target' }, () => {})
  const attributes = present(events[0])
  expect(attributes).toMatchObject({ 'http.request.method': 'none', 'client.address': 'unknown' })
  expect(attributes).not.toHaveProperty('server.address')
  expect(attributes).not.toHaveProperty('url.domain')
})

test('AUD-48 an address has no registered domain, and a public suffix is none', () => {
  const { events, open } = desk()
  for (const target of [
    '192.0.2.7:443',
    '[2001:db8::1]:443',
    'co.uk:443',
    'a.b.github.io:443',
    'localhost:443',
  ])
    open('connect', 'CONNECT', target).decide(ALLOW, () => {})
  expect(events.map((event) => event.attributes['server.address'])).toEqual([
    '192.0.2.7',
    '2001:db8::1',
    'co.uk',
    'a.b.github.io',
    'localhost',
  ])
  expect(events.map((event) => event.attributes['url.registered_domain'])).toEqual([
    undefined,
    undefined,
    undefined,
    'b.github.io',
    undefined,
  ])
})

test('AUD-49 the end of an exchange says bytes, duration, status, peer, server name and cause', () => {
  const { events, clock, open } = desk()
  const exchange = open('connect', 'CONNECT', 'api.example.com:443')
  exchange.decide(ALLOW, () => {})
  exchange.status = 200
  exchange.peer = { address: '2001:db8::5', port: 443 }
  exchange.serverName = 'api.example.com'
  exchange.bytesSent = 517
  exchange.bytesReceived = 123_456
  clock.advance(1500)
  exchange.close('idle_timeout')
  expect(events.map((event) => event.event)).toEqual([
    'sallyport.egress.decision',
    'sallyport.egress.completed',
  ])
  expect(events[1]).toMatchObject({ severity: 9, time: START + 1500 })
  expect(present(events[1])).toEqual({
    'sallyport.request.id': exchange.id,
    'sallyport.proxy.name': 'gate-1',
    'server.address': 'api.example.com',
    'server.port': 443,
    'client.address': '10.1.2.3',
    'client.port': 50_123,
    'network.transport': 'tcp',
    'network.protocol.name': 'connect',
    'http.request.method': 'CONNECT',
    'url.domain': 'api.example.com',
    'url.registered_domain': 'example.com',
    'http.response.status_code': 200,
    'network.peer.address': '2001:db8::5',
    'network.peer.port': 443,
    'network.type': 'ipv6',
    'tls.client.server_name': 'api.example.com',
    'error.type': 'idle_timeout',
    'sallyport.bytes.sent': 517,
    'sallyport.bytes.received': 123_456,
    'sallyport.duration_ms': 1500,
  })
})

test('AUD-50 trouble upstream warns, our own fault is an error, and an orderly end is neither', () => {
  const severities = Object.fromEntries(
    (Object.keys(TROUBLES) as Trouble[]).map((trouble) => {
      const { events, open } = desk()
      const exchange = open('connect', 'CONNECT', 'example.com:443')
      exchange.decide(ALLOW, () => {})
      exchange.close(trouble)
      return [trouble, events[1]?.severity]
    }),
  )
  expect(severities).toMatchObject({ client_gone: 9, idle_timeout: 9, draining: 9, proxy_internal_error: 17 })
  const warned = Object.values(severities).filter((severity) => severity === 13)
  expect(warned).toHaveLength(Object.keys(TROUBLES).length - 4)
})

test('AUD-51 every exchange is recorded exactly once: also when it is decided twice, closed twice, or forgotten', () => {
  const { events, open } = desk()
  const twice = open('connect', 'CONNECT', 'example.com:443')
  twice.decide(ALLOW, () => {})
  expect(() => twice.decide(ALLOW, () => {})).toThrow('decided twice')
  twice.close()
  twice.close('client_gone')
  expect(events.map((event) => event.event)).toEqual([
    'sallyport.egress.decision',
    'sallyport.egress.completed',
  ])
  expect(present(events[1])).not.toHaveProperty('error.type')

  const forgotten = open('connect', 'CONNECT', 'example.com:443')
  forgotten.close()
  forgotten.close()
  expect(events).toHaveLength(3)
  expect(events[2]).toMatchObject({ event: 'sallyport.egress.decision', severity: 17 })
  expect(present(events[2])).toMatchObject({ 'sallyport.decision.reason': 'internal_error' })

  const refused = open('connect', 'CONNECT', 'example.com:443')
  refused.decide({ kind: 'deny', reason: 'denied', source: 'deny_rule' }, () => {})
  refused.close()
  expect(events).toHaveLength(4)
})

test('AUD-52 ends are left out where the configuration says so; decisions never', () => {
  const { events, open } = desk({ completed: false })
  const exchange = open('connect', 'CONNECT', 'example.com:443')
  exchange.decide(ALLOW, () => {})
  exchange.close()
  expect(events.map((event) => event.event)).toEqual(['sallyport.egress.decision'])
})

test('AUD-53 the door hears of a record that could not be written', () => {
  const clock = createFakeClock()
  const failure = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const recorder = createExchangeRecorder({
    append: (_, written) => written?.(failure),
    name: 'x',
    completed: true,
  })
  const exchange = new Exchange('connect', clientOf('127.0.0.1', 1), recorder, clock)
  const heard: unknown[] = []
  exchange.decide(ALLOW, (error) => heard.push(error))
  expect(heard).toEqual([failure])
})

test('AUD-54 property: whatever a client or a rule says is one value of one attribute, and adds none', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom('","sallyport.decision":"allow', '\\', '"', '\\"', '\n', '\u2028', '\ud800', '}'),
  )
  fc.assert(
    fc.property(text, text, text, text, text, (agent, method, path, pattern, file) => {
      const { events, open } = desk()
      const exchange = open('http', `X${method}`, 'example.com:443')
      exchange.userAgent = agent
      exchange.path = path.replaceAll(/[?#]/g, '')
      exchange.serverName = pattern
      exchange.approval = file
      exchange.policyVersion = agent
      exchange.decide(
        {
          kind: 'deny',
          reason: 'denied',
          source: 'deny_rule',
          rule: { list: method, text: pattern, source: { file, line: 7 } },
        },
        () => {},
      )
      expect(Object.keys(present(events[0]))).toHaveLength(31)
      expect(events[0]!.attributes).toMatchObject({
        'http.request.method': '_OTHER',
        'http.request.method_original': `X${method}`,
        'user_agent.original': agent,
        'url.path': exchange.path,
        'security_rule.name': pattern,
        'security_rule.ruleset.name': method,
        'sallyport.rule.source': `${file}:7`,
        'security_rule.version': agent,
        'sallyport.approval.id': file,
        'sallyport.decision': 'deny',
        'network.policy.decision': 'deny',
      })
    }),
  )
})
