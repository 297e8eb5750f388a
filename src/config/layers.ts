import type { Assignment } from './environment.ts'
import { type SettingRow, settingAt } from './settings-table.ts'
import { type TomlNode, type TomlTable, positionIn } from './toml.ts'

/** Weakest first. */
export type Layer = 'default' | 'file' | 'environment' | 'command line'

/** Which layer gave an effective value, and where in it. */
export interface Origin {
  readonly layer: Layer
  /** The file as it was named, the environment variable, `command line`, or `default`. */
  readonly file: string
  /** From 1. Outside of a file: the number of the entry in its list, or 1. */
  readonly line: number
  readonly column?: number
}

export interface ConfigDocument {
  /** The path as it was given, which is what people know it by. */
  readonly file: string
  readonly value: TomlTable
  readonly root: TomlNode
}

/** All layers as one tree, and where each part of it comes from. */
export interface Layers {
  readonly merged: TomlTable
  /** The origin of a setting, of an entry of a list, or of a key that is no setting. */
  originOf(path: readonly PropertyKey[]): Origin
}

/** A stronger layer replaces the whole value of a setting, lists included: what is in force can be read in one place. */
export function mergeLayers(
  document: ConfigDocument | undefined,
  environment: readonly Assignment[],
  commandLine: readonly Assignment[],
): Layers {
  const merged = copyOf(document?.value ?? {})
  const assigned = new Map<SettingRow, Origin>()
  for (const [layer, assignments] of [
    ['environment', environment],
    ['command line', commandLine],
  ] as const)
    for (const { row, value, place } of assignments) {
      if (!assign(merged, row, value)) continue
      assigned.set(row, { layer, file: place, line: 1 })
    }
  return { merged, originOf: (path) => originOf(path, assigned, document) }
}

function originOf(
  path: readonly PropertyKey[],
  assigned: ReadonlyMap<SettingRow, Origin>,
  document: ConfigDocument | undefined,
): Origin {
  const row = settingAt(path)
  const origin = row && assigned.get(row)
  if (origin) {
    const entry = path[row.section === '' ? 1 : 2]
    return typeof entry === 'number' ? { ...origin, line: entry + 1 } : origin
  }
  const length = row ? (row.section === '' ? 1 : 2) : 0
  const written = document && isWritten(document.value, path.slice(0, length))
  const position = document && positionIn(document.root, path)
  if (!document || !position || !written) return { layer: 'default', file: 'default', line: 1 }
  return { layer: 'file', file: document.file, ...position }
}

function isWritten(value: unknown, path: readonly PropertyKey[]): boolean {
  let at: unknown = value
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return false
    at = (at as Record<PropertyKey, unknown>)[part]
  }
  return true
}

/** The sections are copied, their values are shared: nothing below a setting is ever written to. */
function copyOf(value: TomlTable): TomlTable {
  const copy: TomlTable = Object.assign(Object.create(null), value)
  for (const [key, each] of Object.entries(copy))
    if (isTable(each)) copy[key] = Object.assign(Object.create(null), each)
  return copy
}

/** False where the file has something else in the place of the section, which is a problem of its own. */
function assign(merged: TomlTable, row: SettingRow, value: unknown): boolean {
  if (row.section === '') {
    merged[row.name] = value
    return true
  }
  const section = (merged[row.section] ??= Object.create(null))
  if (!isTable(section)) return false
  section[row.name] = value
  return true
}

export function isTable(value: unknown): value is TomlTable {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}
