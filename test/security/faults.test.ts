import { expect, test } from 'vitest'
import { startDns } from '../kit/dns.ts'
import { startRawOrigin } from '../kit/origin.ts'
import { testConfig } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'
import { startServed } from '../kit/served.ts'

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
  const upload = Buffer.alloc(262_144, 'x')
  const statuses: Record<string, number> = {}
  const one = async () => {
    await using client = await rawClient(served.port)
    client.write(
      `POST http://ok.test:${origin.port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${4 * upload.length}\r\n\r\n`,
    )
    for (let i = 0; i < 4; i++) {
      client.write(upload)
      await new Promise(setImmediate)
    }
    const heard = await client.until(/large|\}\n/)
    const status = heard.slice(9, 12)
    statuses[status] = (statuses[status] ?? 0) + 1
  }
  for (let round = 0; round < 50; round++) await Promise.all([one(), one(), one(), one()])
  expect(statuses).toEqual({ 413: 200 })
  expect(served.child.stderr).not.toMatch(/unhandled|uncaught|fault/i)
})

test('SEC-56b a response without a length whose origin resets the upload is cut, and never looks whole', async () => {
  await using origin = await startRawOrigin((socket) => {
    socket.once('data', () => {
      socket.pause()
      socket.write('HTTP/1.1 200 OK\r\n\r\npart', () => socket.destroy())
    })
  })
  await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
  await using served = await startServed({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
  const upload = Buffer.alloc(262_144, 'x')
  for (let run = 0; run < 50; run++) {
    await using client = await rawClient(served.port)
    client.write(
      `POST http://ok.test:${origin.port}/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${4 * upload.length}\r\n\r\n`,
    )
    for (let i = 0; i < 4; i++) {
      client.write(upload)
      await new Promise(setImmediate)
    }
    await client.rest()
    expect(client.wasReset).toBe(true)
  }
})
