import { type FileState, readConfigFile } from './file-source.ts'
import { placeOf } from './issues.ts'
import type { Layers } from './layers.ts'
import { type ConfigProblem, fieldText, shownValue } from './problems.ts'
import { readSetting } from './paths.ts'
import type { Settings } from './schema.ts'
import { sha256 } from './snapshot.ts'

export interface DeniedFiles {
  readonly files: readonly { readonly file: string; readonly bytes: Buffer }[]
  /** SHA-256 of each, by path. */
  readonly digests: ReadonlyMap<string, string>
  readonly states: readonly FileState[]
  readonly problems: readonly ConfigProblem[]
  readonly warnings: readonly ConfigProblem[]
}

/** Some ten million domains. */
const LIST_LIMIT = 256 * 1024 ** 2

/** Files that others read when the proxy starts: a wrong path shall be known before that. */
const NAMED: readonly (readonly string[])[] = [
  ['telemetry', 'headers_file'],
  ['telemetry', 'ca_file'],
  ['upstream', 'extra_ca_files'],
]
const NAMED_LIMIT = 16 * 1024 ** 2

/** What is wrong with files that the settings name and that are read elsewhere. */
export async function checkNamedFiles(settings: Settings, layers: Layers): Promise<ConfigProblem[]> {
  const problems: ConfigProblem[] = []
  for (const key of NAMED) {
    const value = readSetting(settings, key)
    const paths = Array.isArray(value)
      ? value.map((file, i) => [file, [...key, i]] as const)
      : [[value, key] as const]
    for (const [file, path] of paths) {
      if (typeof file !== 'string') continue
      const result = await readConfigFile(file, NAMED_LIMIT)
      if (result.kind === 'failed') problems.push({ ...mention(layers, path, file), ...result.problem })
    }
  }
  return problems
}

/**
 * Where a file is named, and how. What looks like the content of a file of secrets (`Authorization: Bearer …`) in the
 * place of its path is not repeated.
 */
function mention(layers: Layers, path: readonly PropertyKey[], file: string) {
  const value = /[:=]\s|=$|\bbearer\b|\bbasic\b/i.test(file) ? '[secret]' : shownValue(file)
  return { ...placeOf(layers.originOf(path)), field: fieldText(path), ...(value !== undefined && { value }) }
}

/** Reads policy.denied_domains_files, each once. */
export async function readDeniedFiles(settings: Settings, layers: Layers): Promise<DeniedFiles> {
  const files: { file: string; bytes: Buffer }[] = []
  const digests = new Map<string, string>()
  const states: FileState[] = []
  const problems: ConfigProblem[] = []
  const warnings: ConfigProblem[] = []
  for (const [i, file] of settings.policy.denied_domains_files.entries()) {
    if (digests.has(file)) continue
    const result = await readConfigFile(file, LIST_LIMIT)
    states.push(result.state)
    const at = mention(layers, ['policy', 'denied_domains_files', i], file)
    if (result.kind === 'failed') {
      problems.push({ ...at, ...result.problem })
      continue
    }
    if (result.warning) warnings.push({ ...at, ...result.warning })
    files.push({ file, bytes: result.bytes })
    digests.set(file, sha256(result.bytes))
  }
  return { files, digests, states, problems, warnings }
}
