import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { makeCertificate } from '../kit/certificate.ts'
import { runChild, words } from '../kit/child.ts'
import { contentOf, sha256, startContentOrigin } from '../kit/content-origin.ts'
import { startDns } from '../kit/dns.ts'
import { startServed } from '../kit/served.ts'
import { policyFor } from './policy.ts'

vi.setConfig({ testTimeout: 120_000 })

/** Half of them by each door. */
const DOWNLOADS = 200
const sizeOf = (n: number): number => 20_000 + n * 331

test('E2E-95 200 downloads at once arrive byte by byte, and the record says exactly what happened', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-downloads-'))
  await using certificate = await makeCertificate('ok.test')
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  // Nobody is served before all have asked: they are at once, or the test does not end.
  let asked = 0
  const all = Promise.withResolvers<void>()
  const serve: RequestListener = (request, response) => {
    if (++asked === DOWNLOADS) all.resolve()
    const n = Number(request.url!.slice(1))
    void all.promise.then(() =>
      response.writeHead(200, { 'Content-Length': sizeOf(n) }).end(contentOf(sizeOf(n), n)),
    )
  }
  await using plain = await startContentOrigin({ serve })
  await using secure = await startContentOrigin({ serve, tls: certificate })
  await using proxy = await startServed({
    config: policyFor({ dns: dns.address, ports: [plain.port, secure.port] }),
  })
  try {
    const transfers = Array.from({ length: DOWNLOADS }, (_, n) => {
      const origin = n % 2 === 0 ? `http://ok.test:${plain.port}` : `https://ok.test:${secure.port}`
      return `url = "${origin}/${n}"\noutput = "${join(dir, String(n))}"\n`
    })
    await writeFile(join(dir, 'transfers'), transfers.join(''))
    const got = await runChild('curl', [
      ...words(`-q -s -S --parallel --parallel-immediate --parallel-max ${DOWNLOADS} -x ${proxy.url}`),
      ...words(`--cacert ${certificate.certFile} --fail -K ${join(dir, 'transfers')}`),
    ])
    expect(got.code, got.stderr).toBe(0)
    for (let n = 0; n < DOWNLOADS; n++)
      expect(sha256(await readFile(join(dir, String(n)))), `download ${n}`).toBe(
        sha256(contentOf(sizeOf(n), n)),
      )

    await secure.idle()
    expect((await proxy.stop()).code).toBe(0)
    const record = await proxy.record()
    const decisions = record.filter(({ event }) => event === 'sallyport.egress.decision')
    const completions = record.filter(({ event }) => event === 'sallyport.egress.completed')
    for (const lines of [decisions, completions]) {
      expect(lines).toHaveLength(DOWNLOADS)
      expect(new Set(lines.map(({ attributes }) => attributes['sallyport.request.id'])).size).toBe(DOWNLOADS)
    }
    expect(decisions.every(({ attributes }) => attributes['sallyport.decision'] === 'allow')).toBe(true)
    const received = (port: number) =>
      completions
        .filter(({ attributes }) => attributes['server.port'] === port)
        .map(({ attributes }) => attributes['sallyport.bytes.received'] as number)
    const sizes = Array.from({ length: DOWNLOADS / 2 }, (_, i) => sizeOf(2 * i))
    expect(received(plain.port).toSorted((a, b) => a - b)).toEqual(sizes)
    expect(received(secure.port)).toHaveLength(DOWNLOADS / 2)
    expect(received(secure.port).reduce((sum, bytes) => sum + bytes, 0)).toBe(secure.written)
    expect(record).toHaveLength(2 * DOWNLOADS + 3)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
