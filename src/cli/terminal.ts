import { styleText } from 'node:util'

/** Where a command writes: data to `out`, messages to `err`; the tests hand in their own. */
export interface Terminal {
  out(text: string): void
  err(text: string): void
  /** Whether a person looks at `out`. */
  readonly isTty: boolean
  readonly columns: number
  readonly rows: number
  readonly colour: boolean
  readonly env: Readonly<Record<string, string | undefined>>
}

export function processTerminal(): Terminal {
  const isTty = process.stdout.isTTY === true
  const { env } = process
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTty,
    get columns() {
      return process.stdout.columns || 100 // a terminal of unknown size says 0
    },
    get rows() {
      return process.stdout.rows || 24
    },
    colour: isTty && env['NO_COLOR'] === undefined && env['TERM'] !== 'dumb',
    env,
  }
}

type Style = Parameters<typeof styleText>[0]

export function styled(terminal: Terminal, style: Style, text: string): string {
  return terminal.colour ? styleText(style, text, { validateStream: false }) : text
}

/**
 * Makes text that somebody else chose safe to show: control characters, and what turns text around or hides in it, are
 * escaped, so that a user agent can not move the cursor, rewrite a line or forge an answer (CWE-150).
 */
export function shown(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu, (character) => {
    const code = character.codePointAt(0)!
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** Columns as wide as their widest cell; the last one is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  return rows
    .map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!))).join('  '))
    .map((line) => `${line}\n`)
    .join('')
}

/** `90 s`, `14 min`, `3 h`, `2 d`: how long, to one unit. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}
