import { readFileSync } from 'node:fs'
import { Agent, type IncomingMessage, request, type RequestOptions } from 'node:http'
import { text } from 'node:stream/consumers'
import { errnoOf } from '../core/errors.ts'
import { configPath } from './config-path.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
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
  const socketPath = options.socket ?? (await socketOf(options.config, terminal))
  return clientOf({ socketPath, headers: { host: 'localhost' } }, socketPath)
}

/** A configuration with a mistake in it does not keep people from the daemon, which still runs with the last good one. */
async function socketOf(config: string | undefined, terminal: Terminal): Promise<string> {
  // Loaded only here: whoever names the socket need not wait for what reads configurations.
  const [{ configuredSocket }, { loadOrFail }] = await Promise.all([
    import('../config/load.ts'),
    import('./load-or-fail.ts'),
  ])
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
  const { hostname, port } = parsedUrl(url)
  return clientOf(
    { host: hostname.replace(/^\[|\]$/g, ''), port, headers: { authorization: `Bearer ${token}` } },
    url,
  )
}

function parsedUrl(url: string): URL {
  const parsed = URL.parse(url)
  if (parsed?.protocol === 'http:' && parsed.pathname === '/') return parsed
  throw new CommandFailed(EXIT.usage, `--admin ${shown(url)}: write it as http://127.0.0.1:3129`)
}

function clientOf(way: RequestOptions, where: string): AdminClient {
  // Its own, so that no proxy variable of the environment sends it elsewhere.
  const agent = new Agent()

  function send(method: string, path: string, body?: object, signal?: AbortSignal): Promise<IncomingMessage> {
    const content = body === undefined ? undefined : JSON.stringify(body)
    const headers =
      content === undefined ? way.headers : { ...way.headers, 'content-type': 'application/json' }
    return new Promise((resolve, reject) => {
      const asked = request({ ...way, agent, method, path, headers, ...(signal && { signal }) }, resolve)
      asked.on('error', (error) =>
        reject(error.name === 'AbortError' ? error : unreachableDaemon(where, error)),
      )
      asked.end(content)
    })
  }

  return {
    where,
    async call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<T> {
      const response = await send(method, path, body)
      const answer = await answerOf(response, where)
      if (response.statusCode! < 400 || path.startsWith('/readyz')) return answer as T
      throw refused(answer as AdminProblem, path)
    },
    async *events(path, signal) {
      const response = await send('GET', path, undefined, signal)
      if (response.statusCode! >= 400) throw refused((await answerOf(response, where)) as AdminProblem, path)
      response.setEncoding('utf8')
      let unread = ''
      for await (const more of untilCut(response, signal, where)) {
        unread += String(more)
        for (let end = unread.indexOf('\n\n'); end !== -1; end = unread.indexOf('\n\n')) {
          const event = parseEvent(unread.slice(0, end))
          unread = unread.slice(end + 2)
          if (event !== undefined) yield event
        }
      }
    },
    async [Symbol.asyncDispose]() {
      agent.destroy()
    },
  }
}

async function answerOf(response: IncomingMessage, where: string): Promise<unknown> {
  try {
    return JSON.parse(await text(response)) as unknown
  } catch {
    throw new CommandFailed(
      EXIT.unreachable,
      `what answers at ${where} is no Sallyport; check --admin or --socket`,
    )
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
