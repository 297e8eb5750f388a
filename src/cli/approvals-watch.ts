import { createInterface, emitKeypressEvents } from 'node:readline'
import type { z } from 'zod'
import type * as schema from '../admin/schema.ts'
import { type AdminClient, type AdminOptions, openAdminClient } from './admin-client.ts'
import { answerBody, answeredText, approvalTable, type ApprovalView } from './approvals.ts'
import { CommandFailed, EXIT } from './exit-codes.ts'
import { shown, styled, type Terminal } from './terminal.ts'

export interface WatchOptions extends AdminOptions {
  readonly json?: boolean
  /** Bell on a new approval; default on a terminal. */
  readonly bell?: boolean
  readonly by?: string
}

type Events = { [Name in keyof typeof schema.streamEvents]: z.output<(typeof schema.streamEvents)[Name]> }

const HELP = 'a allow once · h allow for an hour · s allow for this session · d deny · ↑↓ choose · q quit'

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
  using screen = interactive ? createScreen(open, admin, options, terminal) : undefined
  const ended = screen === undefined ? signal : AbortSignal.any([signal, screen.quit])
  try {
    for await (const { name, data } of admin.events('/v1/events?kinds=approvals', ended)) {
      apply(open, name, data)
      if (options.json === true) terminal.out(`${JSON.stringify({ event: name, ...(data as object) })}\n`)
      else if (screen !== undefined)
        screen.draw(name === 'approval' && (data as Events['approval']).change === 'opened')
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

interface Screen extends Disposable {
  draw(ring?: boolean): void
  /** Aborts when the person is done. */
  readonly quit: AbortSignal
}

function createScreen(
  open: Map<string, ApprovalView>,
  admin: AdminClient,
  options: WatchOptions,
  terminal: Terminal,
): Screen {
  const quit = new AbortController()
  let chosen = 0
  let message = ''
  const input = createInterface({ input: process.stdin, escapeCodeTimeout: 50 })
  emitKeypressEvents(process.stdin)
  process.stdin.setRawMode(true)
  terminal.out('\u001b[?1049h\u001b[?25l') // the alternate screen, no cursor: what stood there comes back at the end
  const seconds = setInterval(() => draw(), 1000)
  const keys = (_: string, key: { name?: string; ctrl?: boolean }) => press(key)
  process.stdin.on('keypress', keys)
  process.stdout.on('resize', draw)
  draw()

  function draw(ring?: unknown): void {
    const list = [...open.values()]
    chosen = Math.max(0, Math.min(chosen, list.length - 1))
    const lines = list.length === 0 ? ['  nothing waits for an approval'] : rowsOf(list)
    const title = `${styled(terminal, 'bold', 'sallyport approvals')}  ${list.length} open`
    const all = [title, '', ...lines, '', message, styled(terminal, 'dim', HELP)]
    const clipped = all.map((line) => `${line}\u001b[K`).join('\r\n')
    terminal.out(`${ring === true && options.bell !== false ? '\u0007' : ''}\u001b[H${clipped}\u001b[J`)
  }

  function rowsOf(list: ApprovalView[]): string[] {
    const [head, ...rows] = approvalTable(list, Date.now(), { ...terminal, colour: false })
      .trimEnd()
      .split('\n')
    const fit = (line: string) => line.slice(0, Math.max(20, terminal.columns - 2))
    return [
      styled(terminal, 'dim', `  ${fit(head!)}`),
      ...rows.map((row, i) =>
        i === chosen ? styled(terminal, 'inverse', `› ${fit(row)}`) : `  ${fit(row)}`,
      ),
    ]
  }

  function press({ name, ctrl }: { name?: string; ctrl?: boolean }): void {
    if (name === 'q' || (ctrl === true && name === 'c')) return quit.abort()
    if (name === 'up' || name === 'k') chosen--
    else if (name === 'down' || name === 'j') chosen++
    else if (name === 'a') void answer('allow', {})
    else if (name === 'h') void answer('allow', { for: '1h' })
    else if (name === 's') void answer('allow', { session: true })
    else if (name === 'd') void answer('deny', {})
    draw()
  }

  async function answer(
    verdict: 'allow' | 'deny',
    scope: { for?: string; session?: boolean },
  ): Promise<void> {
    const approval = [...open.values()][chosen]
    if (approval === undefined) return
    try {
      const body = answerBody(
        verdict,
        { ...scope, ...(options.by === undefined ? {} : { by: options.by }) },
        terminal,
      )
      message = answeredText(await admin.call('POST', `/v1/approvals/${approval.id}/answer`, body))
    } catch (error) {
      message = error instanceof Error ? error.message : String(error)
    }
    draw()
  }

  return {
    draw,
    quit: quit.signal,
    [Symbol.dispose]() {
      clearInterval(seconds)
      process.stdin.off('keypress', keys)
      process.stdout.off('resize', draw)
      process.stdin.setRawMode(false)
      input.close()
      terminal.out('\u001b[?25h\u001b[?1049l')
    },
  }
}
