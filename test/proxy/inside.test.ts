import { expect, test } from 'vitest'
import { startDns } from '../kit/dns.ts'
import { loopbackAddress, startHttpOrigin } from '../kit/origin.ts'
import { startProxy } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'

// Port 80 is what makes a tunnel carry plain HTTP, so these tests need to bind it on a loopback address of their own.
const canBind80 = process.getuid?.() === 0

function config(dns: string): string {
  return `
[policy]
allowed_domains = ["ok.test", "other.test"]
private = [{ host = "**.test", cidr = "127.0.0.0/8", ports = [80] }]
[upstream]
resolver = "${dns}"
`
}

test.runIf(canBind80)(
  'INS-01 plain HTTP inside a tunnel to port 80 is forwarded request by request, each with a decision of its own',
  async () => {
    const host = loopbackAddress()
    await using dns = await startDns({ 'ok.test': [host] })
    await using origin = await startHttpOrigin(
      (request, response) => response.end(`${request.headers.host} ${request.url} ${request.headers.via}`),
      { host, port: 80 },
    )
    await using proxy = await startProxy({ config: config(dns.address) })
    await using client = await rawClient(proxy.port)
    client.write('CONNECT ok.test:80 HTTP/1.0\r\n\r\nGET /a%2Fb/../?q HTTP/1.1\r\nHost: ok.test\r\n\r\n')
    await client.until('200 Connection established\r\n\r\n')
    expect(await client.until(/ok\.test \/a%2Fb\/\.\.\/\?q 1\.1 sallyport/)).toMatch(/^HTTP\/1\.1 200 OK/)
    client.write('GET http://ok.test/second HTTP/1.1\r\nHost: ok.test:80\r\n\r\n')
    await client.until('ok.test /second 1.1 sallyport')
    expect(proxy.decisions().map(({ attributes }) => attributes['http.request.method'])).toEqual([
      'CONNECT',
      'GET',
      'GET',
    ])
    // The connection that was dialled for the tunnel is the one that the requests went over.
    expect(origin.connections).toBe(1)
    expect(proxy.complaints).toEqual([])
  },
)

test.runIf(canBind80)(
  'INS-02 a request inside a tunnel for another host is refused with 421, an allowed one too',
  async () => {
    const host = loopbackAddress()
    await using dns = await startDns({ 'ok.test': [host], 'other.test': [host] })
    await using origin = await startHttpOrigin((_, response) => response.end('fronted'), {
      host,
      port: 80,
    })
    await using proxy = await startProxy({ config: config(dns.address) })
    await using client = await rawClient(proxy.port)
    client.write('CONNECT ok.test:80 HTTP/1.1\r\n\r\n')
    await client.until('\r\n\r\n')
    for (const request of [
      'GET / HTTP/1.1\r\nHost: other.test\r\n\r\n',
      'GET http://other.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: ok.test:8080\r\n\r\n',
    ]) {
      client.write(request)
      expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 421 Blocked by policy: authority_mismatch/)
      await client.until(/\}\n$/)
    }
    client.write('CONNECT ok.test:443 HTTP/1.1\r\n\r\n')
    expect(await client.until('\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 Bad target/)
    expect(proxy.decisions()).toHaveLength(5)
    expect(proxy.complaints).toEqual([])
    expect(origin.connections).toBe(1)
  },
)

test.runIf(canBind80)(
  'INS-03 what is not HTTP inside a tunnel to port 80 is refused, and none of it reaches the origin',
  async () => {
    const host = loopbackAddress()
    await using dns = await startDns({ 'ok.test': [host] })
    let reached = 0
    await using origin = await startHttpOrigin(() => void reached++, { host, port: 80 })
    await using proxy = await startProxy({ config: config(dns.address) })
    await using client = await rawClient(proxy.port)
    client.write('CONNECT ok.test:80 HTTP/1.1\r\n\r\nSSH-2.0-OpenSSH_9.6\r\n')
    expect(await client.rest()).toContain('HTTP/1.1 400 Bad request')
    expect(reached).toBe(0)
    expect(origin.connections).toBe(1)
    expect(proxy.complaints).toEqual([])
  },
)
