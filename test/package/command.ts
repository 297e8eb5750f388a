import { type ChildProcess, spawn } from 'node:child_process'
import { delimiter, dirname } from 'node:path'

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly process: ChildProcess
  /** All that was written to stdout, once it matches. Fails when the process ends before. */
  says(pattern: RegExp): Promise<string>
  readonly ended: Promise<Ended>
}

/** Starts a program in a folder of its own, with this Node first in PATH and no settings of npm or Sallyport. */
export function start(
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Running {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|sallyport_|otel_|node_|vitest)|_proxy$/i.test(name),
  )
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: {
      ...Object.fromEntries(inherited),
      PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}`,
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  const look = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    for (const each of look) each()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return {
    process: child,
    ended,
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (pattern.test(stdout)) resolve(stdout)
        }
        look.add(check)
        check()
        ended.then(
          ({ code }) => reject(new Error(`ended with ${code} before it said ${pattern}: ${stdout}${stderr}`)),
          reject,
        )
      }),
  }
}

/** Runs a program to its end. */
export const run = (...parts: Parameters<typeof start>): Promise<Ended> => start(...parts).ended
