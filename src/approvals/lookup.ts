/** Shortest beginning of an id that is looked up: 20 bits, so that a slip of the finger finds nothing. */
const SHORTEST_PREFIX = 4
const ID_LENGTH = 26
/** Matches named in the answer to an ambiguous prefix. */
export const SHOWN_MATCHES = 5

export type Lookup<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'none'; readonly id: string }
  | { readonly kind: 'too_short'; readonly id: string; readonly shortest: number }
  | { readonly kind: 'ambiguous'; readonly id: string; readonly matches: readonly string[] }

/** Lower case without the noise of copying, or undefined where it cannot be (the beginning of) an id. */
export function normalPrefix(text: string): string | undefined {
  const id = text.trim().toLowerCase()
  return id.length <= ID_LENGTH && /^[0-9a-hjkmnp-tv-z]+$/.test(id) ? id : undefined
}

/**
 * Finds by an id or by a beginning of it that is unique. `candidates` gives what begins with the prefix (more than
 * SHOWN_MATCHES need not be given).
 */
export function lookUp<T extends { readonly id: string }>(
  text: string,
  candidates: (prefix: string) => Iterable<T>,
): Lookup<T> {
  const id = normalPrefix(text)
  if (id === undefined) return { kind: 'none', id: text }
  if (id.length < SHORTEST_PREFIX) return { kind: 'too_short', id, shortest: SHORTEST_PREFIX }
  const found: T[] = []
  for (const candidate of candidates(id)) {
    if (candidate.id === id) return { kind: 'found', value: candidate }
    found.push(candidate)
    if (found.length > SHOWN_MATCHES) break
  }
  const only = found[0]
  if (only === undefined) return { kind: 'none', id }
  if (found.length === 1) return { kind: 'found', value: only }
  return { kind: 'ambiguous', id, matches: found.slice(0, SHOWN_MATCHES).map((each) => each.id) }
}
