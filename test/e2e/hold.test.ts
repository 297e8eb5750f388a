import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Child, type Ended, plainEnvironment, runChild, startChild } from '../kit/child.ts'
import { type ContentOrigin, startContentOrigin } from '../kit/content-origin.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { type RecordLine, SALLYPORT, type Served, startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let dns: DnsServer
let origin: ContentOrigin

beforeAll(async () => {
  dns = await startDns({ '*.test': ['127.0.0.1'] })
  origin = await startContentOrigin()
})

afterAll(async () => {
  await origin[Symbol.asyncDispose]()
  await dns[Symbol.asyncDispose]()
})

const serve = (more: { wait?: string; more?: string } = {}): Promise<Served> =>
  startServed({ config: policyFor({ dns: dns.address, ports: [origin.port], ...more }) })

const askArgs = (proxy: Served, host: string, ...more: string[]) => [
  '-q',
  '-sS',
  '-m',
  '100',
  '-x',
  proxy.url,
  ...more,
  `http://${host}:${origin.port}/${host}`,
]
const ask = (proxy: Served, host: string, ...more: string[]): Child =>
  startChild('curl', askArgs(proxy, host, ...more), { stdin: '' })
const askNow = (proxy: Served, host: string, ...more: string[]): Promise<Ended> =>
  runChild('curl', askArgs(proxy, host, ...more))

const dialled = (host: string) => origin.seen.filter(({ url }) => url === `/${host}`).length
const decisionsFor = (record: readonly RecordLine[], host: string) =>
  record
    .filter(
      ({ event, attributes }) =>
        event === 'sallyport.egress.decision' && attributes['server.address'] === host,
    )
    .map(({ attributes }) => attributes)

test('E2E-30 curl to an unfamiliar host waits; allowed from the command line it goes on, and its retries pass, also after kill -9', async () => {
  await using proxy = await serve()
  await using first = ask(proxy, 'new.test')
  const held = await proxy.held('new.test')
  expect(dialled('new.test')).toBe(0)
  expect(dns.questions.filter((each) => each.startsWith('new.test'))).toEqual([])
  const list = await proxy.cli('approvals')
  expect(list.code).toBe(0)
  expect(list.stdout).toMatch(
    new RegExp(
      `^ID +TARGET +STATE[^]*\\n${held.id.slice(0, 8)} +new\\.test:${origin.port} +1 waiting, \\d+ (?:s|min) left +127\\.0\\.0\\.1 `,
    ),
  )
  const answered = await proxy.cli('approvals', 'allow', held.id.slice(0, 8), '--for', '1h', '--by', 'ada')
  expect(answered).toMatchObject({ code: 0, stderr: '' })
  expect(answered.stdout).toMatch(
    new RegExp(
      `^allowed new\\.test:${origin.port}: 1 waiting request answered; remembered as [0-9a-z]{8} for new\\.test:${origin.port}, until 20`,
    ),
  )
  const through = await first.ended
  expect(through).toMatchObject({ code: 0, stdout: `GET new.test:${origin.port}/new.test\n` })
  expect(await askNow(proxy, 'new.test')).toMatchObject({ code: 0 })

  await proxy.murder()
  await proxy.again()
  expect(await askNow(proxy, 'new.test')).toMatchObject({ code: 0, stdout: through.stdout })
  const grants = await proxy.cli('approvals', 'grants')
  expect(grants.stdout).toMatch(
    new RegExp(`allow +new\\.test:${origin.port} +127\\.0\\.0\\.1 .*ada via socket`),
  )
  expect(dialled('new.test')).toBe(3)

  await proxy.stop()
  const record = await proxy.record()
  const decisions = decisionsFor(record, 'new.test')
  expect(decisions).toHaveLength(3)
  expect(new Set(decisions.map((each) => each['sallyport.request.id'])).size).toBe(3)
  for (const each of decisions)
    expect(each).toMatchObject({ 'sallyport.decision': 'allow', 'sallyport.decision.source': 'approval' })
  expect(decisions[0]!['sallyport.hold.duration_ms']).toBeGreaterThan(0)
  expect(decisions.slice(1).every((each) => each['sallyport.hold.duration_ms'] === undefined)).toBe(true)
})

test('E2E-31 denied from the command line, curl gets 403 with a reason; the next one is refused without a wait', async () => {
  await using proxy = await serve()
  await using first = ask(proxy, 'bad.test', '-i')
  const { id } = await proxy.held('bad.test')
  const answered = await proxy.cli('approvals', 'deny', id, '--note', 'not ours')
  expect(answered.stdout).toMatch(/^denied bad\.test:\d+: 1 waiting request answered; remembered as /)
  const refused = await first.ended
  expect(refused.stdout).toMatch(
    /^HTTP\/1\.1 403 Blocked by reviewer: approval_denied \(req [0-9a-z]{12}\)\r\n/,
  )
  expect(JSON.parse(refused.stdout.split('\r\n\r\n')[1]!)).toMatchObject({
    reason: 'approval_denied',
    host: 'bad.test',
    advice: expect.stringMatching(/^Do not ask again/),
  })
  const again = await askNow(proxy, 'bad.test', '-i')
  expect(again.stdout).toMatch(/^HTTP\/1\.1 403 /)
  expect(dialled('bad.test')).toBe(0)
  await proxy.stop()
  const decisions = decisionsFor(await proxy.record(), 'bad.test')
  expect(decisions.map((each) => each['sallyport.decision'])).toEqual(['deny', 'deny'])
})

test('E2E-32 many that ask for one host wait under one approval, and one answer lets them all go on', async () => {
  await using proxy = await serve()
  const waiting = Array.from({ length: 8 }, () => ask(proxy, 'many.test'))
  const { id } = await proxy.held('many.test', 8)
  const open = JSON.parse((await proxy.cli('approvals', '--json')).stdout) as {
    open: number
    waiting: number
  }
  expect(open).toMatchObject({ open: 1, waiting: 8 })
  const answered = await proxy.cli('approvals', 'allow', id)
  expect(answered.stdout).toMatch(/: 8 waiting requests answered; not remembered\n$/)
  for (const each of await Promise.all(waiting.map(({ ended }) => ended))) expect(each.code).toBe(0)
  expect(dialled('many.test')).toBe(8)
  await using next = ask(proxy, 'many.test')
  // «Once» was for those that waited: the next one asks again.
  expect((await proxy.held('many.test')).id).not.toBe(id)
  next.kill('SIGTERM')
  await next.ended
  await proxy.stop()
  const decisions = decisionsFor(await proxy.record(), 'many.test')
  expect(decisions).toHaveLength(9)
  expect(decisions.filter((each) => each['sallyport.approval.id'] === id)).toHaveLength(8)
})

test('E2E-33 after the wait curl gets 503 and when to come back; an answer given later still counts, also when the daemon was killed in between', async () => {
  await using proxy = await serve({ wait: '300ms' })
  const late = await askNow(proxy, 'late.test', '-i')
  expect(late.stdout).toMatch(
    new RegExp(`^HTTP/1\\.1 503 Approval pending for late\\.test:${origin.port}, retry in \\d+ s \\(req `),
  )
  expect(late.stdout).toMatch(/\r\nRetry-After: \d+\r\n/)
  const problem = JSON.parse(late.stdout.split('\r\n\r\n')[1]!) as { approval: { id: string; how: string } }
  await proxy.murder()
  await proxy.again()
  // What the refusal tells to type works as it stands.
  const [, id] = /^an operator runs: sallyport approvals allow ([0-9a-z]{26})$/.exec(problem.approval.how)!
  const answered = await proxy.cli('approvals', 'allow', id!)
  expect(answered).toMatchObject({ code: 0, stderr: '' })
  expect(answered.stdout).toMatch(/nobody waited; remembered as /)
  expect(await askNow(proxy, 'late.test')).toMatchObject({ code: 0 })
  // Once means once.
  const after = await askNow(proxy, 'late.test', '-o', '/dev/null', '-w', '%{http_code}')
  expect(after.stdout).toBe('503')
  expect(dialled('late.test')).toBe(1)
  await proxy.stop()
  const decisions = decisionsFor(await proxy.record(), 'late.test')
  expect(decisions.map((each) => each['sallyport.decision'])).toEqual(['hold', 'allow', 'hold'])
})

test('E2E-34 a curl that gives up while it waits leaves the approval open and one record behind, and nothing is sent', async () => {
  await using proxy = await serve()
  await using impatient = ask(proxy, 'left.test')
  await proxy.held('left.test')
  impatient.kill('SIGKILL')
  await impatient.ended
  await using watch = startChild(process.execPath, [
    SALLYPORT,
    'approvals',
    'watch',
    '--json',
    '--config',
    proxy.configFile,
  ])
  await watch.until('stdout', /"waiting":0/)
  const list = await proxy.cli('approvals')
  expect(list.stdout).toMatch(/left\.test:\d+ +open, nobody waits /)
  expect((await proxy.stop()).code).toBe(0)
  const decisions = decisionsFor(await proxy.record(), 'left.test')
  expect(decisions).toHaveLength(1)
  expect(decisions[0]).toMatchObject({
    'sallyport.decision': 'deny',
    'sallyport.decision.reason': 'client_gone',
  })
  expect(dialled('left.test')).toBe(0)
})

test('E2E-35 those that wait when the daemon is told to stop are told to retry, not left hanging', async () => {
  await using proxy = await serve()
  await using waiting = ask(proxy, 'stopped.test', '-i')
  await proxy.held('stopped.test')
  expect((await proxy.stop()).code).toBe(0)
  const told = await waiting.ended
  expect(told.stdout).toMatch(/^HTTP\/1\.1 503 Shutting down/)
  expect(decisionsFor(await proxy.record(), 'stopped.test')).toHaveLength(1)
})

test('E2E-36 a revoked grant is out of force at once', async () => {
  await using proxy = await serve()
  await using first = ask(proxy, 'back.test')
  const { id } = await proxy.held('back.test')
  const answered = await proxy.cli('approvals', 'allow', id, '--always', '--json')
  await first.ended
  const { grant } = JSON.parse(answered.stdout) as { grant: { id: string } }
  expect(await askNow(proxy, 'back.test')).toMatchObject({ code: 0 })
  const revoked = await proxy.cli('approvals', 'revoke', grant.id.slice(0, 6))
  expect(revoked).toMatchObject({ code: 0, stdout: `revoked allow for back.test:${origin.port}\n` })
  expect((await proxy.cli('approvals', 'grants')).stdout).toBe('no answer is remembered\n')
  await using next = ask(proxy, 'back.test')
  await proxy.held('back.test')
  next.kill('SIGTERM')
  await next.ended
  expect(dialled('back.test')).toBe(2)
})

test('E2E-37 kill -9 under fire: the record has no torn line and no gap, and every answered request has its decision', async () => {
  await using proxy = await serve({ more: '[audit]\nsegment_size = "64KiB"\n' })
  const answeredIds = new Set<string>()
  for (let round = 0; round < 3; round++) {
    const env = plainEnvironment()
    const urls = `http://denied.test:${origin.port}/[1-400]`
    await using fire = startChild(
      'curl',
      ['-q', '-s', '-x', proxy.url, '--parallel', '--parallel-max', '8', '-o', '/dev/null', '-D', '-', urls],
      { env, stdin: '' },
    )
    await fire.untilTimes('stdout', 'X-Request-Id: ', 40)
    await proxy.murder()
    fire.kill('SIGTERM')
    const { stdout } = await fire.ended
    for (const [, id] of stdout.matchAll(/^X-Request-Id: ([0-9a-z]{12})\r$/gm)) answeredIds.add(id!)
    await proxy.again()
  }
  await proxy.stop()
  const record = await proxy.record()
  const ids = decisionsFor(record, 'denied.test').map((each) => each['sallyport.request.id'] as string)
  expect(new Set(ids).size).toBe(ids.length)
  expect(answeredIds.size).toBeGreaterThanOrEqual(120)
  expect([...answeredIds].filter((id) => !ids.includes(id))).toEqual([])
})
