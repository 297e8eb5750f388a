import { getDomain } from 'tldts'
import { type Host, parseHost } from '../core/hostname.ts'

/**
 * The registrable domain of a name after the public suffix list, its private section included (`alice.github.io` is
 * somebody else than `bob.github.io`), or undefined: for an address, and for a name that is itself a public suffix.
 */
export function registrableDomain(host: Host): Host | undefined {
  if (host.kind === 'address') return undefined
  const domain = getDomain(host.text, {
    allowPrivateDomains: true,
    extractHostname: false,
    validateHostname: false,
  })
  return domain === null ? undefined : parseHost(domain)
}
