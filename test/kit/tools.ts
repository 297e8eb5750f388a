// kit: what tests share. Real clients, origins and processes on loopback; never a stand-in for what a user would have.

import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

interface Tool {
  readonly name: string
  /** A file that is there when the tool is; a bare name is looked for in PATH. */
  readonly probe: string
  /** Of Debian. */
  readonly packages: readonly string[]
}

/** The real clients of the end-to-end tests that a machine with Node alone may lack. */
const TOOLS: readonly Tool[] = [
  { name: 'curl', probe: 'curl', packages: ['curl'] },
  { name: 'git', probe: 'git', packages: ['git'] },
  { name: 'openssl', probe: 'openssl', packages: ['openssl'] },
  { name: 'script', probe: 'script', packages: ['bsdutils'] },
]

/** Runs once before all tests: installs what is missing where that is possible, else says in one sentence what to do. */
export async function setup(): Promise<void> {
  const missing = TOOLS.filter(({ probe }) => find(probe) === undefined)
  if (missing.length === 0) return
  const names = missing.map(({ name }) => name).join(', ')
  const packages = missing.flatMap((each) => each.packages)
  if (process.getuid?.() !== 0 || find('apt-get') === undefined)
    throw new Error(`the tests drive real clients and ${names} cannot be found in PATH: please install them`)
  process.stdout.write(`installing what the tests drive and this machine lacks: ${names}\n`)
  await aptGet('update', '-q')
  // Nothing beyond these, and no upgrades: a machine may have authorities in its bundle that an upgrade would lose.
  await aptGet('install', '-y', '-q', '--no-install-recommends', '--no-upgrade', ...packages)
  for (const { name, probe } of missing)
    if (find(probe) === undefined) throw new Error(`${name} was installed and still cannot be found in PATH`)
}

function find(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

function aptGet(...args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('apt-get', args, {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`apt-get ${args[0]} failed with ${code}: see above`)),
    )
  })
}
