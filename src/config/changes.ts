import { isDeepStrictEqual } from 'node:util'
import { readSetting, writeSetting } from './paths.ts'
import { SETTINGS } from './settings-table.ts'
import type { Snapshot } from './snapshot.ts'

/** How a list of patterns differs from the one before. */
export interface ListChange {
  /** Different patterns, those of list files included. */
  readonly before: number
  readonly after: number
  /** Entries of the configuration itself, the first few. */
  readonly added: readonly string[]
  readonly removed: readonly string[]
}

/** What a reload changed, for the log, the record and whoever asked for it. */
export interface ConfigChange {
  readonly allowed: ListChange
  readonly denied: ListChange
  /** List files that came, went, or have other content. */
  readonly lists: readonly string[]
  /** Keys of all settings that changed and are in force now. */
  readonly settings: readonly string[]
  /** Keys of settings that changed and wait for a restart: the old values stay in force. */
  readonly restart: readonly string[]
  /** Whether everything is as it was. */
  readonly isEmpty: boolean
}

/** How many entries of a list are named. */
const SAMPLE = 10

export function changeBetween(before: Snapshot, after: Snapshot): ConfigChange {
  const changed = SETTINGS.filter(
    (row) =>
      !isDeepStrictEqual(readSetting(before.settings, row.path), readSetting(after.settings, row.path)),
  )
  const settings = changed.filter((row) => !row.restart).map((row) => row.key)
  const restart = changed.filter((row) => row.restart).map((row) => row.key)
  const lists = [...new Set([...before.lists.keys(), ...after.lists.keys()])].filter(
    (file) => before.lists.get(file) !== after.lists.get(file),
  )
  return {
    allowed: listChange(before, after, 'allowed'),
    denied: listChange(before, after, 'denied'),
    lists,
    settings,
    restart,
    isEmpty: changed.length === 0 && lists.length === 0,
  }
}

/** `after`, with the values of `before` where a change needs a restart: what the settings say is what is in force. */
export function withoutRestarts(before: Snapshot, after: Snapshot): Snapshot {
  const settings = structuredClone(after.settings)
  const origins = new Map(after.origins)
  for (const row of SETTINGS) {
    if (!row.restart) continue
    const old = readSetting(before.settings, row.path)
    if (isDeepStrictEqual(old, readSetting(after.settings, row.path))) continue
    writeSetting(settings, row, old)
    const origin = before.origins.get(row.key)
    if (origin) origins.set(row.key, origin)
  }
  return { ...after, settings, origins }
}

function listChange(before: Snapshot, after: Snapshot, which: 'allowed' | 'denied'): ListChange {
  const entriesOf = (snapshot: Snapshot) => new Set(snapshot.settings.policy[`${which}_domains`])
  const [old, current] = [entriesOf(before), entriesOf(after)]
  return {
    before: before.counts[which],
    after: after.counts[which],
    added: [...current.difference(old)].slice(0, SAMPLE),
    removed: [...old.difference(current)].slice(0, SAMPLE),
  }
}
