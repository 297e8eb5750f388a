import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Child, plainEnvironment, startChild } from '../kit/child.ts'
import { type ContentOrigin, startContentOrigin } from '../kit/content-origin.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { SALLYPORT, type Served, startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let dns: DnsServer
let origin: ContentOrigin
let proxy: Served

beforeAll(async () => {
  dns = await startDns({ '*.test': ['127.0.0.1'] })
  origin = await startContentOrigin()
  proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [origin.port] }) })
})

afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  await origin[Symbol.asyncDispose]()
  await dns[Symbol.asyncDispose]()
})

/** `approvals watch` on a pseudo-terminal of `script`, 120 columns wide; what is typed are its keys. */
function watchOnTerminal(daemon: Served): Child {
  const watch = `'${process.execPath}' '${SALLYPORT}' approvals watch --by ada --config '${daemon.configFile}'`
  const command = `stty cols 120 rows 30; exec ${watch}`
  const args =
    process.platform === 'linux' ? ['-qefc', command, '/dev/null'] : ['-q', '/dev/null', 'sh', '-c', command]
  return startChild('script', args, { env: plainEnvironment({ TERM: 'xterm-256color', SHELL: '/bin/sh' }) })
}

const ask = (host: string): Child =>
  startChild(
    'curl',
    ['-q', '-sS', '-i', '-m', '100', '-x', proxy.url, `http://${host}:${origin.port}/${host}`],
    {
      stdin: '',
    },
  )

test('E2E-40 on a terminal a key lets a waiting curl go on, another one refuses the next, and q puts the screen back', async () => {
  await using watch = watchOnTerminal(proxy)
  await watch.until('stdout', /nothing waits for an approval/)
  await using first = ask('first.test')
  await watch.until('stdout', /1 open[^]*first\.test:\d+ +1 waiting/)
  // The bell rings for a new one.
  expect(watch.stdout).toContain('\u0007')
  watch.type('a')
  const through = await first.ended
  expect(through.stdout).toMatch(/^HTTP\/1\.1 200 OK/)
  await watch.until('stdout', /allowed first\.test:\d+: 1 waiting request answered; not remembered/)

  await using second = ask('second.test')
  await watch.until('stdout', /second\.test:\d+ +1 waiting/)
  watch.type('d')
  const refused = await second.ended
  expect(refused.stdout).toMatch(/^HTTP\/1\.1 403 Blocked by reviewer: approval_denied/)
  await watch.until('stdout', /denied second\.test/)

  watch.type('q')
  const ended = await watch.ended
  expect(ended.code).toBe(0)
  // The cursor is back, and so is the screen that was there before.
  expect(ended.stdout).toMatch(/\[\?25h.\[\?1049l\s*$/)
  expect(origin.seen.map(({ url }) => url)).toEqual(['/first.test'])
})

test('E2E-41 the arrows choose which one is answered, h remembers the answer for an hour, and ctrl-c ends the watch', async () => {
  await using watch = watchOnTerminal(proxy)
  await watch.until('stdout', /nothing waits for an approval/)
  await using upper = ask('upper.test')
  await watch.until('stdout', /upper\.test:\d+ +1 waiting/)
  await using lower = ask('lower.test')
  await watch.until('stdout', /2 open[^]*lower\.test:\d+ +1 waiting/)
  watch.type('\u001b[B')
  await watch.until('stdout', /› [0-9a-z]{8} +lower\.test/)
  watch.type('h')
  expect((await lower.ended).stdout).toMatch(/^HTTP\/1\.1 200 OK/)
  await watch.until('stdout', /allowed lower\.test:\d+: 1 waiting request answered; remembered as/)
  expect(upper.stdout).toBe('')
  watch.type('\u0003')
  const ended = await watch.ended
  expect(ended.stdout).toMatch(/\[\?25h.\[\?1049l\s*$/)
  const grants = await proxy.cli('approvals', 'grants')
  expect(grants.stdout).toMatch(/allow +lower\.test:\d+ .*ada via socket/)
  expect(grants.stdout).not.toContain('upper.test')
  const { id } = await proxy.held('upper.test')
  expect((await proxy.cli('approvals', 'deny', id)).code).toBe(0)
})

test('E2E-42 when the daemon ends, the watch puts the screen back and says so', async () => {
  await using other = await startServed()
  await using watch = watchOnTerminal(other)
  await watch.until('stdout', /nothing waits for an approval/)
  await other.stop()
  const ended = await watch.ended
  expect(ended.code).toBe(4)
  expect(ended.stdout).toMatch(/\[\?1049l[^]*the daemon at .* ended the stream/)
})

test('E2E-43 when the one that was chosen is answered elsewhere, the next key does not answer its neighbour', async () => {
  await using watch = watchOnTerminal(proxy)
  await watch.until('stdout', /nothing waits for an approval/)
  await using upper = ask('gone.test')
  const { id } = await proxy.held('gone.test')
  await watch.until('stdout', /› [0-9a-z]{8} +gone\.test/)
  await using lower = ask('neighbour.test')
  await watch.until('stdout', /2 open[^]*neighbour\.test:\d+ +1 waiting/)
  await proxy.cli('approvals', 'deny', id)
  await upper.ended
  await watch.until('stdout', /› [0-9a-z]{8} +neighbour\.test/)
  watch.type('a')
  await watch.until('stdout', /the one that was chosen is gone: press again to answer this one/)
  expect(lower.stdout).toBe('')
  expect((await proxy.held('neighbour.test')).waiting).toBe(1)
  watch.type('a')
  expect((await lower.ended).stdout).toMatch(/^HTTP\/1\.1 200 OK/)
})

test('E2E-44 a watch in a pipe whose daemon is killed ends with a sentence and exit code 4', async () => {
  await using other = await startServed()
  await using watch = startChild(process.execPath, [
    SALLYPORT,
    'approvals',
    'watch',
    '--json',
    '--config',
    other.configFile,
  ])
  await watch.until('stdout', /"event":"snapshot"/)
  await other.murder()
  const ended = await watch.ended
  expect(ended.code).toBe(4)
  expect(ended.stderr).toMatch(/^sallyport: the daemon at .*admin\.sock broke off; was it killed\?\n$/)
})
