// What the image and the compose file say, as far as it can be judged without an engine; docker/check.sh runs them.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { checkout } from './registry.ts'

const dockerfile = await readFile(join(checkout, 'docker/Dockerfile'), 'utf8')
const config = join(checkout, 'docker/config/sallyport.toml')

/** What the shipped file comes to under the variables that the image sets. */
async function imageSnapshot() {
  const variables = [...dockerfile.matchAll(/\b(SALLYPORT_[A-Z_]+)=(\S+)/g)]
  const env = Object.fromEntries(variables.map(([, name = '', value = '']) => [name, value]))
  const loaded = await loadConfig(config, env)
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.problems))
  return loaded.snapshot
}

test('CTR-01 the configuration of the image is good with the variables of the image, listens for the network and holds the unfamiliar', async () => {
  const { settings, warnings } = await imageSnapshot()
  expect(warnings).toEqual([])
  expect(settings.proxy).toMatchObject({
    listen: { address: '0.0.0.0', port: 3128 },
    allow_non_loopback: true,
  })
  expect(settings.policy).toMatchObject({ unfamiliar: 'hold', private: [] })
  expect(settings.admin.listen).toBeUndefined()
})

test('CTR-02 the state lies in the volume, and HEALTHCHECK asks the socket that the daemon makes there', async () => {
  const { settings } = await imageSnapshot()
  const volume = /^VOLUME (\S+)$/m.exec(dockerfile)?.[1]
  expect(settings.state_dir.startsWith(`${volume}/`)).toBe(true)
  expect(settings.audit.dir.startsWith(`${volume}/`)).toBe(true)
  const healthcheck = /^HEALTHCHECK .*\n\s+CMD (\[.+\])$/m.exec(dockerfile)?.[1] ?? '[]'
  expect(JSON.parse(healthcheck)).toEqual([
    '/usr/local/bin/sallyport',
    'healthcheck',
    '--socket',
    settings.admin.socket,
  ])
})

test('CTR-03 the image runs as a user by number that is not root, and its version is that of the package', async () => {
  expect(
    /^USER (\d+):(\d+)$/m
      .exec(dockerfile)
      ?.slice(1)
      .map(Number)
      .every((id) => id > 0),
  ).toBe(true)
  const { version } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as {
    version: string
  }
  expect(/^ARG VERSION=(\S+)$/m.exec(dockerfile)?.[1]).toBe(version)
})

test('CTR-04 running exchanges may finish before an engine kills the proxy of the compose file', async () => {
  const { settings } = await imageSnapshot()
  const compose = await readFile(join(checkout, 'docker/compose.yaml'), 'utf8')
  const grace = Number(/^ {4}stop_grace_period: (\d+)s$/m.exec(compose)?.[1])
  expect(grace * 1000).toBeGreaterThan(settings.drain.timeout)
})
