import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { request, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { expect, test, vi } from 'vitest'
import { runChild } from '../kit/child.ts'
import { startDns } from '../kit/dns.ts'
import { startEchoOrigin, startHttpOrigin } from '../kit/origin.ts'
import { openDescriptors, processorTime } from '../kit/process-state.ts'
import { testConfig } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'
import { type RecordLine, type Served, startServed } from '../kit/served.ts'

// Real processes, on machines that may be busy with other things.
vi.setConfig({ testTimeout: 60_000 })

const FAULT = /unhandled|uncaught|fault/i

/** What the admin socket says to a probe; rejects when it does not answer. */
function livez(served: Served): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = request(
      { socketPath: served.socket, path: '/livez', headers: { host: 'localhost', connection: 'close' } },
      (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      },
    )
    asking.on('error', reject)
    asking.end()
  })
}

interface Crowd extends Disposable {
  /** Those that the proxy keeps open. */
  readonly kept: number
  /** Those that it closed, with what they heard. */
  readonly turnedAway: readonly string[]
  /** Resolves when `most` are kept or turned away. */
  settled(most: number): Promise<void>
}

/** Opens connections, one after the other as they stand; each sends `first` and then nothing. */
async function crowd(port: number, count: number, first = '', from = '127.0.0.1'): Promise<Crowd> {
  const open = new Set<Socket>()
  const turnedAway: string[] = []
  await Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect({ port, host: '127.0.0.1', localAddress: from })
      let heard = ''
      socket.on('data', (bytes: Buffer) => void (heard += bytes.toString('latin1')))
      socket.on('error', () => {})
      socket.on('close', () => {
        open.delete(socket)
        turnedAway.push(heard)
      })
      open.add(socket)
      await Promise.race([once(socket, 'connect'), once(socket, 'close')])
      if (first !== '') socket.write(first)
    }),
  )
  return {
    get kept() {
      return open.size
    },
    turnedAway,
    async settled(most) {
      while (open.size > most) await new Promise((resolve) => setTimeout(resolve, 20))
    },
    [Symbol.dispose]() {
      for (const socket of open) socket.destroy()
    },
  }
}

const REQUEST = (port: number) =>
  `GET http://ok.test:${port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`

test.concurrent('SEC-55a out of descriptors the daemon neither ends nor spins, answers its operator, and accepts again', async () => {
  await using origin = await startHttpOrigin((_, response) => response.end('here'))
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  const config = testConfig({ dns: dns.address, ports: [origin.port] })
  await using served = await startServed({ config, openFiles: 256 })
  const { pid } = served.child
  {
    using clients = await crowd(served.port, 400)
    await clients.settled(100)
    // Half of what is left when some were reserved: each of them may need a connection to an origin.
    expect(clients.kept).toBe(96)
    expect(clients.turnedAway.every((each) => each === '' || each.startsWith('HTTP/1.1 503 '))).toBe(true)
    for (let i = 0; i < 20; i++) expect(await livez(served)).toBe(200)
    const before = await processorTime(pid)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect((await processorTime(pid)) - before).toBeLessThan(500)
    expect(await livez(served)).toBe(200)
  }
  const closed = Date.now()
  for (;;) {
    await using client = await rawClient(served.port)
    client.write(REQUEST(origin.port))
    if ((await client.rest().catch(() => '')).startsWith('HTTP/1.1 200')) break
    expect(Date.now() - closed).toBeLessThan(5000)
  }
  expect(served.child.stderr).not.toMatch(FAULT)
})

test.concurrent('SEC-55b each client that is taken gets its tunnel, whatever was kept open before, and the operator is answered', async () => {
  await using origin = await startEchoOrigin()
  const asked: ServerResponse[] = []
  await using kept = await startHttpOrigin((_, response) => {
    if (asked.push(response) === 80) for (const each of asked) each.end('here')
  })
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  const config = testConfig({ dns: dns.address, ports: [origin.port, kept.port] })
  await using served = await startServed({ config, openFiles: 256 })
  await using stack = new AsyncDisposableStack()
  // Each leaves a connection to the origin behind that is kept for the next request.
  const clients = await Promise.all(Array.from({ length: 80 }, () => rawClient(served.port)))
  for (const client of clients) client.write(`GET http://ok.test:${kept.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`)
  for (const client of clients) await client.until('here')
  for (const client of clients) await client[Symbol.asyncDispose]()
  expect(kept.open.size).toBe(80)
  for (let i = 0; i < 96; i++) {
    const client = stack.use(await rawClient(served.port))
    client.write(`CONNECT ok.test:${origin.port} HTTP/1.1\r\n\r\nhello ${i};`)
    await client.until(`hello ${i};`)
  }
  const late = stack.use(await rawClient(served.port))
  expect(await late.rest()).toMatch(/^HTTP\/1\.1 503 /)
  expect(await livez(served)).toBe(200)
  expect(await openDescriptors(served.child.pid)).toBeLessThan(256)
  expect(served.child.stderr).not.toMatch(FAULT)
})

test.concurrent('SEC-55c where the kernel gives no descriptor for the way to the origin, the client gets 503 and it is recorded', async () => {
  await using origin = await startHttpOrigin((_, response) => {
    response.writeHead(200, { connection: 'close' }).end('here')
  })
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  await using served = await startServed({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
  const { pid } = served.child
  {
    await using client = await rawClient(served.port)
    client.write(REQUEST(origin.port))
    expect(await client.rest()).toMatch(/^HTTP\/1\.1 200 /)
  }
  await using client = await rawClient(served.port)
  client.write('GET http://denied.test/ HTTP/1.1\r\nHost: x\r\n\r\n')
  await client.until('}\n')
  // Descriptors are numbered from the lowest that is free: none is below this limit.
  const numbers = (await readdir(`/proc/${pid}/fd`)).map(Number).toSorted((a, b) => a - b)
  const free = numbers.findIndex((number, i) => number !== i)
  const limit = free === -1 ? numbers.length : free
  expect((await runChild('prlimit', [`--pid=${pid}`, `--nofile=${limit}:`])).stderr).toBe('')
  client.write(REQUEST(origin.port))
  const heard = await client.rest()
  expect(heard).toMatch(/^HTTP\/1\.1 503 /)
  expect(heard).toContain('Proxy-Status: sallyport; error=connection_limit_reached')
  // Its end is not waited for, then.
  await client[Symbol.asyncDispose]()
  await served.stop()
  const of = (event: string) => (line: RecordLine) =>
    line.event === event && line.attributes['server.address'] === 'ok.test'
  const record = await served.record()
  expect(record.filter(of('sallyport.egress.decision'))).toHaveLength(2)
  expect(
    record.filter(of('sallyport.egress.completed')).map(({ attributes }) => attributes['error.type']),
  ).toEqual([undefined, 'connection_limit_reached'])
  expect(origin.connections).toBe(1)
})

/** As many of `most` as the limit of open files of this machine allows for, here and in the daemon. */
async function asManyAs(most: number): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8')
  return Math.min(
    most,
    Math.max(50, Math.floor(Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? most) / 2) - 200),
  )
}

const SLOW = await asManyAs(2000)

test(`SEC-54a with ${SLOW} heads that never end no good request fails or is slow, and each of them is cut in time`, async () => {
  await using origin = await startHttpOrigin((_, response) => response.end('here'))
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  const more = '[limits]\nheader_timeout = "2s"'
  const config = testConfig({ dns: dns.address, ports: [origin.port], more })
  await using served = await startServed({ config })
  using slow = await crowd(served.port, SLOW, 'G')
  const times: number[] = []
  for (let i = 0; i < 200; i++) {
    const since = performance.now()
    await using client = await rawClient(served.port, '127.0.0.1', '127.0.0.2')
    client.write(REQUEST(origin.port))
    expect(await client.rest()).toMatch(/^HTTP\/1\.1 200 /)
    times.push(performance.now() - since)
  }
  expect(times.toSorted((a, b) => a - b)[190]).toBeLessThan(1000)
  await slow.settled(0)
  expect(slow.turnedAway.every((each) => each === '')).toBe(true)
  expect(slow.turnedAway).toHaveLength(SLOW)
  expect(served.child.stderr).not.toMatch(FAULT)
})

test.concurrent('SEC-54b the connections of one client beyond its own are turned away with 503, and another client is served', async () => {
  await using origin = await startHttpOrigin((_, response) => response.end('here'))
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  const more = '[limits]\nconnections_per_client = 50'
  const config = testConfig({ dns: dns.address, ports: [origin.port], more })
  await using served = await startServed({ config })
  using greedy = await crowd(served.port, 300, 'G')
  await greedy.settled(50)
  expect(greedy.kept).toBe(50)
  expect(greedy.turnedAway.filter((each) => each.startsWith('HTTP/1.1 503 ')).length).toBeGreaterThan(200)
  await using client = await rawClient(served.port, '127.0.0.1', '127.0.0.2')
  client.write(REQUEST(origin.port))
  expect(await client.rest()).toMatch(/^HTTP\/1\.1 200 /)
})
