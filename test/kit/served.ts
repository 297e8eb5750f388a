import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Child, type Ended, plainEnvironment, runChild, startChild } from './child.ts'

/** The executable as a user of a checkout runs it. */
export const SALLYPORT: string = fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url))

/** Runs `sallyport` with the Node of the tests. */
export function sallyport(
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Ended> {
  const { cwd, env } = options
  return runChild(process.execPath, [SALLYPORT, ...args], {
    ...(cwd === undefined ? {} : { cwd }),
    env: plainEnvironment(env),
  })
}

export interface OpenApproval {
  readonly id: string
  readonly host: string
  readonly port: number
  readonly waiting: number
}

/** One line of the record, as it is on disk. */
export interface RecordLine {
  readonly seq: number
  readonly id: string
  readonly event: string
  readonly severity: string
  readonly attributes: Readonly<Record<string, unknown>>
}

/** `sallyport serve` as a process of its own, with its configuration and state in a folder of its own. */
export interface Served extends AsyncDisposable {
  readonly child: Child
  readonly dir: string
  readonly configFile: string
  readonly stateDir: string
  /** Path of the admin socket. */
  readonly socket: string
  readonly port: number
  /** For `HTTPS_PROXY`. */
  readonly url: string
  writeConfig(text: string): Promise<void>
  /** Runs the command line against it. */
  cli(...args: string[]): Promise<Ended>
  /** Waits until an approval for this host is open and at least `waiting` exchanges wait for it. */
  held(host: string, waiting?: number): Promise<OpenApproval>
  /** Ends it by kill -9 and waits until it is gone. */
  murder(): Promise<void>
  /** Starts it again, on the same state and, as far as the machine allows, the same port. */
  again(): Promise<void>
  /** Ends it by SIGTERM, in order, and returns how it ended. */
  stop(): Promise<Ended>
  /** The whole record, after it was stopped or murdered. Every line must parse; numbers must follow each other. */
  record(): Promise<RecordLine[]>
}

export interface ServedOptions {
  readonly config?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** How many files it may have open (`ulimit -n`); default as many as the tests. */
  readonly openFiles?: number
}

export async function startServed(options: ServedOptions = {}): Promise<Served> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-e2e-'))
  const configFile = join(dir, 'sallyport.toml')
  const stateDir = join(dir, 'state')
  const socket = join(stateDir, 'admin.sock')
  const writeConfig = (text: string) => writeFile(configFile, `state_dir = "state"\n${text}`, { mode: 0o600 })
  await writeConfig(options.config ?? '')

  async function start(port: number): Promise<{ child: Child; port: number }> {
    const args = ['serve', '--config', configFile, '--set', `proxy.listen=127.0.0.1:${port}`]
    const words = [process.execPath, SALLYPORT, ...args, ...(options.args ?? [])]
    const limited = ['-c', `ulimit -n ${options.openFiles} && exec "$@"`, 'sh', ...words]
    const [command, ...rest] = options.openFiles === undefined ? words : ['/bin/sh', ...limited]
    const child = startChild(command!, rest, { env: plainEnvironment(options.env) })
    const [, bound] = await child.until(
      'stdout',
      /proxy +http:\/\/127\.0\.0\.1:(\d+)\n[^]*Point an agent here/,
    )
    return { child, port: Number(bound) }
  }
  let running = await start(0)

  return {
    get child() {
      return running.child
    },
    get port() {
      return running.port
    },
    get url() {
      return `http://127.0.0.1:${running.port}`
    },
    dir,
    configFile,
    stateDir,
    socket,
    writeConfig,
    cli: (...args) =>
      // By its socket, which is quicker, where the file itself is not asked for.
      sallyport([
        ...args,
        ...(args[0] === 'config' || args[0] === 'explain' ? ['--config', configFile] : ['--socket', socket]),
      ]),
    held: (host, waiting = 1) => heldApproval(socket, host, waiting),
    async murder() {
      running.child.kill('SIGKILL')
      await running.child.ended
    },
    async again() {
      running = await start(running.port)
    },
    stop() {
      running.child.kill('SIGTERM')
      return running.child.ended
    },
    record: () => readRecord(join(stateDir, 'audit')),
    async [Symbol.asyncDispose]() {
      await running.child[Symbol.asyncDispose]()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Reads the record strictly: a torn line, a line that is not JSON, or a missing number throws. */
export async function readRecord(folder: string): Promise<RecordLine[]> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.ndjson')).toSorted()
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  const text = texts.join('')
  if (!text.endsWith('\n')) throw new Error(`the record ends in a torn line: ${text.slice(-200)}`)
  const lines = text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as RecordLine)
  lines.forEach(({ seq }, i) => {
    if (seq !== i + 1) throw new Error(`line ${i + 1} of the record has number ${seq}`)
  })
  return lines
}

/** Follows the stream of the admin API, as a page would, until the approval is there. */
async function heldApproval(socketPath: string, host: string, waiting: number): Promise<OpenApproval> {
  const asked = request({ socketPath, path: '/v1/events?kinds=approvals', headers: { host: 'localhost' } })
  asked.end()
  const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage]
  let text = ''
  response.setEncoding('utf8')
  try {
    for await (const more of response as AsyncIterable<string>) {
      text += more
      for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
        const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1]
        text = text.slice(end + 2)
        if (data === undefined) continue
        const event = JSON.parse(data) as { approvals?: OpenApproval[]; approval?: OpenApproval }
        const found = [...(event.approvals ?? []), ...(event.approval ? [event.approval] : [])].find(
          (each) => each.host === host && each.waiting >= waiting,
        )
        if (found !== undefined) return found
      }
    }
  } finally {
    response.destroy()
  }
  throw new Error(`the stream of approvals ended before ${host} waited`)
}
