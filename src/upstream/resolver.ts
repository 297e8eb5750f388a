// upstream: the way to the origin: names to addresses, addresses to connections, connections kept for the next request.
// It dials only what it is given vetted; it decides nothing and knows no policy.

import { lookup, promises as dns } from 'node:dns'
import { LRUCache } from 'lru-cache'
import type { Alarm, Clock } from '../core/clock.ts'
import { errnoOf, ProxyError } from '../core/errors.ts'
import type { Hostname } from '../core/hostname.ts'
import { type IpAddress, parseIpAddress } from '../core/ip-address.ts'

export interface Resolver {
  /** The addresses that are remembered and still good, or undefined: then `resolve` must be asked. */
  cached(name: Hostname): readonly IpAddress[] | undefined
  /**
   * All addresses of a name, IPv6 and IPv4 as the resolver orders them, never none. Equal questions share one look-up.
   * Throws ProxyError `dns_error` or `dns_timeout`.
   */
  resolve(name: Hostname): Promise<readonly IpAddress[]>
  /** Forgets every answer. */
  clear(): void
}

export interface ResolverOptions {
  /** `system` (getaddrinfo, so /etc/hosts counts), or `address:port` of a DNS server that is asked for A and AAAA. */
  readonly server: string
  /** Milliseconds for one question, waiting for a turn included. */
  readonly timeout: number
  /** Names remembered at most. */
  readonly cacheEntries: number
  /** Milliseconds that an answer is remembered at most; the system's resolver tells no lifetime, so there it is this. */
  readonly longestTtl: number
  readonly clock: Clock
}

interface Answer {
  readonly addresses: readonly IpAddress[]
  /** Seconds. */
  readonly ttl: number
}

type Lookup = (name: string) => Promise<Answer>

/** Names that do not exist are remembered this long, so that a retrying client costs no question each time. */
const NEGATIVE_TTL_MS = 2000
/** getaddrinfo blocks a thread of Node's pool each; files need some of them too. */
const CONCURRENT_LOOKUPS = 12
const QUEUED_LOOKUPS = 4096
/** More than any host has. What is beyond is not cut off, since it would be judged by nobody: the whole answer is refused. */
const ANSWERS_LIMIT = 256

export function createResolver(options: ResolverOptions): Resolver {
  const { clock } = options
  const ask =
    options.server === 'system'
      ? systemLookup(options.longestTtl)
      : serverLookup(options.server, options.timeout)
  const limited = withLimit(ask, CONCURRENT_LOOKUPS)
  // Without a bound this cache would keep everything: no room means no cache.
  const cache =
    options.cacheEntries === 0
      ? undefined
      : new LRUCache<string, readonly IpAddress[] | ProxyError>({
          max: options.cacheEntries,
          ttlAutopurge: false,
          ttlResolution: 0,
          ttl: Math.max(1, options.longestTtl),
          perf: { now: () => clock.monotonic() + 1 },
        })
  const running = new Map<string, Promise<readonly IpAddress[]>>()

  async function lookUp(name: Hostname): Promise<readonly IpAddress[]> {
    try {
      const answer = await withTimeout(limited(name), options.timeout, clock)
      if (answer.addresses.length === 0) throw new ProxyError('dns_error', 'NODATA')
      const { addresses } = answer
      if (addresses.length > ANSWERS_LIMIT) throw new ProxyError('dns_error', 'too many addresses')
      const ttl = Math.min(answer.ttl * 1000, options.longestTtl)
      if (ttl > 0) cache?.set(name, addresses, { ttl })
      return addresses
    } catch (error) {
      const trouble = asTrouble(error)
      if (trouble.code === 'dns_error') cache?.set(name, trouble, { ttl: NEGATIVE_TTL_MS })
      throw trouble
    } finally {
      running.delete(name)
    }
  }

  return {
    cached(name) {
      const known = cache?.get(name)
      return known instanceof ProxyError ? undefined : known
    },
    resolve(name) {
      const known = cache?.get(name)
      if (known instanceof ProxyError) return Promise.reject(known)
      if (known !== undefined) return Promise.resolve(known)
      let lookup = running.get(name)
      if (lookup === undefined) {
        lookup = lookUp(name)
        running.set(name, lookup)
      }
      return lookup
    },
    clear: () => cache?.clear(),
  }
}

function systemLookup(ttl: number): Lookup {
  return (name) =>
    new Promise((resolve, reject) => {
      // Without a dot at the end, or /etc/hosts would not count; `main.ts` switches the search list off instead.
      lookup(name, { all: true, order: 'verbatim' }, (error, answers) => {
        if (error) reject(error)
        else resolve({ addresses: parseAll(answers.map(({ address }) => address)), ttl: ttl / 1000 })
      })
    })
}

function serverLookup(server: string, timeout: number): Lookup {
  const resolver = new dns.Resolver({ timeout: Math.max(1, Math.floor(timeout / 2)), tries: 2 })
  resolver.setServers([server])
  return async (name) => {
    const [six, four] = await Promise.allSettled([
      resolver.resolve6(name, { ttl: true }),
      resolver.resolve4(name, { ttl: true }),
    ])
    // One family may have no answer; if both have none, the failure of A says more.
    if (six.status === 'rejected' && four.status === 'rejected') throw four.reason
    // A family that could not be asked at all must not hide addresses that the guard would refuse.
    for (const family of [six, four])
      if (family.status === 'rejected' && !['ENODATA', 'ENOTFOUND'].includes(errnoOf(family.reason) ?? ''))
        throw family.reason
    const records = [
      ...(six.status === 'fulfilled' ? six.value : []),
      ...(four.status === 'fulfilled' ? four.value : []),
    ]
    return {
      addresses: parseAll(records.map(({ address }) => address)),
      ttl: records.reduce((least, record) => Math.min(least, record.ttl), Number.POSITIVE_INFINITY),
    }
  }
}

function parseAll(texts: readonly string[]): IpAddress[] {
  const addresses = new Map<string, IpAddress>()
  for (const text of texts) {
    const address = parseIpAddress(text)
    // An answer that is no plain address (a zone id, say) cannot be vetted, so the whole answer is refused.
    if (address === undefined) throw new ProxyError('dns_error', 'an answer is not an address')
    addresses.set(address.text, address)
  }
  return [...addresses.values()]
}

function withLimit(ask: Lookup, limit: number): Lookup {
  let active = 0
  const waiting: (() => void)[] = []
  return async (name) => {
    if (active >= limit) {
      if (waiting.length >= QUEUED_LOOKUPS) throw new ProxyError('dns_timeout', 'too many look-ups at once')
      await new Promise<void>((turn) => waiting.push(turn))
    }
    active++
    try {
      return await ask(name)
    } finally {
      active--
      waiting.shift()?.()
    }
  }
}

function withTimeout<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T> {
  let alarm: Alarm | undefined
  const late = new Promise<never>((_, reject) => {
    alarm = clock.after(ms, () => reject(new ProxyError('dns_timeout')))
  })
  return Promise.race([work, late]).finally(() => alarm?.cancel())
}

function asTrouble(error: unknown): ProxyError {
  if (error instanceof ProxyError) return error
  const code = errnoOf(error)
  if (code === 'ETIMEOUT') return new ProxyError('dns_timeout')
  return new ProxyError('dns_error', code === 'ENOTFOUND' ? 'NXDOMAIN' : code, { cause: error })
}
