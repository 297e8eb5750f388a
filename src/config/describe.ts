import { formatDuration } from './duration.ts'
import type { Layer } from './layers.ts'
import { type ListenAddress, listenAddressText } from './listen-address.ts'
import { readSetting } from './paths.ts'
import { SETTINGS, type SettingRow } from './settings-table.ts'
import { formatSize } from './size.ts'
import type { Snapshot } from './snapshot.ts'
import { tomlText } from './toml-text.ts'

/** One line of `sallyport config show`. */
export interface DescribedSetting {
  readonly key: string
  /** As TOML, paths absolute; `unset` where there is none. */
  readonly value: string
  readonly layer: Layer
  /** `config/sallyport.toml:12`, `SALLYPORT_HOLD_WAIT`, `command line`, or `default`. */
  readonly origin: string
  readonly meaning: string
  readonly form: string
  readonly defaultText: string
  /** Whether a change waits for a restart. */
  readonly restart: boolean
}

/** Every setting with its effective value and where that came from, in the order of the shipped file. */
export function describeSettings(snapshot: Snapshot): DescribedSetting[] {
  return SETTINGS.map((row) => {
    const origin = snapshot.origins.get(row.key)
    const layer = origin?.layer ?? 'default'
    return {
      key: row.key,
      value: valueText(row, readSetting(snapshot.settings, row.path)),
      layer,
      origin: layer === 'file' ? `${origin!.file}:${origin!.line}` : (origin?.file ?? 'default'),
      meaning: row.meaning,
      form: row.form,
      defaultText: row.defaultText,
      restart: row.restart,
    }
  })
}

function valueText(row: SettingRow, value: unknown): string {
  if (value === undefined) return 'unset'
  if (typeof value === 'number' && row.kind === 'duration') return tomlText(formatDuration(value))
  if (typeof value === 'number' && row.kind === 'size') return tomlText(formatSize(value))
  if (row.kind === 'text' && typeof value === 'object')
    return tomlText(listenAddressText(value as ListenAddress))
  return tomlText(value)
}

const WIDTH = 100

/** What the shipped file says above a setting: its meaning, what to write, and the default. */
export function settingComment(row: SettingRow): string[] {
  const form = row.form.slice(0, 1).toUpperCase() + row.form.slice(1)
  const restart = row.restart ? ' Needs a restart.' : ''
  return [...wrapped(row.meaning), ...wrapped(`${form}. Default: ${row.defaultText}.${restart}`)]
}

function wrapped(text: string): string[] {
  const lines: string[] = []
  let line = '#'
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > WIDTH && line !== '#') {
      lines.push(line)
      line = '#'
    }
    line += ` ${word}`
  }
  return [...lines, line]
}
