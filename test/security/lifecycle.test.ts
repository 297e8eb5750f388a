// Requirement 58: kill -9, restart and reload under load, with real processes.
import { expect, test, vi } from 'vitest'
import { startContentOrigin } from '../kit/content-origin.ts'
import { startDns } from '../kit/dns.ts'
import { readReply } from '../kit/http-reply.ts'
import { rawClient } from '../kit/raw-client.ts'
import { type Served, startServed } from '../kit/served.ts'
import { policyFor } from '../e2e/policy.ts'

vi.setConfig({ testTimeout: 120_000 })

const CLIENTS = 8

/** Clients that ask one thing after the other until the connection ends; collects the ids of what was answered. */
function startLoad(proxy: Served, port: number, more: () => boolean) {
  const answered = new Set<string>()
  const failed: string[] = []
  const done = Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      await using client = await rawClient(proxy.port)
      for (let i = 0; more(); i++) {
        client.write(`GET http://ok.test:${port}/${i} HTTP/1.1\r\nHost: ok.test\r\n\r\n`)
        const reply = await readReply(client).catch(() => undefined)
        if (reply === undefined) return
        if (reply.status === 200) answered.add(reply.content)
        else failed.push(`${reply.status} ${reply.reason}`)
      }
    }),
  )
  return { answered, failed, done }
}

test('SEC-58a kill -9 in the middle of traffic: what was answered is in the record, no line is torn, grants and open approvals are in force again', async () => {
  await using dns = await startDns({ '*.test': ['127.0.0.1'] })
  let served = 0
  await using origin = await startContentOrigin({
    serve: (request, response) => response.end(`${served++} ${request.url}`),
  })
  await using proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [origin.port] }) })

  await using asker = await rawClient(proxy.port)
  asker.write(`GET http://kept.test:${origin.port}/ HTTP/1.1\r\nHost: kept.test\r\n\r\n`)
  const { id } = await proxy.held('kept.test')
  expect((await proxy.cli('approvals', 'allow', id, '--for', '1h')).code).toBe(0)
  expect((await readReply(asker)).status).toBe(200)
  await using patient = await rawClient(proxy.port)
  patient.write(`GET http://open.test:${origin.port}/ HTTP/1.1\r\nHost: open.test\r\n\r\n`)
  await proxy.held('open.test')

  let answered = 0
  for (let round = 0; round < 3; round++) {
    const load = startLoad(proxy, origin.port, () => true)
    while (load.answered.size < 200) await new Promise(setImmediate)
    await proxy.murder()
    await load.done
    expect(load.failed).toEqual([])
    answered += load.answered.size
    await proxy.again()
  }
  const { stdout } = await proxy.cli('approvals', '--json')
  expect(stdout).toContain('open.test')
  await using retry = await rawClient(proxy.port)
  retry.write(`GET http://kept.test:${origin.port}/ HTTP/1.1\r\nHost: kept.test\r\n\r\n`)
  expect((await readReply(retry)).status).toBe(200)

  expect((await proxy.stop()).code).toBe(0)
  const decided = (await proxy.record()).filter(
    ({ event, attributes }) =>
      event === 'sallyport.egress.decision' && attributes['server.address'] === 'ok.test',
  )
  const ids = new Set(decided.map(({ attributes }) => attributes['sallyport.request.id']))
  expect(ids.size).toBe(decided.length)
  // What the origin was asked was decided before; a few decisions had not been carried out when the end came.
  expect(decided.length).toBeGreaterThanOrEqual(answered)
  expect(decided.length).toBeLessThanOrEqual(served + 3 * CLIENTS)
  expect(served - 2).toBeLessThanOrEqual(decided.length)
})

test('SEC-58b a policy that is swapped again and again under load fails no request', async () => {
  await using dns = await startDns({ '*.test': ['127.0.0.1'] })
  await using origin = await startContentOrigin({ serve: (_, response) => response.end('ok') })
  const config = (more: string) =>
    policyFor({ dns: dns.address, ports: [origin.port], allowed: ['ok.test', more] })
  await using proxy = await startServed({ config: config('more0.test') })
  let swapping = true
  const load = startLoad(proxy, origin.port, () => swapping)
  for (let i = 1; i <= 7; i++) {
    await proxy.writeConfig(config(`more${i}.test`))
    const { code, stdout, stderr } = await proxy.cli('reload')
    expect(code, stdout + stderr).toBe(0)
  }
  swapping = false
  await load.done
  expect(load.failed).toEqual([])
  expect((await proxy.stop()).code).toBe(0)
  const record = await proxy.record()
  const versions = new Set(
    record
      .filter(({ event }) => event === 'sallyport.egress.decision')
      .map(({ attributes }) => attributes['security_rule.version']),
  )
  expect(versions.size, 'requests were decided by many of the policies').toBeGreaterThan(3)
})
