import { Agent, request } from 'undici'
import { describe, expect, test } from 'vitest'
import { type Collector, startGrpcCollector, startHttpCollector } from '../kit/collector.ts'
import { startDns } from '../kit/dns.ts'
import { startHttpOrigin } from '../kit/origin.ts'
import { startProxy, testConfig } from '../kit/proxy.ts'
import { rawClient } from '../kit/raw-client.ts'

const protocols: readonly (readonly [string, () => Promise<Collector>])[] = [
  ['http/protobuf', startHttpCollector],
  ['grpc', startGrpcCollector],
]

describe.each(protocols)('over %s', (protocol, startCollector) => {
  test(`EXP-01 each exchange is one decision record at the collector, over ${protocol}`, async () => {
    await using dns = await startDns({ 'ok.test': ['127.0.0.1'] })
    await using origin = await startHttpOrigin((_, response) => response.end('hello'))
    await using collector = await startCollector()
    await using proxy = await startProxy({
      config: testConfig({
        dns: dns.address,
        ports: [origin.port],
        unfamiliar: 'deny',
        more: '[telemetry]\ninterval = "10ms"',
      }),
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: protocol },
    })
    await using client = await rawClient(proxy.port)
    for (const host of ['ok.test', 'denied.test', 'unknown.test']) {
      client.write(`GET http://${host}:${origin.port}/path?secret=1 HTTP/1.1\r\nHost: x\r\n\r\n`)
      await client.until(/(hello|\}\n)$/)
    }
    const decisions = (each: Collector) =>
      each.accepted.filter(({ eventName }) => eventName === 'sallyport.egress.decision')
    await collector.until((each) => decisions(each).length >= 3)
    await proxy.event('sallyport.egress.completed')
    await collector.until((each) =>
      each.accepted.some(({ eventName }) => eventName === 'sallyport.egress.completed'),
    )
    expect(decisions(collector).map(({ attributes }) => attributes['sallyport.decision'])).toEqual([
      'allow',
      'deny',
      'deny',
    ])
    expect(decisions(collector).map(({ attributes }) => attributes['server.address'])).toEqual([
      'ok.test',
      'denied.test',
      'unknown.test',
    ])
    expect(collector.accepted.flatMap(({ attributes }) => Object.values(attributes)).join(' ')).not.toContain(
      'secret',
    )
    expect(proxy.complaints).toEqual([])
  })
})

test('EXP-02 a collector that is down holds nothing up and loses nothing', async () => {
  await using dns = await startDns({})
  const first = await startHttpCollector()
  const { endpoint, port } = first
  await first[Symbol.asyncDispose]()
  await using proxy = await startProxy({
    config: testConfig({
      dns: dns.address,
      ports: [1],
      unfamiliar: 'deny',
      more: '[telemetry]\ninterval = "10ms"',
    }),
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint },
  })
  const hosts = Array.from({ length: 20 }, (_, i) => `host${i}.test`)
  for (const host of hosts) {
    await using client = await rawClient(proxy.port)
    client.write(`CONNECT ${host}:443 HTTP/1.1\r\n\r\n`)
    expect(await client.until('\r\n\r\n')).toContain('403')
  }
  await using collector = await startHttpCollector({ port })
  // The next start of the daemon follows the log from where the last one could not.
  await proxy.restart()
  await collector.until(
    (each) => each.accepted.filter((r) => r.eventName === 'sallyport.egress.decision').length >= 20,
  )
  const seen = collector.accepted.filter(({ eventName }) => eventName === 'sallyport.egress.decision')
  expect(new Set(seen.map(({ attributes }) => attributes['server.address']))).toEqual(new Set(hosts))
  expect(new Set(seen.map(({ attributes }) => attributes['log.record.uid'])).size).toBe(20)
  // The readiness of the proxy does not hang on the collector.
  const agent = new Agent({ connect: { socketPath: proxy.socket } })
  const ready = await request('http://localhost/readyz', { dispatcher: agent })
  await ready.body.dump()
  await agent.close()
  expect(ready.statusCode).toBe(200)
})
