import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Certificate, makeCertificate } from '../kit/certificate.ts'
import { type Ended, runChild, words } from '../kit/child.ts'
import { contentOf, type ContentOrigin, sha256, startContentOrigin } from '../kit/content-origin.ts'
import { type DnsServer, startDns } from '../kit/dns.ts'
import { type RecordLine, type Served, startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

/** A loopback address of this run's own: port 443 is one for all who test on this machine. */
const ADDRESS_443 = `127.${1 + (process.pid & 63)}.${(process.pid >> 6) & 255}.${1 + ((process.pid >> 14) & 127)}`
const mayBind443 = await canListen(443, ADDRESS_443)

let dir: string
let certificate: Certificate
let dns: DnsServer

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sallyport-curl-'))
  certificate = await makeCertificate('ok.test', 'other.test')
  dns = await startDns({
    'ok.test': ['127.0.0.1'],
    'other.test': ['127.0.0.1'],
    'denied.test': ['127.0.0.1'],
  })
})

afterAll(async () => {
  await dns[Symbol.asyncDispose]()
  await certificate[Symbol.asyncDispose]()
  await rm(dir, { recursive: true, force: true })
})

function curl(proxy: Served, ...args: string[]): Promise<Ended> {
  return runChild('curl', ['-q', '-sS', '--cacert', certificate.certFile, '-x', proxy.url, ...args])
}

async function canListen(port: number, address: string): Promise<boolean> {
  const server = createServer()
  return await new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, address, () => server.close(() => resolve(true)))
  })
}

/** Ends the daemon and returns the record without what concerns the process itself. */
async function recordOf(proxy: Served): Promise<{ decisions: RecordLine[]; completions: RecordLine[] }> {
  const ended = await proxy.stop()
  expect(ended).toMatchObject({ code: 0, signal: null })
  const lines = await proxy.record()
  const named = (name: string) => lines.filter(({ event }) => event === name)
  return { decisions: named('sallyport.egress.decision'), completions: named('sallyport.egress.completed') }
}

const requestId = ({ attributes }: RecordLine) => attributes['sallyport.request.id']

test('E2E-50 curl reaches an https origin through a tunnel: the bytes, both ways, and what only the proxy may read', async () => {
  await using origin = await startContentOrigin({ tls: certificate })
  await using proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [origin.port] }) })
  const file = join(dir, 'tunnelled')
  const got = await curl(
    proxy,
    '--proxy-header',
    'X-For-The-Proxy: yes',
    ...words(`-U agent:secret -o ${file} -D -`),
    `https://ok.test:${origin.port}/bytes/300000/7`,
  )
  expect(got).toMatchObject({ code: 0, stderr: '' })
  expect(got.stdout).toMatch(/^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
  expect(sha256(await readFile(file))).toBe(sha256(contentOf(300_000, 7)))
  await origin.idle()
  expect(origin.seen).toHaveLength(1)
  expect(origin.seen[0]!.headers).not.toHaveProperty('x-for-the-proxy')
  expect(origin.seen[0]!.headers).not.toHaveProperty('proxy-authorization')
  const { decisions, completions } = await recordOf(proxy)
  expect(decisions).toHaveLength(1)
  expect(decisions[0]!.attributes).toMatchObject({
    'http.request.method': 'CONNECT',
    'server.address': 'ok.test',
    'server.port': origin.port,
    'sallyport.decision': 'allow',
    'user_agent.original': expect.stringMatching(/^curl\//),
  })
  expect(completions).toHaveLength(1)
  expect(completions[0]!.attributes).toMatchObject({
    'sallyport.bytes.sent': origin.read,
    'sallyport.bytes.received': origin.written,
  })
  expect(completions[0]!.attributes).not.toHaveProperty('error.type')
  expect(JSON.stringify([decisions, completions])).not.toContain('secret')
})

test('E2E-51 curl in absolute form: the host comes from the target, fields keep their order, and the proxy names itself', async () => {
  await using origin = await startContentOrigin()
  await using proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [origin.port] }) })
  const url = `http://ok.test:${origin.port}/a%2Fb/../c?q=secret`
  const got = await curl(
    proxy,
    ...words('--path-as-is -i -U agent:secret -H Host:forged.test -H x-First:1 -H X-second:2'),
    url,
  )
  expect(got).toMatchObject({ code: 0, stderr: '' })
  expect(got.stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(got.stdout).toContain(`GET ok.test:${origin.port}/a%2Fb/../c?q=secret\n`)
  const [seen] = origin.seen
  expect(seen!.headers.host).toBe(`ok.test:${origin.port}`)
  expect(seen!.headers.via).toBe('1.1 sallyport')
  expect(seen!.headers).not.toHaveProperty('proxy-authorization')
  expect(seen!.headers).not.toHaveProperty('proxy-connection')
  const names = seen!.rawHeaders.filter((_, i) => i % 2 === 0)
  expect(names.filter((name) => /^x-/i.test(name))).toEqual(['x-First', 'X-second'])
  const { decisions } = await recordOf(proxy)
  expect(decisions).toHaveLength(1)
  expect(decisions[0]!.attributes).toMatchObject({ 'url.path': '/a%2Fb/../c', 'server.address': 'ok.test' })
  expect(JSON.stringify(decisions)).not.toContain('secret')
})

test('E2E-52 curl asks for a HEAD, a range, and speaks HTTP/1.0 on both doors', async () => {
  await using plain = await startContentOrigin()
  await using secure = await startContentOrigin({ tls: certificate })
  await using proxy = await startServed({
    config: policyFor({ dns: dns.address, ports: [plain.port, secure.port] }),
  })
  const http = `http://ok.test:${plain.port}`
  const https = `https://ok.test:${secure.port}`
  const [head, range, old, oldTunnel] = await Promise.all([
    curl(proxy, '-I', `${http}/bytes/5000`),
    curl(proxy, '-r', '100-149', '-D', '-', '-o', join(dir, 'range'), `${http}/bytes/5000`),
    curl(proxy, '-0', '-i', `${http}/old`),
    runChild('curl', [
      ...words(`-q -sS -i --cacert ${certificate.certFile} --proxy1.0 127.0.0.1:${proxy.port}`),
      `${https}/older`,
    ]),
  ])
  expect(head).toMatchObject({ code: 0, stderr: '' })
  expect(head.stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\nContent-Length: 5000\r\n[^]*\r\n\r\n$/)
  expect(range).toMatchObject({ code: 0, stderr: '' })
  expect(range.stdout).toMatch(
    /^HTTP\/1\.1 206 Partial Content\r\n[^]*Content-Range: bytes 100-149\/5000\r\n/,
  )
  expect(await readFile(join(dir, 'range'))).toEqual(contentOf(5000).subarray(100, 150))
  expect(old).toMatchObject({ code: 0, stderr: '' })
  expect(old.stdout).toContain(`GET ok.test:${plain.port}/old\n`)
  expect(oldTunnel).toMatchObject({ code: 0, stderr: '' })
  expect(oldTunnel.stdout).toContain(`GET ok.test:${secure.port}/older\n`)
  const { decisions, completions } = await recordOf(proxy)
  expect(decisions).toHaveLength(4)
  expect(completions).toHaveLength(4)
})

test('E2E-53 one connection of curl carries several requests, refused ones among them, each decided by itself', async () => {
  await using origin = await startContentOrigin()
  await using proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [origin.port] }) })
  const got = await curl(
    proxy,
    '-w',
    '%{http_code} %{num_connects} %{local_port}\n',
    '-o',
    join(dir, 'keep#1'),
    `http://ok.test:${origin.port}/bytes/[1000-1002]`,
    ...words(`-o ${join(dir, 'refused')} http://denied.test:${origin.port}/`),
    ...words(`-o ${join(dir, 'after')} http://ok.test:${origin.port}/after`),
  )
  expect(got).toMatchObject({ code: 0, stderr: '' })
  const rows = got.stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
  expect(rows.map(([status, connects]) => `${status} ${connects}`)).toEqual([
    '200 1',
    '200 0',
    '200 0',
    '403 0',
    '200 0',
  ])
  expect(new Set(rows.map(([, , port]) => port)).size).toBe(1)
  expect(JSON.parse(await readFile(join(dir, 'refused'), 'utf8'))).toMatchObject({
    reason: 'denied',
    rule: 'denied_domains: denied.test',
  })
  expect(await readFile(join(dir, 'after'), 'utf8')).toBe(`GET ok.test:${origin.port}/after\n`)
  expect(origin.connections).toBe(1)
  expect(dns.questions.filter((question) => question.startsWith('denied.test'))).toEqual([])
  const { decisions } = await recordOf(proxy)
  expect(decisions.map(({ attributes }) => attributes['sallyport.decision'])).toEqual([
    'allow',
    'allow',
    'allow',
    'deny',
    'allow',
  ])
  expect(new Set(decisions.map(requestId)).size).toBe(5)
})

test('E2E-54 curl uploads 20 MB on both doors; the 100 is the own one of the origin, and so is its refusal', async () => {
  await using plain = await startContentOrigin()
  await using secure = await startContentOrigin({ tls: certificate })
  await using proxy = await startServed({
    config: policyFor({ dns: dns.address, ports: [plain.port, secure.port] }),
  })
  const file = join(dir, 'upload')
  const content = contentOf(20_000_000, 3)
  await writeFile(file, content)
  const expect100 = ['-T', file, '-H', 'Expect: 100-continue', '--expect100-timeout', '60', '-v']
  const [first, second, third, refused] = await Promise.all([
    curl(proxy, ...expect100, `http://ok.test:${plain.port}/put`),
    curl(proxy, ...expect100, `https://ok.test:${secure.port}/put`),
    curl(proxy, '-T', '-', '-H', 'Transfer-Encoding: chunked', `http://ok.test:${plain.port}/empty`),
    curl(proxy, ...expect100, '-w', '%{http_code} %{size_upload}\n', `http://ok.test:${plain.port}/refuse`),
  ])
  for (const each of [first, second, third]) expect(each.code, each.stderr).toBe(0)
  expect(first.stderr).toContain('< HTTP/1.1 100 Continue')
  expect(second.stderr).toContain('< HTTP/1.1 100 Continue')
  for (const origin of [plain, secure]) {
    const seen = await origin.saw('/put')
    expect(seen).toMatchObject({
      method: 'PUT',
      bytes: content.length,
      sha256: sha256(content),
      aborted: false,
    })
    expect(seen.headers.expect).toBe('100-continue')
  }
  expect(await plain.saw('/empty')).toMatchObject({ bytes: 0, headers: { 'transfer-encoding': 'chunked' } })
  expect(refused.stderr).not.toContain('100 Continue')
  expect(refused.stdout).toBe('417 0\n')
  const { completions } = await recordOf(proxy)
  const sent = completions.map(({ attributes }) => attributes['sallyport.bytes.sent'] as number)
  expect(sent.toSorted((a, b) => a - b).map((bytes) => Math.floor(bytes / 20_000_000))).toEqual([0, 0, 1, 1])
  expect(sent).toContain(20_000_000)
})

test('E2E-55 curl that gives up takes the connection to the origin with it, and the record says who left', async () => {
  await using plain = await startContentOrigin()
  await using secure = await startContentOrigin({ tls: certificate })
  await using proxy = await startServed({
    config: policyFor({ dns: dns.address, ports: [plain.port, secure.port] }),
  })
  const gone = await Promise.all([
    curl(proxy, '-m', '1', `http://ok.test:${plain.port}/forever`),
    curl(proxy, '-m', '1', `https://ok.test:${secure.port}/forever`),
  ])
  for (const each of gone) {
    expect(each.code).toBe(28)
    expect(each.stdout).toBe('beginning\n')
  }
  await Promise.all([plain.idle(), secure.idle()])
  const { decisions, completions } = await recordOf(proxy)
  expect(decisions).toHaveLength(2)
  expect(completions).toHaveLength(2)
  const byHttp = completions.find(({ attributes }) => attributes['server.port'] === plain.port)
  expect(byHttp!.attributes).toMatchObject({ 'error.type': 'client_gone', 'sallyport.bytes.received': 10 })
})

test('E2E-56 what curl shows of a refused tunnel: the status, and with -v why', async () => {
  await using proxy = await startServed({ config: policyFor({ dns: dns.address, ports: [] }) })
  const refused = await curl(proxy, '-v', '-w', '%{http_connect}\n', 'https://denied.test/')
  expect(refused.code).toBe(56)
  expect(refused.stdout).toBe('403\n')
  expect(refused.stderr).toMatch(/< HTTP\/1\.1 403 Blocked by policy: denied \(req [0-9a-z]{12}\)/)
  expect(refused.stderr).toContain('< X-Proxy-Error: blocked-by-denylist')
  expect(refused.stderr).toMatch(/curl: \(56\) CONNECT tunnel failed, response 403/)
  const port = await curl(proxy, '-v', 'https://ok.test:22/')
  expect(port.stderr).toMatch(/< HTTP\/1\.1 403 Blocked by policy: port_not_allowed \(req/)
  const local = await curl(proxy, '-i', 'http://127.0.0.1/')
  expect(local.stdout).toMatch(/^HTTP\/1\.1 403 Blocked by policy: not_allowed_local \(req/)
  const { decisions, completions } = await recordOf(proxy)
  expect(decisions.map(({ attributes }) => attributes['sallyport.decision.reason'])).toEqual([
    'denied',
    'port_not_allowed',
    'not_allowed_local',
  ])
  const id = /\(req ([0-9a-z]{12})\)/.exec(refused.stderr)![1]
  expect(requestId(decisions[0]!)).toBe(id)
  expect(completions.filter(({ attributes }) => 'network.peer.address' in attributes)).toEqual([])
})

test.skipIf(!mayBind443)(
  'E2E-57 a tunnel to port 443 passes with the right server name and is refused with another one, or without TLS',
  async () => {
    await using names = await startDns({ 'ok.test': [ADDRESS_443] })
    await using origin: ContentOrigin = await startContentOrigin({
      tls: certificate,
      address: ADDRESS_443,
      port: 443,
    })
    await using proxy = await startServed({ config: policyFor({ dns: names.address, ports: [] }) })
    const right = await curl(proxy, 'https://ok.test/right')
    expect(right).toMatchObject({ code: 0, stdout: 'GET ok.test/right\n' })
    // Domain fronting: the tunnel is asked for an allowed host, the ClientHello names another one behind it.
    const fronted = await curl(
      proxy,
      '--connect-to',
      'other.test:443:ok.test:443',
      'https://other.test/fronted',
    )
    expect(fronted.code).toBe(35)
    expect(fronted.stderr).toMatch(/unrecognized name/)
    const bare = await curl(proxy, '--proxytunnel', 'http://ok.test:443/bare')
    expect(bare.code).not.toBe(0)
    expect(bare.stdout).toBe('')
    expect(origin.seen.map(({ url }) => url)).toEqual(['/right'])
    const { decisions, completions } = await recordOf(proxy)
    expect(decisions).toHaveLength(3)
    // Where curl has not read the session tickets yet when it closes, its kernel resets: then the record says so.
    const [first] = completions
    expect(first?.attributes['error.type'] ?? 'client_gone').toBe('client_gone')
    expect(
      completions.map(({ attributes }) => [
        attributes['tls.client.server_name'],
        attributes === first?.attributes ? undefined : attributes['error.type'],
      ]),
    ).toEqual([
      ['ok.test', undefined],
      ['other.test', 'tls_server_name_mismatch'],
      [undefined, 'tls_required'],
    ])
  },
)
