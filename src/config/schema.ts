import { z } from 'zod'
import { adminSection, proxySection } from './sections-doors.ts'
import { drainSection, limitsSection, upstreamSection } from './sections-limits.ts'
import { approvalSection, holdSection, policySection, tunnelSection } from './sections-policy.ts'
import { auditSection, logSection, telemetrySection } from './sections-record.ts'
import { path } from './setting.ts'

/**
 * Everything that can be set. The one source of types, defaults, bounds and meanings: the loader, the JSON Schema, the
 * shipped file and the manual read them from here.
 */
export const settingsSchema = z.strictObject({
  state_dir: path({
    meaning:
      'The folder of what the proxy keeps: approvals, grants, the admin socket, and the audit log unless audit.dir says otherwise. Made with mode 0700 when it is missing.',
    initial: 'var/state',
    relativeTo: 'config',
    restart: true,
  }),
  proxy: proxySection,
  policy: policySection,
  tunnel: tunnelSection,
  hold: holdSection,
  approval: approvalSection,
  admin: adminSection,
  audit: auditSection,
  telemetry: telemetrySection,
  upstream: upstreamSection,
  limits: limitsSection,
  drain: drainSection,
  log: logSection,
})

/**
 * The effective settings: keys as in the file, durations in milliseconds, sizes in bytes, paths absolute, addresses
 * parsed. Deeply immutable by agreement: a reload makes a new one.
 */
export type Settings = z.output<typeof settingsSchema>
