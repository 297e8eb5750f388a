import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface ChildOptions {
  readonly cwd?: string
  /** The whole environment; default: a small one without proxy variables. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly stdin?: string | Buffer
}

export interface Ended {
  /** 128 + number for a signal, as a shell has it. */
  readonly code: number
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A process of the test's own. Disposing it kills it if it still runs. */
export interface Child extends AsyncDisposable {
  readonly pid: number
  /** All of it so far. */
  readonly stdout: string
  readonly stderr: string
  /** Waits until the stream has what matches, anywhere in what came so far. Rejects when the process ends without it. */
  until(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray>
  /** Waits until the stream has this text so many times. Rejects as `until` does. */
  untilTimes(stream: 'stdout' | 'stderr', text: string, times: number): Promise<void>
  readonly ended: Promise<Ended>
  kill(signal: NodeJS.Signals): void
  /** Types into its stdin, which stays open. */
  type(text: string): void
}

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }

/** What every child gets: nothing of the machine's proxies, a time zone and a language that do not differ. */
export function plainEnvironment(
  more: Readonly<Record<string, string | undefined>> = {},
): Record<string, string | undefined> {
  const { PATH, HOME, TMPDIR } = process.env
  return { PATH, HOME, TMPDIR, LC_ALL: 'C.UTF-8', TZ: 'UTC', USER: 'ada', ...more }
}

export function startChild(command: string, args: readonly string[], options: ChildOptions = {}): Child {
  const child = spawn(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: options.env ?? plainEnvironment(),
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const text = { stdout: '', stderr: '' }
  const wakers = new Set<() => void>()
  const wake = (): void => wakers.forEach((waker) => waker())
  let over = false
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8')
    child[name].on('data', (more: string) => {
      text[name] += more
      wake()
    })
  }
  // Who does not read its input closes it: no business of the test.
  child.stdin.on('error', () => {})
  if (options.stdin !== undefined) child.stdin.end(options.stdin)
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      over = true
      wake()
      resolve({ code: code ?? 128 + (SIGNAL_NUMBERS[signal!] ?? 0), signal, ...text })
    })
  })
  ended.catch(() => {})

  function when<T>(
    stream: 'stdout' | 'stderr',
    what: string,
    look: (all: string) => T | undefined,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const waker = () => {
        const found = look(text[stream])
        if (found === undefined && !over) return
        wakers.delete(waker)
        if (found !== undefined) resolve(found)
        else
          reject(
            new Error(
              `${command} ended without ${what} on ${stream}\nstdout: ${text.stdout}\nstderr: ${text.stderr}`,
            ),
          )
      }
      wakers.add(waker)
      waker()
    })
  }

  return {
    pid: child.pid ?? -1,
    get stdout() {
      return text.stdout
    },
    get stderr() {
      return text.stderr
    },
    until: (stream, pattern) => when(stream, `${pattern}`, (all) => pattern.exec(all) ?? undefined),
    untilTimes: (stream, part, times) =>
      when(stream, `${times} times ${part}`, (all) =>
        all.split(part).length > times ? true : undefined,
      ).then(() => undefined),
    ended,
    kill: (signal) => void child.kill(signal),
    type: (typed) => void child.stdin.write(typed),
    async [Symbol.asyncDispose]() {
      if (over || child.pid === undefined) return
      const closed = once(child, 'close')
      child.kill('SIGKILL')
      await closed
    },
  }
}

/** Words of a command line, as they would be typed; none of them may have a blank in it. */
export function words(line: string): string[] {
  return line.split(' ')
}

/** Runs a command to its end. */
export async function runChild(
  command: string,
  args: readonly string[],
  options: ChildOptions = {},
): Promise<Ended> {
  await using child = startChild(command, args, { stdin: '', ...options })
  return await child.ended
}
