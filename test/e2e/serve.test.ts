import { execFileSync } from 'node:child_process'
import { appendFile, readdir, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { plainEnvironment, runChild, startChild } from '../kit/child.ts'
import { startContentOrigin } from '../kit/content-origin.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { startEchoOrigin } from '../kit/origin.ts'
import { rawClient } from '../kit/raw-client.ts'
import { readRecord, SALLYPORT, sallyport, startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let dns: DnsServer

beforeAll(async () => {
  dns = await startDns({ '*.test': ['127.0.0.1'] })
})

afterAll(() => dns[Symbol.asyncDispose]())

/** A Node that is too old, where this machine has one. */
const oldNode = (process.env['PATH'] ?? '')
  .split(delimiter)
  .concat('/usr/local/bin', '/usr/bin')
  .map((folder) => join(folder, 'node'))
  .find((file) => {
    try {
      return Number(/^v(\d+)/.exec(String(execFileSync(file, ['-v'], { stdio: 'pipe' })))?.[1]) < 24
    } catch {
      return false
    }
  })

test('E2E-01 the banner says where the proxy listens, what to export, where the socket is, and what policy does with the rest', async () => {
  await using proxy = await startServed({
    config: '[policy]\nallowed_domains = ["a.test", "b.test"]\ndenied_domains = ["**.denied.test"]\n',
  })
  const { stdout } = proxy.child
  expect(stdout).toContain(`proxy   ${proxy.url}\n`)
  expect(stdout).toContain('2 domains allowed, 1 denied; everything else waits until somebody approves it\n')
  expect(stdout).toContain(proxy.configFile)
  expect(stdout).toContain(`admin   ${proxy.socket}\n`)
  expect(stdout).toContain(`npx sallyport approvals watch --config ${proxy.configFile}\n`)
  expect(stdout).toContain(`record  ${join(proxy.stateDir, 'audit')}\n`)
  expect((await stat(proxy.socket)).mode & 0o777).toBe(0o600)
  expect((await stat(proxy.stateDir)).mode & 0o777).toBe(0o700)
  const exports = stdout.split('\n').filter((line) => line.startsWith('  export '))
  const status = "-s -o /dev/null -w '%{http_code} %{http_connect}\\n'"
  const asked = await runChild('sh', [
    '-c',
    `${exports.join('\n')}\ncurl -q ${status} http://x.denied.test/; curl -q ${status} https://x.denied.test/; echo $NODE_USE_ENV_PROXY`,
  ])
  expect(asked.stdout).toBe('403 000\n000 403\n1\n')
  expect(proxy.child.stderr).toBe('')
})

test('E2E-02 a bad configuration ends the start with exit code 3 and every problem: file, line, field, value, remedy', async () => {
  await using proxy = await startServed()
  await proxy.writeConfig(
    '[policy]\nunfamiliar = "holdd"\nallowed_ports = [80, 70000]\nallow_domains = []\n[hold]\nwait = "25"\n',
  )
  const started = await sallyport(['serve', '--config', proxy.configFile])
  expect(started.code).toBe(3)
  expect(started.stdout).toBe('')
  const [first, ...problems] = started.stderr.trimEnd().split('\n')
  expect(first).toBe('sallyport: the configuration has 4 problems:')
  expect(problems).toHaveLength(4)
  expect(problems[0]).toContain(`${proxy.configFile}:3:`)
  expect(problems[0]).toMatch(/policy\.unfamiliar = "holdd": .+ → did you mean "hold"\?/)
  expect(problems[1]).toMatch(/:4:\d+: policy\.allowed_ports\[1\] = 70000: .+ → .+65535/)
  expect(problems[2]).toMatch(/:5:\d+: policy\.allow_domains: .+ → did you mean allowed_domains\?/)
  expect(problems[3]).toMatch(/:7:\d+: hold\.wait = "25": .+ → .+"25s"/)
})

test('E2E-03 a port in use ends the start with exit code 1, the setting, and two ways out; nothing is left behind', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await using proxy = await startServed()
  await proxy.stop()
  const args = ['serve', '--config', proxy.configFile, '--set', `proxy.listen=127.0.0.1:${port}`]
  const started = await sallyport(args)
  server.close()
  expect(started).toMatchObject({ code: 1, stdout: '' })
  expect(started.stderr).toBe(
    `sallyport: proxy.listen = "127.0.0.1:${port}": another process listens there; stop it, or choose another port (0 takes any free one)\n`,
  )
  await expect(stat(proxy.socket)).rejects.toThrow('ENOENT')
})

test('E2E-04 SIGTERM lets a running download end, takes nothing new, and ends with exit code 0', async () => {
  const proceed = Promise.withResolvers<void>()
  await using origin = await startContentOrigin({
    serve(_, response) {
      response.writeHead(200, { 'Content-Length': 11 })
      response.write('begin ')
      void proceed.promise.then(() => response.end('ends.'))
    },
  })
  await using proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [origin.port] }) })
  await using client = await rawClient(proxy.port)
  client.write(`GET http://ok.test:${origin.port}/ HTTP/1.1\r\nHost: ok.test\r\n\r\n`)
  await client.until('begin ')
  proxy.child.kill('SIGTERM')
  await proxy.child.until('stderr', /shutting down: running exchanges may finish, a second signal ends them/)
  const late = await runChild('curl', ['-q', '-sS', '-x', proxy.url, `http://ok.test:${origin.port}/late`])
  expect(late.code).toBe(7)
  proceed.resolve()
  expect(await client.rest()).toBe('ends.')
  client.socket.end()
  expect(await proxy.child.ended).toMatchObject({ code: 0, signal: null })
  const names = (await proxy.record()).map(({ event }) => event)
  expect(names).toEqual([
    'sallyport.process.started',
    'sallyport.egress.decision',
    'sallyport.process.draining',
    'sallyport.egress.completed',
    'sallyport.process.stopped',
  ])
  expect(origin.seen).toHaveLength(1)
})

test('E2E-05 a second signal ends a daemon that still waits for a tunnel', async () => {
  await using origin = await startEchoOrigin()
  await using proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [origin.port] }) })
  await using client = await rawClient(proxy.port)
  client.write(`CONNECT ok.test:${origin.port} HTTP/1.1\r\n\r\nhello`)
  await client.until('hello')
  proxy.child.kill('SIGTERM')
  await proxy.child.until('stderr', /shutting down/)
  client.write('still here')
  await client.until('still here')
  proxy.child.kill('SIGTERM')
  expect((await proxy.child.ended).code).toBe(143)
  expect((await proxy.record()).map(({ event }) => event)).not.toContain('sallyport.process.stopped')
})

test('E2E-06 SIGHUP swaps the policy: a tunnel that stays permitted goes on, one that became denied is closed', async () => {
  await using origin = await startEchoOrigin()
  const policy = (allowed: string[]) => policyFor({ dns: dns.address, ports: [origin.port], allowed })
  await using proxy = await startServed({ config: policy(['stays.test', 'goes.test']) })
  await using stays = await rawClient(proxy.port)
  await using goes = await rawClient(proxy.port)
  stays.write(`CONNECT stays.test:${origin.port} HTTP/1.1\r\n\r\none`)
  goes.write(`CONNECT goes.test:${origin.port} HTTP/1.1\r\n\r\none`)
  await Promise.all([stays.until('one'), goes.until('one')])
  const changed = policy(['stays.test']).replace('"denied.test"', '"goes.test"')
  // The watch on the file would do the same on its own: the signal must not do it twice.
  await proxy.writeConfig(changed)
  proxy.child.kill('SIGHUP')
  await goes.rest().catch(() => '')
  stays.write('two')
  expect(await stays.until('two')).toBe('two')
  await using again = await rawClient(proxy.port)
  again.write(`CONNECT goes.test:${origin.port} HTTP/1.1\r\n\r\n`)
  expect(await again.until('\r\n')).toContain('403 Blocked by policy: denied')
  stays.socket.end()
  await stays.rest()
  expect((await proxy.stop()).code).toBe(0)
  const record = await proxy.record()
  const swaps = record.filter(({ event }) => event === 'sallyport.policy.changed')
  expect(swaps[0]!.attributes).toMatchObject({
    'sallyport.policy.outcome': 'adopted',
    'sallyport.policy.denied_count': 1,
  })
  const ends = record.filter(({ event }) => event === 'sallyport.egress.completed')
  expect(
    ends.find(({ attributes }) => attributes['server.address'] === 'goes.test')!.attributes,
  ).toMatchObject({
    'error.type': 'policy_changed',
  })
  expect(
    ends.find(({ attributes }) => attributes['server.address'] === 'stays.test')!.attributes,
  ).toMatchObject({ 'sallyport.bytes.sent': 6, 'sallyport.bytes.received': 6 })
})

test('E2E-07 a saved file is taken over by itself; a broken one is refused by line and field, and the old policy stays', async () => {
  await using proxy = await startServed({ config: '[policy]\ndenied_domains = ["one.test"]\n' })
  const status = async (host: string) =>
    (
      await runChild('curl', [
        '-q',
        '-s',
        '-x',
        proxy.url,
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        `http://${host}/`,
      ])
    ).stdout
  await proxy.writeConfig('[policy]\nunfamiliar = "deny"\ndenied_domains = ["one.test", "two.test"]\n')
  await proxy.child.until('stderr', /the policy was loaded/)
  expect(await status('two.test')).toBe('403')
  await proxy.writeConfig('[policy]\nunfamiliar = "allow"\ndenied_domains = ["*"]\n')
  const [refused] = await proxy.child.until('stderr', /.*the new configuration was refused.*\n/)
  expect(refused).toContain(`${proxy.configFile}:4:`)
  expect(refused).toContain('policy.denied_domains')
  expect(await status('two.test')).toBe('403')
  expect(await status('three.test')).toBe('403')
  await proxy.writeConfig('[policy]\nunfamiliar = "deny"\ndenied_domains = [\n')
  await proxy.child.until('stderr', /refused[^]*refused/)
  expect(await status('three.test')).toBe('403')
  await proxy.stop()
  const outcomes = (await proxy.record())
    .filter(({ event }) => event === 'sallyport.policy.changed')
    .map(({ attributes }) => attributes['sallyport.policy.outcome'])
  expect(outcomes).toEqual(['adopted', 'refused', 'refused'])
})

test('E2E-08 the environment wins over the file, --set over both, and a mistake in either is told by its name', async () => {
  await using proxy = await startServed({
    config: '[policy]\nunfamiliar = "allow"\n[hold]\nwait = "1s"\n',
    env: { SALLYPORT_POLICY_UNFAMILIAR: 'deny', SALLYPORT_HOLD_WAIT: '2s' },
    args: ['--set', 'hold.wait=3s'],
  })
  expect(proxy.child.stdout).toContain('everything else is denied')
  await using file = await startServed()
  const shown = await sallyport(['config', 'show', '--json', '--config', proxy.configFile], {
    env: { SALLYPORT_POLICY_UNFAMILIAR: 'deny' },
  })
  const settings = JSON.parse(shown.stdout) as { key: string; value: unknown; origin: string }[]
  expect(settings.find(({ key }) => key === 'policy.unfamiliar')).toMatchObject({
    value: '"deny"',
    origin: 'SALLYPORT_POLICY_UNFAMILIAR',
  })
  const [bad, unknown, set] = await Promise.all([
    sallyport(['serve', '--config', file.configFile], { env: { SALLYPORT_HOLD_WAIT: '1 fortnight' } }),
    sallyport(['serve', '--config', file.configFile], { env: { SALLYPORT_HOLD_WAITS: '1s' } }),
    sallyport(['serve', '--config', file.configFile, '--set', 'hold.wiat=1s']),
  ])
  expect(bad.code).toBe(3)
  expect(bad.stderr).toMatch(/SALLYPORT_HOLD_WAIT: hold\.wait = "1 fortnight": .+ → .+/)
  expect(unknown.code).toBe(3)
  expect(unknown.stderr).toMatch(/SALLYPORT_HOLD_WAITS.*did you mean SALLYPORT_HOLD_WAIT/)
  expect(set.code).toBe(3)
  expect(set.stderr).toMatch(/command line: hold\.wiat: .+ → did you mean hold\.wait\?/)
})

test.skipIf(oldNode === undefined)(
  'E2E-09 on a Node that is too old the start is one line with the remedy',
  async () => {
    const started = await runChild(oldNode!, [SALLYPORT, 'serve'])
    expect(started.code).toBe(1)
    expect(started.stdout).toBe('')
    expect(started.stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(started.stderr).toMatch(
      /^sallyport: Node \d+\.\d+\.\d+ is too old, 24\.15 or newer is needed; .*npm start/,
    )
  },
)

test('E2E-10 two daemons cannot share a state folder: the second says who has it and leaves the first alone', async () => {
  await using proxy = await startServed()
  const second = await sallyport(['serve', '--config', proxy.configFile, '--set', 'proxy.listen=127.0.0.1:0'])
  expect(second.code).toBe(1)
  expect(second.stdout).toBe('')
  expect(second.stderr).toContain(proxy.stateDir)
  expect(second.stderr).not.toContain('please report it')
  expect((await proxy.cli('status')).code).toBe(0)
  expect((await proxy.stop()).code).toBe(0)
  expect((await proxy.record()).map(({ event }) => event)).toEqual([
    'sallyport.process.started',
    'sallyport.process.draining',
    'sallyport.process.stopped',
  ])
})

test('E2E-11 a torn last line of the record is mended and reported at the next start, not hidden', async () => {
  await using proxy = await startServed()
  await proxy.murder()
  const folder = join(proxy.stateDir, 'audit')
  const [segment] = await readdir(folder).then((names) => names.filter((name) => name.endsWith('.ndjson')))
  await appendFile(join(folder, segment!), '{"seq":2,"id":"half of a li')
  await expect(readRecord(folder)).rejects.toThrow('torn')
  await proxy.again()
  expect(proxy.child.stderr).toMatch(/the audit log was damaged/)
  await proxy.stop()
  const names = (await proxy.record()).map(({ event }) => event)
  expect(names).toContain('sallyport.audit.gap')
})

test('E2E-12 a store that is no store is told by its path and with a remedy, and is left as it is', async () => {
  await using proxy = await startServed()
  await proxy.stop()
  const store = join(proxy.stateDir, 'sallyport.db')
  await writeFile(store, 'this was a database once '.repeat(100))
  const started = await sallyport([
    'serve',
    '--config',
    proxy.configFile,
    '--set',
    'proxy.listen=127.0.0.1:0',
  ])
  expect(started.code).toBe(1)
  expect(started.stderr).toContain(store)
  expect(started.stderr).not.toContain('please report it')
  expect((await stat(store)).size).toBe(2500)
})

test('E2E-13 a warning of the configuration is told at the start, on stderr, and the daemon starts all the same', async () => {
  await using proxy = await startServed({
    config: '[policy]\nallowed_domains = ["a.test"]\ndenied_domains = ["a.test"]\n',
  })
  await proxy.child.until('stderr', /a\.test/)
  expect((await proxy.cli('healthcheck')).code).toBe(0)
})

test('E2E-14 the executable tells what does not start: an unknown command, a file that is not there', async () => {
  const [unknown, close, nowhere] = await Promise.all([
    sallyport(['sevre']),
    sallyport(['approvals', 'alow', '7kq2']),
    sallyport(['serve', '--config', '/nowhere/sallyport.toml']),
  ])
  expect(unknown.code).toBe(2)
  expect(unknown.stderr).toMatch(/unknown command 'sevre'[^]*serve/)
  expect(close.code).toBe(2)
  expect(close.stderr).toBe('sallyport: approvals alow: there is no such command → did you mean allow?\n')
  expect(nowhere.code).toBe(3)
  expect(nowhere.stderr).toContain('/nowhere/sallyport.toml: there is no such file')
  await using child = startChild(process.execPath, [SALLYPORT, '--help'], { env: plainEnvironment() })
  const help = await child.ended
  expect(help.code).toBe(0)
  for (const word of ['serve', 'approvals', 'explain', 'Examples:', 'Exit codes:', 'SALLYPORT_CONFIG'])
    expect(help.stdout).toContain(word)
})

test('E2E-15 a reload that changes nothing says so and leaves no record of a change; a setting that waits for a restart is named', async () => {
  await using proxy = await startServed({ config: '[proxy]\nname = "one"\n' })
  proxy.child.kill('SIGHUP')
  await proxy.child.until('stderr', /"the configuration was loaded: nothing has changed"/)
  await proxy.writeConfig('[proxy]\nname = "two"\n')
  const [warned] = await proxy.child.until('stderr', /.*changed settings that need a restart.*/)
  expect(JSON.parse(warned)).toMatchObject({ level: 40, settings: ['proxy.name'] })
  const reloaded = await proxy.cli('reload')
  expect([reloaded.code, reloaded.stdout]).toEqual([
    0,
    expect.stringMatching(/\nuntil the daemon is started again these keep their old values: proxy\.name\n$/),
  ])
  await proxy.stop()
  const changes = (await proxy.record()).filter(({ event }) => event === 'sallyport.policy.changed')
  // One by the file watch, one by the command: the files still say something else than what is in force.
  expect(changes).toHaveLength(2)
})
