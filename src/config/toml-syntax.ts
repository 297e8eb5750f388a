import type { ParseError } from 'toml-eslint-parser'
import { shownValue } from './problems.ts'

/** What the parser says, what to say instead, and the remedy: rows in the order in which they are tried. */
const SYNTAX: readonly (readonly [RegExp, string, string])[] = [
  [/multiple times/, 'it is defined twice', 'keep one of the two'],
  [/Unterminated string/, 'a text is not closed', 'close the quotes on the same line'],
  [/Unterminated table-key/, 'the name of a section is not closed', 'write [section]'],
  [/Unterminated array/, 'a list is not closed', 'close it with ]'],
  [/Unterminated inline/, 'an inline table is not closed', 'close it with }'],
  [/bare keys/, 'a key is missing', 'write key = value'],
  [
    /Must be a newline/,
    'something follows the value',
    'put one setting on a line, and texts, durations and sizes in quotes: wait = "25s"',
  ],
  [/Expected equal/, 'the equals sign is missing', 'write key = value'],
  [/Unspecified values/, 'the value is missing', 'write key = value'],
  [/Expected comma/, 'a comma is missing', 'put a comma between the entries'],
  [/Control characters/, 'a control character stands in a text', 'write it as an escape such as \\u0009'],
  [/must be on the same line/, 'a setting is broken over lines', 'write key = value on one line'],
  [/between the curly braces/, 'an inline table is broken over lines', 'write it on one line'],
  [/Trailing comma/, 'a comma stands before the closing brace', 'remove the comma'],
  [
    /escape sequence/,
    'a backslash begins an unknown escape',
    "write \\\\ for a backslash, or use single quotes: 'C:\\dir'",
  ],
  [/Leading zeros|Underscores/, 'a number is malformed', 'write the digits alone'],
  [/invalid (date|time)/, 'a date or time is malformed', 'put texts in quotes'],
  [/Invalid code point/, 'a character is not permitted there', 'remove it'],
  [/[Dd]ot/, 'a key is malformed', 'write key = value, or section.key = value'],
  [
    /.*/,
    'it is not TOML',
    'write key = value, with texts, durations and sizes in plain double quotes: wait = "25s"',
  ],
]

export interface SyntaxProblem {
  /** Both from 1. */
  readonly position: { readonly line: number; readonly column: number }
  readonly field: string
  readonly problem: string
  readonly remedy: string
}

/** The parser's complaint in plain words, at the place where it can be mended. */
export function syntaxProblem(error: ParseError, text: string): SyntaxProblem {
  const lines = text.split('\n', error.lineNumber)
  const unfinished = unfinishedBefore(error, lines)
  if (unfinished) return unfinished
  const [pattern, problem, remedy] = SYNTAX.find(([each]) => each.test(error.message))!
  const line = lines[error.lineNumber - 1] ?? ''
  // Only a key may be repeated from the line: whatever else stands in it could be a secret.
  const key = /multiple/.test(pattern.source) ? /^[\w.-]+/.exec(line.slice(error.column))?.[0] : undefined
  return {
    position: { line: error.lineNumber, column: error.column + 1 },
    field: key === undefined ? '' : (shownValue(key)?.slice(1, -1) ?? ''),
    problem,
    remedy,
  }
}

/** What a line leaves open the parser notices at the next one that is not blank. */
const UNFINISHED: readonly (readonly [RegExp, string, string])[] = [
  [/=\s*$/, 'the value is missing', 'write key = value'],
  [/^\s*\[[^\]]*$/, 'the name of a section is not closed', 'write [section]'],
  [/[[,]\s*$/, 'a list is not closed', 'close it with ]'],
  [/^\s*[\w."'-]+\s*$/, 'the equals sign is missing', 'write key = value'],
]

function unfinishedBefore(error: ParseError, lines: readonly string[]): SyntaxProblem | undefined {
  if ((lines[error.lineNumber - 1] ?? '').slice(0, error.column).trim() !== '') return undefined
  if (!/equal|same line|Unexpected|Unspecified/.test(error.message)) return undefined
  const at = lines.findLastIndex((line, i) => i < error.lineNumber - 1 && line.trim() !== '')
  const line = (lines[at] ?? '').trimEnd()
  const found = UNFINISHED.find(([pattern]) => pattern.test(line))
  if (!found) return undefined
  return {
    position: { line: at + 1, column: line.length + 1 },
    field: '',
    problem: found[1],
    remedy: found[2],
  }
}
