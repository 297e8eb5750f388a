import { readFileSync } from 'node:fs'

/** The version of the package that this file belongs to, in a checkout as in a published one. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
