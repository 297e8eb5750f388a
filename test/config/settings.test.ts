import { expect, test } from 'vitest'
import { readSetting } from '../../src/config/paths.ts'
import { formatProblem } from '../../src/config/problems.ts'
import { SETTINGS, settingAt } from '../../src/config/settings-table.ts'
import { createConfigFolder, loaded, problemsOf } from './folder.ts'

interface Case {
  readonly key: string
  /** In the settings, with $ for the folder of the file. */
  readonly initial: unknown
  /** TOML that is accepted, with what it becomes. */
  readonly good: readonly (readonly [string, unknown])[]
  /** TOML that is refused. */
  readonly bad: readonly string[]
}

const DURATION_JUNK = ['25', '"25"', '"soon"', '""', 'true', '["1s"]', '2026-01-01']
const SIZE_JUNK = ['"16KB"', '"much"', '""', '-1', '1.5', 'false', '{ a = 1 }']
const COUNT_JUNK = ['"many"', '1.5', '-1', 'nan', 'true', '99999999999999999999', '[1]']
const FLAG_JUNK = ['1', '"true"', '"yes"', '[]']
const PATH_JUNK = ['""', '1', '"a\\u0000b"', '["x"]']
const S = 1000
const M = 60 * S
const H = 60 * M
const D = 24 * H

const duration = (
  key: string,
  initial: number,
  low: [string, number],
  high: [string, number],
  beyond: string[],
): Case => ({
  key,
  initial,
  good: [
    [`"${low[0]}"`, low[1]],
    [`"${high[0]}"`, high[1]],
  ],
  bad: [...DURATION_JUNK, ...beyond.map((text) => `"${text}"`)],
})
const size = (
  key: string,
  initial: number,
  low: [string, number],
  high: [string, number],
  beyond: string[],
): Case => ({
  key,
  initial,
  good: [
    [low[0], low[1]],
    [high[0], high[1]],
  ],
  bad: [...SIZE_JUNK, ...beyond],
})
const count = (key: string, initial: number, low: number, high: number): Case => ({
  key,
  initial,
  good: [
    [String(low), low],
    [String(high), high],
  ],
  bad: [...COUNT_JUNK, String(low - 1), String(high + 1)],
})
const flag = (key: string, initial: boolean): Case => ({
  key,
  initial,
  good: [
    ['true', true],
    ['false', false],
  ],
  bad: FLAG_JUNK,
})
const words = (key: string, initial: string, ...all: string[]): Case => ({
  key,
  initial,
  good: all.map((word) => [`"${word}"`, word] as const),
  bad: ['"other"', '""', `"${initial.toUpperCase()}x"`, '1', 'true', `["${initial}"]`],
})
const path = (key: string, initial: string, base: string): Case => ({
  key,
  initial,
  good: [
    ['"some/where"', `${base}/some/where`],
    ['"/abs"', '/abs'],
    ['"../up"', `${base}/../up`],
  ],
  bad: PATH_JUNK,
})

const CASES: readonly Case[] = [
  path('state_dir', '$/var/state', '$'),
  {
    key: 'proxy.listen',
    initial: { address: '127.0.0.1', port: 3128 },
    good: [
      ['"127.0.0.2:0"', { address: '127.0.0.2', port: 0 }],
      ['"[::1]:65535"', { address: '::1', port: 65_535 }],
      ['"localhost:8080"', { address: '127.0.0.1', port: 8080 }],
    ],
    bad: [
      '"3128"',
      '3128',
      '":3128"',
      '"127.0.0.1"',
      '"127.0.0.1:65536"',
      '"127.0.0.1:01"',
      '"::1:3128"',
      '"example.com:1"',
      '"127.1:80"',
      '"0.0.0.0:3128"',
      '"[::]:3128"',
      '"192.0.2.1:3128"',
      '["127.0.0.1:1"]',
    ],
  },
  {
    key: 'proxy.name',
    initial: 'sallyport',
    good: [
      ['"a"', 'a'],
      [`"${'n'.repeat(64)}"`, 'n'.repeat(64)],
      ['"proxy-1.example"', 'proxy-1.example'],
    ],
    bad: ['""', '"two words"', '"1st"', '"a/b"', '"a\\r\\nb"', `"${'n'.repeat(65)}"`, '"ä"', '1'],
  },
  flag('proxy.allow_non_loopback', false),
  {
    key: 'policy.allowed_domains',
    initial: [],
    good: [['["example.com", "*.example.org:8443", "*"]', ['example.com', '*.example.org:8443', '*']]],
    bad: ['"example.com"', '[1]', '["https://example.com/"]', '[""]', '["10.0.0.1/8"]', '{}'],
  },
  {
    key: 'policy.denied_domains',
    initial: [],
    good: [['["**.example.com"]', ['**.example.com']]],
    bad: ['"example.com"', '["*"]', '[true]', '["a b"]'],
  },
  {
    key: 'policy.denied_domains_files',
    initial: [],
    good: [
      ['["list.txt"]', ['$/list.txt']],
      ['[]', []],
    ],
    bad: ['"list.txt"', '["missing.txt"]', '["."]', '[""]', '["/dev/null"]', '["empty.txt"]'],
  },
  {
    key: 'policy.allowed_ports',
    initial: [80, 443],
    good: [
      ['[1, 65535]', [1, 65_535]],
      ['[]', []],
    ],
    bad: ['443', '[0]', '[65536]', '["443"]', '[4.5]', '"80,443"'],
  },
  words('policy.unfamiliar', 'hold', 'hold', 'deny', 'allow'),
  {
    key: 'policy.private',
    initial: [],
    good: [
      [
        '[{ host = "git.corp.example", cidr = "10.1.2.0/24", ports = [443] }]',
        [{ host: 'git.corp.example', cidr: '10.1.2.0/24', ports: [443] }],
      ],
    ],
    bad: [
      '["10.0.0.0/8"]',
      '[{ host = "a.example", cidr = "10.0.0.0/8" }]',
      '[{ host = "a.example", cidr = "10.0.0.0/8", ports = [] }]',
      '[{ host = "a.example", cidr = "10.0.0.1/8", ports = [443] }]',
      '[{ host = "*", cidr = "10.0.0.0/8", ports = [443] }]',
      '[{ host = "a.example", cidr = "10.0.0.0/8", ports = [443], port = 1 }]',
      '[{ host = "a.example", cidr = "10.0.0.0/8", ports = [0] }]',
    ],
  },
  flag('tunnel.require_tls', true),
  {
    key: 'tunnel.raw',
    initial: [],
    good: [['["SSH.example.com:443", "192.0.2.1:22"]', ['ssh.example.com:443', '192.0.2.1:22']]],
    bad: [
      '"ssh.example.com:443"',
      '["ssh.example.com"]',
      '["ssh.example.com:0"]',
      '["u@ssh.example.com:1"]',
      '["*.example.com:22"]',
    ],
  },
  duration('hold.wait', 25 * S, ['0s', 0], ['10m', 10 * M], ['10m1ms']),
  count('hold.per_client', 100, 1, 100_000),
  count('hold.total', 1000, 1, 1_000_000),
  count('hold.waiters_per_approval', 1000, 1, 1_000_000),
  words('hold.when_unattended', 'hold', 'hold', 'deny'),
  duration('approval.ttl', 15 * M, ['1s', S], ['7d', 7 * D], ['999ms', '7d1ms']),
  duration('approval.session_idle', 30 * M, ['1s', S], ['7d', 7 * D], ['999ms', '7d1ms']),
  path('admin.socket', '$/var/state/admin.sock', '$/var/state'),
  {
    key: 'admin.listen',
    initial: undefined,
    good: [
      ['"127.0.0.1:3129"', { address: '127.0.0.1', port: 3129 }],
      ['"[::1]:0"', { address: '::1', port: 0 }],
    ],
    bad: ['"0.0.0.0:3129"', '"192.0.2.1:3129"', '"127.0.0.1:3128"', '"3129"', 'true'],
  },
  path('admin.token_file', '$/var/state/admin.token', '$/var/state'),
  path('audit.dir', '$/var/state/audit', '$/var/state'),
  size('audit.segment_size', 64 * 1024 ** 2, ['"4KiB"', 4096], ['"1GiB"', 1024 ** 3], ['4095', '"1025MiB"']),
  size('audit.keep', 0, ['0', 0], ['"1024TiB"', 1024 ** 5], ['"1025TiB"']),
  words('audit.on_error', 'deny', 'deny', 'allow'),
  flag('audit.completed', true),
  duration('audit.sync', S, ['0', 0], ['1h', H], ['1h1ms']),
  {
    key: 'telemetry.endpoint',
    initial: undefined,
    good: [
      ['"http://127.0.0.1:4318"', 'http://127.0.0.1:4318'],
      ['"https://otel.example"', 'https://otel.example'],
    ],
    bad: [
      '"otel.example:4317"',
      '"ftp://otel.example"',
      '"http://"',
      '""',
      '"https://u:p@otel.example"',
      '"https://u@otel.example"',
      '1',
    ],
  },
  words('telemetry.protocol', 'http/protobuf', 'http/protobuf', 'grpc'),
  {
    key: 'telemetry.headers_file',
    initial: undefined,
    good: [['"list.txt"', '$/list.txt']],
    bad: ['"missing"', '""', '["list.txt"]'],
  },
  words('telemetry.compression', 'none', 'none', 'gzip'),
  duration('telemetry.timeout', 10 * S, ['10ms', 10], ['5m', 5 * M], ['9ms', '5m1ms']),
  count('telemetry.batch_size', 512, 1, 8192),
  duration('telemetry.interval', S, ['10ms', 10], ['1h', H], ['9ms', '1h1ms']),
  {
    key: 'telemetry.ca_file',
    initial: undefined,
    good: [['"list.txt"', '$/list.txt']],
    bad: ['"missing"', '""', '1'],
  },
  {
    key: 'telemetry.resource',
    initial: {},
    good: [['{ "deployment.environment.name" = "test" }', { 'deployment.environment.name': 'test' }]],
    bad: ['{ a = 1 }', '"a=b"', '[]', '{ a = { b = "c" } }'],
  },
  {
    key: 'upstream.resolver',
    initial: 'system',
    good: [
      ['"192.0.2.53:53"', '192.0.2.53:53'],
      ['"[2001:DB8::53]:53"', '[2001:db8::53]:53'],
    ],
    bad: ['"192.0.2.53"', '"dns.example:53"', '"192.0.2.53:0"', '""', '53'],
  },
  {
    key: 'upstream.extra_ca_files',
    initial: [],
    good: [['["list.txt"]', ['$/list.txt']]],
    bad: ['["missing.pem"]', '"list.txt"', '[""]'],
  },
  duration('upstream.dns_timeout', 5 * S, ['10ms', 10], ['1m', M], ['9ms', '1m1ms']),
  count('upstream.dns_cache_entries', 10_000, 0, 1_000_000),
  duration('upstream.dns_ttl_max', 5 * M, ['0s', 0], ['1d', D], ['1d1ms']),
  duration('upstream.connect_timeout', 10 * S, ['10ms', 10], ['5m', 5 * M], ['9ms', '5m1ms']),
  size('limits.head', 16_384, ['"1KiB"', 1024], ['"1MiB"', 1024 ** 2], ['1023', '1048577']),
  size('limits.response_head', 65_536, ['"1KiB"', 1024], ['"1MiB"', 1024 ** 2], ['1023', '1048577']),
  size('limits.target', 8192, ['256', 256], ['"256KiB"', 262_144], ['255', '262145']),
  count('limits.fields', 100, 10, 10_000),
  size('limits.trailer', 8192, ['0', 0], ['"1MiB"', 1024 ** 2], ['1048577']),
  count('limits.interim_responses', 32, 0, 1000),
  count('limits.connections', 10_000, 1, 1_000_000),
  count('limits.connections_per_client', 4096, 1, 1_000_000),
  duration('limits.header_timeout', 30 * S, ['10ms', 10], ['10m', 10 * M], ['9ms', '10m1ms']),
  duration('limits.idle_timeout', 60 * S, ['10ms', 10], ['1h', H], ['9ms', '1h1ms']),
  duration('limits.body_idle_timeout', 5 * M, ['10ms', 10], ['1d', D], ['9ms', '1d1ms']),
  duration('limits.response_timeout', 5 * M, ['10ms', 10], ['1d', D], ['9ms', '1d1ms']),
  duration('limits.tunnel_idle_timeout', H, ['10ms', 10], ['7d', 7 * D], ['9ms', '7d1ms']),
  duration('limits.tunnel_hello_timeout', 30 * S, ['10ms', 10], ['10m', 10 * M], ['9ms', '10m1ms']),
  size('limits.early_bytes', 65_536, ['"1KiB"', 1024], ['"16MiB"', 16 * 1024 ** 2], ['1023', '"17MiB"']),
  count('limits.upstream_idle_connections', 256, 0, 100_000),
  duration('limits.upstream_idle_timeout', 30 * S, ['10ms', 10], ['1h', H], ['9ms', '1h1ms']),
  duration('drain.timeout', 30 * S, ['0s', 0], ['1h', H], ['1h1ms']),
  words('log.level', 'info', 'trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
  words('log.format', 'auto', 'auto', 'json', 'pretty'),
]

test('CFG-10 every setting is tested here', () => {
  expect(SETTINGS.map((row) => row.key)).toEqual(CASES.map((each) => each.key))
})

async function folderWithFiles() {
  const folder = await createConfigFolder()
  await folder.write('list.txt', '# a list\nexample.net\n')
  await folder.write('empty.txt', '')
  return folder
}

/** The file with the setting on its third line. */
function fileWith(key: string, toml: string): string {
  const [section, name] = key.split('.')
  return name === undefined ? `# one\n# two\n${key} = ${toml}\n` : `# one\n[${section}]\n${name} = ${toml}\n`
}

function inFolder(value: unknown, dir: string): unknown {
  if (value === undefined) return undefined
  return JSON.parse(
    JSON.stringify(value)
      .replaceAll('$/var/state/../', '$/var/')
      .replaceAll('$/../', `${dir}/../`)
      .replaceAll('$', dir),
    (_, each: unknown) =>
      typeof each === 'string' && each.startsWith(`${dir}/../`) ? each.replace(/\/[^/]+\/\.\.\//, '/') : each,
  )
}

test.each(CASES)('CFG-11 $key has its default, which the table tells', async ({ key, initial }) => {
  await using folder = await folderWithFiles()
  const { snapshot } = loaded(await folder.load('# nothing is set\n'))
  const row = settingAt(key.split('.'))!
  expect(readSetting(snapshot.settings, row.path)).toEqual(inFolder(initial, folder.dir))
  expect(snapshot.origins.get(key)).toEqual({ layer: 'default', file: 'default', line: 1 })
  expect(row.meaning).toMatch(/^[A-Z].*\.$/)
  if (row.defaultText === 'unset') return
  const written = loaded(await folder.load(fileWith(key, row.defaultText))).snapshot
  expect(written.settings).toEqual(snapshot.settings)
})

test.each(CASES.flatMap(({ key, good }) => good.map(([toml, value]) => ({ key, toml, value }))))(
  'CFG-12 $key = $toml is accepted, and said to come from its line',
  async ({ key, toml, value }) => {
    await using folder = await folderWithFiles()
    const { snapshot } = loaded(await folder.load(fileWith(key, toml)))
    expect(readSetting(snapshot.settings, key.split('.'))).toEqual(inFolder(value, folder.dir))
    expect(snapshot.origins.get(key)).toEqual({ layer: 'file', file: folder.file, line: 3, column: 1 })
  },
)

test.each(CASES.flatMap(({ key, bad }) => bad.map((toml) => ({ key, toml }))))(
  'CFG-13 $key = $toml is refused with file, line, field and remedy',
  async ({ key, toml }) => {
    await using folder = await folderWithFiles()
    const result = await folder.load(fileWith(key, toml))
    expect(result.kind).toBe('invalid')
    expect(problemsOf(result)).toHaveLength(1)
    for (const problem of problemsOf(result)) {
      expect(problem).toMatchObject({ file: folder.file, line: 3 })
      expect(problem.column).toBeGreaterThan(0)
      expect(
        problem.field === key || problem.field.startsWith(`${key}[`) || problem.field.startsWith(`${key}.`),
      ).toBe(true)
      expect(problem.problem).not.toBe('')
      expect(problem.remedy).not.toBe('')
      expect(formatProblem(problem)).toMatch(/^\S+\.toml:3:\d+: .+ → .+$/)
    }
  },
)
