import type { Rule, SourceLocation } from '../core/decision.ts'
import type { Host } from '../core/hostname.ts'
import type { IpAddress } from '../core/ip-address.ts'
import { unmapped } from './addresses.ts'
import type { DomainSet } from './domain-set.ts'
import { DomainSetBuilder } from './domain-set-builder.ts'
import { GlobIndex } from './glob-index.ts'
import type { Scope } from './glob.ts'
import type { NameHasher } from './name-hash.ts'
import { NetworkIndex } from './network-index.ts'
import { type Pattern, SCOPE_PREFIX } from './pattern.ts'

/** Files are numbered from 1; number 0 stands for entries that have a rule of their own, which `line` counts. */
const WITH_RULE = 0

interface Parts {
  readonly list: string
  readonly size: number
  readonly names: DomainSet
  readonly rules: readonly Rule[]
  readonly files: readonly string[]
  readonly globs: GlobIndex
  readonly networks: NetworkIndex
  /** By port; 0 for every port. */
  readonly any: ReadonlyMap<number, Rule>
  /** Whether any entry names a port: if not, half the work is saved. */
  readonly namesPorts: boolean
  readonly namesAddresses: boolean
}

/** Many patterns, asked all at once. Of several that match, one that names the port comes first, then the most specific. */
export class PatternSet {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** How many different patterns there are. */
  get size(): number {
    return this.#parts.size
  }

  /** Whether any entry is an address or a network: if not, `matchAddress` never finds one. */
  get namesAddresses(): boolean {
    return this.#parts.namesAddresses
  }

  /** The rule that matches. Constant time a label, whatever the number of plain entries. */
  match(host: Host, port: number): Rule | undefined {
    return this.matchNamingPort(host, port) ?? this.#find(host, 0)
  }

  /** The rule that matches and names this port itself. */
  matchNamingPort(host: Host, port: number): Rule | undefined {
    return this.#parts.namesPorts ? this.#find(host, port) : undefined
  }

  /** The rule whose address or network contains the address; `::ffff:192.0.2.1` is `192.0.2.1`. */
  matchAddress(address: IpAddress, port: number): Rule | undefined {
    const plain = unmapped(address)
    const named = this.#parts.namesPorts ? this.#findAddress(plain, port) : undefined
    return named ?? this.#findAddress(plain, 0)
  }

  #find(host: Host, port: number): Rule | undefined {
    // A wildcard never matches an address: whoever means addresses writes networks.
    if (host.kind === 'address') return this.#findAddress(unmapped(host.address), port)
    const { names, globs, any } = this.#parts
    const place = names.find(host.text, port)
    if (place !== -1) return this.#ruleOf(place, host.text)
    return globs.find(host.text, port) ?? any.get(port)
  }

  #findAddress(address: IpAddress, port: number): Rule | undefined {
    const place = this.#parts.names.findWhole(address.text, port)
    return place === -1 ? this.#parts.networks.find(address, port) : this.#ruleOf(place, address.text)
  }

  #ruleOf(place: number, found: string): Rule {
    const { names, rules, list, files } = this.#parts
    const { file, line, scope, name, port } = names.entry(place, found)
    if (file === WITH_RULE) return rules[line]!
    const plain = scope === 'exact' ? name : SCOPE_PREFIX[scope] + name
    const text = port === 0 ? plain : `${plain}:${port}`
    return { list, text, source: { file: files[file]!, line } }
  }
}

export class PatternSetBuilder {
  readonly #list: string
  readonly #hasher: NameHasher
  readonly #names: DomainSetBuilder
  readonly #rules: Rule[] = []
  readonly #files: string[] = ['']
  readonly #globs: { pattern: Pattern & { kind: 'glob' }; rule: Rule }[] = []
  readonly #networks = new NetworkIndex()
  readonly #any = new Map<number, Rule>()
  #namesPorts = false
  #namesAddresses = false

  /** `list` is what its rules are called in records. The sizes are guesses of the number and the bytes of the names. */
  constructor(list: string, hasher: NameHasher, entries: number, bytes: number) {
    this.#hasher = hasher
    this.#list = list
    this.#names = new DomainSetBuilder(hasher, entries, bytes)
  }

  /** Adds one entry; of equal ones the first stays. */
  add(pattern: Pattern, text: string, source: SourceLocation): void {
    const rule: Rule = { list: this.#list, text, source }
    if (pattern.port !== 0) this.#namesPorts = true
    switch (pattern.kind) {
      case 'name':
        return this.#addText(pattern.name, pattern.scope, pattern.port, rule)
      case 'network': {
        this.#namesAddresses = true
        const { family, bits, text: network } = pattern.network
        // One address is a name to the table, so that long lists of addresses are as cheap as long lists of names.
        if (bits === (family === 4 ? 32 : 128))
          return this.#addText(network.slice(0, network.indexOf('/')), 'exact', pattern.port, rule)
        return this.#networks.add(pattern.network, pattern.port, rule)
      }
      case 'glob':
        this.#globs.push({ pattern, rule })
        return
      case 'any':
        if (!this.#any.has(pattern.port)) this.#any.set(pattern.port, rule)
    }
  }

  #addText(name: string, scope: Scope, port: number, rule: Rule): void {
    const bytes = Buffer.from(name, 'latin1')
    if (this.#names.add(bytes, 0, bytes.length, scope, port, this.#rules.length, WITH_RULE))
      this.#rules.push(rule)
  }

  /** The file in which the names that follow stand; returns what `addName` wants to know. */
  beginFile(file: string): number {
    return this.#files.push(file) - 1
  }

  /** Adds a canonical name for every port, without an object for it. */
  addName(bytes: Uint8Array, start: number, end: number, scope: Scope, line: number, file: number): void {
    this.#names.add(bytes, start, end, scope, 0, line, file)
  }

  /** The set. The builder must not be used after it. */
  build(): PatternSet {
    const names = this.#names.build()
    const globs = new GlobIndex(this.#hasher, this.#globs)
    return new PatternSet({
      list: this.#list,
      size: names.size + globs.size + this.#networks.size + this.#any.size,
      names,
      rules: this.#rules,
      files: this.#files,
      globs,
      networks: this.#networks,
      any: this.#any,
      namesPorts: this.#namesPorts,
      namesAddresses: this.#namesAddresses,
    })
  }
}
