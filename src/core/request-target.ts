import { type Authority, InvalidTarget, parseAuthority } from './authority.ts'

/** What a client of a forward proxy may ask for: a tunnel (authority-form) or an http resource (absolute-form). */
export type RequestTarget =
  | { readonly kind: 'connect'; readonly authority: Authority }
  | {
      readonly kind: 'http'
      readonly authority: Authority
      /** Path and query exactly as sent (origins rely on it), `/` or `*` where the client sent none. */
      readonly path: string
    }

const HTTP_PORT = 80

/**
 * RFC 9112 §3.2: authority-form for CONNECT, absolute-form with scheme http for everything else. All other forms are
 * refused: origin-form would need a guess at the authority, `https:` would need TLS to the origin on the client's behalf.
 * Throws InvalidTarget.
 */
export function parseRequestTarget(method: string, target: string): RequestTarget {
  if (method === 'CONNECT') return { kind: 'connect', authority: parseAuthority(target) }
  if (target.startsWith('/') || target === '*')
    throw new InvalidTarget('this is a proxy: send the absolute URL of the resource, http://host/path')
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(target)?.[1]?.toLowerCase()
  if (scheme === 'https') throw new InvalidTarget('use CONNECT for https: URLs')
  if (scheme !== 'http' || !/^http:\/\//i.test(target))
    throw new InvalidTarget('only http:// URLs are forwarded')
  if (target.includes('#')) throw new InvalidTarget('a target may not contain a fragment')
  if (target.includes('\\')) throw new InvalidTarget('a target may not contain a backslash')
  const rest = target.slice('http://'.length)
  const end = rest.search(/[/?]/)
  const authority = parseAuthority(end === -1 ? rest : rest.slice(0, end), HTTP_PORT)
  const path = end === -1 ? '' : rest.slice(end)
  if (path === '') return { kind: 'http', authority, path: method === 'OPTIONS' ? '*' : '/' }
  return { kind: 'http', authority, path: path.startsWith('?') ? `/${path}` : path }
}

/**
 * The target of a plain HTTP request inside a tunnel to `authority`: origin-form, or absolute-form for the very same
 * authority. Returns undefined where the request names another one (RFC 9110 §15.5.20). Throws InvalidTarget.
 */
export function parseTargetInside(
  authority: Authority,
  method: string,
  target: string,
  host: string | undefined,
): (RequestTarget & { kind: 'http' }) | undefined {
  if (method === 'CONNECT') throw new InvalidTarget('a tunnel inside a tunnel is not permitted')
  const named = host === undefined ? authority : parseAuthority(host, HTTP_PORT)
  if (!sameAuthority(named, authority)) return undefined
  if (target === '*' && method === 'OPTIONS') return { kind: 'http', authority, path: target }
  if (!target.startsWith('/')) {
    const absolute = parseRequestTarget(method, target)
    return absolute.kind === 'http' && sameAuthority(absolute.authority, authority) ? absolute : undefined
  }
  if (/[#\\]/.test(target)) throw new InvalidTarget('a target may not contain a fragment or a backslash')
  return { kind: 'http', authority, path: target }
}

function sameAuthority(a: Authority, b: Authority): boolean {
  return a.port === b.port && a.host.text === b.host.text
}
