import type { ReloadOutcome } from '../../src/config/reload.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { AuditEvent } from '../../src/core/event.ts'
import { type DnsServer, startDns } from './dns.ts'
import type { OriginServer } from './origin.ts'
import { startProxy, type TestProxy, testConfig } from './proxy.ts'
import { type RawClient, rawClient } from './raw-client.ts'

/** A way out that works: a DNS server, an origin, and a proxy that lets `ok.test` through to it. */
export interface Route<O extends OriginServer = OriginServer> extends AsyncDisposable {
  readonly dns: DnsServer
  readonly origin: O
  readonly proxy: TestProxy
  /** `ok.test:port` of the origin. */
  readonly authority: string
  /** An absolute URL at the origin. */
  url(path: string): string
  client(): Promise<RawClient>
  /** A client whose tunnel to the origin stands. */
  tunnel(): Promise<RawClient>
  /** Attributes of all decisions so far. */
  decisions(): AuditEvent['attributes'][]
  /** Waits for the n-th completion and returns its attributes. */
  completed(n?: number): Promise<AuditEvent['attributes']>
  /** Writes the configuration with these changes, and loads it. */
  reload(changes: Changes): Promise<ReloadOutcome>
}

export type Changes = Pick<
  RouteOptions<OriginServer>,
  'allowed' | 'denied' | 'unfamiliar' | 'ports' | 'privateHost' | 'more'
>

export interface RouteOptions<O extends OriginServer> {
  readonly origin: Promise<O>
  /** Beside ok.test, denied.test and new.test, which are on 127.0.0.1. */
  readonly names?: Record<string, readonly string[]>
  readonly allowed?: readonly string[]
  readonly denied?: readonly string[]
  readonly unfamiliar?: 'hold' | 'deny' | 'allow'
  /** Permitted beside that of the origin. */
  readonly ports?: readonly number[]
  /** The host to which a private exception is given; default every name under .test. */
  readonly privateHost?: string
  /** More of the configuration, TOML. */
  readonly more?: string
  readonly clock?: Clock
  /** What the daemon may complain about; anything else fails the test when the route is disposed. */
  readonly complaints?: RegExp
}

export async function startRoute<O extends OriginServer>(options: RouteOptions<O>): Promise<Route<O>> {
  const { complaints, clock } = options
  await using stack = new AsyncDisposableStack()
  const origin = stack.use(await options.origin)
  const loopback = ['127.0.0.1']
  const names = { 'ok.test': loopback, 'denied.test': loopback, 'new.test': loopback, ...options.names }
  const dns = stack.use(await startDns(names))
  const configWith = (changes: Changes) => {
    const { ports = [], allowed, denied, unfamiliar, privateHost, more } = { ...options, ...changes }
    return testConfig({
      dns: dns.address,
      ports: [...new Set([origin.port, ...ports])],
      ...(allowed && { allowed }),
      ...(denied && { denied }),
      ...(unfamiliar && { unfamiliar }),
      ...(privateHost !== undefined && { privateHost }),
      ...(more !== undefined && { more }),
    })
  }
  const proxy = stack.use(await startProxy({ config: configWith({}), ...(clock && { clock }) }))
  const opened = stack.move()
  const authority = `ok.test:${origin.port}`
  return {
    dns,
    origin,
    proxy,
    authority,
    url: (path) => `http://${authority}${path}`,
    client: () => rawClient(proxy.port),
    async tunnel() {
      const client = await rawClient(proxy.port)
      client.write(`CONNECT ${authority} HTTP/1.1\r\n\r\n`)
      const head = await client.until('\r\n\r\n')
      if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`there is no tunnel: ${head}`)
      return client
    },
    decisions: () => proxy.decisions().map(({ attributes }) => attributes),
    completed: async (n = 1) => (await proxy.event('sallyport.egress.completed', () => true, n)).attributes,
    async reload(changes) {
      await proxy.writeConfig(configWith(changes))
      return proxy.daemon.reload()
    },
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync()
      const unexpected = proxy.complaints.filter((each) => complaints?.test(each) !== true)
      if (unexpected.length > 0) throw new Error(`the daemon complained:\n${unexpected.join('\n')}`)
    },
  }
}
