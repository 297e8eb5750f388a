import { expect, test, vi } from 'vitest'
import { startDeafOrigin } from '../kit/deaf-origin.ts'
import { startDns } from '../kit/dns.ts'
import { startRawOrigin } from '../kit/origin.ts'
import { openDescriptors } from '../kit/process-state.ts'
import { testConfig } from '../kit/proxy.ts'
import { type RawClient, rawClient } from '../kit/raw-client.ts'
import { startServed } from '../kit/served.ts'

// Real processes, on machines that may be busy with other things.
vi.setConfig({ testTimeout: 60_000 })

const FAULT = /unhandled|uncaught|fault/i

const EARLY = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge'

test('SEC-56a an origin that answers early and closes without reading the upload is heard, each of 200 times', async () => {
  // What it does not read makes the kernel reset the connection when it closes.
  await using origin = await startRawOrigin((socket) => {
    socket.once('data', () => {
      socket.pause()
      socket.write(EARLY, () => socket.destroy())
    })
  })
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  await using served = await startServed({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
  const statuses: Record<string, number> = {}
  const one = async () => {
    await using client = await uploading(served.port, origin.port)
    const heard = await client.until(/large|\}\n/)
    const status = heard.slice(9, 12)
    statuses[status] = (statuses[status] ?? 0) + 1
  }
  for (let round = 0; round < 50; round++) await Promise.all([one(), one(), one(), one()])
  expect(statuses).toEqual({ 413: 200 })
  expect(served.child.stderr).not.toMatch(FAULT)
})

/** A client that has sent an upload of a megabyte, piece by piece. */
async function uploading(proxy: number, origin: number): Promise<RawClient> {
  const client = await rawClient(proxy)
  const piece = Buffer.alloc(262_144, 'x')
  client.write(
    `POST http://ok.test:${origin}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${4 * piece.length}\r\n\r\n`,
  )
  for (let i = 0; i < 4; i++) {
    client.write(piece)
    await new Promise(setImmediate)
  }
  return client
}

test('SEC-56b a response without a length whose origin resets the upload is cut, and never looks whole', async () => {
  await using origin = await startRawOrigin((socket) => {
    socket.once('data', () => {
      socket.pause()
      socket.write('HTTP/1.1 200 OK\r\n\r\npart', () => socket.destroy())
    })
  })
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  await using served = await startServed({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
  for (let run = 0; run < 50; run++) {
    await using client = await uploading(served.port, origin.port)
    await client.rest()
    expect(client.wasReset).toBe(true)
  }
})

/** How often each phase is cut. */
const TIMES = 100

/** Does `once` so many times, some at once, and waits for all. */
async function manyTimes(once: (i: number) => Promise<void>): Promise<void> {
  for (let done = 0; done < TIMES; done += 25)
    await Promise.all(Array.from({ length: 25 }, (_, i) => once(done + i)))
}

test('SEC-56c whoever resets in whatever phase, a hundred times each, no descriptor stays open and each exchange has one decision', async () => {
  // What it does is the first label of the host that it is asked for.
  await using origin = await startRawOrigin((socket) => {
    socket.once('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1')
      if (text.includes('Host: before-head.')) return socket.resetAndDestroy()
      if (text.includes('Host: in-head.'))
        return socket.write('HTTP/1.1 200 OK\r\nConte', () => socket.resetAndDestroy())
      if (text.includes('Host: in-request.')) return socket.resetAndDestroy()
      if (text.startsWith('reset the tunnel')) return socket.write('half', () => socket.resetAndDestroy())
      socket.write(text.includes('HTTP/1.1') ? 'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nhalf' : 'half')
      if (text.includes('Host: in-body.')) socket.resetAndDestroy()
    })
  })
  await using deaf = await startDeafOrigin()
  await using dns = await startDns({ '*.test': ['127.0.0.1'] })
  dns.silence('resolving.test')
  const more = 'dns_timeout = "1s"\nconnect_timeout = "1s"\n[limits]\nupstream_idle_connections = 0'
  const allowed = ['**.test']
  await using served = await startServed({
    config: testConfig({
      dns: dns.address,
      ports: [origin.port, deaf.port],
      allowed,
      denied: ['refused.test'],
      more,
    }),
  })
  const { pid } = served.child

  const get = (name: string) => `GET http://${name}.test:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`
  const post = (name: string) =>
    `POST http://${name}.test:${origin.port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf`
  const open = (name: string, first: string) => `CONNECT ${name}.test:${origin.port} HTTP/1.1\r\n\r\n${first}`
  const fromClient: Record<string, readonly [send: string, wait: string]> = {
    '': ['', ''],
    'half-a-head': ['GET http://half-a-head.test/ HT', ''],
    resolving: [get('resolving'), ''],
    dialling: [`CONNECT dialling.test:${deaf.port} HTTP/1.1\r\n\r\n`, ''],
    established: [open('established', ''), ' 200 '],
    tunnel: [open('tunnel', 'hello'), 'half'],
    sending: [post('sending'), ''],
    receiving: [get('receiving'), 'half'],
    refused: ['GET http://refused.test/ HTTP/1.1\r\nHost: x\r\n\r\n', ''],
  }
  const fromOrigin: Record<string, readonly [send: string, expected: RegExp]> = {
    'before-head': [get('before-head'), /^HTTP\/1\.1 502 /],
    'in-head': [get('in-head'), /^HTTP\/1\.1 502 /],
    'in-request': [post('in-request'), /^HTTP\/1\.1 502 /],
    // What the reset has overtaken is lost, but never looks whole.
    'in-body': [get('in-body'), /^$|^HTTP\/1\.1 502 |Content-Length: 9999\r\n[^]*\r\n\r\n(?:half)?$/],
    'in-tunnel': [open('in-tunnel', 'reset the tunnel'), / 200 [^]*\r\n\r\n(?:half)?$/],
  }
  // What is opened once and for all, at the first look-up and the first question, is open now.
  {
    await using first = await rawClient(served.port)
    first.write(open('warm', ''))
    await first.until(' 200 ')
    await using second = await rawClient(served.port)
    second.write('CONNECT warm.invalid:443 HTTP/1.1\r\n\r\n')
    await served.held('warm.invalid')
    first.socket.resetAndDestroy()
  }
  while (origin.open.size > 0) await new Promise(setImmediate)
  const before = await openDescriptors(pid)
  for (const [send, wait] of Object.values(fromClient)) {
    await manyTimes(async (i) => {
      await using client = await rawClient(served.port)
      client.write(send)
      if (wait !== '') await client.until(wait)
      // Some at once, some when the proxy has gone as far as it can.
      else for (let turn = 0; turn < i % 10; turn++) await new Promise(setImmediate)
      client.socket.resetAndDestroy()
    })
  }
  const held = await Promise.all(Array.from({ length: TIMES }, () => rawClient(served.port)))
  for (const client of held) client.write('CONNECT held.invalid:443 HTTP/1.1\r\n\r\n')
  await served.held('held.invalid', TIMES)
  for (const client of held) client.socket.resetAndDestroy()
  for (const [name, [send, expected]] of Object.entries(fromOrigin)) {
    await manyTimes(async () => {
      await using client = await rawClient(served.port)
      client.write(send)
      client.socket.on('end', () => client.socket.end())
      const heard =
        name === 'in-request' || name.endsWith('-head') ? await client.until('}\n') : await client.rest()
      expect(heard, name).toMatch(expected)
    })
  }
  while ((await openDescriptors(pid)) > before) await new Promise((resolve) => setTimeout(resolve, 20))
  expect(served.child.stderr).not.toMatch(FAULT)
  expect((await served.stop()).code).toBe(0)

  const decided = new Map<string, unknown[]>()
  for (const { event, attributes } of await served.record()) {
    if (event !== 'sallyport.egress.decision') continue
    const name = String(attributes['server.address']).split('.')[0]!
    decided.set(name, [...(decided.get(name) ?? []), attributes['sallyport.request.id']])
  }
  for (const [name, ids] of decided) expect(new Set(ids).size, name).toBe(ids.length)
  for (const name of ['held', 'established', 'tunnel', 'receiving', ...Object.keys(fromOrigin)])
    expect(decided.get(name), name).toHaveLength(TIMES)
  // A reset may overtake the head before it, or the connection before it was accepted: then there was no exchange.
  for (const name of ['resolving', 'dialling', 'sending', 'refused'])
    expect(decided.get(name)!.length, name).toBeLessThanOrEqual(TIMES)
  expect(decided.get('half-a-head')).toBe(undefined)
  expect(decided.size).toBe(9 + Object.keys(fromOrigin).length)
})
