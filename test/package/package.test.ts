// What is published, as a user gets it: packed, installed into an empty folder, started, asked, stopped.

import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run, start } from './command.ts'
import { checkout, type LocalRegistry, startLocalRegistry } from './registry.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
}

let dir: string
let registry: LocalRegistry
let own: Manifest
let tarball: string

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sallyport-package-'))
  registry = await startLocalRegistry()
  own = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as Manifest
  const built = join(dir, 'package')
  // Types are checked before the tests run; here that would take most of the time.
  const build = await run(process.execPath, [join(checkout, 'bin/build.js'), '--no-check', built], {
    cwd: dir,
  })
  expect(build).toMatchObject({ code: 0, stderr: '' })
  const pack = await run('npm', ['pack', built], { cwd: dir, env: npm() })
  expect(pack.code, pack.stderr).toBe(0)
  tarball = join(dir, pack.stdout.trim())
  await rm(built, { recursive: true }) // what runs below is what was installed, and nothing else
  await mkdir(join(dir, 'user'))
  await writeFile(join(dir, 'user/package.json'), '{"private":true}')
  const install = await run('npm', ['install', tarball], { cwd: join(dir, 'user'), env: npm() })
  expect(install.code, install.stderr).toBe(0)
}, 120_000)

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

/** Settings of an npm that knows the registry of this test and no other. */
function npm(): Record<string, string> {
  return {
    npm_config_registry: registry.url,
    npm_config_cache: join(dir, 'cache'),
    npm_config_userconfig: join(dir, 'no-npmrc'),
    npm_config_globalconfig: join(dir, 'no-npmrc-either'),
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
  }
}

/** Runs the installed command in the user's folder. */
const sallyport = (...args: string[]) => run('node_modules/.bin/sallyport', args, { cwd: join(dir, 'user') })

test('PKG-01 the package holds JavaScript, the executable, the shipped configuration and papers, and nothing else', async () => {
  const list = await run('tar', ['-tzf', tarball], { cwd: dir })
  const files = list.stdout.trim().split('\n').toSorted()
  const others = files.filter((path) => !/^package\/dist\/[a-z0-9/-]+\.js$/.test(path))
  expect(others.filter((path) => path !== 'package/README.md')).toEqual([
    'package/LICENSE',
    'package/bin/sallyport.js',
    'package/config/sallyport.schema.json',
    'package/config/sallyport.toml',
    'package/package.json',
  ])
  const sources = await readdir(join(checkout, 'src'), { recursive: true })
  expect(files.length - others.length).toBe(sources.filter((path) => path.endsWith('.ts')).length)
})

test('PKG-02 its manifest asks for the dependencies of the checkout, and for no other Node, no tools and no scripts', async () => {
  const manifest = JSON.parse(
    await readFile(join(dir, 'user/node_modules/sallyport/package.json'), 'utf8'),
  ) as object
  expect(Object.keys(manifest).toSorted()).toEqual(
    ['bin', 'dependencies', 'description', 'engines', 'license', 'name', 'type', 'version'].toSorted(),
  )
  expect(manifest).toMatchObject({ version: own.version, dependencies: own.dependencies })
})

test('PKG-03 an installation asks the registry for what the daemon runs on, and for nothing that it does not have', async () => {
  expect([...registry.refused]).toEqual([])
  expect([...registry.served]).toEqual(expect.arrayContaining(Object.keys(own.dependencies)))
  const folder = join(dir, 'user/node_modules')
  expect(await readdir(folder)).not.toContain('typescript')
  expect((await readdir(folder)).filter((name) => /^node-(bin-)?(linux|darwin)/.test(name))).toEqual([])
  expect((await stat(join(folder, '.bin/sallyport'))).mode & 0o111).toBe(0o111)
})

test('PKG-04 npx runs the installed command', async () => {
  const version = await run('npx', ['--no', '--', 'sallyport', '--version'], {
    cwd: join(dir, 'user'),
    env: npm(),
  })
  expect(version).toMatchObject({ code: 0, stdout: `${own.version}\n`, stderr: '' })
})

test('PKG-05 the shipped configuration is in the package and good', async () => {
  const check = await sallyport('config', 'check', 'node_modules/sallyport/config/sallyport.toml')
  expect(check).toMatchObject({ code: 0, stderr: '' })
  const schema = await sallyport('config', 'schema')
  const shipped = join(dir, 'user/node_modules/sallyport/config/sallyport.schema.json')
  expect(JSON.parse(schema.stdout)).toEqual(JSON.parse(await readFile(shipped, 'utf8')))
})

test('PKG-06 it serves without any configuration file, answers healthcheck, and ends in order; then healthcheck fails', async () => {
  const daemon = start('node_modules/.bin/sallyport', ['serve', '--set', 'proxy.listen=127.0.0.1:0'], {
    cwd: join(dir, 'user'),
  })
  try {
    expect(await daemon.says(/HTTPS_PROXY=http:\/\/127\.0\.0\.1:[1-9]/)).toContain(`sallyport ${own.version}`)
    expect(await sallyport('healthcheck')).toMatchObject({ code: 0, stderr: '' })
  } finally {
    daemon.process.kill('SIGTERM')
  }
  const { code, stderr } = await daemon.ended
  expect(code, stderr).toBe(0)
  expect(stderr).not.toMatch(/experimental|warning/i)
  const after = await sallyport('healthcheck')
  expect(after).toMatchObject({ code: 4, stdout: '' })
  expect(after.stderr).toMatch(/admin\.sock/)
})

test('PKG-07 packing the checkout itself is refused, with what to do instead', async () => {
  const pack = await run('npm', ['pack', '--dry-run', checkout], { cwd: dir, env: npm() })
  expect(pack.code).toBe(1)
  expect(pack.stderr).toContain('npm pack ./dist/package')
})

test('PKG-08 a build never removes a folder that it did not make', async () => {
  const precious = join(dir, 'precious')
  await mkdir(precious)
  await writeFile(join(precious, 'thesis.txt'), 'years of work')
  const build = await run(process.execPath, [join(checkout, 'bin/build.js'), precious], { cwd: dir })
  expect(build.code).toBe(1)
  expect(build.stderr).toContain(precious)
  expect(await readFile(join(precious, 'thesis.txt'), 'utf8')).toBe('years of work')
})
