import { readFileSync } from 'node:fs'
import { Agent, type Dispatcher } from 'undici'
import { configuredSocket } from '../config/load.ts'
import { errnoOf } from '../core/errors.ts'
import { configPath } from './config-path.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import { loadOrFail } from './load-or-fail.ts'
import { shown, type Terminal } from './terminal.ts'

export interface AdminOptions {
  readonly config?: string
  /** Path of the Unix socket, in place of the configured one. */
  readonly socket?: string
  /** `http://127.0.0.1:3129`, with `tokenFile`. */
  readonly admin?: string
  readonly tokenFile?: string
}

/** What the admin API answers, where it answers no. */
export interface AdminProblem {
  readonly status: number
  readonly detail: string
  readonly remedy?: string
  readonly [key: string]: unknown
}

export interface AdminClient extends AsyncDisposable {
  /** Sends a request and returns the parsed answer. Throws CommandFailed with what the API says is wrong. */
  call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<T>
  /** Server-sent events until the signal aborts or the daemon ends. */
  events(path: string, signal: AbortSignal): AsyncIterable<{ readonly name: string; readonly data: unknown }>
  /** Where it goes, for people. */
  readonly where: string
}

/** Opens the way to a running daemon: its Unix socket as configured, or what the options say. */
export async function openAdminClient(options: AdminOptions, terminal: Terminal): Promise<AdminClient> {
  if (options.admin !== undefined) return tcpClient(options.admin, options.tokenFile)
  const socket = options.socket ?? (await socketOf(options.config, terminal))
  return clientOf(new Agent({ connect: { socketPath: socket } }), 'http://localhost', {}, socket)
}

/** A configuration with a mistake in it does not keep people from the daemon, which still runs with the last good one. */
async function socketOf(config: string | undefined, terminal: Terminal): Promise<string> {
  const socket = await configuredSocket(configPath(config, terminal.env), terminal.env)
  return socket ?? (await loadOrFail(config, terminal)).snapshot.settings.admin.socket
}

function tcpClient(url: string, tokenFile: string | undefined): AdminClient {
  if (tokenFile === undefined)
    throw new CommandFailed(EXIT.usage, '--admin needs --token-file: the file that admin.token_file names')
  let token: string
  try {
    token = readFileSync(tokenFile, 'utf8').trim()
  } catch (error) {
    throw new CommandFailed(
      EXIT.usage,
      `--token-file ${tokenFile} cannot be read (${errnoOf(error) ?? 'unknown error'})`,
    )
  }
  return clientOf(new Agent(), url.replace(/\/$/, ''), { authorization: `Bearer ${token}` }, url)
}

function clientOf(agent: Agent, base: string, headers: Record<string, string>, where: string): AdminClient {
  async function send(options: Partial<Dispatcher.RequestOptions> & { method: string; path: string }) {
    const { path, ...rest } = options
    try {
      return await agent.request({
        origin: base,
        path,
        ...rest,
        headers: { ...headers, ...(rest.headers as Record<string, string> | undefined) },
      } as Dispatcher.RequestOptions)
    } catch (error) {
      if (error instanceof Error && error.name === 'AbortError') throw error
      throw unreachableDaemon(where, error)
    }
  }

  return {
    where,
    async call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<T> {
      const response = await send({
        method,
        path,
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      })
      const answer: unknown = await response.body.json()
      if (response.statusCode < 400 || path.startsWith('/readyz')) return answer as T
      throw refused(answer as AdminProblem, path)
    },
    async *events(path, signal) {
      const response = await send({ method: 'GET', path, signal, bodyTimeout: 60_000 })
      if (response.statusCode >= 400) throw refused((await response.body.json()) as AdminProblem, path)
      let text = ''
      for await (const bytes of untilCut(response.body, signal, where)) {
        text += String(bytes)
        for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
          const event = parseEvent(text.slice(0, end))
          text = text.slice(end + 2)
          if (event !== undefined) yield event
        }
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  }
}

/** A stream that breaks because the other side was killed ends the command with a sentence, like every other end. */
async function* untilCut(
  body: AsyncIterable<unknown>,
  signal: AbortSignal,
  where: string,
): AsyncGenerator<unknown> {
  try {
    yield* body
  } catch (error) {
    if (signal.aborted) throw error
    throw new CommandFailed(EXIT.unreachable, `the daemon at ${where} broke off; was it killed?`)
  }
}

function parseEvent(block: string): { name: string; data: unknown } | undefined {
  let name = 'message'
  let data = ''
  for (const line of block.split('\n')) {
    if (line.startsWith('event: ')) name = line.slice(7)
    else if (line.startsWith('data: ')) data += line.slice(6)
  }
  return data === '' ? undefined : { name, data: JSON.parse(data) as unknown }
}

function unreachableDaemon(where: string, error: unknown): CommandFailed {
  const code = errnoOf(error) ?? errnoOf((error as Error).cause)
  if (code === 'EACCES')
    return new CommandFailed(
      EXIT.unreachable,
      `${where}: permission denied; run as the user that runs sallyport serve`,
    )
  return new CommandFailed(
    EXIT.unreachable,
    `no daemon answers at ${where} (${code ?? 'no answer'}); start one with \`sallyport serve\`, ` +
      'or name another with --config or --socket',
  )
}

function refused(problem: AdminProblem, path: string): CommandFailed {
  const problems = Array.isArray(problem['problems'])
    ? (problem['problems'] as Record<string, unknown>[])
    : []
  const remedy = remedyOf(problem, path)
  const first = `${problem.detail}${remedy === undefined ? '' : ` → ${remedy}`}`
  // One problem is what the first line says already; only those of a file have more to tell.
  const more = problems.length > 1 || problems[0]?.['file'] !== undefined ? problems : []
  return new CommandFailed(EXIT.failure, [first, ...more.map(problemText)].map(shown).join('\n  '))
}

/** The API says what to ask it; whoever is at the command line asks with a command. */
function remedyOf(problem: AdminProblem, path: string): string | undefined {
  if (problem['code'] === 'not_found')
    return path.startsWith('/v1/grants')
      ? '`sallyport approvals grants` lists them'
      : '`sallyport approvals list --all` lists them'
  const matches = Array.isArray(problem['matches']) ? (problem['matches'] as string[]) : []
  if (matches.length > 0) return `${problem.remedy}: ${matches.join(', ')}`
  return problem.remedy
}

function problemText(problem: Record<string, unknown>): string {
  const place = problem['file'] === undefined ? '' : `${String(problem['file'])}:${String(problem['line'])}: `
  return `${place}${String(problem['field'])}: ${String(problem['problem'])} → ${String(problem['remedy'])}`
}
