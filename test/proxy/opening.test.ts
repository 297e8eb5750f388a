import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { parseHost } from '../../src/core/hostname.ts'
import { readOpening } from '../../src/proxy/opening.ts'
import { clientHello, inRecords } from '../kit/client-hello.ts'
import { acceptedPair, createTestWire } from '../kit/connections.ts'

const LIMIT = 65_536

/** What is said of an opening that the client sends as `send` does. */
async function opening(target: string, send: (peer: Socket) => void, early: Buffer = Buffer.alloc(0)) {
  using wire = createTestWire()
  await using pair = await acceptedPair(wire)
  const verdict = readOpening(pair.connection, early, parseHost(target), LIMIT)
  send(pair.peer)
  return await verdict
}

const helloFor = (serverName?: string) =>
  inRecords(clientHello(serverName === undefined ? {} : { serverName }))

test('OPN-01 a hello that names the target agrees, and every byte of it is handed on', async () => {
  const hello = Buffer.concat([helloFor('ok.test'), Buffer.from([23, 3, 3, 0, 1, 0])])
  const verdict = await opening('ok.test', (peer) => peer.write(hello))
  expect(verdict).toMatchObject({ kind: 'agrees', serverName: 'ok.test' })
  expect(verdict.kind === 'agrees' && verdict.bytes.equals(hello)).toBe(true)
})

test('OPN-02 a hello that came early, whole or in part, counts as well', async () => {
  const hello = helloFor('ok.test')
  expect(await opening('ok.test', () => {}, hello)).toMatchObject({ kind: 'agrees' })
  for (const at of [1, 5, 6, 50, hello.length - 1]) {
    const verdict = await opening(
      'ok.test',
      (peer) => peer.write(hello.subarray(at)),
      Buffer.from(hello.subarray(0, at)),
    )
    expect(verdict.kind === 'agrees' && verdict.bytes.equals(hello), `cut at ${at}`).toBe(true)
  }
})

test('OPN-03 a hello that comes byte by byte is waited for', async () => {
  const hello = helloFor('ok.test')
  const verdict = await opening('ok.test', (peer) => {
    peer.setNoDelay(true)
    let at = 0
    const next = () => {
      peer.write(hello.subarray(at, ++at))
      if (at < hello.length) setImmediate(next)
    }
    next()
  })
  expect(verdict.kind === 'agrees' && verdict.bytes.equals(hello)).toBe(true)
})

test('OPN-04 the name is compared as a host: case and one trailing dot make no difference', async () => {
  for (const name of ['OK.Test', 'ok.test.'])
    expect(await opening('ok.test', (peer) => peer.write(helloFor(name)))).toMatchObject({ kind: 'agrees' })
})

test('OPN-05 any other name is refused as a mismatch, and told', async () => {
  const names = [
    'other.test',
    'www.ok.test',
    'ok.test.evil.test',
    'test',
    'ok.test..',
    'ok.test\0.evil.test',
    'ok.test:443',
    '127.0.0.1',
    '[::1]',
    // UTS 46 maps this one to ok.test; a server may think otherwise.
    '\xbak.test',
  ]
  for (const name of names)
    expect(await opening('ok.test', (peer) => peer.write(helloFor(name))), name).toEqual({
      kind: 'refused',
      trouble: 'tls_server_name_mismatch',
      serverName: name,
    })
})

test('OPN-06 a name must be named, an address need not be', async () => {
  const send = (name?: string) => (peer: Socket) => peer.write(helloFor(name))
  expect(await opening('ok.test', send())).toMatchObject({ trouble: 'tls_server_name_mismatch' })
  expect(await opening('192.0.2.1', send())).toMatchObject({ kind: 'agrees' })
  expect(await opening('192.0.2.1', send('192.0.2.1'))).toMatchObject({ kind: 'agrees' })
  expect(await opening('[2001:db8::1]', send())).toMatchObject({ kind: 'agrees' })
  expect(await opening('192.0.2.1', send('ok.test'))).toMatchObject({ trouble: 'tls_server_name_mismatch' })
  expect(await opening('192.0.2.1', send('192.0.2.2'))).toMatchObject({ trouble: 'tls_server_name_mismatch' })
})

test('OPN-07 other protocols are refused at their first byte', async () => {
  for (const text of ['GET / HTTP/1.1\r\n\r\n', 'SSH-2.0-OpenSSH_9.6\r\n', 'S', '\x05\x01\x00', '\0'])
    expect(await opening('ok.test', (peer) => peer.write(text)), text).toEqual({
      kind: 'refused',
      trouble: 'tls_required',
      serverName: undefined,
    })
})

test('OPN-08 a hello that does not end within the limit is refused', async () => {
  const endless = Buffer.concat([
    inRecords(Buffer.from([1, 0, 0xff, 0xff])),
    ...Array.from({ length: 600 }, () => inRecords(Buffer.alloc(100))),
  ])
  // Fewer bytes than it says, more than are waited for.
  const early = Buffer.concat([endless, Buffer.alloc(LIMIT)]).subarray(0, LIMIT + 1)
  expect(await opening('ok.test', () => {}, early)).toMatchObject({
    kind: 'refused',
    trouble: 'tls_required',
  })
})

test('OPN-09 a client that ends, or is reset, before it has said anything is gone', async () => {
  const part = helloFor('ok.test').subarray(0, 20)
  expect(await opening('ok.test', (peer) => peer.end())).toEqual({ kind: 'gone' })
  expect(await opening('ok.test', (peer) => peer.end(part))).toEqual({ kind: 'gone' })
  expect(await opening('ok.test', (peer) => peer.resetAndDestroy())).toEqual({ kind: 'gone' })
})
