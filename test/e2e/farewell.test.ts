import { once } from 'node:events'
import { expect, test } from 'vitest'
import { startDns } from '../kit/dns.ts'
import { startRawOrigin } from '../kit/origin.ts'
import { startProxy, testConfig } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'

test.each([
  ['E2E-58', 24, undefined],
  ['E2E-59', 100_000, 'client_gone'],
] as const)(
  '%s a client that has ended and resets what comes after it, %i bytes more: recorded as %s',
  async (_id, bytes, trouble) => {
    await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
    // As TLS ends: the goodbye of the one comes when the other has closed already, and is answered by a reset.
    const reset = Promise.withResolvers<void>()
    await using origin = await startRawOrigin((socket) => {
      socket.on('end', () => {
        socket.write(Buffer.alloc(24, 1))
        void reset.promise.then(() => socket.end(Buffer.alloc(bytes, 2)))
      })
      socket.resume()
    })
    await using proxy = await startProxy({ config: testConfig({ dns: dns.address, ports: [origin.port] }) })
    await using client = await rawClient(proxy.port)
    client.write(`CONNECT ok.test:${origin.port} HTTP/1.1\r\n\r\nhello`)
    await client.until('\r\n\r\n')
    client.socket.end()
    await client.until('\u0001'.repeat(24))
    client.socket.resetAndDestroy()
    await once(client.socket, 'close')
    const completed = proxy.event('sallyport.egress.completed')
    reset.resolve()
    const { attributes } = await completed
    expect(attributes['error.type']).toBe(trouble)
    expect(attributes['sallyport.bytes.sent']).toBe(5)
    expect(proxy.complaints).toEqual([])
  },
)
