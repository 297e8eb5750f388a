import type { Socket } from 'node:net'
import { expect, test, vi } from 'vitest'
import { startDns } from '../kit/dns.ts'
import { startRawOrigin } from '../kit/origin.ts'
import { processorTime, residentBytes } from '../kit/process-state.ts'
import { testConfig } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'
import { startServed } from '../kit/served.ts'

// Real processes, on machines that may be busy with other things.
vi.setConfig({ testTimeout: 60_000 })

const FAULT = /unhandled|uncaught|fault/i
const MOST_GROWTH = 64 * 1024 * 1024

/** Writes the same bytes on and on, as fast as they are taken, until the other side has gone. */
function endlessly(socket: Socket, bytes: string): void {
  const block = Buffer.from(bytes.repeat(Math.ceil(65_536 / bytes.length)))
  const more = () => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.on('drain', more)
  more()
}

/** Waits until the process has nothing more to do: what it keeps from now on, it keeps. */
async function settled(pid: number): Promise<void> {
  for (let before = await processorTime(pid); ;) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    const after = await processorTime(pid)
    if (after - before < 40) return
    before = after
  }
}

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`
const cut = /^HTTP\/1\.1 200 /

/** What an origin does when it is asked for the path of this name, and what the client must hear. */
const MISDEEDS: Record<string, readonly [misdeed: (socket: Socket) => void, heard: RegExp]> = {
  silence: [() => {}, /^HTTP\/1\.1 504 [^]*error=http_response_timeout/],
  close: [(socket) => socket.end(), /^HTTP\/1\.1 502 [^]*error=connection_terminated/],
  reset: [(socket) => socket.resetAndDestroy(), /^HTTP\/1\.1 502 [^]*error=connection_terminated/],
  'half-a-head': [(socket) => socket.write(`${OK}Conte`), /^HTTP\/1\.1 504 [^]*error=http_response_timeout/],
  noise: [(socket) => socket.end('\0\x01\x02\r\n\r\n'), /^HTTP\/1\.1 502 [^]*error=http_protocol_error/],
  'too-short': [(socket) => socket.end(`${OK}Content-Length: 9\r\n\r\nhalf`), cut],
  'reset-in-body': [
    (socket) => socket.write(`${OK}Content-Length: 9\r\n\r\nhalf`, () => socket.resetAndDestroy()),
    /^HTTP\/1\.1 (?:200|502) |^$/,
  ],
  'no-last-chunk': [(socket) => socket.end(`${CHUNKED}4\r\nhalf\r\n`), cut],
  standstill: [(socket) => socket.write(`${OK}Content-Length: 9\r\n\r\nhalf`), cut],
  'two-lengths': [
    (socket) => socket.end(`${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`),
    /^HTTP\/1\.1 502 [^]*error=http_protocol_error/,
  ],
  'endless-interim': [(socket) => endlessly(socket, 'HTTP/1.1 103 Early\r\n\r\n'), /HTTP\/1\.1 502 |^$|103/],
  'endless-fields': [
    (socket) => socket.write(OK, () => endlessly(socket, 'a: b\r\n')),
    /^HTTP\/1\.1 502 [^]*error=http_protocol_error/,
  ],
  'endless-line': [
    (socket) => socket.write(`${OK}a: `, () => endlessly(socket, 'b')),
    /^HTTP\/1\.1 502 [^]*error=http_protocol_error/,
  ],
  'long-line': [
    (socket) => socket.write(`${OK}a: ${'b'.repeat(1_048_576)}\r\nContent-Length: 0\r\n\r\n`),
    /^HTTP\/1\.1 502 [^]*error=http_protocol_error/,
  ],
  'endless-trailers': [
    (socket) => socket.write(`${CHUNKED}1\r\na\r\n0\r\n`, () => endlessly(socket, 'a: b\r\n')),
    cut,
  ],
  'endless-extensions': [(socket) => socket.write(`${CHUNKED}1;`, () => endlessly(socket, 'a=b;')), cut],
}

test('SEC-53a whatever an origin does wrong, the client is told so or sees a cut, in time, and no memory is spent on it', async () => {
  await using origin = await startRawOrigin((socket) => {
    socket.once('data', (bytes: Buffer) => {
      const path = /^GET \/(\S+) /.exec(bytes.toString('latin1'))![1]!
      MISDEEDS[path]![0](socket)
    })
  })
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  const more = '[limits]\nresponse_timeout = "1s"\nbody_idle_timeout = "1s"'
  await using served = await startServed({
    config: testConfig({ dns: dns.address, ports: [origin.port], more }),
  })
  const { pid } = served.child
  async function all(times: number): Promise<void> {
    await Promise.all(
      Object.entries(MISDEEDS).flatMap(([name, [, expected]]) =>
        Array.from({ length: times }, async () => {
          await using client = await rawClient(served.port)
          client.socket.on('end', () => client.socket.end())
          client.write(
            `GET http://ok.test:${origin.port}/${name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
          )
          const heard = await client.rest()
          expect(heard, name).toMatch(expected)
          // Whoever got half of an answer must not take it for a whole one.
          if (!heard.includes('\r\nProxy-Status: ')) expect(client.wasReset, name).toBe(true)
        }),
      ),
    )
  }
  await all(1)
  const before = await residentBytes(pid)
  for (let round = 0; round < 3; round++) await all(5)
  expect((await residentBytes(pid)) - before).toBeLessThan(MOST_GROWTH)
  expect(served.child.stderr).not.toMatch(FAULT)
})

test('SEC-53b ten thousand requests that are sent at once, and whose answers are never read, cost little memory', async () => {
  await using origin = await startRawOrigin((socket) => {
    socket.on('data', () => socket.write(`${OK}Content-Length: 65536\r\n\r\n${'x'.repeat(65_536)}`))
  })
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  await using served = await startServed({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
  const { pid } = served.child
  const one = `GET http://ok.test:${origin.port}/ HTTP/1.1\r\nHost: x\r\n\r\n`
  const denied = 'GET http://denied.test/ HTTP/1.1\r\nHost: x\r\n\r\n'
  await using warm = await rawClient(served.port)
  warm.write(one)
  await warm.until('xxx')
  const before = await residentBytes(pid)
  await using stack = new AsyncDisposableStack()
  for (const request of [
    ...Array.from({ length: 5 }, () => one),
    ...Array.from({ length: 12 }, () => denied),
  ]) {
    const client = stack.use(await rawClient(served.port))
    client.socket.pause()
    for (let i = 0; i < 10; i++) client.write(request.repeat(1000))
  }
  await settled(pid)
  // Another client is served as ever.
  for (let i = 0; i < 50; i++) {
    await using good = await rawClient(served.port)
    good.write('GET http://denied.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    await good.until('}\n')
  }
  expect((await residentBytes(pid)) - before).toBeLessThan(MOST_GROWTH)
  expect(served.child.stderr).not.toMatch(FAULT)
})
