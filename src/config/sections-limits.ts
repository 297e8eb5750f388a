import { z } from 'zod'
import { listenAddressText, parseListenAddress } from './listen-address.ts'
import { count, duration, paths, refuse, size, text } from './setting.ts'

const restart = true

export const upstreamSection = z
  .strictObject({
    resolver: text({
      meaning: 'Who resolves names: the resolver of the system, or one DNS server.',
      form: '"system", or the address and port of a DNS server such as "192.0.2.53:53"',
      initial: 'system',
      restart,
      read: (value, context) => {
        const server = parseListenAddress(value)
        if (value === 'system') return value
        return server && server.port !== 0
          ? listenAddressText(server)
          : refuse(context, value, 'it is neither "system" nor an address and a port')
      },
    }),
    extra_ca_files: paths({
      meaning: 'PEM files with certificate authorities that are trusted beside those of the system.',
      relativeTo: 'config',
      restart,
    }),
    dns_timeout: duration({
      meaning: 'How long a name may take to resolve.',
      initial: '5s',
      from: '10ms',
      to: '1m',
      restart,
    }),
    dns_cache_entries: count({
      meaning: 'How many names are remembered with their addresses.',
      initial: 10_000,
      from: 0,
      to: 1_000_000,
      restart,
    }),
    dns_ttl_max: duration({
      meaning: 'How long an address is remembered at most, whatever the DNS says.',
      initial: '5m',
      from: '0s',
      to: '1d',
      restart,
    }),
    connect_timeout: duration({
      meaning: 'How long connecting to an origin may take, all of its addresses together.',
      initial: '10s',
      from: '10ms',
      to: '5m',
    }),
  })
  .prefault({})

export const limitsSection = z
  .strictObject({
    head: size({
      meaning: 'The longest head of a request (request line and fields); a longer one gets 431.',
      initial: '16KiB',
      from: '1KiB',
      to: '1MiB',
    }),
    response_head: size({
      meaning: 'The longest head of a response; a longer one becomes 502.',
      initial: '64KiB',
      from: '1KiB',
      to: '1MiB',
      restart,
    }),
    target: size({
      meaning: 'The longest request target (URL); a longer one gets 414.',
      initial: '8KiB',
      from: '256B',
      to: '256KiB',
    }),
    fields: count({ meaning: 'The most fields in one head.', initial: 100, from: 10, to: 10_000, restart }),
    trailer: size({
      meaning: 'The longest trailer section of one message.',
      initial: '8KiB',
      from: '0B',
      to: '1MiB',
      restart,
    }),
    interim_responses: count({
      meaning: 'The most interim (1xx) responses before one response.',
      initial: 32,
      from: 0,
      to: 1000,
      restart,
    }),
    connections: count({
      meaning:
        'The most client connections at once, in all; at most half of what the limit of open files leaves, since each may need a second one.',
      initial: 10_000,
      from: 1,
      to: 1_000_000,
    }),
    connections_per_client: count({
      meaning: 'The most connections of one client address at once.',
      initial: 4096,
      from: 1,
      to: 1_000_000,
    }),
    header_timeout: duration({
      meaning: 'How long a client may take to send the head of a request, from its first byte.',
      initial: '30s',
      from: '10ms',
      to: '10m',
    }),
    idle_timeout: duration({
      meaning: 'How long a client may keep a connection open without a request.',
      initial: '60s',
      from: '10ms',
      to: '1h',
    }),
    body_idle_timeout: duration({
      meaning: 'How long a body may stand still, in either direction.',
      initial: '5m',
      from: '10ms',
      to: '1d',
    }),
    response_timeout: duration({
      meaning: 'How long an origin may take from the end of the request to the head of its response.',
      initial: '5m',
      from: '10ms',
      to: '1d',
    }),
    tunnel_idle_timeout: duration({
      meaning: 'How long a tunnel may carry nothing in either direction.',
      initial: '1h',
      from: '10ms',
      to: '7d',
    }),
    tunnel_hello_timeout: duration({
      meaning: 'How long a client may take to send the ClientHello of a tunnel that must begin with one.',
      initial: '30s',
      from: '10ms',
      to: '10m',
    }),
    early_bytes: size({
      meaning:
        'How much of what a client sends before it was decided about is kept for later; then it has to wait.',
      initial: '64KiB',
      from: '1KiB',
      to: '16MiB',
    }),
    upstream_idle_connections: count({
      meaning: 'How many idle connections to origins are kept for the next request.',
      initial: 256,
      from: 0,
      to: 100_000,
    }),
    upstream_idle_timeout: duration({
      meaning: 'How long an idle connection to an origin is kept.',
      initial: '30s',
      from: '10ms',
      to: '1h',
    }),
  })
  .prefault({})

export const drainSection = z
  .strictObject({
    timeout: duration({
      meaning: 'How long running exchanges may take to end when the proxy is told to stop.',
      initial: '30s',
      from: '0s',
      to: '1h',
    }),
  })
  .prefault({})
