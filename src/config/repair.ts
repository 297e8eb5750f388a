import type { z } from 'zod'
import { isTable } from './layers.ts'
import { type Settings, settingsSchema } from './schema.ts'
import { settingAt } from './settings-table.ts'

export interface Repaired {
  readonly settings: Settings
  /** Keys of the settings that were set back to their defaults: what hangs on them cannot be judged. */
  readonly repaired: ReadonlySet<string>
}

/** Settings in which everything that the schema objected to has its default. Used to find more problems, never to run. */
export function repair(
  merged: Readonly<Record<string, unknown>>,
  issues: readonly z.core.$ZodIssue[],
): Repaired {
  const copy: Record<string, unknown> = { ...merged }
  for (const [key, value] of Object.entries(copy)) if (isTable(value)) copy[key] = { ...value }
  const repaired = new Set<string>()
  for (const issue of issues) {
    const paths =
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path]
    for (const path of paths) {
      const row = settingAt(path)
      if (row) repaired.add(row.key)
      remove(copy, row ? row.path : path.slice(0, 2))
    }
  }
  const result = settingsSchema.safeParse(copy)
  // Nothing is lost where that was not enough: the problems that are known are told, and the rest on the next attempt.
  return { settings: result.success ? result.data : settingsSchema.parse({}), repaired }
}

function remove(tree: Record<string, unknown>, path: readonly PropertyKey[]): void {
  const [first, second] = path
  const section = tree[String(first)]
  if (second === undefined || !isTable(section)) delete tree[String(first)]
  else delete section[String(second)]
}
