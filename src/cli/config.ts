import { describeSettings } from '../config/describe.ts'
import { loadConfig } from '../config/load.ts'
import { configJsonSchemaText } from '../config/json-schema.ts'
import { formatProblem } from '../config/problems.ts'
import { configPath } from './config-path.ts'
import { EXIT } from './exit-codes.ts'
import { loadOrFail } from './load-or-fail.ts'
import { shown, styled, table, type Terminal } from './terminal.ts'

/** Reads a configuration as `serve` would and says everything that is wrong with it. */
export async function checkConfig(
  file: string | undefined,
  options: { readonly json?: boolean },
  terminal: Terminal,
): Promise<number> {
  const path = configPath(file, terminal.env)
  const result = await loadConfig(path, terminal.env)
  if (result.kind === 'invalid') {
    if (options.json === true) terminal.out(`${JSON.stringify({ ok: false, problems: result.problems })}\n`)
    else for (const problem of result.problems) terminal.err(`${shown(formatProblem(problem))}\n`)
    return EXIT.config
  }
  const { counts, version, warnings } = result.snapshot
  if (options.json === true) terminal.out(`${JSON.stringify({ ok: true, version, counts, warnings })}\n`)
  else {
    for (const warning of warnings)
      terminal.err(`${styled(terminal, 'yellow', 'warning')} ${shown(formatProblem(warning))}\n`)
    terminal.out(
      `${path === undefined ? 'the defaults' : shown(path)}: ok, ${counts.allowed} domains allowed, ${counts.denied} denied, version ${version}\n`,
    )
  }
  return EXIT.ok
}

/** Every setting with its effective value and where that comes from. */
export async function showConfig(
  options: { readonly config?: string; readonly json?: boolean },
  terminal: Terminal,
): Promise<number> {
  const { snapshot } = await loadOrFail(options.config, terminal)
  const settings = describeSettings(snapshot)
  if (options.json === true) terminal.out(`${JSON.stringify(settings)}\n`)
  else terminal.out(table(settings.map(({ key, value, origin }) => [key, shown(origin), shown(value)])))
  return EXIT.ok
}

/** The JSON Schema of the configuration file, for editors. */
export function printConfigSchema(terminal: Terminal): number {
  terminal.out(configJsonSchemaText())
  return EXIT.ok
}
