import type { OtelSettings } from '../audit/otel-settings.ts'
import { listenAddressText } from '../config/listen-address.ts'
import type { Snapshot } from '../config/snapshot.ts'
import type { Daemon } from '../daemon.ts'
import { configPath } from './config-path.ts'
import { packageVersion } from './package-version.ts'
import type { ServeOptions } from './serve.ts'
import { shown, styled, type Terminal } from './terminal.ts'

const REST = {
  hold: 'everything else waits until somebody approves it',
  deny: 'everything else is denied',
  allow: 'EVERYTHING ELSE IS ALLOWED',
} as const

/** What a started daemon says: where it is, what it does, and what to type next. */
export function banner(
  { address, snapshot }: Pick<Daemon, 'address' | 'snapshot'>,
  telemetry: OtelSettings,
  file: string | undefined,
  options: ServeOptions,
  terminal: Terminal,
): string {
  const { settings, counts, version } = snapshot
  const url = `http://${listenAddressText(reachable(address))}`
  const dim = (text: string) => styled(terminal, 'dim', text)
  const bold = (text: string) => styled(terminal, 'bold', text)
  const source = file === undefined ? 'no configuration file, defaults only' : shown(file)
  const watch = `npx sallyport approvals watch${wayBack(snapshot, options, terminal)}`
  const exports = [
    `export HTTPS_PROXY=${url} HTTP_PROXY=${url} https_proxy=${url} http_proxy=${url}`,
    'export NO_PROXY=localhost,127.0.0.1,::1 no_proxy=localhost,127.0.0.1,::1 NODE_USE_ENV_PROXY=1',
  ]
  const everywhere = reachable(address) === address ? '' : dim('  and every other address of this machine')
  return [
    `${bold('sallyport')} ${packageVersion()}: the controlled way out`,
    '',
    `  proxy   ${bold(url)}${everywhere}`,
    `  policy  ${counts.allowed} domains allowed, ${counts.denied} denied; ${REST[settings.policy.unfamiliar]}`,
    dim(`          ${source}, version ${version}`),
    `  admin   ${shown(settings.admin.socket)}`,
    dim(`          in a second terminal: ${watch}`),
    `  record  ${shown(settings.audit.dir)}`,
    dim(`          ${exportText(telemetry)}`),
    '',
    'Point an agent here:',
    ...exports.map((line) => `  ${line}`),
    '',
    '',
  ].join('\n')
}

type Address = Daemon['address']

/** Nobody can connect to 0.0.0.0 or ::, which stand for every address of the machine. */
function reachable(address: Address): Address {
  if (address.address === '0.0.0.0') return { ...address, address: '127.0.0.1' }
  return address.address === '::' ? { ...address, address: '::1' } : address
}

function exportText(telemetry: OtelSettings): string {
  switch (telemetry.kind) {
    case 'on':
      return `exported to ${shown(telemetry.export.endpoint.href)} (OTLP, ${telemetry.export.protocol})`
    case 'off':
      return `not exported: ${telemetry.why} (set OTEL_EXPORTER_OTLP_ENDPOINT)`
    case 'invalid':
      return ''
  }
}

/** What a command in a second terminal must say to find this daemon; nothing where it finds it by itself. */
function wayBack({ settings }: Snapshot, { config, set = [] }: ServeOptions, { env }: Terminal): string {
  const elsewhere =
    set.some((each) => /^(state_dir|admin\.socket)=/.test(each)) ||
    ['SALLYPORT_STATE_DIR', 'SALLYPORT_ADMIN_SOCKET', 'SALLYPORT_CONFIG'].some((name) => env[name])
  if (elsewhere) return ` --socket ${quoted(settings.admin.socket)}`
  return config === undefined || config === configPath(undefined, {}) ? '' : ` --config ${quoted(config)}`
}

/** For a shell. */
function quoted(path: string): string {
  const safe = shown(path)
  return /^[\w@%+=:,./-]+$/.test(safe) ? safe : `'${safe.replaceAll("'", `'\\''`)}'`
}
