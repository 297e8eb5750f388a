import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { readOtelSettings } from '../audit/otel-settings.ts'
import type { OtelProblem } from '../audit/otel-variables.ts'
import { loadConfig } from '../config/load.ts'
import { listenAddressText } from '../config/listen-address.ts'
import { formatProblem } from '../config/problems.ts'
import type { Snapshot } from '../config/snapshot.ts'
import { systemClock } from '../core/clock.ts'
import { errnoOf } from '../core/errors.ts'
import { startDaemon } from '../daemon.ts'
import { StorageError } from '../storage/private-path.ts'
import { banner } from './banner.ts'
import { configPath } from './config-path.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import { loadOrFail } from './load-or-fail.ts'
import { createOperationsLog } from './operations-log.ts'
import { packageVersion } from './package-version.ts'
import { shown, type Terminal } from './terminal.ts'

export interface ServeOptions {
  readonly config?: string
  /** `key=value` settings that win over file and environment. */
  readonly set?: readonly string[]
}

/** Variables that would send our own exports through ourselves (grpc and Node's clients obey them). */
const PROXY_VARIABLES = [
  'http_proxy',
  'https_proxy',
  'all_proxy',
  'no_proxy',
  'grpc_proxy',
  'no_grpc_proxy',
  'NODE_USE_ENV_PROXY',
]

/** Runs the daemon in the foreground until a signal ends it; the promise is the exit code. */
export async function serve(options: ServeOptions, terminal: Terminal): Promise<number> {
  for (const name of PROXY_VARIABLES)
    for (const spelling of [name, name.toUpperCase()]) delete process.env[spelling]
  // The search list of resolv.conf must not turn the name that was vetted into another one (resolv.conf(5)).
  process.env['LOCALDOMAIN'] = '.'
  // Look-ups of names and syncs of files share these threads; a slow DNS must not hold up the record.
  process.env['UV_THREADPOOL_SIZE'] ??= '16'
  process.umask(0o077)

  const overrides = readOverrides(options.set ?? [])
  const initial = await loadOrFail(options.config, terminal, { overrides })
  const { settings, warnings } = initial.snapshot
  const log = createOperationsLog(
    settings.log.level,
    settings.log.format,
    terminal,
    process.stderr.isTTY === true,
  )
  for (const warning of warnings) log.warn({}, formatProblem(warning))

  trustExtraAuthorities(settings.upstream.extra_ca_files)
  const telemetry = readOtelSettings(terminal.env, settings.telemetry)
  if (telemetry.kind === 'invalid') throw new CommandFailed(EXIT.config, otelProblems(telemetry.problems))
  const file = configPath(options.config, terminal.env)
  const daemon = await startDaemon({
    initial,
    load: (more) => loadConfig(file, terminal.env, { overrides, ...more }),
    ...(telemetry.kind === 'on' ? { telemetry: telemetry.export } : {}),
    version: packageVersion(),
    clock: systemClock,
    log,
  }).catch((error: unknown) => {
    throw startFailure(error, initial.snapshot)
  })
  process.on('SIGHUP', () => void daemon.reload())
  // A fault that nothing caught leaves the process in a state nobody knows: say so and end (a supervisor starts anew).
  process.on('uncaughtException', (error) => {
    log.error({ err: error }, 'a fault that nothing caught: the daemon ends')
    process.exit(EXIT.failure)
  })
  const ended = new Promise<number>((resolve) => {
    let signals = 0
    const stop = (signal: NodeJS.Signals) => {
      signals++
      if (signals > 1) return process.exit(signal === 'SIGINT' ? 130 : 143)
      log.info({ signal }, 'shutting down: running exchanges may finish, a second signal ends them')
      daemon.drain().then(
        () => resolve(EXIT.ok),
        (error: unknown) => {
          log.error({ err: error }, 'the daemon did not end in order')
          resolve(EXIT.failure)
        },
      )
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
  // Last: whoever reads it may send a signal at once.
  terminal.out(banner(daemon, telemetry, file, options, terminal))
  return await ended
}

function readOverrides(set: readonly string[]): Record<string, string> {
  const overrides: Record<string, string> = {}
  for (const each of set) {
    const equals = each.indexOf('=')
    if (equals < 1)
      throw new CommandFailed(
        EXIT.usage,
        `--set ${each}: write it as key=value, such as --set proxy.listen=127.0.0.1:0`,
      )
    overrides[each.slice(0, equals)] = each.slice(equals + 1)
  }
  return overrides
}

function startFailure(error: unknown, { settings }: Snapshot): unknown {
  const code = errnoOf(error)
  const listen = listenAddressText(settings.proxy.listen)
  if (code === 'EADDRINUSE')
    return new CommandFailed(
      EXIT.failure,
      `proxy.listen = "${listen}": another process listens there; stop it, or choose another port (0 takes any free one)`,
    )
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL')
    return new CommandFailed(
      EXIT.failure,
      `proxy.listen = "${listen}": cannot listen there (${code}); choose an address of this machine and a port above 1023`,
    )
  if (error instanceof StorageError) return new CommandFailed(EXIT.failure, error.message)
  return error
}

/** Certificate authorities of a company: trusted beside the system's, in every TLS connection that this process opens. */
function trustExtraAuthorities(files: readonly string[]): void {
  if (files.length === 0) return
  const extra = files.map((file) => {
    const pem = readFileSync(file, 'utf8')
    try {
      void new X509Certificate(pem)
      return pem
    } catch {
      throw new CommandFailed(
        EXIT.config,
        `upstream.extra_ca_files: ${shown(file)} holds no PEM certificate; name a file that does`,
      )
    }
  })
  setDefaultCACertificates([...getCACertificates('default'), ...extra])
}

function otelProblems(problems: readonly OtelProblem[]): string {
  const lines = problems.map(
    ({ name, value, problem, remedy }) =>
      `  ${name}${value === undefined ? '' : ` = "${shown(value)}"`}: ${problem} → ${remedy}`,
  )
  return `the environment has ${problems.length === 1 ? 'a problem' : 'problems'}:\n${lines.join('\n')}`
}
