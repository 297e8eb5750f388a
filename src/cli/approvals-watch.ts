import type { z } from 'zod'
import type * as schema from '../admin/schema.ts'
import { type AdminOptions, openAdminClient } from './admin-client.ts'
import { createApprovalsScreen } from './approvals-screen.ts'
import type { ApprovalView } from './approvals.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import { shown, type Terminal } from './terminal.ts'

export interface WatchOptions extends AdminOptions {
  readonly json?: boolean
  /** Bell on a new approval; default on a terminal. */
  readonly bell?: boolean
  readonly by?: string
}

type Events = { [Name in keyof typeof schema.streamEvents]: z.output<(typeof schema.streamEvents)[Name]> }

/**
 * Shows what waits, live, until it is ended: on a terminal as a list whose entries a key answers; otherwise a line (or,
 * with `--json`, an object) for each change.
 */
export async function watchApprovals(
  options: WatchOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  await using admin = await openAdminClient(options, terminal)
  const interactive = terminal.isTty && options.json !== true && process.stdin.isTTY === true
  const open = new Map<string, ApprovalView>()
  const quit = new AbortController()
  const ended = AbortSignal.any([signal, quit.signal])
  using screen = new DisposableStack()
  let draw: ((rings: boolean) => void) | undefined
  try {
    for await (const { name, data } of admin.events('/v1/events?kinds=approvals', ended)) {
      apply(open, name, data)
      if (interactive) {
        // Not before the daemon has said what waits: «nothing waits» would be a guess.
        draw ??= screen.use(createApprovalsScreen({ ...options, open, admin, terminal, quit })).draw
        draw(name === 'approval' && (data as Events['approval']).change === 'opened')
      } else if (options.json === true)
        terminal.out(`${JSON.stringify({ event: name, ...(data as object) })}\n`)
      else terminal.out(linesOf(name, data))
    }
  } catch (error) {
    if (ended.aborted) return EXIT.ok
    throw error
  }
  if (ended.aborted) return EXIT.ok
  throw new CommandFailed(
    EXIT.unreachable,
    `the daemon at ${admin.where} ended the stream; is it shutting down?`,
  )
}

function apply(open: Map<string, ApprovalView>, name: string, data: unknown): void {
  if (name === 'snapshot') {
    open.clear()
    for (const approval of (data as Events['snapshot']).approvals) open.set(approval.id, approval)
  } else if (name === 'approval') {
    const { approval } = data as Events['approval']
    if (approval.status === 'open') open.set(approval.id, approval)
    else open.delete(approval.id)
  }
}

/** What happened, for a pipe: one line each. */
function linesOf(name: string, data: unknown): string {
  if (name === 'snapshot') {
    const { approvals } = data as Events['snapshot']
    return approvals.map((approval) => lineOf('open', approval)).join('')
  }
  if (name === 'grant') {
    const { grant } = data as Events['grant']
    return `revoked  ${grant.id.slice(0, 8)}  ${shown(grant.pattern)}\n`
  }
  if (name !== 'approval') return ''
  const { change, approval } = data as Events['approval']
  return lineOf(change === 'answered' ? (approval.answer?.verdict ?? change) : change, approval)
}

function lineOf(change: string, approval: ApprovalView): string {
  const [first] = approval.requests
  const agent = first?.user_agent === undefined ? '' : `  ${shown(first.user_agent)}`
  return `${change}  ${approval.id.slice(0, 8)}  ${shown(`${approval.host}:${approval.port}`)}  ${shown(approval.client)}${agent}\n`
}
