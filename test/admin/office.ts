import { mkdtempSync, rmSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Admin, type AdminAddress, createAdmin } from '../../src/admin/admin.ts'
import type { AdminParts } from '../../src/admin/parts.ts'
import type { AuditEvent } from '../../src/core/event.ts'
import { SEVERITY } from '../../src/core/event.ts'
import { type Desk, openDesk } from '../approvals/desk.ts'

/** The admin API on real sockets, over real approvals. */
export interface Office extends AsyncDisposable {
  readonly desk: Desk
  readonly admin: Admin
  readonly dir: string
  readonly socket: string
  readonly events: AuditEvent[]
  readonly troubles: Error[]
  /** Hands an event of the record to those who watch. */
  record(event: AuditEvent): void
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** What the injected parts answer; a test may change it. */
  readonly daemon: {
    reload: AdminParts['reload']
    health: AdminParts['health']
    explain: AdminParts['explain']
  }
}

export interface CallOptions {
  readonly body?: unknown
  /** Sent as it is, in place of `body`. */
  readonly raw?: string | Buffer
  readonly headers?: Readonly<Record<string, string | string[]>>
  /** Default: the socket. */
  readonly to?: AdminAddress
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
}

export const POLICY = {
  version: '0123456789ab',
  digest: '0123456789ab'.padEnd(64, '0'),
  files: ['config/sallyport.toml'],
  loadedAt: Date.UTC(2026, 0, 1),
  counts: { allowed: 2, denied: 1 },
  settings: { hold: { wait: 25_000 }, policy: { allowed_domains: ['example.org', '*.example.org'] } },
  origins: new Map([['hold.wait', { layer: 'file', file: 'config/sallyport.toml', line: 12, column: 3 }]]),
  warnings: [],
} as unknown as ReturnType<AdminParts['policyView']>

export async function openOffice(): Promise<Office> {
  const desk = await openDesk()
  const dir = mkdtempSync(join(tmpdir(), 'admin-'))
  const socket = join(dir, 'run', 'admin.sock')
  const listeners = new Set<(event: AuditEvent) => void>()
  const troubles: Error[] = []
  const daemon: Office['daemon'] = {
    reload: () =>
      Promise.resolve({
        kind: 'reloaded',
        version: 'ba9876543210',
        previous: POLICY.version,
        restart: ['proxy.name'],
      }),
    health: () => [{ name: 'audit', ok: true }],
    explain: ({ url }) => ({
      target: url,
      door: 'connect',
      decision: 'hold',
      says: 'It would wait until somebody approves it.',
      rule: { list: 'unfamiliar', text: 'hold', source: { file: 'config/sallyport.toml', line: 7 } },
      steps: [{ step: 'unfamiliar', outcome: 'hold' }],
      unresolved: true,
    }),
  }
  const admin = createAdmin({
    approvals: desk.approvals,
    policyView: () => POLICY,
    explain: (question) => daemon.explain(question),
    reload: () => daemon.reload(),
    status: () => ({
      version: '0.1.0',
      startedAt: desk.clock.now() - 5000,
      draining: false,
      proxy: ['127.0.0.1:3128'],
      connections: 3,
    }),
    health: () => daemon.health(),
    subscribeEvents(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    emit: (event) => void desk.events.push(event),
    clock: desk.clock,
    onTrouble: (error) => void troubles.push(error),
  })
  const here = await admin.listenSocket(socket)
  return {
    desk,
    admin,
    dir,
    socket,
    events: desk.events,
    troubles,
    record: (event) => {
      for (const listener of listeners) listener(event)
    },
    daemon,
    call: (method, path, options = {}) => call(options.to ?? here, method, path, options),
    async [Symbol.asyncDispose]() {
      await admin.close()
      await desk[Symbol.asyncDispose]()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export function call(
  to: AdminAddress,
  method: string,
  path: string,
  { body, raw, headers = {} }: CallOptions = {},
): Promise<Answer> {
  const content = raw ?? (body === undefined ? undefined : JSON.stringify(body))
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        ...(to.kind === 'socket' ? { socketPath: to.path } : { host: to.address, port: to.port }),
        method,
        path,
        agent: false,
        headers: {
          ...(to.kind === 'socket' ? { Host: 'localhost' } : {}),
          ...(content === undefined
            ? {}
            : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(content) }),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== ''
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            text,
            json: isJson ? JSON.parse(text) : undefined,
          })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(content)
  })
}

export function decisionEvent(host = 'example.com'): AuditEvent {
  return {
    event: 'sallyport.egress.decision',
    severity: SEVERITY.INFO,
    time: Date.UTC(2026, 0, 1),
    attributes: { 'server.address': host, 'sallyport.decision': 'allow' },
  }
}
