import type { z } from 'zod'
import { type Layers, type Origin, isTable } from './layers.ts'
import { type ConfigProblem, fieldText, shownValue } from './problems.ts'
import { SECTIONS, SETTINGS, type SettingRow, settingAt } from './settings-table.ts'
import { nearest } from './suggestion.ts'

type Issue = z.core.$ZodIssue
type Path = readonly PropertyKey[]

/** What the schema found wrong, in the words of the settings: each with its place, its value and its remedy. */
export function issuesToProblems(issues: readonly Issue[], layers: Layers): ConfigProblem[] {
  const problems = new Map<string, ConfigProblem>()
  for (const issue of issues)
    for (const problem of problemsOf(issue, layers)) {
      const key = `${problem.field}\0${problem.line}\0${problem.column ?? 0}`
      // Bounds can be broken twice over: too big for a number, then too big for the setting, which says it better.
      problems.set(key, problem)
    }
  return [...problems.values()]
}

/** File, line and column of an origin, as a problem has them. */
export function placeOf(origin: Origin): Pick<ConfigProblem, 'file' | 'line' | 'column'> {
  if (origin.layer !== 'file') return { file: origin.file, line: 0 }
  return {
    file: origin.file,
    line: origin.line,
    ...(origin.column !== undefined && { column: origin.column }),
  }
}

function problemsOf(issue: Issue, layers: Layers): ConfigProblem[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => unknownKey([...issue.path, key], layers))
  const row = settingAt(issue.path)
  const value = valueAt(layers.merged, issue.path)
  const params = issue.code === 'custom' ? issue.params : undefined
  const secret = params?.['secret'] === true
  const shown = secret ? '[secret]' : shownValue(value)
  return [
    {
      ...placeOf(layers.originOf(issue.path)),
      field: fieldText(issue.path),
      ...(shown !== undefined && { value: shown }),
      problem: complaint(issue, row, value),
      remedy: params?.['remedy'] ?? remedyOf(issue, row, value),
    },
  ]
}

function complaint(issue: Issue, row: SettingRow | undefined, value: unknown): string {
  switch (issue.code) {
    case 'custom':
      return issue.message
    case 'too_small':
      return Array.isArray(value) ? 'it is empty' : `it is less than ${issue.minimum}`
    case 'too_big':
      return `it is more than ${issue.maximum}`
    case 'invalid_value':
      if (typeof value !== 'string') return typeComplaint(value)
      return meantWord(row, value) === undefined ? 'it is not known here' : `it is not ${row?.form}`
    default:
      return typeComplaint(value)
  }
}

function typeComplaint(value: unknown): string {
  if (value === undefined) return 'it is missing'
  if (typeof value === 'string') return 'it is a text'
  if (typeof value === 'boolean') return `it is ${value}`
  if (typeof value === 'number')
    return Number.isInteger(value) ? 'it is a number' : 'it is not a whole number'
  if (Array.isArray(value)) return 'it is a list'
  return value instanceof Date ? 'it is a date' : 'it is a table'
}

function remedyOf(issue: Issue, row: SettingRow | undefined, value: unknown): string {
  if (!row) return `write the settings of it below [${String(issue.path[0])}]`
  const close = issue.code === 'invalid_value' ? meantWord(row, value) : undefined
  if (close !== undefined) return `did you mean "${close}"?`
  return `write ${row.form}`
}

function meantWord(row: SettingRow | undefined, value: unknown): string | undefined {
  return typeof value === 'string' ? nearest(value, row?.words ?? []) : undefined
}

/** The value of an unknown key is never repeated: it may be a password that somebody put into the wrong place. */
function unknownKey(path: Path, layers: Layers): ConfigProblem {
  return {
    ...placeOf(layers.originOf(path)),
    field: fieldText(path),
    problem:
      path.length === 1 && isTable(valueAt(layers.merged, path))
        ? 'there is no such section'
        : 'there is no such setting',
    remedy: unknownRemedy(path, valueAt(layers.merged, path)),
  }
}

function unknownRemedy(path: Path, value: unknown): string {
  const name = String(path.at(-1))
  if (path.length > 2) return unknownBelow(path)
  const section = path.length === 2 ? String(path[0]) : ''
  if (section === '' && isTable(value)) {
    const close = nearest(name, SECTIONS)
    return close === undefined ? `the sections are ${SECTIONS.join(', ')}` : `did you mean [${close}]?`
  }
  const here = nearest(
    name,
    SETTINGS.filter((row) => row.section === section).map((row) => row.name),
  )
  const elsewhere = SETTINGS.filter((row) => row.name === name)
  if (elsewhere.length > 0) return movedRemedy(elsewhere)
  if (here !== undefined) return `did you mean ${here}?`
  const close = nearest(
    name,
    SETTINGS.map((row) => row.name),
  )
  const row = SETTINGS.find((each) => each.name === close)
  if (row)
    return `did you mean ${row.name}${row.section === '' ? ', above all sections' : ` in [${row.section}]`}?`
  return section === '' ? 'remove it' : `the settings of [${section}] are ${namesIn(section)}`
}

function movedRemedy(rows: readonly SettingRow[]): string {
  const sections = rows.map((row) => `[${row.section}]`).join(' or ')
  return sections === '[]' ? 'move it above all sections' : `move it into ${sections}`
}

function namesIn(section: string): string {
  return SETTINGS.filter((row) => row.section === section)
    .map((row) => row.name)
    .join(', ')
}

function unknownBelow(path: Path): string {
  const row = settingAt(path)
  return row ? `write ${row.form}` : 'remove it'
}

function valueAt(merged: unknown, path: Path): unknown {
  let value = merged
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<PropertyKey, unknown>)[part]
  }
  return value
}
