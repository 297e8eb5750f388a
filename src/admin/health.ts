import type { HealthCheck } from './parts.ts'

export interface HealthFacts {
  /** Why the audit log cannot be written. */
  readonly auditFailure: Error | undefined
  /** Undefined where nothing is exported. */
  readonly exporter: { readonly lagRecords: number; readonly lastError: Error | undefined } | undefined
  readonly isDraining: boolean
}

/** What `readyz` reports. A collector that is away loses nothing, so it does not make the proxy unready. */
export function healthChecks({ auditFailure, exporter, isDraining }: HealthFacts): HealthCheck[] {
  return [
    { name: 'policy', ok: true, detail: 'a policy is in force' },
    auditFailure === undefined
      ? { name: 'audit', ok: true, detail: 'the audit log can be written' }
      : { name: 'audit', ok: false, detail: `the audit log cannot be written: ${auditFailure.message}` },
    { name: 'export', ok: true, detail: exportDetail(exporter) },
    isDraining
      ? { name: 'traffic', ok: false, detail: 'the proxy is shutting down' }
      : { name: 'traffic', ok: true, detail: 'the proxy takes connections' },
  ]
}

function exportDetail(exporter: HealthFacts['exporter']): string {
  if (exporter === undefined) return 'the record is exported nowhere'
  const { lagRecords, lastError } = exporter
  const trouble = lastError === undefined ? '' : `; the last attempt failed: ${lastError.message}`
  return `${lagRecords} records wait for the collector${trouble}`
}
