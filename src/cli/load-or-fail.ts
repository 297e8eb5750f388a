import { type Loaded, loadConfig, type LoadOptions } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import { configPath } from './config-path.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import type { Terminal } from './terminal.ts'

/** Loads the configuration for a command that cannot go on without it; every problem is told at once. Throws CommandFailed. */
export async function loadOrFail(
  option: string | undefined,
  terminal: Terminal,
  options: LoadOptions = {},
): Promise<Loaded> {
  const file = configPath(option, terminal.env)
  const result = await loadConfig(file, terminal.env, options)
  if (result.kind === 'ok') return result
  const count = result.problems.length
  const lines = result.problems.map((problem) => `  ${formatProblem(problem)}`)
  throw new CommandFailed(
    EXIT.config,
    `the configuration has ${count} problem${count === 1 ? '' : 's'}:\n${lines.join('\n')}`,
  )
}
