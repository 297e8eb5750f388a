import { networkInterfaces } from 'node:os'
import { systemClock } from '../core/clock.ts'
import type { OwnListener } from '../policy/policy.ts'
import { canonicalRaw, checkSettings } from './checks.ts'
import { compileSettings } from './compile.ts'
import { type Environment, readEnvironment, readOverrides } from './environment.ts'
import { type FileState, readConfigFile } from './file-source.ts'
import { issuesToProblems } from './issues.ts'
import { type ConfigDocument, mergeLayers } from './layers.ts'
import { checkNamedFiles, readDeniedFiles } from './named-files.ts'
import { resolvePaths } from './paths.ts'
import { type ConfigProblem, sortProblems } from './problems.ts'
import { repair } from './repair.ts'
import { settingsSchema } from './schema.ts'
import { SETTINGS } from './settings-table.ts'
import { type Snapshot, policyDigest } from './snapshot.ts'
import { parseToml } from './toml.ts'

export interface LoadOptions {
  /** Settings of the command line, by key: `{ 'proxy.listen': '127.0.0.1:0' }`. They win over everything. */
  readonly overrides?: Readonly<Record<string, string>>
  /** What relative paths of the environment and the command line are relative to; default: the working directory. */
  readonly cwd?: string
  /** Where the proxy and the admin API listen in fact, once they do: nothing may be dialled there. */
  readonly own?: readonly OwnListener[]
  /** Every address of this machine; default: what its interfaces have now. */
  readonly localAddresses?: readonly string[]
  readonly now?: () => number
}

export type LoadResult =
  | Loaded
  | {
      readonly kind: 'invalid'
      readonly problems: readonly ConfigProblem[]
      readonly files: readonly FileState[]
    }

export interface Loaded {
  readonly kind: 'ok'
  readonly snapshot: Snapshot
  /** What was read, as it was then: a later look tells whether it has changed. */
  readonly files: readonly FileState[]
}

const FILE_LIMIT = 10 * 1024 ** 2

/**
 * Reads the file, the environment and the command line into a snapshot, or says everything that is wrong with them at
 * once. Never throws for what stands in them. Without a file, defaults and the other layers make the whole.
 */
export async function loadConfig(
  file: string | undefined,
  environment: Environment,
  options: LoadOptions = {},
): Promise<LoadResult> {
  const read = await readSettings(file, environment, options)
  const { problems, layers } = read
  const files: FileState[] = [...read.source.states]
  if (read.settings === undefined) return invalid(problems, files)
  const { settings, repaired, source } = read
  problems.push(...checkSettings(settings, layers, repaired))
  const lists = await readDeniedFiles(settings, layers)
  files.push(...lists.states)
  problems.push(...lists.problems, ...(await checkNamedFiles(settings, layers)))
  const compiled = compileSettings({
    settings,
    layers,
    deniedFiles: lists.files,
    own: options.own ?? [],
    localAddresses: options.localAddresses ?? interfaceAddresses(),
  })
  problems.push(...compiled.problems)
  if (problems.length > 0) return invalid(problems, files)

  const effective = canonicalRaw(settings)
  const digest = policyDigest(effective, lists.digests)
  const snapshot: Snapshot = {
    settings: effective,
    policy: compiled.policy,
    version: digest.slice(0, 12),
    digest,
    files: files.map(({ path }) => path),
    loadedAt: (options.now ?? systemClock.now)(),
    counts: compiled.policy.counts,
    origins: new Map(SETTINGS.map((row) => [row.key, layers.originOf(row.path)])),
    lists: lists.digests,
    warnings: sortProblems([...source.warnings, ...lists.warnings, ...compiled.warnings]),
  }
  return { kind: 'ok', snapshot, files }
}

/**
 * The path of the admin socket as the configuration says it, whatever else is wrong with it: a running daemon goes on with
 * its last good policy, and must be reached while the file on disk is broken. Nothing is compiled. Undefined where the
 * file cannot be read at all.
 */
export async function configuredSocket(
  file: string | undefined,
  environment: Environment,
  options: Pick<LoadOptions, 'cwd'> = {},
): Promise<string | undefined> {
  return (await readSettings(file, environment, options)).settings?.admin.socket
}

/** All layers as settings, with what is wrong set back to its default so that the rest can be checked too. */
async function readSettings(file: string | undefined, environment: Environment, options: LoadOptions) {
  const source = file === undefined ? NO_FILE : await readDocument(file)
  const variables = readEnvironment(environment)
  const overrides = readOverrides(options.overrides ?? {})
  const layers = mergeLayers(source.document, variables.assignments, overrides.assignments)
  const problems = [...source.problems, ...variables.problems, ...overrides.problems]
  const parsed = settingsSchema.safeParse(layers.merged)
  if (!parsed.success) problems.push(...issuesToProblems(parsed.error.issues, layers))
  const common = { source, layers, problems }
  if (source.problems.length > 0) return { ...common, settings: undefined, repaired: new Set<string>() }
  const { settings: plain, repaired } = parsed.success
    ? { settings: parsed.data, repaired: new Set<string>() }
    : repair(layers.merged, parsed.error.issues)
  const settings = resolvePaths(plain, layers, { file, cwd: options.cwd ?? process.cwd() })
  return { ...common, settings, repaired }
}

interface Source {
  readonly document: ConfigDocument | undefined
  readonly states: readonly FileState[]
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly ConfigProblem[]
}

const NO_FILE: Source = { document: undefined, states: [], problems: [], warnings: [] }

async function readDocument(file: string): Promise<Source> {
  const result = await readConfigFile(file, FILE_LIMIT)
  const failed = (problem: Omit<ConfigProblem, 'file'>): Source => ({
    ...NO_FILE,
    states: [result.state],
    problems: [{ file, ...problem }],
  })
  if (result.kind === 'failed') return failed({ line: 0, field: '', ...result.problem })
  const text = utf8(result.bytes)
  if (text === undefined)
    return failed({
      line: firstBadLine(result.bytes),
      field: '',
      problem: 'it is not UTF-8',
      remedy: 'save it as UTF-8',
    })
  const parsed = parseToml(text)
  if (parsed.kind === 'invalid') {
    const { position, field, problem, remedy } = parsed
    return failed({ ...position, field, problem, remedy })
  }
  const warnings = result.warning ? [{ file, line: 0, field: '', ...result.warning }] : []
  return {
    document: { file, value: parsed.value, root: parsed.root },
    states: [result.state],
    problems: [],
    warnings,
  }
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** Line feeds are never part of a longer sequence, so lines can be tried one by one. */
function firstBadLine(bytes: Buffer): number {
  let start = 0
  for (let line = 1; ; line++) {
    const end = bytes.indexOf(0x0a, start)
    if (utf8(bytes.subarray(start, end === -1 ? bytes.length : end)) === undefined) return line
    if (end === -1) return 0
    start = end + 1
  }
}

function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address))
}

function invalid(problems: readonly ConfigProblem[], files: readonly FileState[]): LoadResult {
  return { kind: 'invalid', problems: sortProblems(problems), files }
}
