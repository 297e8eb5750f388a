import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AuditLog, type AuditLogOptions, openAuditLog } from '../../src/audit/log.ts'
import type { StoredRecord } from '../../src/audit/line.ts'
import { errnoOf } from '../../src/core/errors.ts'
import { type AuditEvent, SEVERITY } from '../../src/core/event.ts'

export interface Folder extends Disposable {
  /** The directory of the log; not made yet. */
  readonly dir: string
  readonly root: string
}

export function makeFolder(): Folder {
  const root = mkdtempSync(join(tmpdir(), 'sallyport-audit-'))
  return {
    root,
    dir: join(root, 'audit'),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  }
}

/** A log whose trouble fails the test, unless the test wants to hear of it. */
export function openLog(dir: string, options: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  return openAuditLog({
    dir,
    segmentBytes: 1 << 20,
    instance: 'test-instance',
    onError: (error) => {
      throw error
    },
    ...options,
  })
}

export function someEvent(attributes: AuditEvent['attributes'] = {}): AuditEvent {
  return {
    event: 'sallyport.admin.action',
    severity: SEVERITY.INFO2,
    time: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
    attributes,
  }
}

/** Appends and waits until it is written; rejects with what the callback got. */
export function appended(log: Pick<AuditLog, 'append'>, event: AuditEvent): Promise<void> {
  return new Promise((resolve, reject) => {
    log.append(event, (error) => (error ? reject(error) : resolve()))
  })
}

export function segmentsOf(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => /^audit-\d{20}\.ndjson$/.test(name))
    .toSorted()
}

/** Every line of every segment, parsed; throws where a line is not JSON or not ended. */
export function recordsOf(dir: string): StoredRecord[] {
  return segmentsOf(dir).flatMap((name) => {
    const text = contentOf(join(dir, name))
    if (text !== '' && !text.endsWith('\n')) throw new Error(`${name} ends with a torn line`)
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as StoredRecord)
  })
}

/** Nothing for a segment that retention has removed since the directory was listed. */
function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return ''
    throw error
  }
}

export function gapsOf(dir: string): Readonly<Record<string, unknown>>[] {
  return recordsOf(dir)
    .filter((record) => record.event === 'sallyport.audit.gap')
    .map((record) => record.attributes)
}
