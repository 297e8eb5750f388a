import type { IncomingMessage } from 'node:http'
import { Problem } from './problem.ts'

/** Fields of every response: no sniffing, no framing, no scripts, nothing kept. There are no CORS fields, ever. */
export const SAFETY_FIELDS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
} as const

/**
 * What every request must pass, whatever it asks for. A browser on this machine reaches loopback for any page that it
 * shows, with the page's name in Host after DNS rebinding (CVE-2018-14505, CVE-2025-66414); what it cannot forge is Host,
 * Origin and Sec-Fetch-Site. `authorities` are the values of Host that name this listener, in lower case. Throws Problem.
 */
export function checkGate(request: IncomingMessage, authorities: ReadonlySet<string>): void {
  const hosts = request.headersDistinct['host'] ?? []
  const host = hosts[0]?.toLowerCase()
  if (hosts.length !== 1 || host === undefined || !authorities.has(host))
    throw new Problem('wrong_host', 'the Host field does not name this listener', {
      field: 'Host',
      value: shown(hosts.join(', ')),
      remedy: `send Host: ${[...authorities][0]}`,
    })
  if (!request.url?.startsWith('/'))
    throw new Problem('malformed_request', 'the target of the request is not a path', {
      field: 'request target',
      value: shown(request.url ?? ''),
      remedy: 'send a path, such as /v1/status; this is not a proxy',
    })
  const origins = request.headersDistinct['origin'] ?? []
  if (origins.some((origin) => origin.toLowerCase() !== `http://${host}`))
    throw crossSite('Origin', origins.join(', '), 'the request comes from a page of another site')
  const sites = request.headersDistinct['sec-fetch-site'] ?? []
  if (sites.some((site) => site !== 'same-origin' && site !== 'none'))
    throw crossSite('Sec-Fetch-Site', sites.join(', '), 'the request comes from a page of another site')
  // Our own proxy adds Via: whoever gets here through it has been let past an address guard that failed.
  const via = request.headersDistinct['via'] ?? []
  if (via.length > 0) throw crossSite('Via', via.join(', '), 'the request came through a proxy')
}

function crossSite(field: string, value: string, detail: string): Problem {
  return new Problem('cross_site', detail, {
    field,
    value: shown(value),
    remedy: 'use the sallyport command or curl on this machine, directly',
  })
}

/** A value as it may stand in an answer or a log: short, printable. */
export function shown(value: string): string {
  const cut = value.length > 80 ? `${value.slice(0, 77)}...` : value
  return cut.replace(/[^\x20-\x7e]/g, '?')
}
