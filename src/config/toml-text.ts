/** A value as it would stand in a TOML file. */
export function tomlText(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return `[${value.map(tomlText).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, each]) => `${tomlKey(key)} = ${tomlText(each)}`)
    return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`
  }
  return String(value)
}

/** A key, in quotes where it needs them. */
export function tomlKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : quoted(key)
}

/**
 * In quotes, with everything escaped that a terminal would act on or that cannot be seen: control characters, marks
 * that turn the direction of writing (Trojan Source), lone surrogates.
 */
function quoted(text: string): string {
  const escaped = text.replace(/[\\"]|[\p{C}\p{Zl}\p{Zp}]/gu, (character) => {
    if (character === '\\' || character === '"') return `\\${character}`
    const code = character.codePointAt(0)!
    return code > 0xffff ? `\\U${hex(code, 8)}` : `\\u${hex(code, 4)}`
  })
  return `"${escaped}"`
}

function hex(code: number, length: number): string {
  return code.toString(16).padStart(length, '0')
}
