import { createHash } from 'node:crypto'
import type { Policy } from '../policy/policy.ts'
import type { Origin } from './layers.ts'
import type { ConfigProblem } from './problems.ts'
import type { Settings } from './schema.ts'

/** One effective configuration, whole and compiled. Nothing in it ever changes; a reload makes another one. */
export interface Snapshot {
  readonly settings: Settings
  readonly policy: Policy
  /**
   * The first 12 hex digits of `digest`: shown to people and clients, and recorded with each decision. The same content
   * has the same version on every machine, whatever its comments, its order and its file names.
   */
  readonly version: string
  /** SHA-256 over what decides who may leave: policy, list files, tunnel, and what happens without a reviewer. */
  readonly digest: string
  /** The files that were read, list files included; the first is the configuration itself. */
  readonly files: readonly string[]
  /** Milliseconds since the epoch. */
  readonly loadedAt: number
  /** Different patterns, those of list files included. */
  readonly counts: { readonly allowed: number; readonly denied: number }
  /** The layer, file and line of every setting, by its key. */
  readonly origins: ReadonlyMap<string, Origin>
  /** SHA-256 of each list file. */
  readonly lists: ReadonlyMap<string, string>
  /** What is valid and probably not what was meant. */
  readonly warnings: readonly ConfigProblem[]
}

/** SHA-256 of what decides, in one canonical spelling. */
export function policyDigest(settings: Settings, lists: ReadonlyMap<string, string>): string {
  const { policy, tunnel, hold } = settings
  const content = {
    allowed: canonical(policy.allowed_domains),
    denied: canonical(policy.denied_domains),
    lists: canonical([...lists.values()]),
    ports: [...new Set(policy.allowed_ports)].toSorted((a, b) => a - b),
    unfamiliar: policy.unfamiliar,
    private: canonical(
      policy.private.map(({ host, cidr, ports }) =>
        JSON.stringify([host, cidr, ports.toSorted((a, b) => a - b)]),
      ),
    ),
    tunnel: [tunnel.require_tls, canonical(tunnel.raw)],
    unattended: hold.when_unattended,
  }
  return sha256(JSON.stringify(content))
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

function canonical(texts: readonly string[]): string[] {
  return [...new Set(texts)].toSorted()
}
