import { z } from 'zod'
import { settingsSchema } from './schema.ts'
import { type SettingForm, settingForms } from './setting.ts'
import { tomlText } from './toml-text.ts'

/** One setting, as the loader, the manual and `config show` know it. */
export interface SettingRow extends SettingForm {
  /** `hold.wait`; `state_dir` stands in no section. */
  readonly key: string
  /** `['hold', 'wait']`. */
  readonly path: readonly string[]
  /** `hold`, or the empty text. */
  readonly section: string
  /** `wait`. */
  readonly name: string
  /** `SALLYPORT_HOLD_WAIT`. */
  readonly variable: string
  readonly meaning: string
  /** The default as TOML, or `unset`. */
  readonly defaultText: string
  readonly schema: z.ZodType
}

/** All settings, in the order of the schema. */
export const SETTINGS: readonly SettingRow[] = Object.entries(settingsSchema.shape).flatMap(
  ([name, schema]) =>
    settingForms.has(schema)
      ? [rowOf('', name, schema)]
      : Object.entries(sectionShape(schema)).map(([each, inner]) => rowOf(name, each, inner)),
)

const ROWS = new Map(SETTINGS.map((row) => [row.key, row]))

/** The setting that a path leads to or into: `['policy', 'private', 0, 'cidr']` leads into `policy.private`. */
export function settingAt(path: readonly PropertyKey[]): SettingRow | undefined {
  return ROWS.get(String(path[0])) ?? ROWS.get(`${String(path[0])}.${String(path[1])}`)
}

/** The names of the sections. */
export const SECTIONS: readonly string[] = [...new Set(SETTINGS.map((row) => row.section))].filter(
  (section) => section !== '',
)

function sectionShape(schema: z.ZodType): Readonly<Record<string, z.ZodType>> {
  const inner = schema instanceof z.ZodPrefault ? schema.unwrap() : schema
  if (inner instanceof z.ZodObject) return inner.shape
  throw new Error('a section of the schema must be an object with a default')
}

function rowOf(section: string, name: string, schema: z.ZodType): SettingRow {
  const form = settingForms.get(schema)
  if (!form) throw new Error(`the setting ${section}.${name} has no form`)
  const key = section === '' ? name : `${section}.${name}`
  return {
    ...form,
    key,
    path: section === '' ? [name] : [section, name],
    section,
    name,
    variable: `SALLYPORT_${key.replace('.', '_').toUpperCase()}`,
    meaning: schema.description ?? '',
    defaultText: form.initial === undefined ? 'unset' : tomlText(form.initial),
    schema,
  }
}
