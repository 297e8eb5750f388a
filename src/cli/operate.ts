import type { z } from 'zod'
import type * as schema from '../admin/schema.ts'
import { type AdminOptions, openAdminClient } from './admin-client.ts'
import { EXIT } from './exit-codes.ts'
import { shown, span, table, type Terminal } from './terminal.ts'

type Json = { readonly json?: boolean }

/** Makes the running daemon load its configuration anew; a refused one leaves the old in force. */
export async function reload(options: AdminOptions & Json, terminal: Terminal): Promise<number> {
  await using admin = await openAdminClient(options, terminal)
  const by = terminal.env['USER']
  const outcome = await admin.call<z.output<typeof schema.reloaded>>(
    'POST',
    '/v1/reload',
    by === undefined ? {} : { by },
  )
  const { version, previous, changed, counts, waiting_for_restart: waiting } = outcome
  if (options.json === true) terminal.out(`${JSON.stringify(outcome)}\n`)
  else {
    terminal.out(
      `${changed ? `policy ${previous} replaced by ${version}` : `policy ${version} unchanged`}: ${counts.allowed} domains allowed, ${counts.denied} denied\n`,
    )
    if (waiting.length > 0)
      terminal.out(`until the daemon is started again these keep their old values: ${waiting.join(', ')}\n`)
  }
  return EXIT.ok
}

/** What the running daemon is doing. */
export async function status(options: AdminOptions & Json, terminal: Terminal): Promise<number> {
  await using admin = await openAdminClient(options, terminal)
  const answer = await admin.call<z.output<typeof schema.daemonStatus>>('GET', '/v1/status')
  if (options.json === true) terminal.out(`${JSON.stringify(answer)}\n`)
  else
    terminal.out(
      table([
        ['version', answer.version],
        ['up', span(answer.uptime_ms)],
        ['proxy', answer.proxy.join(' ')],
        ['admin', shown(answer.admin.join(' '))],
        ['policy', answer.policy_version],
        ['connections', String(answer.connections)],
        ['approvals', `${answer.approvals.open} open, ${answer.approvals.waiting} requests waiting`],
        ['grants', String(answer.grants)],
        ['watchers', String(answer.watchers)],
        ['state', answer.draining ? 'shutting down' : 'serving'],
      ]),
    )
  return EXIT.ok
}

/** Exit code 0 when the daemon is ready: for containers whose image has no shell and no curl. */
export async function healthcheck(options: AdminOptions & Json, terminal: Terminal): Promise<number> {
  await using admin = await openAdminClient(options, terminal)
  const health = await admin.call<z.output<typeof schema.health>>('GET', '/readyz?verbose')
  if (options.json === true) terminal.out(`${JSON.stringify(health)}\n`)
  else
    terminal.out(
      table(
        (health.checks ?? []).map(({ name, ok, detail }) => [
          ok ? 'ok' : 'FAILING',
          name,
          shown(detail ?? ''),
        ]),
      ),
    )
  return health.status === 'ok' ? EXIT.ok : EXIT.failure
}
