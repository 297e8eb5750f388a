import { lookup } from 'node:dns/promises'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { parseIpAddress } from '../../src/core/ip-address.ts'
import { classifyAddress } from '../../src/policy/addresses.ts'
import { type Ended, runChild, words } from '../kit/child.ts'
import { startServed } from '../kit/served.ts'

vi.setConfig({ testTimeout: 120_000 })

/** Small, without dependencies, and not going away. */
const PACKAGE = 'wrappy'

/** The settings of this machine's npm (its registry, its authorities, its credentials), and what the test says beside. */
function npm(cwd: string, args: readonly string[], more: Record<string, string> = {}): Promise<Ended> {
  const env: Record<string, string | undefined> = { ...process.env, ...more }
  // What `npm test` says of its own project, and whatever would go around the daemon.
  for (const name of Object.keys(env))
    if (/^(npm_(?!config_(registry|userconfig|globalconfig|cafile|strict_ssl)$)|no_proxy$)/i.test(name))
      delete env[name]
  return runChild('npm', args, { cwd, env: { ...env, ...more } })
}

test('E2E-85 npm finds and installs a package of its own registry through the daemon, and nothing goes around it', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-npm-'))
  const asked = await npm(dir, ['config', 'get', 'registry'])
  expect(asked.code, asked.stderr).toBe(0)
  const registry = new URL(asked.stdout.trim())
  const port = Number(registry.port || (registry.protocol === 'https:' ? 443 : 80))
  const allowed = registry.port === '' ? registry.hostname : `${registry.hostname}:${registry.port}`

  // A mirror inside a company is not on the public internet: the address guard wants it named.
  const addresses = await lookup(registry.hostname, { all: true })
  const inside = addresses.filter(({ address }) => classifyAddress(parseIpAddress(address)!) !== 'public')
  const exceptions = inside.map(
    ({ address, family }) =>
      `{ host = "${registry.hostname}", cidr = "${address}/${family === 4 ? 32 : 128}", ports = [${port}] }`,
  )
  await using proxy = await startServed({
    config: `[policy]\nallowed_domains = ["${allowed}"]\nunfamiliar = "deny"\nprivate = [${exceptions.join(', ')}]\n`,
  })
  const through = {
    HTTPS_PROXY: proxy.url,
    HTTP_PROXY: proxy.url,
    https_proxy: proxy.url,
    http_proxy: proxy.url,
  }
  try {
    await writeFile(join(dir, 'package.json'), '{"name":"guest","version":"1.0.0","private":true}\n')
    const common = [
      ...words('--prefer-online --fetch-retries=0 --no-audit --no-fund --no-update-notifier --cache'),
      join(dir, 'cache'),
    ]
    const viewed = await npm(dir, ['view', PACKAGE, 'name', '--json', ...common], through)
    expect(viewed.code, viewed.stderr).toBe(0)
    expect(viewed.stdout).toContain(PACKAGE)
    const installed = await npm(dir, ['install', PACKAGE, ...common], through)
    expect(installed.code, installed.stderr).toBe(0)
    const manifest = join(dir, 'node_modules', PACKAGE, 'package.json')
    expect(JSON.parse(await readFile(manifest, 'utf8'))).toMatchObject({ name: PACKAGE })

    await proxy.writeConfig(`[policy]\ndenied_domains = ["${registry.hostname}"]\n`)
    expect((await proxy.cli('reload')).code).toBe(0)
    const refused = await npm(dir, ['view', PACKAGE, 'name', ...common], through)
    expect(refused.code).not.toBe(0)
    if (registry.protocol === 'https:') expect(refused.stderr).toMatch(/403.*Blocked by policy: denied/)

    await proxy.stop()
    const decisions = (await proxy.record()).filter(({ event }) => event === 'sallyport.egress.decision')
    const hosts = new Set(decisions.map(({ attributes }) => attributes['server.address']))
    expect([...hosts]).toEqual([registry.hostname])
    const verdicts = decisions.map(({ attributes }) => attributes['sallyport.decision'])
    // One tunnel to look, at least one to install; then the refused one, and no retry of it.
    expect(verdicts.filter((each) => each === 'allow').length).toBeGreaterThanOrEqual(2)
    expect(verdicts.filter((each) => each === 'deny')).toHaveLength(1)
    expect(verdicts.at(-1)).toBe('deny')
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
