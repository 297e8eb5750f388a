import type { Exporter } from '../../src/audit/exporter.ts'
import type { StoredRecord } from '../../src/audit/line.ts'
import { type OtelSettings, readOtelSettings, type TelemetrySettings } from '../../src/audit/otel-settings.ts'
import { createOtlpExporter, type ProcessIdentity } from '../../src/audit/otlp-exporter.ts'
import { type Clock, systemClock } from '../../src/core/clock.ts'

export const IDENTITY: ProcessIdentity = {
  version: '1.2.3',
  instance: '0b0a5a1e-0000-4000-8000-000000000001',
  hostname: 'host-1',
  platform: 'linux',
  pid: 42,
}

export const DEFAULTS: TelemetrySettings = {
  protocol: 'http/protobuf',
  compression: 'none',
  timeout: 10_000,
  batch_size: 512,
  interval: 1000,
}

interface Choice extends Partial<TelemetrySettings> {
  readonly env?: Record<string, string>
  readonly files?: Readonly<Record<string, string>>
  readonly clock?: Clock
}

/** The exporter that the settings make for a collector. */
export function exporterFor(collector: { readonly endpoint: string }, choice: Choice): Promise<Exporter> {
  const { env = {}, files = {}, clock = systemClock, ...settings } = choice
  const found = readOtelSettings(env, { ...DEFAULTS, endpoint: collector.endpoint, ...settings })
  return createOtlpExporter({
    settings: exportOf(found),
    readFile: async (path) => {
      const text = files[path]
      if (text === undefined) throw new Error(`ENOENT: ${path}`)
      return text
    },
    clock,
    identity: IDENTITY,
  })
}

export function exportOf(settings: OtelSettings) {
  if (settings.kind !== 'on') throw new Error(`the export is not on: ${JSON.stringify(settings)}`)
  return settings.export
}

export function someRecords(count: number, first = 1): StoredRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    seq: first + i,
    id: `log-${first + i}`,
    time: '2026-11-22T10:11:12.345Z',
    event: 'sallyport.egress.decision',
    severity: 'INFO',
    instance: 'one',
    attributes: { n: first + i },
  }))
}
