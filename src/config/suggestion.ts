const LONGEST = 64

/** The candidate that `word` was most likely meant to be, or undefined when none is close. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const plain = normal(word)
  if (plain === '' || word.length > LONGEST) return undefined
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(plain.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(plain, normal(candidate))
    if (distance >= bestDistance) continue
    best = candidate
    bestDistance = distance
  }
  return best ?? candidates.find((candidate) => isBeginning(plain, normal(candidate)))
}

/** `headers` is meant to be `headers_file`, `warning` to be `warn`. */
function isBeginning(word: string, candidate: string): boolean {
  return (
    Math.min(word.length, candidate.length) > 3 && (candidate.startsWith(word) || word.startsWith(candidate))
  )
}

/** `allowed-domains` and `allowedDomains` are meant to be `allowed_domains`. */
function normal(word: string): string {
  return word.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).replaceAll(/[-_. ]/g, '')
}

/** Insertions, deletions, substitutions, and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      const plain = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + cost)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = swapped ? Math.min(plain, beforeLast[j - 2]! + 1) : plain
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
