// daemon: the composition root. It opens every part in its order, hands each what it needs of the others, and closes
// them in the opposite order. It decides nothing; two of them run in one process.

import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { type Admin, createAdmin } from './admin/admin.ts'
import { healthChecks } from './admin/health.ts'
import { createApprovals } from './approvals/approvals.ts'
import { APPROVAL_MIGRATIONS } from './approvals/store.ts'
import { openAuditLog } from './audit/log.ts'
import { createLiveRecord } from './audit/live-record.ts'
import type { ExportSettings } from './audit/otel-settings.ts'
import { createOtlpExporter } from './audit/otlp-exporter.ts'
import { createExchangeRecorder } from './audit/record.ts'
import { type Shipper, startShipper } from './audit/shipper.ts'
import { approvalSettings } from './config/approval-settings.ts'
import type { LoadOptions, LoadResult, Loaded } from './config/load.ts'
import { listenAddressText } from './config/listen-address.ts'
import { formatProblem } from './config/problems.ts'
import { policyChanged } from './config/policy-events.ts'
import { createReloader, type ReloadOutcome } from './config/reload.ts'
import type { Snapshot } from './config/snapshot.ts'
import type { ClientId } from './core/client.ts'
import type { Clock } from './core/clock.ts'
import { type AuditEvent, SEVERITY } from './core/event.ts'
import { decide } from './policy/decide.ts'
import { explain } from './policy/explain.ts'
import { withOwnListeners } from './policy/policy.ts'
import { createAdmission } from './proxy/admission.ts'
import { drainTraffic } from './proxy/drain.ts'
import { frontSettings, responseLimits } from './proxy/front-settings.ts'
import { type Front, openFront } from './proxy/front.ts'
import { createTunnels } from './proxy/tunnels.ts'
import { openDatabase } from './storage/sqlite.ts'
import { createDialer } from './upstream/dialer.ts'
import { createOrigins } from './upstream/origins.ts'
import { createResolver } from './upstream/resolver.ts'
import { createReadBuffers } from './wire/buffers.ts'
import { createPulse } from './wire/pulse.ts'
import { roomForConnections } from './wire/room.ts'

export interface DaemonParts {
  readonly initial: Loaded
  /** Loads the configuration anew, from where `initial` came from. */
  readonly load: (options: Pick<LoadOptions, 'own'>) => Promise<LoadResult>
  /** Where the record is exported to; undefined: nowhere. */
  readonly telemetry?: ExportSettings
  /** Of the package. */
  readonly version: string
  readonly clock: Clock
  readonly log: OperationsLog
}

/** The daemon's own log, for operators; the record is another thing. */
export interface OperationsLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface Daemon extends AsyncDisposable {
  readonly address: { readonly address: string; readonly port: number }
  readonly snapshot: Snapshot
  reload(): Promise<ReloadOutcome>
  /** Every event of the record, as it is appended; returns how to stop. */
  onRecord(listener: (event: AuditEvent) => void): () => void
  /**
   * Stops in order: takes no more connections, lets what runs finish for `drain.timeout` milliseconds, then ends it.
   * Disposing ends it at once.
   */
  drain(): Promise<void>
}

/** Opens everything, in the order in which things depend on each other. Throws what cannot be opened; nothing is left open. */
export async function startDaemon(parts: DaemonParts): Promise<Daemon> {
  const { clock, log } = parts
  const { settings } = parts.initial.snapshot
  const startedAt = clock.now()
  await using stack = new AsyncDisposableStack()

  const instance = randomUUID()
  let shipper: Shipper | undefined
  const audit = stack.use(
    await openAuditLog({
      dir: settings.audit.dir,
      segmentBytes: settings.audit.segment_size,
      keepBytes: settings.audit.keep,
      syncEvery: settings.audit.sync,
      ...(parts.telemetry === undefined ? {} : { delivered: () => shipper?.state.delivered ?? 0 }),
      instance,
      clock,
      onError: (error) => log.error({ err: error }, 'the audit log has trouble'),
    }),
  )
  for (const defect of audit.defects)
    log.warn({ defect }, 'the audit log was damaged; see the sallyport.audit.gap record')
  const record = createLiveRecord(audit, clock)
  if (parts.telemetry !== undefined) {
    const identity = {
      version: parts.version,
      instance,
      hostname: hostname(),
      platform: process.platform,
      pid: process.pid,
    }
    shipper = stack.use(
      await startShipper({
        log: audit,
        exporter: await createOtlpExporter({
          settings: parts.telemetry,
          readFile: (path) => readFile(path, 'utf8'),
          clock,
          identity,
        }),
        clock,
        batchSize: parts.telemetry.batchSize,
        interval: parts.telemetry.interval,
        onTrouble: (error) =>
          log.warn({ err: error }, 'the collector does not take the record; it is kept and sent later'),
        onRecovery: () => log.info({}, 'the collector takes the record again'),
      }),
    )
  }

  const database = openDatabase({
    file: join(settings.state_dir, 'sallyport.db'),
    migrations: APPROVAL_MIGRATIONS,
  })
  stack.defer(() => database.close())
  // What is in force. Replaced as a whole by a reload; whoever reads it twice in one exchange may see two.
  let current = parts.initial.snapshot
  let doors = frontSettings(settings)
  let admin: Admin | undefined

  const approvals = stack.use(
    createApprovals({
      database,
      clock,
      emit: record.append,
      settings: () => approvalSettings(current.settings),
      reviewersPresent: () => admin?.reviewersPresent() ?? false,
      onTrouble: (error) => log.error({ err: error }, 'the store of approvals has trouble'),
    }),
  )

  const wire = {
    buffers: createReadBuffers(),
    pulse: stack.use(createPulse(clock)),
    room: roomForConnections(),
  }
  const { upstream } = settings
  const resolver = createResolver({
    server: upstream.resolver,
    timeout: upstream.dns_timeout,
    cacheEntries: upstream.dns_cache_entries,
    longestTtl: upstream.dns_ttl_max,
    clock,
  })
  const dialer = createDialer({
    connectTimeout: () => current.settings.upstream.connect_timeout,
    clock,
    wire,
  })
  const origins = stack.use(
    createOrigins({
      dialer,
      pulse: wire.pulse,
      limits: responseLimits(settings),
      idleConnections: () => current.settings.limits.upstream_idle_connections,
      idleTimeout: () => current.settings.limits.upstream_idle_timeout,
    }),
  )
  wire.room.spare = () => origins.spare()
  const tunnels = stack.use(createTunnels(wire.pulse, () => current.settings.limits.tunnel_idle_timeout))
  stack.defer(
    approvals.subscribe((change) => {
      if (change.kind !== 'revoked') return
      const { id, approval } = change.grant
      const closed = tunnels.closeWhere(
        ({ permittedBy }) => permittedBy === id || permittedBy === approval,
        'grant_revoked',
      )
      if (closed > 0) log.info({ grant: id, closed }, 'tunnels of a revoked grant were closed')
    }),
  )
  const admission = createAdmission({
    snapshot: () => current,
    findGrant: approvals.findGrant,
    consumeGrant: (grant) => approvals.consume(grant),
    hold: (question, signal) => approvals.ask(question, signal),
    resolver,
    onAuditError: () => current.settings.audit.on_error,
    onFault: (error, exchange) => log.error({ err: error, exchange: exchange.id }, 'an exchange failed'),
  })
  const front = stack.use(
    await openFront(settings.proxy.listen.address, settings.proxy.listen.port, {
      wire,
      clock,
      recorder: createExchangeRecorder({
        append: record.append,
        name: settings.proxy.name,
        completed: settings.audit.completed,
      }),
      admission,
      dialer,
      origins,
      tunnels,
      name: settings.proxy.name,
      settings: () => doors,
      onClient: (client, present) => (present ? approvals.touch(client) : approvals.released(client)),
      onFault: (error) => log.error({ err: error }, 'a connection failed'),
      onLimit: (client, count) =>
        log.warn({ client, count }, 'a connection was turned away: there are too many'),
    }),
  )

  adopt(parts.initial.snapshot)

  /** Puts a snapshot in force: for what comes from now on, and for the tunnels that it denies. */
  function adopt(snapshot: Snapshot): void {
    const policy = withOwnListeners(snapshot.policy, ownListeners(front, admin), localAddresses())
    current = { ...snapshot, policy }
    doors = frontSettings(snapshot.settings)
    origins.clear()
    const closed = tunnels.closeWhere(
      ({ authority, client, addresses }) =>
        decide(policy, { authority, client, addresses }, approvals.findGrant).kind === 'deny',
      'policy_changed',
    )
    if (closed > 0) log.warn({ closed }, 'tunnels that the new policy denies were closed')
  }

  const reloader = stack.use(
    createReloader({
      load: () => parts.load({ own: ownListeners(front, admin) }),
      initial: parts.initial,
      clock,
      onSwap(outcome) {
        const { snapshot, change } = outcome
        adopt(snapshot)
        if (change.restart.length > 0)
          log.warn({ settings: change.restart }, 'changed settings that need a restart keep their old values')
        if (change.isEmpty)
          return log.info({ version: snapshot.version }, 'the configuration was loaded: nothing has changed')
        const { allowed, denied, lists, settings } = change
        log.info({ version: snapshot.version, allowed, denied, lists, settings }, 'the policy was loaded')
        record.emit('sallyport.policy.changed', SEVERITY.INFO2, policyChanged(outcome))
      },
      onRefused(outcome) {
        log.error(
          { problems: outcome.problems.map(formatProblem) },
          'the new configuration was refused, the old one stays in force',
        )
        record.emit('sallyport.policy.changed', SEVERITY.ERROR, policyChanged(outcome))
      },
    }),
  )

  admin = stack.use(
    createAdmin({
      approvals,
      policyView: () => current,
      explain: ({ url, client }) =>
        explain(current.policy, { target: url, client: client as ClientId }, approvals.findGrant),
      async reload() {
        const outcome = await reloader.reload()
        return outcome.kind === 'refused'
          ? outcome
          : {
              kind: 'reloaded',
              version: outcome.snapshot.version,
              previous: outcome.previous.version,
              restart: outcome.change.restart,
            }
      },
      status: () => ({
        version: parts.version,
        startedAt,
        draining: front.isDraining,
        proxy: [listenAddressText(front.address)],
        connections: front.connections,
      }),
      health: () =>
        healthChecks({ auditFailure: audit.failure, exporter: shipper?.state, isDraining: front.isDraining }),
      subscribeEvents: record.subscribe,
      emit: record.append,
      clock,
      onTrouble: (error) => log.error({ err: error }, 'the admin API has trouble'),
    }),
  )
  await admin.listenSocket(settings.admin.socket)
  if (settings.admin.listen) {
    await admin.listenTcp(
      settings.admin.listen.address,
      settings.admin.listen.port,
      settings.admin.token_file,
    )
  }
  adopt(parts.initial.snapshot)

  record.emit('sallyport.process.started', SEVERITY.INFO, {
    'security_rule.version': current.version,
    'service.version': parts.version,
  })
  const opened = stack.move()
  let draining: Promise<void> | undefined

  function close(): Promise<void> {
    // Before their connections are closed in order: a tunnel that is cut must look cut.
    tunnels.closeWhere(() => true, 'draining')
    return opened.disposeAsync()
  }

  async function drainOnce(): Promise<void> {
    record.emit('sallyport.process.draining', SEVERITY.INFO, {
      'sallyport.connections': front.connections,
      'sallyport.tunnels': tunnels.size,
    })
    approvals.drain()
    await drainTraffic(front, tunnels, current.settings.drain.timeout, clock)
    record.emit('sallyport.process.stopped', SEVERITY.INFO, { 'sallyport.connections': front.connections })
  }

  return {
    address: front.address,
    get snapshot() {
      return current
    },
    reload: () => reloader.reload(),
    onRecord: record.subscribe,
    drain() {
      draining ??= drainOnce().finally(() => opened.disposeAsync())
      return draining
    },
    [Symbol.asyncDispose]: () => draining ?? close(),
  }
}

function ownListeners(front: Front, admin: Admin | undefined) {
  const tcp = (admin?.addresses ?? []).flatMap((each) => (each.kind === 'tcp' ? [each] : []))
  return [front.address, ...tcp].map(({ address, port }) => ({ address, port }))
}

function localAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address))
}
