import type { Rule } from '../core/decision.ts'
import type { Hostname } from '../core/hostname.ts'
import { matchesLabels } from './glob.ts'
import type { Pattern } from './pattern.ts'

type Glob = Pattern & { kind: 'glob' }

/**
 * Patterns with wildcards inside, filed under the labels to the right of their last wildcard: a lookup is constant for
 * each label of the host, plus a step for each pattern that is filed under the same labels.
 */
export class GlobIndex {
  readonly #filed = new Map<string, { readonly pattern: Glob; readonly rule: Rule }[]>()
  readonly #seen = new Set<string>()

  get size(): number {
    return this.#seen.size
  }

  /** Of equal patterns the first stays. */
  add(pattern: Glob, rule: Rule): void {
    const key = `${pattern.scope} ${pattern.labels.join('.')} ${pattern.port}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    const place = pattern.labels
      .slice(pattern.labels.findLastIndex((label) => /[*?]/.test(label)) + 1)
      .join('.')
    const filed = this.#filed.get(place)
    if (filed) filed.push({ pattern, rule })
    else this.#filed.set(place, [{ pattern, rule }])
  }

  /** The rule with exactly this port (0: for every port) whose pattern matches; the one with the longest fixed end. */
  find(host: Hostname, port: number): Rule | undefined {
    if (this.#seen.size === 0) return undefined
    for (let dot = host.indexOf('.'); dot !== -1; dot = host.indexOf('.', dot + 1)) {
      const rule = this.#among(host.slice(dot + 1), host, port)
      if (rule) return rule
    }
    return this.#among('', host, port)
  }

  #among(place: string, host: Hostname, port: number): Rule | undefined {
    const filed = this.#filed.get(place)
    return filed?.find(
      ({ pattern }) => pattern.port === port && matchesLabels(pattern.labels, pattern.scope, host),
    )?.rule
  }
}
