import { readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Child, plainEnvironment, startChild } from '../kit/child.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { startHttpOrigin } from '../kit/origin.ts'
import { rawClient } from '../kit/raw-client.ts'
import { SALLYPORT, sallyport, type Served, startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let dns: DnsServer
let proxy: Served

beforeAll(async () => {
  dns = await startDns({ '*.test': ['127.0.0.1'] })
  proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [8080] }) })
})

afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  await dns[Symbol.asyncDispose]()
})

const watch = (...more: string[]): Child =>
  startChild(process.execPath, [SALLYPORT, 'approvals', 'watch', '--config', proxy.configFile, ...more])

test('E2E-60 every command says what it is for, what can be said, and shows examples that name itself', async () => {
  const commands = [
    'serve',
    'approvals',
    'approvals list',
    'approvals watch',
    'approvals allow',
    'approvals deny',
    'approvals grants',
    'approvals revoke',
    'explain',
    'config',
    'config check',
    'config show',
    'config schema',
    'reload',
    'status',
    'healthcheck',
  ]
  const helps = await Promise.all(commands.map((name) => sallyport([...name.split(' '), '--help'])))
  helps.forEach((help, i) => {
    const name = commands[i]!
    expect(help, name).toMatchObject({ code: 0, stderr: '' })
    expect(help.stdout, name).toContain(`Usage: sallyport ${name} `)
    expect(help.stdout.split('Examples:')[1], name).toMatch(
      new RegExp(`^  (?:[A-Z_]+=\\S+ )?sallyport ${name.split(' ')[0]}`, 'm'),
    )
    expect(
      help.stdout.split('\n').every((line) => line.length <= 120),
      name,
    ).toBe(true)
  })
  const answering = helps[commands.indexOf('approvals allow')]!.stdout
  for (const option of ['--for', '--session', '--always', '--socket', '--json'])
    expect(answering).toContain(option)
})

test('E2E-61 watch in a pipe tells each change as a line, and with --json as an object', async () => {
  await using lines = watch()
  await using objects = watch('--json')
  // The snapshot is what comes first: from then on nothing is missed.
  await objects.until('stdout', /"event":"snapshot"/)
  await using client = await rawClient(proxy.port)
  client.write('CONNECT watched.test:443 HTTP/1.1\r\nUser-Agent: agent/1\r\n\r\n')
  const { id } = await proxy.held('watched.test')
  await lines.until(
    'stdout',
    new RegExp(`(?:open|opened)  ${id.slice(0, 8)}  watched\\.test:443  127\\.0\\.0\\.1  agent/1\n`),
  )
  await proxy.cli('approvals', 'deny', id)
  expect(await client.until('\r\n')).toMatch(/^HTTP\/1\.1 403 Blocked by reviewer: approval_denied/)
  await lines.until('stdout', new RegExp(`^deny  ${id.slice(0, 8)}  watched\\.test:443`, 'm'))
  await objects.until('stdout', /"change":"answered"/)
  for (const line of objects.stdout.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('event')
  for (const each of [lines, objects]) {
    each.kill('SIGINT')
    expect(await each.ended).toMatchObject({ stderr: '' })
  }
})

test('E2E-62 an id that is unknown, too short or answered already is told so, with what to do', async () => {
  await using first = await rawClient(proxy.port)
  await using second = await rawClient(proxy.port)
  first.write('CONNECT one.test:443 HTTP/1.1\r\n\r\n')
  second.write('CONNECT two.test:443 HTTP/1.1\r\n\r\n')
  const one = await proxy.held('one.test')
  const two = await proxy.held('two.test')
  const unknown = await proxy.cli('approvals', 'allow', 'zzzzzzzz')
  expect(unknown).toMatchObject({
    code: 1,
    stdout: '',
    stderr: 'sallyport: there is no approval zzzzzzzz → `sallyport approvals list --all` lists them\n',
  })
  const short = await proxy.cli('approvals', 'allow', one.id.slice(0, 3))
  expect(short.code).toBe(1)
  expect(short.stderr).toBe(
    'sallyport: id: the beginning of an id has at least 4 characters → give more of it\n',
  )
  expect((await proxy.cli('approvals', 'allow', one.id, '--for', '1h', '--by', 'ada')).code).toBe(0)
  const late = await proxy.cli('approvals', 'deny', one.id, '--by', 'bob')
  expect(late.code).toBe(1)
  expect(late.stderr).toMatch(
    /^sallyport: ada.* said allow \(for 1h\) to one\.test:443 at 20.* → to change it, revoke grant /,
  )
  const bad = await proxy.cli('approvals', 'allow', two.id, '--for', 'ever')
  expect(bad.code).toBe(1)
  expect(bad.stderr).toBe('sallyport: for: it is not a duration → write one such as 30m, 1h, 1h30m or 7d\n')
  const both = await proxy.cli('approvals', 'allow', two.id, '--for', '1h', '--always')
  expect(both.code).toBe(2)
  expect((await proxy.held('two.test')).waiting).toBe(1)
  await proxy.cli('approvals', 'deny', two.id)
  const all = JSON.parse((await proxy.cli('approvals', 'list', '--all', '--json')).stdout) as {
    approvals: { host: string; status: string; answer: { verdict: string; by: { name: string } } }[]
  }
  expect(all.approvals.find(({ host }) => host === 'one.test')).toMatchObject({
    status: 'answered',
    answer: { verdict: 'allow', by: { name: 'ada', via: 'socket' } },
  })
})

test('E2E-70 the beginning of an id that several share is told with all of them, and nothing is answered', async () => {
  await using other = await startServed({ config: '[hold]\nwait = "0s"\n' })
  await using client = await rawClient(other.port)
  client.write('CONNECT one.test:443 HTTP/1.1\r\n\r\n')
  expect(await client.until('}\n')).toMatch(/^HTTP\/1\.1 503 Approval pending/)
  client.write('CONNECT two.test:443 HTTP/1.1\r\n\r\n')
  await client.until('}\n')
  await other.stop()
  // Ids are random: that two begin alike is made here, in the store.
  const store = new DatabaseSync(join(other.stateDir, 'sallyport.db'))
  store.exec("UPDATE approvals SET id = 'same' || substr(id, 5)")
  store.close()
  await other.again()
  const ambiguous = await other.cli('approvals', 'allow', 'same')
  const { approvals } = JSON.parse((await other.cli('approvals', '--json')).stdout) as {
    approvals: { id: string; status: string }[]
  }
  expect(approvals.map(({ status }) => status)).toEqual(['open', 'open'])
  expect(ambiguous.code).toBe(1)
  expect(ambiguous.stderr).toMatch(/^sallyport: several approvals begin with same → give more of the id: /)
  for (const { id } of approvals) expect(ambiguous.stderr).toContain(id)
  expect((await other.cli('approvals', 'allow', approvals[0]!.id.slice(0, 8))).code).toBe(0)
})

test('E2E-63 what a client chose cannot draw on the terminal of the one who answers, nor forge a line', async () => {
  const hostile = Buffer.from('\u202evil\u2066 \u009b2J café', 'utf8').toString('latin1')
  await using path = await rawClient(proxy.port)
  path.write(`GET http://path.test/${hostile.replaceAll(' ', '')} HTTP/1.1\r\nHost: path.test\r\n\r\n`)
  expect(await path.until('\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  await using escape = await rawClient(proxy.port)
  escape.write('CONNECT escape.test:443 HTTP/1.1\r\nUser-Agent: a\u001b[2Jb\r\n\r\n')
  // A control character in a field value is refused by the codec (RFC 9110 §5.5).
  expect(await escape.until('\r\n')).toMatch(/^HTTP\/1\.1 400 /)
  await using wide = await rawClient(proxy.port)
  wide.write(
    `GET http://wide.test/%1b[2J%0aallow HTTP/1.1\r\nHost: wide.test\r\nUser-Agent: ${hostile}\r\n\r\n`,
  )
  await proxy.held('wide.test')
  const list = await proxy.cli('approvals')
  const json = await proxy.cli('approvals', '--json')
  await using lines = watch()
  await lines.until('stdout', /wide\.test/)
  for (const text of [list.stdout, lines.stdout, json.stdout]) {
    expect(text).toContain('wide.test')
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  }
  expect(list.stdout.split('\n').filter((line) => line.includes('wide.test'))).toHaveLength(1)
})

test('E2E-64 explain tells the decision, the rule, its file and line, by its exit code, from the daemon or the file', async () => {
  const text = await readFile(proxy.configFile, 'utf8')
  const line = (part: string) => text.split('\n').findIndex((each) => each.includes(part)) + 1
  const [allow, deny, hold, json, offline, bad] = await Promise.all([
    proxy.cli('explain', 'https://ok.test/path'),
    proxy.cli('explain', 'http://DENIED.test./x'),
    proxy.cli('explain', 'unheard.test:443'),
    proxy.cli('explain', 'https://denied.test/', '--json'),
    proxy.cli('explain', 'https://unheard.test/', '--offline'),
    proxy.cli('explain', 'http://0x7f.1/'),
  ])
  expect(allow.code).toBe(0)
  expect(allow.stdout).toMatch(/^ALLOW {2}https:\/\/ok\.test\/path {2}\(ok\.test:443\)\n/)
  expect(allow.stdout).toContain(
    `rule    allowed_domains "ok.test"  (${proxy.configFile}:${line('allowed_domains')})`,
  )
  expect(deny.code).toBe(10)
  expect(deny.stdout).toContain('reason  denied, status 403')
  expect(deny.stdout).toContain(`"denied.test"  (${proxy.configFile}:${line('denied_domains')})`)
  expect(hold.code).toBe(11)
  expect(hold.stdout).toContain(`unfamiliar "hold"  (${proxy.configFile}:${line('unfamiliar')})`)
  expect(JSON.parse(json.stdout)).toMatchObject({
    decision: 'deny',
    reason: 'denied',
    rule: { list: 'denied_domains', source: { file: proxy.configFile, line: line('denied_domains') } },
    from: 'daemon',
  })
  expect(offline.code).toBe(11)
  expect(offline.stdout).toContain('no daemon was asked')
  expect(bad.code).toBe(10)
  expect(bad.stdout).toContain('invalid_target')
  const nobody = await sallyport(['explain', 'https://ok.test/', '--socket', join(proxy.dir, 'nobody.sock')])
  expect(nobody.code).toBe(4)
})

test('E2E-65 config check, show and schema', async () => {
  const broken = join(proxy.dir, 'broken.toml')
  await writeFile(broken, '[policy]\nunfamiliar = "hold"\nunfamilar = "deny"\n')
  const [good, bad, badJson, show, schema, missing] = await Promise.all([
    sallyport(['config', 'check', proxy.configFile]),
    sallyport(['config', 'check', broken]),
    sallyport(['config', 'check', '--json', broken]),
    proxy.cli('config', 'show'),
    sallyport(['config', 'schema']),
    sallyport(['config', 'check', join(proxy.dir, 'none.toml')]),
  ])
  expect(good.code).toBe(0)
  expect(good.stdout).toMatch(/: ok, 1 domains? allowed, 1 denied, version [0-9a-f]{12}\n$/)
  expect(bad.code).toBe(3)
  expect(bad.stderr).toBe(
    `${broken}:3:1: policy.unfamilar: there is no such setting → did you mean unfamiliar?\n`,
  )
  expect(JSON.parse(badJson.stdout)).toMatchObject({ ok: false, problems: [{ file: broken, line: 3 }] })
  expect(show.stdout).toMatch(/^hold\.total +default +1000$/m)
  expect(show.stdout).toMatch(new RegExp(`^policy\\.unfamiliar +${proxy.configFile}:\\d+ +"hold"$`, 'm'))
  expect(JSON.parse(schema.stdout)).toMatchObject({ type: 'object', additionalProperties: false })
  expect(missing.code).toBe(3)
})

test('E2E-66 reload, status and healthcheck speak to the running daemon; where none runs, they say how to find one', async () => {
  const [status, health, statusJson] = await Promise.all([
    proxy.cli('status'),
    proxy.cli('healthcheck'),
    proxy.cli('status', '--json'),
  ])
  expect(status).toMatchObject({ code: 0, stderr: '' })
  expect(status.stdout).toMatch(new RegExp(`^proxy +127\\.0\\.0\\.1:${proxy.port}$`, 'm'))
  expect(status.stdout).toMatch(/^state +serving$/m)
  expect(JSON.parse(statusJson.stdout)).toMatchObject({ draining: false, proxy: [`127.0.0.1:${proxy.port}`] })
  expect(health).toMatchObject({ code: 0 })
  expect(health.stdout).toMatch(/^ok +audit /m)
  const unchanged = await proxy.cli('reload')
  expect(unchanged).toMatchObject({ code: 0, stderr: '' })
  expect(unchanged.stdout).toMatch(/^policy [0-9a-f]{12} unchanged: 1 domains allowed, 1 denied\n$/)
  const nobody = join(proxy.dir, 'nobody.sock')
  for (const command of [['status'], ['healthcheck'], ['reload'], ['approvals'], ['approvals', 'watch']]) {
    const away = await sallyport([...command, '--socket', nobody])
    expect(away.code, command.join(' ')).toBe(4)
    expect(away.stdout).toBe('')
    expect(away.stderr).toBe(
      `sallyport: no daemon answers at ${nobody} (ENOENT); start one with \`sallyport serve\`, or name another with --config or --socket\n`,
    )
  }
})

test('E2E-67 a reload of a broken file says by line what is wrong, and the daemon goes on with what it had', async () => {
  await using other = await startServed({ config: '[policy]\ndenied_domains = ["one.test"]\n' })
  await other.writeConfig('[policy]\ndenied_domains = ["one..test"]\n')
  const refused = await sallyport(['reload', '--socket', other.socket])
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain(`${other.configFile}:3:`)
  expect(refused.stderr).toContain('policy.denied_domains')
  const held = await sallyport(['explain', 'https://one.test/', '--socket', other.socket])
  expect(held.code).toBe(10)
})

test('E2E-68 the admin API by TCP: with the token of the file it answers, with another one it does not, and never through the proxy', async () => {
  await using other = await startServed({ config: '[admin]\nlisten = "127.0.0.1:0"\n' })
  const { admin } = JSON.parse((await sallyport(['status', '--json', '--socket', other.socket])).stdout) as {
    admin: string[]
  }
  const url = admin.find((each) => each.includes('127.0.0.1'))!.replace(/^(?:tcp:|http:\/\/)?/, 'http://')
  const tokenFile = join(other.stateDir, 'admin.token')
  const wrongFile = join(other.dir, 'wrong.token')
  await writeFile(wrongFile, 'not-the-token-not-the-token-not-the-token')
  const [right, wrong, none, through] = await Promise.all([
    sallyport(['status', '--admin', url, '--token-file', tokenFile]),
    sallyport(['status', '--admin', url, '--token-file', wrongFile]),
    sallyport(['status', '--admin', url]),
    new Promise<number>((resolve, reject) => {
      const asked = request(
        {
          host: '127.0.0.1',
          port: other.port,
          path: `${url}/v1/status`,
          headers: { host: new URL(url).host },
        },
        (response) => resolve(response.statusCode!),
      )
      asked.on('error', reject).end()
    }),
  ])
  expect(right.code).toBe(0)
  expect(wrong.code).toBe(1)
  expect(wrong.stderr).toMatch(/token/)
  expect(wrong.stderr).not.toContain('not-the-token')
  expect(none.code).toBe(2)
  expect(through).toBe(403)
  await using stranger = await startHttpOrigin((_, response) => response.end('<html>'))
  const [elsewhere, odd, byConfig] = await Promise.all([
    sallyport(['status', '--admin', `http://127.0.0.1:${stranger.port}`, '--token-file', wrongFile]),
    sallyport(['status', '--admin', 'ftp://127.0.0.1/', '--token-file', tokenFile]),
    sallyport(['status', '--config', other.configFile]),
  ])
  expect(elsewhere.code).toBe(4)
  expect(elsewhere.stderr).toMatch(/is no Sallyport; check --admin or --socket\n$/)
  expect(odd).toMatchObject({
    code: 2,
    stderr: 'sallyport: --admin ftp://127.0.0.1/: write it as http://127.0.0.1:3129\n',
  })
  expect(byConfig.code).toBe(0)
})

test('E2E-69 a reader that has seen enough ends the command without a complaint', async () => {
  await using shell = startChild(
    'sh',
    [
      '-c',
      `"$0" "$1" config schema | head -n 1; "$0" "$1" config show | head -n 1`,
      process.execPath,
      SALLYPORT,
    ],
    { env: plainEnvironment(), stdin: '' },
  )
  expect(await shell.ended).toMatchObject({ code: 0, stderr: '' })
})
