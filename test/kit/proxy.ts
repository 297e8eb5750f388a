import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readOtelSettings } from '../../src/audit/otel-settings.ts'
import { loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import type { AuditEvent, EventName } from '../../src/core/event.ts'
import { type Daemon, type OperationsLog, startDaemon } from '../../src/daemon.ts'

export interface TestProxy extends AsyncDisposable {
  readonly daemon: Daemon
  readonly port: number
  readonly dir: string
  readonly configFile: string
  /** Path of the admin socket. */
  readonly socket: string
  /** What the daemon logged at warn and error; most tests want it empty. */
  readonly complaints: string[]
  /** Events so far, in order, decisions and completions alike. */
  readonly events: readonly AuditEvent[]
  /** Waits for the n-th (from 1) event of this name that `matches`; those that were before count as well. */
  event(name: EventName, matches?: (event: AuditEvent) => boolean, n?: number): Promise<AuditEvent>
  decisions(): AuditEvent[]
  /** The lines of the audit log on disk, parsed. */
  log(): Promise<Record<string, unknown>[]>
  /** Replaces the configuration file, without reloading. */
  writeConfig(text: string): Promise<void>
  /** Ends the daemon in order and starts another one on the same state. */
  restart(): Promise<void>
}

export interface TestProxyOptions {
  /** Body of the configuration; `state_dir` and `proxy.listen` are set by the kit. TOML, top-level keys not allowed. */
  readonly config?: string
  /** Where the proxy listens; default any free port of 127.0.0.1. */
  readonly listen?: string
  readonly clock?: Clock
  /** The `OTEL_*` variables. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * A whole daemon, in this process, on a free port, with its state in a folder of its own.
 * `private` exceptions are up to the configuration: origins of tests are on loopback, which the address guard refuses.
 */
export async function startProxy(options: TestProxyOptions = {}): Promise<TestProxy> {
  const dir = await mkdtemp(join(tmpdir(), 'sallyport-'))
  const configFile = join(dir, 'sallyport.toml')
  const overrides = { state_dir: join(dir, 'state'), 'proxy.listen': options.listen ?? '127.0.0.1:0' }
  const complaints: string[] = []
  const log: OperationsLog = {
    info: () => {},
    warn: (fields, message) => void complaints.push(`${message} ${describe(fields)}`),
    error: (fields, message) => void complaints.push(`${message} ${describe(fields)}`),
  }
  const events: AuditEvent[] = []
  const listeners = new Set<() => void>()
  const load = (more: object = {}) => loadConfig(configFile, {}, { overrides, ...more })

  async function start(): Promise<Daemon> {
    const initial = await load()
    if (initial.kind === 'invalid') throw new Error(initial.problems.map(formatProblem).join('\n'))
    const telemetry = readOtelSettings(options.env ?? {}, initial.snapshot.settings.telemetry)
    if (telemetry.kind === 'invalid') throw new Error(JSON.stringify(telemetry.problems))
    const started = await startDaemon({
      ...(telemetry.kind === 'on' ? { telemetry: telemetry.export } : {}),
      initial,
      load,
      version: '0.0.0',
      clock: options.clock ?? systemClock,
      log,
    })
    started.onRecord((event) => {
      events.push(event)
      for (const listener of listeners) listener()
    })
    return started
  }

  await writeFile(configFile, options.config ?? '', { mode: 0o600 })
  let daemon = await start()

  const proxy: TestProxy = {
    get daemon() {
      return daemon
    },
    get port() {
      return daemon.address.port
    },
    dir,
    configFile,
    socket: join(dir, 'state', 'admin.sock'),
    complaints,
    events,
    event(name, matches = () => true, n = 1) {
      return new Promise((resolve) => {
        const look = () => {
          const found = events.filter((event) => event.event === name && matches(event))[n - 1]
          if (found === undefined) return
          listeners.delete(look)
          resolve(found)
        }
        listeners.add(look)
        look()
      })
    },
    decisions: () => events.filter(({ event }) => event === 'sallyport.egress.decision'),
    async log() {
      const folder = join(dir, 'state', 'audit')
      const files = (await readdir(folder)).filter((name) => name.endsWith('.ndjson')).toSorted()
      const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
      return texts
        .join('')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    },
    async writeConfig(text) {
      // At once, as editors do it: the daemon watches the file and would load half of it.
      await writeFile(`${configFile}.new`, text, { mode: 0o600 })
      await rename(`${configFile}.new`, configFile)
    },
    async restart() {
      await daemon[Symbol.asyncDispose]()
      daemon = await start()
    },
    async [Symbol.asyncDispose]() {
      await daemon[Symbol.asyncDispose]()
      await rm(dir, { recursive: true, force: true })
    },
  }
  return proxy
}

function describe(fields: object): string {
  const { err, ...rest } = fields as { err?: unknown }
  return err instanceof Error ? `${err.stack ?? err.message} ${JSON.stringify(rest)}` : JSON.stringify(rest)
}

/**
 * The usual policy of a test: `allowed` names under `.test` that the test's DNS server knows, resolving to loopback, with
 * the exceptions that the address guard needs for exactly these ports.
 */
export function testConfig(options: {
  readonly dns: string
  readonly ports: readonly number[]
  readonly allowed?: readonly string[]
  readonly denied?: readonly string[]
  readonly unfamiliar?: 'hold' | 'deny' | 'allow'
  /** Whose addresses may be on loopback; default every name under .test. */
  readonly privateHost?: string
  readonly more?: string
}): string {
  const ports = JSON.stringify(options.ports)
  return `
[policy]
allowed_domains = ${JSON.stringify(options.allowed ?? ['ok.test'])}
denied_domains = ${JSON.stringify(options.denied ?? ['denied.test'])}
allowed_ports = ${JSON.stringify([...new Set([80, 443, ...options.ports])])}
unfamiliar = "${options.unfamiliar ?? 'hold'}"
private = [{ host = "${options.privateHost ?? '**.test'}", cidr = "127.0.0.0/8", ports = ${ports} }]
[upstream]
resolver = "${options.dns}"
${options.more ?? ''}
`
}
