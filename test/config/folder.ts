import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Environment } from '../../src/config/environment.ts'
import { type LoadOptions, type LoadResult, type Loaded, loadConfig } from '../../src/config/load.ts'
import { type ConfigProblem, formatProblem } from '../../src/config/problems.ts'

/** A folder of its own with a configuration in it. */
export interface ConfigFolder extends AsyncDisposable {
  readonly dir: string
  /** `sallyport.toml` in the folder. */
  readonly file: string
  path(name: string): string
  write(name: string, content: string | Uint8Array): Promise<string>
  /** As editors do it: a new file takes the place of the old one. */
  replace(name: string, content: string): Promise<void>
  load(text: string | Uint8Array, environment?: Environment, options?: LoadOptions): Promise<LoadResult>
}

export async function createConfigFolder(): Promise<ConfigFolder> {
  const dir = await mkdtemp(join(tmpdir(), 'sp-config-'))
  const folder: ConfigFolder = {
    dir,
    file: join(dir, 'sallyport.toml'),
    path: (name) => join(dir, name),
    async write(name, content) {
      const path = join(dir, name)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, content)
      return path
    },
    async replace(name, content) {
      const path = join(dir, name)
      await writeFile(`${path}.new`, content)
      await rename(`${path}.new`, path)
    },
    async load(text, environment = {}, options = {}) {
      await folder.write('sallyport.toml', text)
      return loadConfig(folder.file, environment, options)
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  }
  return folder
}

/** The result of a load that must succeed; the problems are the message where it did not. */
export function loaded(result: LoadResult): Loaded {
  if (result.kind === 'invalid') throw new Error(result.problems.map(formatProblem).join('\n'))
  return result
}

export function problemsOf(result: LoadResult): readonly ConfigProblem[] {
  return result.kind === 'invalid' ? result.problems : []
}
