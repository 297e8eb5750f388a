/** The ways in which careless servers differ. */
export interface Leniency {
  /** Where both stand, the length decides and not the coding. */
  readonly lengthWins: boolean
  /** Of several lengths the last counts and not the first. */
  readonly lastLength: boolean
  /** A CR alone ends a line too. */
  readonly bareCr: boolean
}

export const LENIENCIES: readonly Leniency[] = [false, true].flatMap((lengthWins) =>
  [false, true].flatMap((lastLength) => [false, true].map((bareCr) => ({ lengthWins, lastLength, bareCr }))),
)

export interface LenientMessage {
  readonly startLine: string
  readonly fieldCount: number
  readonly body: string
  /** What stands behind the message: food for a smuggler. */
  readonly rest: string
}

/**
 * Reads one message as a server might that repairs everything: any line end, folded lines, white space before a colon, a
 * length with anything behind its digits, `chunked` anywhere in the coding, chunk sizes by their longest hex prefix. Undefined:
 * it would wait for more. `bodiless`: a response that has no content whatever its fields say.
 */
export function readLeniently(
  wire: string,
  leniency: Leniency,
  bodiless: boolean,
): LenientMessage | undefined {
  const lineEnd = leniency.bareCr ? /\r\n|\n|\r/ : /\r?\n/
  let at = 0
  const line = (): string | undefined => {
    const match = lineEnd.exec(wire.slice(at))
    if (match === null) return undefined
    const text = wire.slice(at, at + match.index)
    at += match.index + match[0].length
    return text
  }
  const lines: string[] = []
  let startLine = line()
  while (startLine === '') startLine = line()
  if (startLine === undefined) return undefined
  for (;;) {
    const text = line()
    if (text === undefined) return undefined
    if (text === '') break
    if (/^[\t ]/.test(text) && lines.length > 0) lines.push(`${lines.pop()} ${text.trim()}`)
    else lines.push(text)
  }
  const valuesOf = (key: string) =>
    lines
      .map((text) => text.split(':'))
      .filter(([name]) => name!.replaceAll(/[^!-~]/g, '').toLowerCase() === key)
      .map(([, ...value]) => value.join(':').trim())
  const lengths = valuesOf('content-length').map((value) => Number.parseInt(value, 10) || 0)
  const length = leniency.lastLength ? lengths.at(-1) : lengths[0]
  const chunked = valuesOf('transfer-encoding').some((value) => /chunked/i.test(value))
  const done = (body: string) => ({ startLine, fieldCount: lines.length, body, rest: wire.slice(at) })
  if (bodiless) return done('')
  if (chunked && !(leniency.lengthWins && length !== undefined)) {
    let body = ''
    for (;;) {
      const size = line()
      if (size === undefined) return undefined
      const count = Number.parseInt(size, 16) || 0
      if (count === 0) break
      if (at + count > wire.length) return undefined
      body += wire.slice(at, at + count)
      at += count
      if (line() !== '') return undefined
    }
    for (;;) {
      const trailer = line()
      if (trailer === undefined) return undefined
      if (trailer === '') return done(body)
    }
  }
  if (length === undefined) return done('')
  if (at + length > wire.length) return undefined
  at += length
  const body = wire.slice(at - length, at)
  return done(body)
}
