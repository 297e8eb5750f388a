import type { ConfigProblem } from './problems.ts'
import { SETTINGS, type SettingRow } from './settings-table.ts'
import { nearest } from './suggestion.ts'
import { parseToml } from './toml.ts'

/** One setting as a layer of texts says it. */
export interface Assignment {
  readonly row: SettingRow
  readonly value: unknown
  /** The name of the variable, or `command line`. */
  readonly place: string
}

export interface Assignments {
  readonly assignments: readonly Assignment[]
  readonly problems: readonly ConfigProblem[]
}

export type Environment = Readonly<Record<string, string | undefined>>

const PREFIX = 'SALLYPORT_'

/** Variables that are not settings: the path of the file has to be known before there are settings. */
const RESERVED: readonly string[] = ['SALLYPORT_CONFIG']

const ROW_OF = new Map(SETTINGS.map((row) => [row.variable, row]))
const ROW_OF_KEY = new Map(SETTINGS.map((row) => [row.key, row]))

/**
 * `SALLYPORT_HOLD_WAIT=10s` sets hold.wait; lists are separated by commas. An empty variable counts as unset, as
 * OpenTelemetry has it, so that an empty `${DENIED:-}` never empties a deny list.
 */
export function readEnvironment(environment: Environment): Assignments {
  const assignments: Assignment[] = []
  const problems: ConfigProblem[] = []
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || text === undefined || text === '') continue
    if (RESERVED.includes(name) || isKubernetesServiceLink(name, text)) continue
    const row = ROW_OF.get(name)
    if (row) assignments.push({ row, value: valueOf(row, text), place: name })
    else problems.push(unknownVariable(name))
  }
  return { assignments, problems }
}

/** What the command line sets: keys as in the file (`hold.wait`), values as in the environment. */
export function readOverrides(overrides: Readonly<Record<string, string>>): Assignments {
  const assignments: Assignment[] = []
  const problems: ConfigProblem[] = []
  for (const [key, text] of Object.entries(overrides)) {
    const row = ROW_OF_KEY.get(key)
    if (row) assignments.push({ row, value: valueOf(row, text), place: 'command line' })
    else problems.push(unknownKey(key))
  }
  return { assignments, problems }
}

function unknownVariable(name: string): ConfigProblem {
  const close = nearest(
    name.slice(PREFIX.length),
    SETTINGS.map((row) => row.variable.slice(PREFIX.length)),
  )
  return {
    file: name,
    line: 0,
    field: '',
    problem: 'there is no such setting',
    remedy: close === undefined ? 'unset it' : `did you mean ${PREFIX}${close}?`,
  }
}

function unknownKey(key: string): ConfigProblem {
  const close = nearest(key, [...ROW_OF_KEY.keys()])
  return {
    file: 'command line',
    line: 0,
    field: key,
    problem: 'there is no such setting',
    remedy: close === undefined ? 'remove it' : `did you mean ${close}?`,
  }
}

/**
 * Kubernetes gives every pod variables for the Services of its namespace. A Service that is called sallyport, or
 * sallyport-proxy, gives SALLYPORT_SERVICE_HOST, SALLYPORT_PROXY_PORT=tcp://… and their kin: they are not ours.
 */
function isKubernetesServiceLink(name: string, text: string): boolean {
  if (/_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name)) return true
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name)) return true
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(text)
}

/** The text as a value of the setting's kind where it can be one, else as it is: the schema then says what is wrong. */
function valueOf(row: SettingRow, text: string): unknown {
  switch (row.kind) {
    case 'text':
    case 'duration':
    case 'size':
      return text
    case 'count':
      return numberOr(text)
    case 'flag':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'texts':
      return split(text)
    case 'counts':
      return split(text).map(numberOr)
    case 'pairs':
      return pairsOf(text)
    case 'tables': {
      const result = parseToml(`value = ${text}`)
      return result.kind === 'document' ? result.value['value'] : text
    }
  }
}

function numberOr(text: string): number | string {
  return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : text
}

function split(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

/** `key=value,key=value`, as in OTEL_RESOURCE_ATTRIBUTES. */
function pairsOf(text: string): Record<string, string> | string {
  const pairs = split(text).map((part) => [part.slice(0, part.indexOf('=')), part] as const)
  if (pairs.some(([key, part]) => key === '' || !part.includes('='))) return text
  return Object.fromEntries(
    pairs.map(([key, part]) => [key.trim(), part.slice(part.indexOf('=') + 1).trim()]),
  )
}
