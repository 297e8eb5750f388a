import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'
import { SETTINGS } from '../../src/config/settings-table.ts'
import { createConfigFolder, loaded, problemsOf } from './folder.ts'

test('CFG-50 the command line wins over the environment, that over the file, that over the defaults', async () => {
  await using folder = await createConfigFolder()
  const text = '[hold]\nwait = "1s"\nper_client = 1\ntotal = 1\n'
  const environment = { SALLYPORT_HOLD_WAIT: '2s', SALLYPORT_HOLD_PER_CLIENT: '2' }
  const { snapshot } = loaded(await folder.load(text, environment, { overrides: { 'hold.wait': '3s' } }))
  expect(snapshot.settings.hold).toEqual({
    wait: 3000,
    per_client: 2,
    total: 1,
    waiters_per_approval: 1000,
    when_unattended: 'hold',
  })
  expect(snapshot.origins.get('hold.wait')).toEqual({ layer: 'command line', file: 'command line', line: 1 })
  expect(snapshot.origins.get('hold.per_client')).toEqual({
    layer: 'environment',
    file: 'SALLYPORT_HOLD_PER_CLIENT',
    line: 1,
  })
  expect(snapshot.origins.get('hold.total')).toMatchObject({ layer: 'file', file: folder.file, line: 4 })
  expect(snapshot.origins.get('hold.when_unattended')).toMatchObject({ layer: 'default' })
})

test('CFG-51 each kind of setting can be given by its variable', async () => {
  await using folder = await createConfigFolder()
  const { snapshot } = loaded(
    await folder.load('# nothing\n', {
      SALLYPORT_STATE_DIR: '/var/lib/sallyport',
      SALLYPORT_PROXY_LISTEN: '127.0.0.1:0',
      SALLYPORT_LIMITS_HEAD: '32KiB',
      SALLYPORT_LIMITS_TARGET: '4096',
      SALLYPORT_LIMITS_FIELDS: '50',
      SALLYPORT_TUNNEL_REQUIRE_TLS: 'false',
      SALLYPORT_POLICY_ALLOWED_DOMAINS: 'a.example, *.b.example ,',
      SALLYPORT_POLICY_ALLOWED_PORTS: '443,8443',
      SALLYPORT_POLICY_PRIVATE: '[{ host = "git.corp", cidr = "10.0.0.0/8", ports = [22] }]',
      SALLYPORT_TELEMETRY_RESOURCE: 'team=a,deployment.environment.name = test',
      SALLYPORT_LOG_LEVEL: 'debug',
    }),
  )
  const { settings } = snapshot
  expect(settings.state_dir).toBe('/var/lib/sallyport')
  expect(settings.proxy.listen).toEqual({ address: '127.0.0.1', port: 0 })
  expect(settings.limits).toMatchObject({ head: 32_768, target: 4096, fields: 50 })
  expect(settings.tunnel.require_tls).toBe(false)
  expect(settings.policy.allowed_domains).toEqual(['a.example', '*.b.example'])
  expect(settings.policy.allowed_ports).toEqual([443, 8443])
  expect(settings.policy.private).toEqual([{ host: 'git.corp', cidr: '10.0.0.0/8', ports: [22] }])
  expect(settings.telemetry.resource).toEqual({ team: 'a', 'deployment.environment.name': 'test' })
  expect(settings.log.level).toBe('debug')
})

test('CFG-52 every setting has a variable of its own', () => {
  const variables = SETTINGS.map((row) => row.variable)
  expect(new Set(variables).size).toBe(SETTINGS.length)
  for (const variable of variables) expect(variable).toMatch(/^SALLYPORT_[A-Z_]+$/)
  expect(variables).not.toContain('SALLYPORT_CONFIG')
})

test('CFG-53 a bad value names the variable, the setting and the remedy', async () => {
  await using folder = await createConfigFolder()
  const result = await folder.load('# nothing\n', {
    SALLYPORT_HOLD_WAIT: '25',
    SALLYPORT_POLICY_ALLOWED_PORTS: '443,https',
    SALLYPORT_POLICY_ALLOWED_DOMAINS: 'a.example,https://b.example/',
    SALLYPORT_POLICY_PRIVATE: 'git.corp',
    SALLYPORT_PROXY_ALLOW_NON_LOOPBACK: '1',
  })
  expect(problemsOf(result).map(formatProblem)).toEqual([
    'SALLYPORT_HOLD_WAIT: hold.wait = "25": it is not a duration → write a duration from 0s to 10m, such as "25s"',
    'SALLYPORT_POLICY_ALLOWED_DOMAINS: policy.allowed_domains[1] = "https://b.example/": it is a URL; a pattern has no scheme and no path → write b.example',
    'SALLYPORT_POLICY_ALLOWED_PORTS: policy.allowed_ports[1] = "https": it is a text → write a list of port numbers from 1 to 65535',
    'SALLYPORT_POLICY_PRIVATE: policy.private = "git.corp": it is a text → write a list of tables such as { host = "git.corp.example", cidr = "10.1.2.0/24", ports = [443] }',
    'SALLYPORT_PROXY_ALLOW_NON_LOOPBACK: proxy.allow_non_loopback = "1": it is a text → write true or false',
  ])
})

test('CFG-54 an empty variable is unset, so that it never empties a deny list', async () => {
  await using folder = await createConfigFolder()
  const { snapshot } = loaded(
    await folder.load('[policy]\ndenied_domains = ["bad.example"]\n', {
      SALLYPORT_POLICY_DENIED_DOMAINS: '',
      SALLYPORT_NO_SUCH_SETTING: '',
    }),
  )
  expect(snapshot.settings.policy.denied_domains).toEqual(['bad.example'])
})

test('CFG-55 variables of other programs, the path of the file, and those that Kubernetes gives for Services are left alone', async () => {
  await using folder = await createConfigFolder()
  const { snapshot } = loaded(
    await folder.load('# nothing\n', {
      PATH: '/bin',
      sallyport_proxy_listen: '0.0.0.0:1',
      SALLYPORT_CONFIG: folder.file,
      SALLYPORT_SERVICE_HOST: '10.0.0.1',
      SALLYPORT_SERVICE_PORT: '3128',
      SALLYPORT_SERVICE_PORT_HTTP: '3128',
      SALLYPORT_PORT: 'tcp://10.0.0.1:3128',
      SALLYPORT_PORT_3128_TCP: 'tcp://10.0.0.1:3128',
      SALLYPORT_PORT_3128_TCP_ADDR: '10.0.0.1',
      SALLYPORT_PROXY_SERVICE_HOST: '10.0.0.1',
      SALLYPORT_PROXY_PORT: 'tcp://10.0.0.1:3128',
    }),
  )
  expect([...snapshot.origins.values()].every(({ layer }) => layer === 'default')).toBe(true)
  const typing = await folder.load('# nothing\n', { SALLYPORT_PROXY_PORT: '3128' })
  expect(problemsOf(typing)).toMatchObject([
    { file: 'SALLYPORT_PROXY_PORT', problem: 'there is no such setting' },
  ])
})

test('CFG-56 an unknown setting of the command line is refused with what was meant', async () => {
  await using folder = await createConfigFolder()
  await folder.write('sallyport.toml', '# nothing\n')
  const result = await loadConfig(
    folder.file,
    {},
    { overrides: { 'proxy.listn': '127.0.0.1:0', 'hold.wait': 'x' } },
  )
  expect(problemsOf(result).map(formatProblem)).toEqual([
    'command line: proxy.listn: there is no such setting → did you mean proxy.listen?',
    'command line: hold.wait = "x": it is not a duration → write a duration from 0s to 10m, such as "25s"',
  ])
})
