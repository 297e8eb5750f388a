import { dirname, resolve } from 'node:path'
import type { Layers } from './layers.ts'
import type { Settings } from './schema.ts'
import { SETTINGS, type SettingRow } from './settings-table.ts'

/** What relative paths are relative to. */
export interface Folders {
  /** The configuration file, if there is one. */
  readonly file: string | undefined
  /** The folder in which the process was started: what the environment and the command line mean by a relative path. */
  readonly cwd: string
}

/**
 * Settings with absolute paths. What the proxy writes is relative to state_dir, what it reads is relative to the
 * configuration file, whichever folder the process was started in.
 */
export function resolvePaths(settings: Settings, layers: Layers, folders: Folders): Settings {
  const resolved = structuredClone(settings)
  // state_dir comes first in the table, since the others lean on it.
  for (const row of SETTINGS) {
    if (row.relativeTo === undefined) continue
    const base = baseOf(row, layers, folders, resolved.state_dir)
    const value = readSetting(resolved, row.path)
    if (typeof value === 'string') writeSetting(resolved, row, resolve(base, value))
    else if (Array.isArray(value))
      writeSetting(
        resolved,
        row,
        value.map((each) => resolve(base, String(each))),
      )
  }
  return resolved
}

function baseOf(row: SettingRow, layers: Layers, { file, cwd }: Folders, stateDir: string): string {
  const { layer } = layers.originOf(row.path)
  if (layer === 'environment' || layer === 'command line') return cwd
  if (row.relativeTo === 'state') return stateDir
  return file === undefined ? cwd : dirname(resolve(cwd, file))
}

/** The value of the setting at `path`. */
export function readSetting(settings: Settings, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, part) => (value as Record<string, unknown>)[part], settings)
}

/** Writes into settings that nobody else has seen yet. */
export function writeSetting(settings: Settings, row: SettingRow, value: unknown): void {
  const parent = readSetting(settings, row.path.slice(0, -1)) as Record<string, unknown>
  parent[row.name] = value
}
