import { execFileSync } from 'node:child_process'
import { chmod, chown, mkdir, symlink, truncate } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { ClientId } from '../../src/core/client.ts'
import { parseAuthority } from '../../src/core/authority.ts'
import { loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'
import { decide } from '../../src/policy/decide.ts'
import { createConfigFolder, loaded, problemsOf } from './folder.ts'

const BROKEN = `unfamiliar = "hold"
[polcy]
[proxy]
listen = "0.0.0.0:3128"
allowed_domains = []
liste = "127.0.0.1:1"
[policy]
unfamiliar = "holdd"
allowed_ports = [80, 70000]
allowed_domains = ["example.com", "https://example.com/",
  "*.example.com"]
denied_domains_files = ["nowhere.txt"]
[hold]
wait = "11m"
total = "many"
[telemetry]
headers = { a = "b" }
`

test('CFG-30 all problems are told at once, in the order of the file', async () => {
  await using folder = await createConfigFolder()
  const result = await folder.load(BROKEN, { SALLYPORT_HOLD_WAT: '1s', SALLYPORT_LIMITS_FIELDS: 'x' })
  expect(
    problemsOf(result).map((problem) => formatProblem(problem).replaceAll(`${folder.dir}/`, '')),
  ).toEqual([
    'sallyport.toml:1:1: unfamiliar: there is no such setting → move it into [policy]',
    'sallyport.toml:2:2: polcy: there is no such section → did you mean [policy]?',
    'sallyport.toml:4:1: proxy.listen = "0.0.0.0:3128": other machines could use the proxy, and it does not ask them who they are → write "127.0.0.1:3128", or set proxy.allow_non_loopback = true where the network decides who gets there',
    'sallyport.toml:5:1: proxy.allowed_domains: there is no such setting → move it into [policy]',
    'sallyport.toml:6:1: proxy.liste: there is no such setting → did you mean listen?',
    'sallyport.toml:8:1: policy.unfamiliar = "holdd": it is not one of "hold", "deny", "allow" → did you mean "hold"?',
    'sallyport.toml:9:22: policy.allowed_ports[1] = 70000: it is more than 65535 → write a list of port numbers from 1 to 65535',
    'sallyport.toml:10:35: policy.allowed_domains[1] = "https://example.com/": it is a URL; a pattern has no scheme and no path → write example.com',
    'sallyport.toml:12:25: policy.denied_domains_files[0] = "nowhere.txt": there is no such file → check the path',
    'sallyport.toml:14:1: hold.wait = "11m": it is more than 10m → write a duration from 0s to 10m, such as "25s"',
    'sallyport.toml:15:1: hold.total = "many": it is a text → write a whole number from 1 to 1000000',
    'sallyport.toml:17:1: telemetry.headers: there is no such setting → did you mean headers_file?',
    'SALLYPORT_HOLD_WAT: there is no such setting → did you mean SALLYPORT_HOLD_WAIT?',
    'SALLYPORT_LIMITS_FIELDS: limits.fields = "x": it is a text → write a whole number from 10 to 10000',
  ])
})

test('CFG-31 a setting that is wrong does not make others look wrong', async () => {
  await using folder = await createConfigFolder()
  const result = await folder.load('[proxy]\nlisten = "0.0.0.0:1"\nallow_non_loopback = "yes"\n')
  expect(problemsOf(result).map(({ field }) => field)).toEqual(['proxy.allow_non_loopback'])
})

test('CFG-32 a section that is not a section is told, and its settings keep their defaults', async () => {
  await using folder = await createConfigFolder()
  const result = await folder.load('hold = "25s"\n[[policy]]\nunfamiliar = "deny"\n', {
    SALLYPORT_HOLD_WAIT: '1s',
  })
  expect(problemsOf(result).map(({ field, line }) => [field, line])).toEqual([
    ['hold', 1],
    ['policy', 2],
  ])
})

test('CFG-33 a file that is missing, a folder, a FIFO, empty, too long, or not UTF-8 is refused with the reason', async () => {
  await using folder = await createConfigFolder()
  await mkdir(folder.path('dir.toml'))
  execFileSync('mkfifo', [folder.path('fifo.toml')])
  await folder.write('empty.toml', '')
  await folder.write('long.toml', '#')
  await truncate(folder.path('long.toml'), 10 * 1024 ** 2 + 1)
  await folder.write('latin1.toml', Buffer.from('# one\n# ge\xe4ndert\n', 'latin1'))
  await symlink('loop.toml', folder.path('loop.toml'))
  const said = async (name: string) => {
    const problems = problemsOf(await loadConfig(folder.path(name), {}))
    expect(problems).toHaveLength(1)
    expect(problems[0]!.file).toBe(folder.path(name))
    return [problems[0]!.problem, problems[0]!.line]
  }
  expect(await said('none.toml')).toEqual(['there is no such file', 0])
  expect(await said('dir.toml')).toEqual(['it is a folder', 0])
  expect(await said('fifo.toml')).toEqual(['it is not a regular file', 0])
  expect(await said('empty.toml')).toEqual(['it is empty', 0])
  expect(await said('long.toml')).toEqual(['it is longer than 10 MiB', 0])
  expect(await said('latin1.toml')).toEqual(['it is not UTF-8', 2])
  expect(await said('loop.toml')).toEqual(['its symbolic links lead in a circle', 0])
  expect(await said('none.toml/x')).toEqual(['there is no such file', 0])
  expect(await said('empty.toml/x')).toEqual(['a part of the path is not a folder', 0])
})

test('CFG-34 a file, or a list, that anybody may write to is refused', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '[policy]\ndenied_domains_files = ["list.txt"]\n')
  await folder.write('list.txt', 'example.net\n')
  expect((await loadConfig(folder.file, {})).kind).toBe('ok')
  await chmod(folder.path('list.txt'), 0o666)
  expect(problemsOf(await loadConfig(folder.file, {}))).toMatchObject([
    { line: 2, field: 'policy.denied_domains_files[0]', problem: 'anybody on this machine may change it' },
  ])
  await chmod(folder.file, 0o602)
  expect(problemsOf(await loadConfig(folder.file, {}))).toMatchObject([
    { line: 0, problem: 'anybody on this machine may change it', remedy: 'take that away: chmod o-w' },
  ])
})

test.runIf(process.geteuid?.() === 0)('CFG-35 a file of another user is loaded with a warning', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '# nothing\n')
  await chown(folder.file, 12_345, 0)
  const { snapshot } = loaded(await loadConfig(folder.file, {}))
  expect(snapshot.warnings).toMatchObject([{ problem: expect.stringContaining('uid 12345') }])
})

test('CFG-36 a file behind symbolic links is read, as Kubernetes mounts it', async () => {
  await using folder = await createConfigFolder()
  await folder.write('..1/sallyport.toml', '[policy]\nunfamiliar = "deny"\n')
  await symlink('..1', folder.path('..data'))
  await symlink('..data/sallyport.toml', folder.file)
  expect(loaded(await loadConfig(folder.file, {})).snapshot.settings.policy.unfamiliar).toBe('deny')
})

test('CFG-37 without a file there are the defaults and the environment', async () => {
  await using folder = await createConfigFolder()
  const { snapshot, files } = loaded(
    await loadConfig(undefined, { SALLYPORT_POLICY_UNFAMILIAR: 'deny' }, { cwd: folder.dir }),
  )
  expect(snapshot.settings.policy.unfamiliar).toBe('deny')
  expect(snapshot.settings.state_dir).toBe(folder.path('var/state'))
  expect(files).toEqual([])
})

test('CFG-38 what the proxy reads is relative to the file, what it writes to state_dir, what the environment says to the working directory', async () => {
  await using folder = await createConfigFolder()
  await folder.write('etc/list.txt', 'example.net\n')
  await folder.write(
    'etc/sallyport.toml',
    'state_dir = "../state"\n[policy]\ndenied_domains_files = ["list.txt"]\n[audit]\ndir = "log"\n',
  )
  const load = (environment: Record<string, string>) =>
    loadConfig(folder.path('etc/sallyport.toml'), environment, { cwd: folder.path('work') })
  const { settings } = loaded(await load({})).snapshot
  expect(settings.state_dir).toBe(folder.path('state'))
  expect(settings.policy.denied_domains_files).toEqual([folder.path('etc/list.txt')])
  expect(settings.audit.dir).toBe(folder.path('state/log'))
  expect(settings.admin.socket).toBe(folder.path('state/admin.sock'))
  const moved = loaded(
    await load({ SALLYPORT_STATE_DIR: 'elsewhere', SALLYPORT_ADMIN_SOCKET: 'a.sock' }),
  ).snapshot
  expect(moved.settings.audit.dir).toBe(folder.path('work/elsewhere/log'))
  expect(moved.settings.admin.socket).toBe(folder.path('work/a.sock'))
})

test('CFG-39 a path that is too long for a Unix socket is refused with both lengths', async () => {
  await using folder = await createConfigFolder()
  const limit = process.platform === 'darwin' ? 103 : 107
  const fits = `/${'s'.repeat(limit - 1)}`
  expect((await folder.load(`[admin]\nsocket = "${fits}"\n`)).kind).toBe('ok')
  // Bytes count, not characters.
  const problems = problemsOf(await folder.load(`[admin]\nsocket = "${fits.slice(0, -1)}é"\n`))
  expect(problems).toMatchObject([{ line: 2, field: 'admin.socket' }])
  expect(problems[0]!.problem).toContain(`${limit + 1} bytes, and a Unix socket may have ${limit}`)
})

test('CFG-40 beyond loopback only with the switch', async () => {
  await using folder = await createConfigFolder()
  const text = (more: string) => `[proxy]\nlisten = "0.0.0.0:3128"\n${more}`
  expect(problemsOf(await folder.load(text('')))).toMatchObject([{ field: 'proxy.listen', line: 2 }])
  const { snapshot } = loaded(await folder.load(text('allow_non_loopback = true\n')))
  expect(snapshot.settings.proxy.listen).toEqual({ address: '0.0.0.0', port: 3128 })
})

test('CFG-41 the policy decides by the entries of the file, and names their lines', async () => {
  await using folder = await createConfigFolder()
  await folder.write('list.txt', '# bad hosts\nbad.example\n')
  const { snapshot } = loaded(
    await folder.load(
      '[policy]\nallowed_domains = [\n  "good.example",\n]\ndenied_domains_files = ["list.txt"]\nunfamiliar = "deny"\n',
    ),
  )
  const verdict = (host: string) =>
    decide(
      snapshot.policy,
      { authority: parseAuthority(host, 443), client: '127.0.0.1' as ClientId },
      () => undefined,
    )
  expect(verdict('good.example')).toMatchObject({
    kind: 'allow',
    rule: { text: 'good.example', source: { file: folder.file, line: 3 } },
  })
  expect(verdict('bad.example')).toMatchObject({
    kind: 'deny',
    reason: 'denied',
    rule: { source: { file: folder.path('list.txt'), line: 2 } },
  })
  expect(verdict('other.example')).toMatchObject({
    kind: 'deny',
    reason: 'not_allowed',
    rule: { list: 'unfamiliar', source: { file: folder.file, line: 6 } },
  })
  expect(verdict('good.example:22')).toMatchObject({ kind: 'deny', reason: 'port_not_allowed' })
  expect(snapshot.counts).toEqual({ allowed: 1, denied: 1 })
  expect(snapshot.files).toEqual([folder.file, folder.path('list.txt')])
})

test('CFG-42 a line of a list file that is no pattern is refused with the line of the list', async () => {
  await using folder = await createConfigFolder()
  await folder.write('list.txt', 'bad.example\nhttps://worse.example/\n')
  const problems = problemsOf(await folder.load('[policy]\ndenied_domains_files = ["list.txt"]\n'))
  expect(problems).toMatchObject([
    {
      file: folder.path('list.txt'),
      line: 2,
      field: 'policy.denied_domains_files',
      remedy: 'write worse.example',
    },
  ])
})

test('CFG-43 an entry that covers less than it seems is a warning, not a problem', async () => {
  await using folder = await createConfigFolder()
  const { snapshot } = loaded(await folder.load('[policy]\nallowed_domains = ["*.example.com"]\n'))
  expect(snapshot.warnings).toMatchObject([
    {
      file: folder.file,
      line: 2,
      column: 20,
      field: 'policy.allowed_domains[0]',
      remedy: expect.stringContaining('**.example.com'),
    },
  ])
})

test('CFG-44 the version is that of the content: comments, order and names of files do not change it, each rule does', async () => {
  await using folder = await createConfigFolder()
  await folder.write('a.txt', 'bad.example\n')
  await folder.write('b.txt', 'bad.example\n')
  await folder.write('c.txt', 'worse.example\n')
  const version = async (text: string) => {
    const { snapshot } = loaded(await folder.load(text))
    expect(snapshot.version).toMatch(/^[0-9a-f]{12}$/)
    expect(snapshot.digest.startsWith(snapshot.version)).toBe(true)
    return snapshot.version
  }
  const base = await version(
    '[policy]\nallowed_domains = ["a.example", "b.example"]\ndenied_domains_files = ["a.txt"]\n',
  )
  const same =
    '# comment\n\n[policy]\ndenied_domains_files = ["b.txt"]\nallowed_domains = ["b.example", "a.example"]\n'
  expect(await version(same)).toBe(base)
  expect(await version(`${same}[log]\nlevel = "debug"\n`)).toBe(base)
  const changed = [
    same.replace('b.txt', 'c.txt'),
    same.replace('"b.example", ', ''),
    `${same}denied_domains = ["c.example"]\n`,
    `${same}unfamiliar = "allow"\n`,
    `${same}allowed_ports = [80]\n`,
    `${same}private = [{ host = "x.example", cidr = "10.0.0.0/8", ports = [1] }]\n`,
    `${same}[tunnel]\nrequire_tls = false\n`,
    `${same}[tunnel]\nraw = ["a.example:443"]\n`,
    `${same}[hold]\nwhen_unattended = "deny"\n`,
  ]
  const versions = [base]
  for (const text of changed) versions.push(await version(text))
  expect(new Set(versions).size).toBe(versions.length)
})

test('CFG-47 where the proxy listens is never dialled, by the settings or in fact, whatever an exception says', async () => {
  await using folder = await createConfigFolder()
  await folder.write(
    'sallyport.toml',
    '[proxy]\nlisten = "127.0.0.1:3128"\n[admin]\nlisten = "127.0.0.1:3129"\n[policy]\nallowed_domains = ["127.0.0.1"]\nprivate = [{ host = "127.0.0.1", cidr = "127.0.0.0/8", ports = [3128, 3129, 5555, 5556] }]\n',
  )
  const { snapshot } = loaded(
    await loadConfig(folder.file, {}, { own: [{ address: '127.0.0.1', port: 5555 }] }),
  )
  const kind = (port: number) =>
    decide(
      snapshot.policy,
      { authority: parseAuthority(`127.0.0.1:${port}`), client: '127.0.0.1' as ClientId },
      () => undefined,
    ).kind
  expect([3128, 3129, 5555, 5556].map(kind)).toEqual(['deny', 'deny', 'deny', 'allow'])
})

const SECRET = 'hunter2'

test.each([
  ['an unknown setting', `[proxy]\npassword = "${SECRET}"\n`, {}],
  ['an unknown section', `[credentials]\ntoken = "${SECRET}"\n`, {}],
  ['a table in the place of a path', `[telemetry]\nheaders_file = { Authorization = "${SECRET}" }\n`, {}],
  ['a field in the place of a path', `[telemetry]\nheaders_file = "Authorization: Bearer ${SECRET}"\n`, {}],
  ['user information', `[telemetry]\nendpoint = "https://u:${SECRET}@otel.example"\n`, {}],
  ['a URL that is none', `[telemetry]\nendpoint = "u:${SECRET}@otel.example"\n`, {}],
  ['a line that is not TOML', `token = ${SECRET}\n`, {}],
  ['an unclosed text', `token = "${SECRET}\n`, {}],
  ['an unknown variable', '# nothing\n', { SALLYPORT_ADMIN_TOKEN: SECRET }],
])('CFG-45 the secret is not repeated in the problem about %s', async (_, text, environment) => {
  await using folder = await createConfigFolder()
  const problems = problemsOf(await folder.load(text, environment))
  expect(problems.length).toBeGreaterThan(0)
  expect(problems.map(formatProblem).join('\n')).not.toContain(SECRET)
  expect(JSON.stringify(problems)).not.toContain(SECRET)
})

test('CFG-46 what a terminal would act on is shown as an escape, and long values are cut', async () => {
  await using folder = await createConfigFolder()
  const nasty = '\\u001b[31m\\u202e' + 'x'.repeat(500)
  const lines = problemsOf(await folder.load(`[log]\nlevel = "${nasty}"\n"\\u001bkey" = 1\n`)).map(
    formatProblem,
  )
  expect(lines).toHaveLength(2)
  for (const line of lines) {
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    expect(line.length).toBeLessThan(400)
  }
})
