/** Something wrong with a variable or a setting of the export. `value` is left out where it may be a secret. */
export interface OtelProblem {
  /** Name of the environment variable, or of the setting. */
  readonly name: string
  readonly value?: string
  readonly problem: string
  readonly remedy: string
}

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads variables of the OpenTelemetry specification («Environment Variable Specification»): an empty one counts as
 * unset; a malformed one is a problem here, where the specification would have it ignored with a warning, since an audit
 * trail that goes nowhere must not start in silence.
 */
export class OtelVariables {
  readonly problems: OtelProblem[] = []
  readonly #env: Environment

  constructor(env: Environment) {
    this.#env = env
  }

  /** The first of the names that is set, with its value. */
  find(...names: readonly string[]): { readonly name: string; readonly value: string } | undefined {
    for (const name of names) {
      const value = this.#env[name]?.trim()
      if (value !== undefined && value !== '') return { name, value }
    }
    return undefined
  }

  text(...names: readonly string[]): string | undefined {
    return this.find(...names)?.value
  }

  flag(...names: readonly string[]): boolean | undefined {
    const found = this.find(...names)
    if (!found) return undefined
    const word = found.value.toLowerCase()
    if (word === 'true') return true
    if (word !== 'false') this.problem(found, 'it is neither true nor false', 'set it to true or false')
    return false
  }

  /** A whole number from `least` on. */
  count(least: number, unit: string, ...names: readonly string[]): number | undefined {
    const found = this.find(...names)
    if (!found) return undefined
    const value = /^\d{1,15}$/.test(found.value) ? Number(found.value) : Number.NaN
    if (value >= least) return value
    this.problem(
      found,
      `it is not a whole number of ${unit} from ${least} on`,
      `set it to digits only, such as ${Math.max(least, 1000)}`,
    )
    return undefined
  }

  choice<Word extends string>(words: readonly Word[], ...names: readonly string[]): Word | undefined {
    const found = this.find(...names)
    if (!found) return undefined
    const word = words.find((each) => each === found.value)
    if (word === undefined) this.problem(found, 'it is not a word known here', `use ${words.join(' or ')}`)
    return word
  }

  /** `key=value,key=value`, percent-decoded (W3C Baggage without properties). */
  pairs(secret: boolean, ...names: readonly string[]): Record<string, string> | undefined {
    const found = this.find(...names)
    if (!found) return undefined
    const pairs: Record<string, string> = {}
    for (const member of found.value.split(',')) {
      if (member.trim() === '') continue
      const pair = decodedPair(member)
      if (pair) pairs[pair[0]] = pair[1]
      else
        this.problem(
          secret ? { name: found.name } : { name: found.name, value: member.trim() },
          secret ? 'a member is not key=value' : 'it is not key=value',
          'write key=value,key=value and percent-encode commas, equals signs and spaces inside (%2C, %3D, %20)',
        )
    }
    return pairs
  }

  problem(of: { readonly name: string; readonly value?: string }, problem: string, remedy: string): void {
    const { name, value } = of
    this.problems.push({ name, ...(value !== undefined && { value }), problem, remedy })
  }
}

function decodedPair(member: string): [string, string] | undefined {
  const equals = member.indexOf('=')
  if (equals === -1) return undefined
  try {
    const key = decodeURIComponent(member.slice(0, equals).trim())
    const value = decodeURIComponent(member.slice(equals + 1).trim())
    return key === '' ? undefined : [key, value]
  } catch {
    return undefined
  }
}
