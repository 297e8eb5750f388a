import { tomlText } from './toml-text.ts'

/** What is wrong with a configuration, and what to do about it. */
export interface ConfigProblem {
  /** The file, the environment variable, or `command line`. */
  readonly file: string
  /** From 1; 0 where there is no line to point at. */
  readonly line: number
  /** From 1. */
  readonly column?: number
  /** The setting, such as `policy.allowed_ports[2]`; empty where the file as a whole is meant. */
  readonly field: string
  /** The value as TOML, shortened; absent where it could be a secret or would not help. */
  readonly value?: string
  /** What is wrong, as a clause: `it is not a duration`. */
  readonly problem: string
  /** What to do, as an imperative: `write a duration from 0s to 10m, such as "25s"`. */
  readonly remedy: string
}

/** `config/sallyport.toml:12:3: policy.unfamiliar = "holdd": it is not one of its words → did you mean "hold"?` */
export function formatProblem(problem: ConfigProblem): string {
  const { file, line, column, field, value } = problem
  const place = line === 0 ? file : column === undefined ? `${file}:${line}` : `${file}:${line}:${column}`
  const subject = value === undefined ? field : `${field} = ${value}`
  return `${[place, subject, problem.problem].filter((part) => part !== '').join(': ')} → ${problem.remedy}`
}

const SHOWN = 80

/** A value for a problem: lists and tables are not repeated, long texts are cut. */
export function shownValue(value: unknown): string | undefined {
  if (value === undefined || (typeof value === 'object' && !(value instanceof Date))) return undefined
  const text = tomlText(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}

/** `policy.private[0].cidr`. */
export function fieldText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    const key = tomlText(String(part)).slice(1, -1)
    const shown = /^[A-Za-z0-9_-]+$/.test(key) ? key : `"${key.slice(0, SHOWN)}"`
    return text === '' ? shown : `${text}.${shown}`
  }, '')
}

/** Problems in the order in which a reader of the file meets them. */
export function sortProblems(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return problems.toSorted(
    (a, b) => compare(a.file, b.file) || a.line - b.line || (a.column ?? 0) - (b.column ?? 0),
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
