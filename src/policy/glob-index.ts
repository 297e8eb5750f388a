import type { Rule } from '../core/decision.ts'
import type { Hostname } from '../core/hostname.ts'
import type { DomainSet } from './domain-set.ts'
import { DomainSetBuilder } from './domain-set-builder.ts'
import { matchesLabels } from './glob.ts'
import type { NameHasher } from './name-hash.ts'
import type { Pattern } from './pattern.ts'

type Glob = Pattern & { kind: 'glob' }

/** The patterns that end in the same fixed labels. */
interface Place {
  readonly filed: { readonly pattern: Glob; readonly rule: Rule }[]
  /** The place with the most labels among those that this one ends in. */
  wider: Place | undefined
}

/**
 * Patterns with wildcards inside, filed under the labels to the right of their last wildcard: a lookup is constant for
 * each label of the host, plus a step for each pattern that ends in the same labels.
 */
export class GlobIndex {
  readonly size: number
  readonly #names: DomainSet
  readonly #places: readonly Place[]
  /** Of patterns that have a wildcard in their last label. */
  readonly #root: Place

  constructor(hasher: NameHasher, globs: readonly { readonly pattern: Glob; readonly rule: Rule }[]) {
    const places = new Map<string, Place>([['', { filed: [], wider: undefined }]])
    const seen = new Set<string>()
    for (const { pattern, rule } of globs) {
      const key = `${pattern.scope} ${pattern.labels.join('.')} ${pattern.port}`
      if (seen.has(key)) continue
      seen.add(key)
      const name = fixedEnd(pattern)
      const place = places.get(name)
      if (place) place.filed.push({ pattern, rule })
      else places.set(name, { filed: [{ pattern, rule }], wider: undefined })
    }
    const builder = new DomainSetBuilder(hasher, places.size, 0)
    const root = places.get('')!
    places.delete('')
    this.#places = [...places.values()]
    this.#root = root
    for (const [i, [name, place]] of [...places].entries()) {
      place.wider = widerPlace(places, name) ?? root
      const bytes = Buffer.from(name, 'latin1')
      builder.add(bytes, 0, bytes.length, 'subdomains', 0, i, 0)
    }
    this.size = seen.size
    this.#names = builder.build()
  }

  /** The rule with exactly this port (0: for every port) whose pattern matches; the one with the longest fixed end. */
  find(host: Hostname, port: number): Rule | undefined {
    if (this.size === 0) return undefined
    const found = this.#names.find(host, 0)
    let place: Place | undefined =
      found === -1 ? this.#root : this.#places[this.#names.entry(found, host).line]
    for (; place; place = place.wider) {
      for (const { pattern, rule } of place.filed)
        if (pattern.port === port && matchesLabels(pattern.labels, pattern.scope, host)) return rule
    }
    return undefined
  }
}

function fixedEnd(pattern: Glob): string {
  return pattern.labels.slice(pattern.labels.findLastIndex((label) => /[*?]/.test(label)) + 1).join('.')
}

function widerPlace(places: ReadonlyMap<string, Place>, name: string): Place | undefined {
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    const place = places.get(name.slice(dot + 1))
    if (place) return place
  }
  return undefined
}
