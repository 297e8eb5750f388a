import { expect, test } from 'vitest'
import { parseAuthority } from '../../src/core/authority.ts'
import type { GrantFinder } from '../../src/core/grant.ts'
import { evaluate } from '../../src/policy/decide.ts'
import { withOwnListeners } from '../../src/policy/policy.ts'
import { address, ask, CLIENT, policyOf, surprises, verdict } from './ask.ts'

const PUBLIC = ['93.184.216.34']

function grant(verdictOfGrant: 'allow' | 'deny'): GrantFinder {
  return () => ({
    verdict: verdictOfGrant,
    grant: 'g1',
    once: false,
    rule: { list: 'grant', text: 'example.net by somebody' },
  })
}

test('POL-60 allowed, denied and unfamiliar hosts', () => {
  const policy = policyOf({
    allowed: ['example.com', '*.example.org', '**.example.net', 'region*.example.edu'],
    denied: ['bad.example.org', '**.worse.example.net', 'ad?.example.edu'],
  })
  expect(
    surprises(policy, [
      ['example.com', 'allow'],
      ['EXAMPLE.COM.', 'allow'],
      ['www.example.com', 'hold'],
      ['example.org', 'hold'],
      ['a.example.org', 'allow'],
      ['a.b.example.org', 'allow'],
      ['bad.example.org', 'denied'],
      ['BAD.example.ORG.', 'denied'],
      ['very.bad.example.org', 'allow'],
      ['example.net', 'allow'],
      ['worse.example.net', 'denied'],
      ['a.worse.example.net', 'denied'],
      ['notworse.example.net', 'allow'],
      ['region1.example.edu', 'allow'],
      ['region1.x.example.edu', 'hold'],
      ['ad1.example.edu', 'denied'],
      ['unknown.example', 'hold'],
      ['com', 'hold'],
    ]),
  ).toEqual([])
})

test('POL-61 an empty allow list allows nothing, whatever happens to unfamiliar hosts', () => {
  expect(verdict(ask(policyOf({}), 'example.com'))).toBe('hold')
  expect(verdict(ask(policyOf({ unfamiliar: 'deny' }), 'example.com'))).toBe('not_allowed')
  expect(verdict(ask(policyOf({ unfamiliar: 'allow' }), 'example.com'))).toBe('allow')
  expect(verdict(ask(policyOf({ unfamiliar: 'allow', denied: ['example.com'] }), 'example.com'))).toBe(
    'denied',
  )
})

test('POL-62 denial wins over every kind of permission', () => {
  const policy = policyOf({
    allowed: ['*', 'example.com', 'example.com:8443', '**.example.com'],
    denied: ['example.com'],
    unfamiliar: 'allow',
    private: [{ host: 'example.com', cidr: '10.0.0.0/8', ports: [443] }],
  })
  for (const target of ['example.com', 'EXAMPLE.com.', 'example.com:80', 'example.com:8443'])
    expect(verdict(ask(policy, target, undefined, grant('allow'))), target).toBe('denied')
  expect(verdict(ask(policy, 'www.example.com'))).toBe('allow')
})

test('POL-63 a denial with a port denies that port only', () => {
  const policy = policyOf({
    allowed: ['example.com', '*.example.net'],
    denied: ['example.com:80', '*.example.net:80'],
  })
  expect(
    surprises(policy, [
      ['example.com:80', 'denied'],
      ['example.com:443', 'allow'],
      ['a.example.net:80', 'denied'],
      ['a.example.net:443', 'allow'],
    ]),
  ).toEqual([])
})

test('POL-64 a port is permitted by the setting, by an allowed pattern that names it, or by an exception', () => {
  const policy = policyOf({
    allowed: ['example.com', 'git.example.com:22', '*.db.example.com:5432', '198.51.44.0/24:8443'],
    private: [{ host: 'intra.example', cidr: '10.1.0.0/16', ports: [8080] }],
  })
  expect(
    surprises(policy, [
      ['example.com:80', 'allow'],
      ['example.com:443', 'allow'],
      ['example.com:22', 'port_not_allowed'],
      ['example.com:8443', 'port_not_allowed'],
      ['git.example.com:22', 'allow'],
      ['git.example.com:443', 'hold'],
      ['git.example.com:23', 'port_not_allowed'],
      ['a.db.example.com:5432', 'allow'],
      ['db.example.com:5432', 'port_not_allowed'],
      ['198.51.44.7:8443', 'allow'],
      ['198.51.45.7:8443', 'port_not_allowed'],
      ['intra.example:8080', 'hold'],
      ['intra.example:8081', 'port_not_allowed'],
      ['other.example:8080', 'port_not_allowed'],
      ['unknown.example:25', 'port_not_allowed'],
    ]),
  ).toEqual([])
  const narrow = policyOf({ allowed: ['example.com'], ports: [443] })
  expect(verdict(ask(narrow, 'example.com:80'))).toBe('port_not_allowed')
  const none = policyOf({ allowed: ['example.com', 'only.example:443'], ports: [] })
  expect(verdict(ask(none, 'example.com:443'))).toBe('port_not_allowed')
  expect(verdict(ask(none, 'only.example:443'))).toBe('allow')
})

test('POL-65 a pattern with a port allows that port only, and * with a port opens it for every name', () => {
  const policy = policyOf({ allowed: ['*:8443', 'example.com:443'] })
  expect(
    surprises(policy, [
      ['example.com:443', 'allow'],
      ['example.com:80', 'hold'],
      ['anything.example:8443', 'allow'],
      ['anything.example:443', 'hold'],
      ['192.0.43.1:8443', 'port_not_allowed'],
    ]),
  ).toEqual([])
})

test('POL-66 an address is allowed by an address or a network, never by a wildcard', () => {
  const policy = policyOf({ allowed: ['*', '1.1.1.1', '9.9.9.0/24', '[2606:4700::1111]', '2620:fe::/48'] })
  expect(
    surprises(policy, [
      ['example.com', 'allow'],
      ['1.1.1.1', 'allow'],
      ['[::ffff:1.1.1.1]', 'allow'],
      ['1.0.0.1', 'not_allowed'],
      ['9.9.9.9', 'allow'],
      ['[2606:4700::1111]', 'allow'],
      ['[2606:4700::1112]', 'not_allowed'],
      ['[2620:fe::fe]', 'allow'],
    ]),
  ).toEqual([])
})

test('POL-67 a denied address or network is denied by every spelling, and by every name that resolves into it', () => {
  const policy = policyOf({
    allowed: ['*', '0.0.0.0/0', '::/0'],
    denied: ['9.9.9.9', '1.1.1.0/24', '2620:fe::/48', '8.8.8.8:80'],
  })
  expect(
    surprises(policy, [
      ['9.9.9.9', 'denied'],
      ['[::ffff:9.9.9.9]', 'denied'],
      ['[64:ff9b::9.9.9.9]', 'denied'],
      ['[2002:909:909::1]', 'denied'],
      ['1.1.1.7', 'denied'],
      ['[64:ff9b::101:107]', 'denied'],
      ['[2620:fe::9]', 'denied'],
      ['8.8.8.8:80', 'denied'],
      ['8.8.8.8:443', 'allow'],
      ['1.1.2.1', 'allow'],
      ['example.com', 'allow', PUBLIC],
      ['example.com', 'denied', ['9.9.9.9']],
      ['example.com', 'denied', [...PUBLIC, '1.1.1.200']],
      ['example.com', 'denied', ['64:ff9b::101:101']],
    ]),
  ).toEqual([])
})

const LOCAL_NAMES = [
  'localhost',
  'LOCALHOST.',
  'a.localhost',
  'a.b.localhost',
  'localhost.localdomain',
  'localhost4',
  'localhost6',
  'ip6-localhost',
  'ip6-loopback',
  'metadata',
  'metadata.google.internal',
  'Metadata.Google.Internal.',
  'metadata.goog',
  'metadata.tencentyun.com',
  'instance-data',
  'instance-data.ec2.internal',
  'instance-data.eu-west-1.compute.internal',
]

test('POL-68 names of the machine and of metadata services are refused before they are resolved, even where allowed', () => {
  const policy = policyOf({
    allowed: ['*', ...LOCAL_NAMES.map((name) => name.toLowerCase())],
    unfamiliar: 'allow',
  })
  for (const name of LOCAL_NAMES)
    expect(verdict(ask(policy, name, undefined, grant('allow'))), name).toBe('not_allowed_local')
  const near = [
    'localhost.example',
    'notlocalhost',
    'metadata.example',
    'google.internal',
    'instance-data.example',
  ]
  for (const name of [...near, 'intranet.internal', 'my-metadata.goog', 'ec2.internal', 'localhost.com'])
    expect(verdict(ask(policy, name)), name).toBe('allow')
})

const LOCAL_ADDRESSES = [
  '127.0.0.1',
  '127.1.2.3',
  '0.0.0.0',
  '10.1.2.3',
  '172.31.0.1',
  '192.168.0.1',
  '169.254.169.254',
  '100.64.0.1',
  '168.63.129.16',
  '100.100.100.200',
  '192.0.0.192',
  '224.0.0.1',
  '255.255.255.255',
  '240.0.0.1',
  '198.18.0.1',
  '::',
  '::1',
  '::ffff:127.0.0.1',
  '::127.0.0.1',
  '::ffff:0:127.0.0.1',
  '64:ff9b::10.0.0.1',
  '64:ff9b:1::8.8.8.8',
  '2002:7f00:1::',
  '2001:0:808:808::80ff:fffe',
  'fe80::1',
  'fec0::1',
  'fc00::1',
  'fd00:ec2::254',
  'ff02::1',
  '2001:db8::1',
  '3fff::1',
  '5f00::1',
  '100::1',
  '4000::1',
  '2a00::5efe:10.0.0.1',
  '2a00::200:5efe:192.168.0.1',
]

test('POL-69 an address that is not public is refused, as a literal at once and as an answer after resolution', () => {
  const policy = policyOf({ allowed: ['*', '0.0.0.0/0', '::/0', '10.1.2.3', '[::1]'], unfamiliar: 'allow' })
  for (const text of LOCAL_ADDRESSES) {
    const literal = text.includes(':') ? `[${text}]` : text
    expect(verdict(ask(policy, literal, undefined, grant('allow'))), literal).toBe('not_allowed_local')
    expect(verdict(ask(policy, literal, [text], grant('allow'))), literal).toBe('not_allowed_local')
    expect(verdict(ask(policy, 'example.com', [text], grant('allow'))), text).toBe('not_allowed_local')
    expect(verdict(ask(policy, 'example.com', [...PUBLIC, text])), text).toBe('not_allowed_local')
    expect(verdict(ask(policy, 'example.com', [text, ...PUBLIC])), text).toBe('not_allowed_local')
  }
  expect(verdict(ask(policy, 'example.com', [...PUBLIC, '2606:4700::1111', '64:ff9b::8.8.8.8']))).toBe(
    'allow',
  )
})

test('POL-70 a name that resolved to nothing is refused', () => {
  expect(verdict(ask(policyOf({ allowed: ['example.com'] }), 'example.com', []))).toBe('not_allowed_local')
})

test('POL-71 an exception needs host, network and port together', () => {
  const policy = policyOf({
    allowed: ['*', '10.1.2.3', '10.1.2.4', '10.9.0.0/16'],
    private: [
      { host: 'git.corp.example', cidr: '10.1.2.0/24', ports: [443, 8443] },
      { host: '*.svc.example', cidr: 'fd12:3456::/32', ports: [443] },
      { host: '10.1.2.3', cidr: '10.1.2.3/32', ports: [443] },
      { host: '10.9.0.0/16', cidr: '10.9.9.0/24', ports: [443] },
      { host: 'localhost', cidr: '127.0.0.0/8', ports: [3000] },
    ],
  })
  expect(
    surprises(policy, [
      ['git.corp.example:443', 'allow', ['10.1.2.7']],
      ['git.corp.example:8443', 'allow', ['10.1.2.7', '10.1.2.8']],
      ['git.corp.example:443', 'allow', ['::ffff:10.1.2.7']],
      ['git.corp.example:443', 'allow', [...PUBLIC, '10.1.2.7']],
      ['git.corp.example:80', 'not_allowed_local', ['10.1.2.7']],
      ['git.corp.example:443', 'not_allowed_local', ['10.1.3.7']],
      ['git.corp.example:443', 'not_allowed_local', ['10.1.2.7', '10.1.3.7']],
      ['git.corp.example:443', 'not_allowed_local', ['10.1.3.7', '10.1.2.7']],
      ['git.corp.example:443', 'not_allowed_local', ['64:ff9b::10.1.2.7']],
      ['www.corp.example:443', 'not_allowed_local', ['10.1.2.7']],
      ['a.svc.example:443', 'allow', ['fd12:3456::1']],
      ['svc.example:443', 'not_allowed_local', ['fd12:3456::1']],
      ['10.1.2.3:443', 'allow'],
      ['10.1.2.3:443', 'allow', ['10.1.2.3']],
      ['[::ffff:10.1.2.3]:443', 'allow'],
      ['10.1.2.4:443', 'not_allowed_local'],
      ['10.9.9.1:443', 'allow'],
      ['10.9.8.1:443', 'not_allowed_local'],
      ['localhost:3000', 'allow'],
      ['localhost:3000', 'allow', ['127.0.0.1']],
      ['localhost:3000', 'not_allowed_local', ['::1']],
      ['localhost:443', 'not_allowed_local'],
      ['a.localhost:443', 'not_allowed_local'],
      ['127.0.0.1:443', 'not_allowed_local'],
    ]),
  ).toEqual([])
})

test('POL-72 an exception opens its port on its network only', () => {
  const policy = policyOf({
    allowed: ['db.example'],
    private: [{ host: 'db.example', cidr: '10.1.0.0/16', ports: [5432] }],
  })
  expect(
    surprises(policy, [
      ['db.example:5432', 'allow'],
      ['db.example:5432', 'allow', ['10.1.2.3']],
      ['db.example:5432', 'port_not_allowed', PUBLIC],
      ['db.example:5432', 'port_not_allowed', ['10.1.2.3', ...PUBLIC]],
      ['db.example:443', 'allow', PUBLIC],
    ]),
  ).toEqual([])
})

test('POL-73 an exception alone does not allow: the host is unfamiliar until a list or somebody allows it', () => {
  const policy = policyOf({ private: [{ host: 'git.corp.example', cidr: '10.0.0.0/8', ports: [443] }] })
  expect(verdict(ask(policy, 'git.corp.example', ['10.1.2.3']))).toBe('hold')
  expect(verdict(ask(policy, 'git.corp.example', ['10.1.2.3'], grant('allow')))).toBe('allow')
})

test('POL-74 a broad exception does not open metadata services, multicast, or the unspecified address', () => {
  const policy = policyOf({
    allowed: ['*'],
    private: [
      { host: 'broad.example', cidr: '0.0.0.0/0', ports: [80] },
      { host: 'broad6.example', cidr: '::/0', ports: [80] },
      { host: 'meta.example', cidr: '169.254.169.254/32', ports: [80] },
    ],
  })
  expect(
    surprises(policy, [
      ['broad.example:80', 'allow', ['10.0.0.1']],
      ['broad.example:80', 'not_allowed_local', ['169.254.169.254']],
      ['broad.example:80', 'not_allowed_local', ['168.63.129.16']],
      ['broad.example:80', 'not_allowed_local', ['0.0.0.0']],
      ['broad.example:80', 'not_allowed_local', ['0.1.2.3']],
      ['broad.example:80', 'not_allowed_local', ['239.0.0.1']],
      ['broad.example:80', 'not_allowed_local', ['255.255.255.255']],
      ['broad6.example:80', 'allow', ['fd12::1']],
      ['broad6.example:80', 'not_allowed_local', ['fd00:ec2::254']],
      ['broad6.example:80', 'not_allowed_local', ['::']],
      ['meta.example:80', 'allow', ['169.254.169.254']],
    ]),
  ).toEqual([])
})

test('POL-75 the listeners of the proxy are out of reach through it, even where an exception covers them', () => {
  const lists = {
    allowed: ['*', '127.0.0.0/8', '192.168.1.5', '[::1]', '93.184.216.34'],
    ports: [443, 3128, 9000],
    private: [
      { host: '**.example', cidr: '127.0.0.0/8', ports: [3128, 9000] },
      { host: '**.example', cidr: '192.168.0.0/16', ports: [3128, 9000] },
      { host: '127.0.0.0/8', cidr: '127.0.0.0/8', ports: [3128, 9000] },
      { host: '[::1]', cidr: '::1/128', ports: [3128, 9000] },
    ],
    local: ['127.0.0.1', '192.168.1.5', '93.184.216.34', 'fe80::1%eth0'],
  }
  const loopback = policyOf({ ...lists, own: [{ address: '127.0.0.1', port: 3128 }] })
  expect(
    surprises(loopback, [
      ['127.0.0.1:3128', 'not_allowed_local'],
      ['a.example:3128', 'not_allowed_local', ['127.0.0.1']],
      ['a.example:3128', 'not_allowed_local', ['::ffff:127.0.0.1']],
      ['a.example:3128', 'allow', ['127.0.0.2']],
      ['a.example:3128', 'allow', ['192.168.1.5']],
      ['127.0.0.1:9000', 'allow'],
    ]),
  ).toEqual([])
  const mapped = policyOf({ ...lists, own: [{ address: '::ffff:127.0.0.1', port: 3128 }] })
  expect(verdict(ask(mapped, '127.0.0.1:3128'))).toBe('not_allowed_local')
  for (const wildcard of ['0.0.0.0', '::']) {
    const everywhere = policyOf({ ...lists, own: [{ address: wildcard, port: 3128 }] })
    expect(
      surprises(everywhere, [
        ['127.0.0.1:3128', 'not_allowed_local'],
        ['127.9.9.9:3128', 'not_allowed_local'],
        ['[::1]:3128', 'not_allowed_local'],
        ['a.example:3128', 'not_allowed_local', ['192.168.1.5']],
        ['a.example:3128', 'not_allowed_local', ['93.184.216.34']],
        ['93.184.216.34:3128', 'not_allowed_local'],
        ['[64:ff9b::93.184.216.34]:3128', 'not_allowed_local'],
        ['a.example:3128', 'allow', ['192.168.1.6']],
        ['a.example:9000', 'allow', ['192.168.1.5']],
        // On another port it is no listener of ours, but still this machine.
        ['93.184.216.34:443', 'not_allowed_local'],
      ]),
      wildcard,
    ).toEqual([])
  }
})

test('POL-76 the listeners can be told after the compilation, when their ports are known', () => {
  const before = policyOf({
    allowed: ['127.0.0.0/8'],
    private: [{ host: '127.0.0.0/8', cidr: '127.0.0.0/8', ports: [40_001] }],
  })
  const after = withOwnListeners(before, [{ address: '127.0.0.1', port: 40_001 }], [])
  expect(verdict(ask(before, '127.0.0.1:40001'))).toBe('allow')
  expect(verdict(ask(after, '127.0.0.1:40001'))).toBe('not_allowed_local')
  expect(() => withOwnListeners(before, [{ address: 'nonsense', port: 1 }], [])).toThrow(
    'not an address: nonsense',
  )
})

test('POL-77 a grant decides unfamiliar hosts and nothing else', () => {
  const policy = policyOf({ allowed: ['allowed.example'], denied: ['denied.example'], unfamiliar: 'deny' })
  const asked: string[] = []
  const finder =
    (answer: 'allow' | 'deny'): GrantFinder =>
    (client, authority) => {
      asked.push(`${client} ${authority.host.text}:${authority.port}`)
      return grant(answer)(client, authority)
    }
  const rows = [
    ['unknown.example', 'allow', 'allow'],
    ['unknown.example', 'deny', 'approval_denied'],
    ['allowed.example', 'deny', 'allow'],
    ['denied.example', 'allow', 'denied'],
    ['localhost', 'allow', 'not_allowed_local'],
    ['10.0.0.1', 'allow', 'not_allowed_local'],
    ['unknown.example:25', 'allow', 'port_not_allowed'],
  ] as const
  for (const [target, answer, expected] of rows)
    expect(verdict(ask(policy, target, undefined, finder(answer))), target).toBe(expected)
  expect(verdict(ask(policy, 'unknown.example', ['10.0.0.1'], finder('allow')))).toBe('not_allowed_local')
  // It was only asked where no rule decided.
  expect(asked).toEqual(['127.0.0.1 unknown.example:443', '127.0.0.1 unknown.example:443'])
})

test('POL-82 nobody is asked about a bare address, and no answer permits one: an entry of the configuration must', () => {
  for (const unfamiliar of ['hold', 'deny'] as const) {
    const policy = policyOf({ unfamiliar, allowed: ['9.9.9.0/24'] })
    for (const target of ['1.1.1.1', '[2606:4700::1111]', '[::ffff:1.1.1.1]']) {
      expect(verdict(ask(policy, target)), target).toBe('not_allowed')
      expect(verdict(ask(policy, target, undefined, grant('allow'))), target).toBe('not_allowed')
      expect(verdict(ask(policy, target, undefined, grant('deny'))), target).toBe('approval_denied')
    }
    expect(verdict(ask(policy, '9.9.9.9', undefined, grant('deny')))).toBe('allow')
  }
  expect(verdict(ask(policyOf({ unfamiliar: 'allow' }), '1.1.1.1'))).toBe('allow')
})

test('POL-78 each decision says what kind of thing decided, by which rule, and where that is written', () => {
  const policy = policyOf({
    allowed: ['example.com', '*.example.org'],
    denied: ['BAD.example.org'],
    unfamiliar: 'deny',
  })
  expect(ask(policy, 'a.example.org')).toEqual({
    kind: 'allow',
    source: 'allow_rule',
    rule: { list: 'allowed_domains', text: '*.example.org', source: { file: 'sallyport.toml', line: 2 } },
  })
  expect(ask(policy, 'bad.example.org')).toEqual({
    kind: 'deny',
    reason: 'denied',
    source: 'deny_rule',
    rule: { list: 'denied_domains', text: 'BAD.example.org', source: { file: 'sallyport.toml', line: 1 } },
  })
  expect(ask(policy, 'example.com:25')).toEqual({
    kind: 'deny',
    reason: 'port_not_allowed',
    source: 'port',
    rule: { list: 'allowed_ports', text: '80, 443' },
  })
  expect(ask(policy, 'unknown.example')).toEqual({
    kind: 'deny',
    reason: 'not_allowed',
    source: 'default',
    rule: { list: 'unfamiliar', text: 'deny' },
  })
  expect(ask(policyOf({}), 'unknown.example')).toEqual({
    kind: 'hold',
    source: 'default',
    rule: { list: 'unfamiliar', text: 'hold' },
  })
  expect(ask(policy, 'unknown.example', undefined, grant('allow'))).toEqual({
    kind: 'allow',
    source: 'approval',
    rule: { list: 'grant', text: 'example.net by somebody' },
  })
})

test('POL-79 a refusal by the guard says what kind of address it is, and never the address', () => {
  const policy = policyOf({ allowed: ['example.com'] })
  for (const [text, kind] of [
    ['10.20.30.40', 'private'],
    ['169.254.169.254', 'metadata'],
    ['127.0.0.1', 'loopback'],
  ] as const) {
    const decision = ask(policy, 'example.com', [text])
    expect(decision).toEqual({
      kind: 'deny',
      reason: 'not_allowed_local',
      source: 'address_guard',
      rule: { list: 'built-in', text: `address guard: ${kind}` },
    })
    expect(JSON.stringify(decision)).not.toContain(text)
  }
})

test('POL-80 evaluate tells the steps in their order up to the one that decided, and decides as decide does', () => {
  const policy = policyOf({
    allowed: ['example.com', 'git.example.com:22'],
    denied: ['bad.example'],
    private: [{ host: 'intra.example', cidr: '10.0.0.0/8', ports: [443] }],
  })
  const steps = (target: string, addresses?: readonly string[], findGrant: GrantFinder = () => undefined) => {
    const question = { authority: parseAuthority(target, 443), client: CLIENT }
    const evaluation = evaluate(
      policy,
      addresses === undefined ? question : { ...question, addresses: addresses.map(address) },
      findGrant,
    )
    expect(evaluation.decision).toEqual(ask(policy, target, addresses, findGrant))
    return evaluation.steps.map(({ step, outcome, rule }) => `${step} ${outcome} ${rule?.text ?? '-'}`)
  }
  expect(steps('example.com:25')).toEqual(['port deny 80, 443'])
  expect(steps('bad.example')).toEqual(['port pass 80, 443', 'denied deny bad.example'])
  expect(steps('git.example.com:22')).toEqual([
    'port pass git.example.com:22',
    'denied pass -',
    'address pass -',
    'allowed allow git.example.com:22',
  ])
  expect(steps('10.0.0.1')).toEqual([
    'port pass 80, 443',
    'denied pass -',
    'address deny address guard: private',
  ])
  expect(steps('intra.example', ['10.1.2.3'])).toEqual([
    'port pass 80, 443',
    'denied pass -',
    'address pass intra.example 10.0.0.0/8 443',
    'allowed pass -',
    'grant pass -',
    'unfamiliar hold hold',
  ])
  expect(steps('unknown.example', undefined, grant('deny')).at(-1)).toBe('grant deny example.net by somebody')
})

test('POL-81 of several entries that match, the one that names the port is named, then the most specific', () => {
  const policy = policyOf({
    allowed: [
      '*',
      '**.example',
      '*.a.example',
      'b*.a.example',
      '**.b.a.example',
      'bb.b.a.example',
      '*.example:443',
      '9.0.0.0/8',
      '9.9.0.0/16',
      '9.9.9.9',
      '9.9.9.0/24',
      '9.1.0.0/16:443',
      '9.1.1.1',
    ],
    denied: ['c?.d.example', '*.d.example'],
  })
  const named = (target: string) => ask(policy, target).rule?.text
  expect(named('x.test:80')).toBe('*')
  expect(named('x.example:80')).toBe('**.example')
  expect(named('x.example:443')).toBe('*.example:443')
  expect(named('x.a.example:80')).toBe('*.a.example')
  expect(named('b.a.example:80')).toBe('**.b.a.example')
  expect(named('bb.b.a.example:80')).toBe('bb.b.a.example')
  expect(named('9.8.8.8:80')).toBe('9.0.0.0/8')
  expect(named('9.9.8.8:80')).toBe('9.9.0.0/16')
  expect(named('9.9.9.8:80')).toBe('9.9.9.0/24')
  expect(named('9.9.9.9:80')).toBe('9.9.9.9')
  expect(named('9.1.1.1:80')).toBe('9.1.1.1')
  expect(named('9.1.1.1:443')).toBe('9.1.0.0/16:443')
  expect(named('cc.d.example:80')).toBe('*.d.example')
  const globs = policyOf({ allowed: ['*', 'a*.x*.example', '*.x*.example', 'a*.xx.example'] })
  expect(ask(globs, 'ab.xx.example').rule?.text).toBe('a*.xx.example')
  expect(ask(globs, 'ab.xy.example').rule?.text).toBe('a*.x*.example')
  expect(ask(globs, 'b.xy.example').rule?.text).toBe('*.x*.example')
})
