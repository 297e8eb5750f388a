import { ProxyAgent, request } from 'undici'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Certificate, makeCertificate } from '../kit/certificate.ts'
import { type Ended, plainEnvironment, runChild } from '../kit/child.ts'
import { type ContentOrigin, startContentOrigin } from '../kit/content-origin.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { type Served, startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let certificate: Certificate
let dns: DnsServer
let plain: ContentOrigin
let secure: ContentOrigin
let proxy: Served

beforeAll(async () => {
  certificate = await makeCertificate('ok.test')
  dns = await startDns({ '*.test': ['127.0.0.1'] })
  plain = await startContentOrigin()
  secure = await startContentOrigin({ tls: certificate })
  proxy = await startServed({
    config: policyFor({
      dns: dns.address,
      ports: [plain.port, secure.port],
    }),
  })
})

afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  await secure[Symbol.asyncDispose]()
  await plain[Symbol.asyncDispose]()
  await dns[Symbol.asyncDispose]()
  await certificate[Symbol.asyncDispose]()
})

/** Another Node, with the environment that the banner tells to export. */
function node(script: string): Promise<Ended> {
  return runChild(process.execPath, ['--input-type=module', '-e', script], {
    env: plainEnvironment({
      HTTP_PROXY: proxy.url,
      HTTPS_PROXY: proxy.url,
      NO_PROXY: 'localhost,127.0.0.1,::1',
      NODE_USE_ENV_PROXY: '1',
      NODE_EXTRA_CA_CERTS: certificate.certFile,
    }),
  })
}

test("E2E-90 Node's own fetch reaches http and https URLs, and its http and https modules do", async () => {
  const urls = [`http://ok.test:${plain.port}/fetch`, `https://ok.test:${secure.port}/fetch`]
  const fetched = await node(`
    for (const url of ${JSON.stringify(urls)}) process.stdout.write(await (await fetch(url)).text())
    const { get } = await import('node:http'), tls = await import('node:https')
    for (const [ask, url] of [[get, '${urls[0]}2'], [tls.get, '${urls[1]}2']])
      await new Promise((done, failed) => ask(url, (response) => response.on('end', done).pipe(process.stdout, { end: false })).on('error', failed))
  `)
  expect(fetched).toMatchObject({ code: 0, stderr: '' })
  expect(fetched.stdout).toBe(
    [
      `GET ok.test:${plain.port}/fetch`,
      `GET ok.test:${secure.port}/fetch`,
      `GET ok.test:${plain.port}/fetch2`,
      `GET ok.test:${secure.port}/fetch2`,
      '',
    ].join('\n'),
  )
  const denied = await node(`
    try { await fetch('https://denied.test:${secure.port}/') } catch (error) { console.log(error.message, String(error.cause)) }
    const tls = await import('node:https')
    tls.get('https://denied.test:${secure.port}/').on('error', (error) => console.log(error.code, error.message))
  `)
  expect(denied.code).toBe(0)
  expect(denied.stdout).toMatch(/fetch failed/)
  expect(denied.stdout).toMatch(/ERR_PROXY_TUNNEL.*403 Blocked by policy: denied \(req [0-9a-z]{12}\)/)

  // Older ones send CONNECT for http URLs too, and plain HTTP inside: undici still can.
  const agent = new ProxyAgent({ uri: proxy.url, proxyTunnel: true })
  const tunnelled = await request(`${urls[0]}3`, { dispatcher: agent })
  expect(await tunnelled.body.text()).toBe(`GET ok.test:${plain.port}/fetch3\n`)
  await agent.close()

  expect((await proxy.stop()).code).toBe(0)
  const decisions = (await proxy.record()).filter(({ event }) => event === 'sallyport.egress.decision')
  const told = decisions.map(({ attributes }) => [
    attributes['http.request.method'],
    attributes['server.address'],
    attributes['server.port'],
    attributes['sallyport.decision'],
  ])
  expect(told).toEqual([
    [expect.stringMatching(/^(?:GET|CONNECT)$/), 'ok.test', plain.port, 'allow'],
    ['CONNECT', 'ok.test', secure.port, 'allow'],
    ['GET', 'ok.test', plain.port, 'allow'],
    ['CONNECT', 'ok.test', secure.port, 'allow'],
    ['CONNECT', 'denied.test', secure.port, 'deny'],
    ['CONNECT', 'denied.test', secure.port, 'deny'],
    ['CONNECT', 'ok.test', plain.port, 'allow'],
  ])
  expect(plain.seen.map(({ url }) => url)).toEqual(['/fetch', '/fetch2', '/fetch3'])
  expect(plain.seen.at(-1)!.headers).not.toHaveProperty('via')
})
