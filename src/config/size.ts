const UNITS = new Map([
  ['TiB', 1024 ** 4],
  ['GiB', 1024 ** 3],
  ['MiB', 1024 ** 2],
  ['KiB', 1024],
  ['B', 1],
])

/**
 * Reads `16KiB`, `1MiB`, `512B`, or digits alone for bytes. Returns bytes, or undefined for anything else: `KB` and
 * `MB` are refused since half of all readers take them for powers of ten.
 */
export function parseSize(text: string): number | undefined {
  const parts = /^(\d{1,15})([A-Za-z]*)$/.exec(text)
  if (!parts) return undefined
  const unit = parts[2] === '' ? 1 : UNITS.get(parts[2]!)
  if (unit === undefined) return undefined
  const bytes = Number(parts[1]) * unit
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest text that `parseSize` reads back as `bytes`. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return '0B'
  for (const [unit, factor] of UNITS) if (bytes % factor === 0) return `${bytes / factor}${unit}`
  return `${bytes}B`
}
