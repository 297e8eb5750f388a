import { connect as tlsConnect, type TLSSocket } from 'node:tls'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { clientHello, inRecords } from '../kit/client-hello.ts'
import { createFakeClock } from '../kit/fake-clock.ts'
import { operatorOf } from '../kit/operator.ts'
import { loopbackAddress, startRawOrigin } from '../kit/origin.ts'
import { type Route, type RouteOptions, startRoute } from '../kit/route.ts'
import type { OriginServer } from '../kit/origin.ts'

// Port 443 is what makes a tunnel TLS, so these tests need to bind it on a loopback address of their own.
const testOn443 = test.runIf(process.getuid?.() === 0)

/** A proxy in front of an origin on port 443, which says what it hears; `ok.test` and `new.test` lead there. */
async function routeTo443(
  options: Partial<RouteOptions<OriginServer>> = {},
): Promise<Route & { heard(): string }> {
  const host = loopbackAddress()
  let heard = ''
  const origin = startRawOrigin(
    (socket) => {
      socket.on('data', (bytes: Buffer) => {
        heard += bytes.toString('latin1')
        socket.write(`${bytes.length} bytes`)
      })
      socket.on('end', () => socket.end())
    },
    { host, port: 443 },
  )
  const route = await startRoute({ origin, names: { 'ok.test': [host], 'new.test': [host] }, ...options })
  return Object.assign(route, { heard: () => heard })
}

const hello = (serverName: string) => inRecords(clientHello({ serverName }))

testOn443('OPN-20 a tunnel to 443 whose hello names the target is relayed from its first byte', async () => {
  await using route = await routeTo443()
  await using client = await route.tunnel()
  const bytes = hello('ok.test')
  client.write(bytes.subarray(0, 10))
  client.write(bytes.subarray(10))
  await client.until(`${bytes.length} bytes`)
  client.write('more')
  await client.until('4 bytes')
  client.socket.end()
  await client.rest()
  expect(route.heard()).toBe(`${bytes.toString('latin1')}more`)
  expect(await route.completed()).toMatchObject({
    'tls.client.server_name': 'ok.test',
    'sallyport.bytes.sent': bytes.length + 4,
  })
})

testOn443('OPN-21 a hello that came with the CONNECT is judged and relayed as well', async () => {
  await using route = await routeTo443()
  await using client = await route.client()
  const bytes = hello('ok.test')
  client.write(Buffer.concat([Buffer.from('CONNECT ok.test:443 HTTP/1.1\r\n\r\n'), bytes]))
  await client.until('\r\n\r\n')
  await client.until(`${bytes.length} bytes`)
})

testOn443(
  'OPN-22 another server name gets an alert, the origin hears nothing, the record says why',
  async () => {
    await using route = await routeTo443()
    await using client = await route.tunnel()
    client.write(hello('denied.test'))
    expect(Buffer.from(await client.rest(), 'latin1')).toEqual(Buffer.from([21, 3, 3, 0, 2, 2, 112]))
    expect(client.wasReset).toBe(false)
    expect(await route.completed()).toMatchObject({
      'error.type': 'tls_server_name_mismatch',
      'tls.client.server_name': 'denied.test',
      'sallyport.bytes.sent': 0,
    })
    expect(route.heard()).toBe('')
    expect(route.decisions()).toHaveLength(1)
  },
)

testOn443('OPN-23 a TLS client sees the alert for what it is', async () => {
  await using route = await routeTo443()
  await using client = await route.tunnel()
  client.socket.removeAllListeners('data')
  const secure: TLSSocket = tlsConnect({ socket: client.socket, servername: 'denied.test' })
  const [error] = (await once(secure, 'error')) as [NodeJS.ErrnoException]
  expect(error.code).toBe('ERR_SSL_TLSV1_UNRECOGNIZED_NAME')
})

testOn443(
  'OPN-24 plain text, SSH and hellos without a name are closed, and nothing of them is let through',
  async () => {
    await using route = await routeTo443()
    const openings = ['GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n', 'SSH-2.0-x\r\n', inRecords(clientHello({}))]
    for (const bytes of openings) {
      await using client = await route.tunnel()
      client.write(bytes)
      await client.rest()
    }
    await route.completed(3)
    const troubles = route.proxy.events
      .filter(({ event }) => event === 'sallyport.egress.completed')
      .map(({ attributes }) => attributes['error.type'])
    expect(troubles).toEqual(['tls_required', 'tls_required', 'tls_server_name_mismatch'])
    expect(route.heard()).toBe('')
  },
)

testOn443('OPN-25 a client that says nothing is closed after limits.tunnel_hello_timeout', async () => {
  const clock = createFakeClock()
  await using route = await routeTo443({ clock })
  await using client = await route.tunnel()
  clock.advance(29_999)
  expect(client.socket.readyState).toBe('open')
  clock.advance(1)
  await client.rest()
  expect(await route.completed()).toMatchObject({ 'error.type': 'idle_timeout' })
  expect(route.heard()).toBe('')
})

testOn443('OPN-26 where a rule says raw, or nothing is required, anything may be spoken', async () => {
  for (const more of ['[tunnel]\nraw = ["OK.test.:443"]', '[tunnel]\nrequire_tls = false']) {
    await using route = await routeTo443({ more })
    await using client = await route.tunnel()
    client.write('SSH-2.0-x\r\n')
    await client.until('11 bytes')
    expect(route.heard()).toBe('SSH-2.0-x\r\n')
  }
})

testOn443('OPN-27 raw is for the host that it names, not for others', async () => {
  await using route = await routeTo443({ more: '[tunnel]\nraw = ["other.test:443"]' })
  await using client = await route.tunnel()
  client.write('SSH-2.0-x\r\n')
  await client.rest()
  expect(await route.completed()).toMatchObject({ 'error.type': 'tls_required' })
})

testOn443('OPN-28 a tunnel to an address needs no server name', async () => {
  const host = loopbackAddress()
  await using route = await startRoute({
    origin: startRawOrigin((socket) => socket.pipe(socket), { host, port: 443 }),
    allowed: [host],
    privateHost: host,
  })
  await using client = await route.client()
  client.write(`CONNECT ${host}:443 HTTP/1.1\r\n\r\n`)
  await client.until(/^HTTP\/1\.1 200 [^]*\r\n\r\n/)
  const bytes = inRecords(clientHello({}))
  client.write(bytes)
  await client.until(bytes.toString('latin1'))
})

testOn443('OPN-29 a policy that became stricter while the hello was awaited closes the tunnel', async () => {
  await using route = await routeTo443({ complaints: /tunnels that the new policy denies were closed/ })
  await using client = await route.tunnel()
  await route.reload({ allowed: [], denied: ['ok.test'] })
  await client.rest()
  expect(await route.completed()).toMatchObject({
    'error.type': 'policy_changed',
    'sallyport.bytes.sent': 0,
  })
  expect(route.heard()).toBe('')
  expect(route.decisions()).toHaveLength(1)
})

testOn443('OPN-30 an approved tunnel still has to name its target', async () => {
  await using route = await routeTo443()
  await using client = await route.client()
  client.write('CONNECT new.test:443 HTTP/1.1\r\n\r\n')
  const operator = operatorOf(route.proxy)
  const { id } = await operator.asked('new.test')
  await operator.answer(id, { verdict: 'allow' })
  await client.until('\r\n\r\n')
  client.write(hello('ok.test'))
  await client.rest()
  expect(await route.completed()).toMatchObject({ 'error.type': 'tls_server_name_mismatch' })
  expect(route.heard()).toBe('')
})

testOn443('OPN-31 a grant that is revoked while the hello is awaited closes the tunnel', async () => {
  await using route = await routeTo443()
  await using client = await route.client()
  client.write('CONNECT new.test:443 HTTP/1.1\r\n\r\n')
  const operator = operatorOf(route.proxy)
  const { id } = await operator.asked('new.test')
  await operator.answer(id, { verdict: 'allow', scope: 'always' })
  await client.until('\r\n\r\n')
  const [grant] = await operator.grants()
  await operator.revoke(grant!.id)
  await client.rest()
  expect(await route.completed()).toMatchObject({ 'error.type': 'grant_revoked', 'sallyport.bytes.sent': 0 })
  expect(route.heard()).toBe('')
})
