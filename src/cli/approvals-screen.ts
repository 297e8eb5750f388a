import { createInterface, emitKeypressEvents } from 'node:readline'
import type { AdminClient } from './admin-client.ts'
import { answerBody, answeredText, approvalTable, type ApprovalView } from './approvals.ts'
import { styled, type Terminal } from './terminal.ts'

export interface ScreenParts {
  /** What waits, kept up to date by the caller, who calls `draw` after each change. */
  readonly open: ReadonlyMap<string, ApprovalView>
  readonly admin: AdminClient
  readonly terminal: Terminal
  /** Aborted when the person is done. */
  readonly quit: AbortController
  /** Whether a new approval rings; default true. */
  readonly bell?: boolean
  readonly by?: string
}

export interface Screen extends Disposable {
  /** `rings`: something new has come. */
  draw(rings: boolean): void
}

type Scope = { readonly for?: string; readonly session?: boolean }

const HELP = 'a allow once · h allow for an hour · s allow for this session · d deny · ↑↓ choose · q quit'
/** Lines around the list: title, blank, head of the table, blank, message, help. */
const FRAME = 6

/** The list of what waits, on a terminal of its own; a key answers the chosen entry. Disposing it puts back what stood there. */
export function createApprovalsScreen(parts: ScreenParts): Screen {
  const { open, admin, terminal, quit } = parts
  let chosen: string | undefined
  /** Where the chosen one stood, to choose its neighbour when it is gone. */
  let place = 0
  /**
   * The chosen one went away by itself, so that another one stands under the finger: the next key must not answer it.
   */
  let slipped = false
  const mine = new Set<string>()
  let message = ''

  const input = createInterface({ input: process.stdin, escapeCodeTimeout: 50 })
  emitKeypressEvents(process.stdin)
  process.stdin.setRawMode(true)
  terminal.out('\u001b[?1049h\u001b[?25l') // the alternate screen, no cursor: what stood there comes back at the end
  const redraw = () => draw(false)
  const seconds = setInterval(redraw, 1000)
  const keys = (_: string, key: { name?: string; ctrl?: boolean }) => press(key)
  process.stdin.on('keypress', keys)
  process.stdout.on('resize', redraw)

  function choose(list: readonly ApprovalView[]): void {
    const at = list.findIndex(({ id }) => id === chosen)
    if (at !== -1) return void (place = at)
    if (chosen !== undefined && !mine.delete(chosen)) slipped = true
    place = Math.max(0, Math.min(place, list.length - 1))
    chosen = list[place]?.id
    if (chosen === undefined) slipped = false
  }

  function draw(rings: boolean): void {
    const list = [...open.values()]
    choose(list)
    const room = Math.max(1, terminal.rows - FRAME)
    const first = Math.max(0, Math.min(place - room + 1, list.length - room))
    const lines = list.length === 0 ? ['  nothing waits for an approval'] : rowsOf(list, first, room)
    const title = `${styled(terminal, 'bold', 'sallyport approvals')}  ${list.length} open`
    const all = [title, '', ...lines, '', fit(message), styled(terminal, 'dim', fit(HELP))]
    const clipped = all.map((line) => `${line}\u001b[K`).join('\r\n')
    terminal.out(`${rings && parts.bell !== false ? '\u0007' : ''}\u001b[H${clipped}\u001b[J`)
  }

  function rowsOf(list: readonly ApprovalView[], first: number, room: number): string[] {
    const [head, ...rows] = approvalTable(list, Date.now(), { ...terminal, colour: false })
      .trimEnd()
      .split('\n')
    return [
      styled(terminal, 'dim', `  ${fit(head!)}`),
      ...rows
        .map((row, i) => (i === place ? styled(terminal, 'inverse', `› ${fit(row)}`) : `  ${fit(row)}`))
        .slice(first, first + room),
    ]
  }

  function fit(line: string): string {
    return line.slice(0, Math.max(20, terminal.columns - 2))
  }

  function press({ name, ctrl }: { name?: string; ctrl?: boolean }): void {
    if (name === 'q' || (ctrl === true && name === 'c')) return quit.abort()
    if (name === 'up' || name === 'k') move(-1)
    else if (name === 'down' || name === 'j') move(1)
    else if (name === 'a') void answer('allow', {})
    else if (name === 'h') void answer('allow', { for: '1h' })
    else if (name === 's') void answer('allow', { session: true })
    else if (name === 'd') void answer('deny', {})
    draw(false)
  }

  function move(by: number): void {
    const list = [...open.keys()]
    chosen = list[Math.max(0, Math.min(place + by, list.length - 1))]
    slipped = false
  }

  async function answer(verdict: 'allow' | 'deny', scope: Scope): Promise<void> {
    if (chosen === undefined) return
    if (slipped) {
      slipped = false
      message = 'the one that was chosen is gone: press again to answer this one'
      return
    }
    const id = chosen
    mine.add(id)
    const by = parts.by === undefined ? {} : { by: parts.by }
    try {
      const body = answerBody(verdict, { ...scope, ...by }, terminal)
      message = answeredText(await admin.call('POST', `/v1/approvals/${id}/answer`, body))
    } catch (error) {
      mine.delete(id)
      message = error instanceof Error ? error.message : String(error)
    }
    draw(false)
  }

  return {
    draw,
    [Symbol.dispose]() {
      clearInterval(seconds)
      process.stdin.off('keypress', keys)
      process.stdout.off('resize', redraw)
      process.stdin.setRawMode(false)
      input.close()
      terminal.out('\u001b[?25h\u001b[?1049l')
    },
  }
}
