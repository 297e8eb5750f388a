const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
] as const

/**
 * Reads `25s`, `15m`, `1h30m`, `500ms`, `2d`, or `0`: whole numbers, larger units first, each unit once. Returns
 * milliseconds, or undefined for anything else (a bare number has no unit, so it is not a duration).
 */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0
  const parts = /^(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?$/.exec(text)
  if (text === '' || !parts) return undefined
  return UNITS.reduce((sum, [, ms], i) => sum + Number(parts[i + 1] ?? 0) * ms, 0)
}

/** The shortest text that `parseDuration` reads back as `ms`, a whole number of milliseconds. */
export function formatDuration(ms: number): string {
  let rest = ms
  let text = ''
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size)
    if (count > 0) text += `${count}${unit}`
    rest -= count * size
  }
  return text === '' ? '0s' : text
}
