import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Certificate, makeCertificate } from '../kit/certificate.ts'
import { type Ended, plainEnvironment, runChild, words } from '../kit/child.ts'
import { contentOf, type ContentOrigin, sha256 } from '../kit/content-origin.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { startGitOrigin } from '../kit/git-origin.ts'
import { type Served, startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let dir: string
let certificate: Certificate
let dns: DnsServer
let origin: ContentOrigin
let proxy: Served

/** git without the settings of this machine, through the daemon by the variables that its banner names. */
function git(folder: string, ...args: string[]): Promise<Ended> {
  return runChild('git', args, {
    cwd: folder,
    env: plainEnvironment({
      HOME: dir,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_SSL_CAINFO: certificate.certFile,
      HTTPS_PROXY: proxy.url,
      GIT_AUTHOR_NAME: 'Ada',
      GIT_AUTHOR_EMAIL: 'ada@example.test',
      GIT_COMMITTER_NAME: 'Ada',
      GIT_COMMITTER_EMAIL: 'ada@example.test',
    }),
  })
}

async function done(folder: string, line: string): Promise<string> {
  const ended = await git(folder, ...words(line))
  if (ended.code !== 0) throw new Error(`git ${line}: ${ended.stderr}`)
  return ended.stdout
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sallyport-git-'))
  certificate = await makeCertificate('git.test', 'denied.test')
  dns = await startDns({ 'git.test': ['127.0.0.1'], 'denied.test': ['127.0.0.1'] })
  origin = await startGitOrigin(dir, certificate)
  proxy = await startServed({
    config: policyFor({ dns: dns.address, ports: [origin.port], allowed: ['git.test'] }),
  })
  await done(dir, 'init -q --bare -b main depot.git')
  await done(join(dir, 'depot.git'), 'config http.receivepack true')
  await done(dir, 'init -q -b main seed')
  await writeFile(join(dir, 'seed', 'read.me'), 'hello\n')
  await writeFile(join(dir, 'seed', 'big.bin'), contentOf(2_000_000, 11))
  await done(join(dir, 'seed'), 'add .')
  await done(join(dir, 'seed'), 'commit -q -m first')
  await done(join(dir, 'seed'), `push -q ${join(dir, 'depot.git')} main`)
})

afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  await origin[Symbol.asyncDispose]()
  await dns[Symbol.asyncDispose]()
  await certificate[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

test('E2E-80 git clones, fetches and pushes over https through the daemon, and the record has each of its tunnels', async () => {
  const url = `https://git.test:${origin.port}/depot.git`
  const work = join(dir, 'work')
  const cloned = await git(dir, 'clone', '-q', url, work)
  expect(cloned).toMatchObject({ code: 0, stderr: '' })
  expect(await readFile(join(work, 'read.me'), 'utf8')).toBe('hello\n')
  expect(sha256(await readFile(join(work, 'big.bin')))).toBe(sha256(contentOf(2_000_000, 11)))

  // More than http.postBuffer (1 MiB) and not to be compressed: the push is chunked.
  const noise = await runChild('openssl', words(`rand -out ${join(work, 'noise.bin')} 3000000`))
  expect(noise.code).toBe(0)
  await done(work, 'add noise.bin')
  await done(work, 'commit -q -m noise')
  const pushed = await git(work, 'push', '-q', 'origin', 'main')
  expect(pushed).toMatchObject({ code: 0, stderr: '' })
  const head = await done(work, 'rev-parse HEAD')
  expect(await done(join(dir, 'depot.git'), 'rev-parse main')).toBe(head)
  await done(join(dir, 'depot.git'), 'fsck --strict')
  expect(origin.seen.some(({ headers }) => headers['transfer-encoding'] === 'chunked')).toBe(true)
  expect(await done(work, 'ls-remote origin main')).toContain(head.trim())

  const denied = await git(dir, 'clone', '-q', `https://denied.test:${origin.port}/depot.git`, 'never')
  expect(denied.code).toBe(128)
  expect(denied.stderr).toContain('CONNECT tunnel failed, response 403')

  await origin.idle()
  const connections = origin.connections
  expect((await proxy.stop()).code).toBe(0)
  const record = await proxy.record()
  const decisions = record.filter(({ event }) => event === 'sallyport.egress.decision')
  const allowed = decisions.filter(({ attributes }) => attributes['sallyport.decision'] === 'allow')
  expect(allowed).toHaveLength(connections)
  expect(decisions).toHaveLength(connections + 1)
  expect(decisions.at(-1)!.attributes).toMatchObject({
    'server.address': 'denied.test',
    'sallyport.decision': 'deny',
    'user_agent.original': expect.stringMatching(/^git\//),
  })
  const sum = (name: string) =>
    record
      .filter(({ event }) => event === 'sallyport.egress.completed')
      .reduce((all, { attributes }) => all + ((attributes[name] as number | undefined) ?? 0), 0)
  expect(sum('sallyport.bytes.sent')).toBe(origin.read)
  expect(sum('sallyport.bytes.received')).toBe(origin.written)
  expect(sum('sallyport.bytes.sent')).toBeGreaterThan(3_000_000)
})
