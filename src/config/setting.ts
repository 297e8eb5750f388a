// config: what may be set, where each value came from, and one immutable snapshot of it all. Files and the environment
// are read here and nowhere else; nothing here listens, dials, or decides about an exchange.
import { z } from 'zod'
import { formatDuration, parseDuration } from './duration.ts'
import { formatSize, parseSize } from './size.ts'

/** How a text (an environment variable, an option of the command line) becomes a value, and a value a text again. */
export type SettingKind =
  | 'text'
  | 'duration'
  | 'size'
  | 'count'
  | 'flag'
  | 'texts'
  | 'counts'
  | 'pairs'
  | 'tables'

/** What the manual, the shipped file, and error messages say about a setting beside its meaning. */
export interface SettingForm {
  readonly kind: SettingKind
  /** What to write, with unit and bounds: `a duration from 0s to 10m, such as "25s"`. */
  readonly form: string
  /** The default as it would stand in a file; undefined for «unset». */
  readonly initial: unknown
  /** For paths: what a relative one is relative to. */
  readonly relativeTo?: 'config' | 'state'
  /** A running daemon keeps the old value until it is started again. */
  readonly restart: boolean
  /** The words of a setting that is one of a few words. */
  readonly words?: readonly string[]
}

/** The forms of all settings, by their schema. */
export const settingForms = z.registry<SettingForm>()

interface Described {
  readonly meaning: string
  readonly restart?: boolean
}

type Context = z.core.$RefinementCtx

/** Reports a value that the type admits and the setting does not. `secret`: the value is not repeated in the problem. */
export function refuse(
  context: Context,
  input: unknown,
  problem: string,
  more: { remedy?: string; secret?: boolean } = {},
): typeof z.NEVER {
  context.issues.push({ code: 'custom', message: problem, input, params: more })
  return z.NEVER
}

function described<T extends z.ZodType>(schema: T, meaning: string, form: SettingForm): T {
  const setting = schema.describe(meaning)
  settingForms.add(setting, form)
  return setting
}

/** A setting that has a default: `initial` is what the file would say. */
function withDefault<T extends z.ZodType>(
  schema: T,
  { meaning, restart = false }: Described,
  form: Omit<SettingForm, 'restart'>,
) {
  return described(schema.prefault(form.initial as z.core.util.NoUndefined<z.input<T>>), meaning, {
    ...form,
    restart,
  })
}

function withoutDefault<T extends z.ZodType>(
  schema: T,
  { meaning, restart = false }: Described,
  form: Omit<SettingForm, 'restart' | 'initial'>,
) {
  return described(schema.optional(), meaning, { ...form, initial: undefined, restart })
}

/** Milliseconds in the settings, `"1h30m"` in a file. */
export function duration(row: Described & { initial: string; from: string; to: string }) {
  const [from, to] = [parseDuration(row.from)!, parseDuration(row.to)!]
  const schema = z
    .string()
    .meta({ pattern: '^(0|(\\d+d)?(\\d+h)?(\\d+m)?(\\d+s)?(\\d+ms)?)$' })
    .transform((text, context) => {
      const ms = parseDuration(text)
      if (ms === undefined) return refuse(context, text, 'it is not a duration')
      if (ms < from) return refuse(context, text, `it is less than ${formatDuration(from)}`)
      return ms > to ? refuse(context, text, `it is more than ${formatDuration(to)}`) : ms
    })
  const form = `a duration from ${row.from} to ${row.to}, such as "${row.initial}"`
  return withDefault(schema, row, { kind: 'duration', form, initial: row.initial })
}

/** Bytes in the settings, `"16KiB"` or a number in a file. */
export function size(row: Described & { initial: string; from: string; to: string }) {
  const [from, to] = [parseSize(row.from)!, parseSize(row.to)!]
  const schema = z
    .union([z.string().meta({ pattern: '^\\d+(B|KiB|MiB|GiB|TiB)?$' }), z.int().min(0)])
    .transform((value, context) => {
      const bytes = typeof value === 'number' ? value : parseSize(value)
      if (bytes === undefined) return refuse(context, value, 'it is not a size')
      if (bytes < from) return refuse(context, value, `it is less than ${formatSize(from)}`)
      return bytes > to ? refuse(context, value, `it is more than ${formatSize(to)}`) : bytes
    })
  const form = `a size from ${row.from} to ${row.to}, such as "${row.initial}"`
  return withDefault(schema, row, { kind: 'size', form, initial: row.initial })
}

export function count(row: Described & { initial: number; from: number; to: number }) {
  const form = `a whole number from ${row.from} to ${row.to}`
  return withDefault(z.int().min(row.from).max(row.to), row, { kind: 'count', form, initial: row.initial })
}

export function flag(row: Described & { initial: boolean }) {
  return withDefault(z.boolean(), row, { kind: 'flag', form: 'true or false', initial: row.initial })
}

export function choice<const Words extends readonly [string, ...string[]]>(
  row: Described & { initial: Words[number]; words: Words },
) {
  const form = `one of ${row.words.map((word) => `"${word}"`).join(', ')}`
  return withDefault(z.enum(row.words), row, { kind: 'text', form, initial: row.initial, words: row.words })
}

export function text<T>(
  row: Described & { initial: string; form: string; read: (text: string, context: Context) => T },
) {
  return withDefault(z.string().transform(row.read), row, {
    kind: 'text',
    form: row.form,
    initial: row.initial,
  })
}

export function optionalText<T>(
  row: Described & { form: string; read: (text: string, context: Context) => T },
) {
  return withoutDefault(z.string().transform(row.read), row, { kind: 'text', form: row.form })
}

export function texts(row: Described & { initial: readonly string[]; form: string }) {
  return withDefault(z.array(z.string()), row, { kind: 'texts', form: row.form, initial: row.initial })
}

export function ports(row: Described & { initial: readonly number[] }) {
  const form = 'a list of port numbers from 1 to 65535'
  return withDefault(z.array(port()), row, { kind: 'counts', form, initial: row.initial })
}

export function port() {
  return z.int().min(1).max(65_535)
}

export function pairs(row: Described & { form: string }) {
  return withDefault(z.record(z.string(), z.string()), row, { kind: 'pairs', form: row.form, initial: {} })
}

export function tables<T extends z.ZodType>(row: Described & { form: string; each: T }) {
  return withDefault(z.array(row.each), row, { kind: 'tables', form: row.form, initial: [] })
}

type PathRow = Described & { relativeTo: 'config' | 'state' }

const pathText = z.string().transform((path, context) => {
  if (path === '') return refuse(context, path, 'it is empty')
  return path.includes('\0') ? refuse(context, path, 'it contains a NUL character') : path
})

export function path(row: PathRow & { initial: string }) {
  const { initial, relativeTo } = row
  return withDefault(pathText, row, {
    kind: 'text',
    form: pathForm('a path', relativeTo),
    initial,
    relativeTo,
  })
}

export function optionalPath(row: PathRow) {
  const { relativeTo } = row
  return withoutDefault(pathText, row, { kind: 'text', form: pathForm('a path', relativeTo), relativeTo })
}

export function paths(row: PathRow) {
  const { relativeTo } = row
  const form = pathForm('a list of paths', relativeTo)
  return withDefault(z.array(pathText), row, { kind: 'texts', form, initial: [], relativeTo })
}

function pathForm(what: string, relativeTo: 'config' | 'state'): string {
  return relativeTo === 'state'
    ? `${what}, relative to state_dir`
    : `${what}, relative to the folder of this file`
}
