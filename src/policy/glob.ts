import type { Hostname } from '../core/hostname.ts'

/** How far a pattern reaches: `x` itself, `*.x` (below it, at any depth), `**.x` (both). */
export type Scope = 'exact' | 'subdomains' | 'all'

/** Matches one whole label, never a dot: `?` is one character, `*` any number of them. */
export function matchesLabel(glob: string, label: string): boolean {
  // Greedy with one point to go back to: at most glob × label steps, both at most 63 characters, no recursion.
  let g = 0
  let star = -1
  let resume = 0
  for (let i = 0; i < label.length;) {
    const code = g < glob.length ? glob.charCodeAt(g) : -1
    if (code === 0x2a) {
      star = g++
      resume = i
    } else if (code === 0x3f || code === label.charCodeAt(i)) {
      g++
      i++
    } else if (star !== -1) {
      g = star + 1
      i = ++resume
    } else return false
  }
  while (glob.charCodeAt(g) === 0x2a) g++
  return g === glob.length
}

/**
 * Whether the host's labels match the globs one by one from the right, and `scope` agrees with what is left over.
 * A label without wildcards is a glob that matches itself.
 */
export function matchesLabels(globs: readonly string[], scope: Scope, host: Hostname): boolean {
  const labels = host.split('.')
  const over = labels.length - globs.length
  if (over < 0 || (scope === 'exact' && over > 0) || (scope === 'subdomains' && over === 0)) return false
  for (let i = globs.length - 1; i >= 0; i--) if (!matchesLabel(globs[i]!, labels[over + i]!)) return false
  return true
}
