import type { ServerResponse } from 'node:http'
import type { Approvals } from '../approvals/approvals.ts'
import type { ApprovalChange } from '../approvals/changes.ts'
import type { Alarm, Clock } from '../core/clock.ts'
import type { AuditEvent } from '../core/event.ts'
import { SAFETY_FIELDS } from './gate.ts'
import { Problem } from './problem.ts'
import type { streamEvents } from './schema.ts'
import { approvalView, auditEventView, grantView } from './views.ts'

export type Kind = 'approvals' | 'decisions'
export const KINDS: readonly Kind[] = ['approvals', 'decisions']

const HEARTBEAT_MS = 15_000
/** Those who watch at one time. */
const MOST_WATCHERS = 64
/** Bytes that wait for a slow reader before it is cut: what it missed, it learns from the snapshot when it is back. */
const MOST_BUFFERED = 262_144
/** What the browser's EventSource waits before it is back, in milliseconds. */
const RETRY_MS = 2000

export interface Watchers {
  /** Makes the response a stream of events (text/event-stream). Throws Problem where too many watch. */
  add(response: ServerResponse, kinds: ReadonlySet<Kind>): void
  readonly size: number
  /** Whether anybody watches approvals, and so could answer one. */
  readonly reviewing: boolean
  close(): void
}

export interface WatchersParts {
  readonly approvals: Pick<Approvals, 'list' | 'subscribe'>
  readonly subscribeEvents: (listener: (event: AuditEvent) => void) => () => void
  readonly clock: Clock
}

/** Those who watch live. Every event is written once and sent to all; nobody's slowness costs anybody else. */
export function createWatchers(parts: WatchersParts): Watchers {
  const { approvals, clock } = parts
  const watchers = new Map<ServerResponse, ReadonlySet<Kind>>()
  let heartbeat: Alarm | undefined
  /** Kept only while somebody wants to know: nobody watching costs nothing. */
  const subscriptions = new Map<Kind, () => void>()

  const subscribe: Record<Kind, () => () => void> = {
    approvals: () => approvals.subscribe((change) => broadcast('approvals', changeText(change))),
    decisions: () =>
      parts.subscribeEvents((event) => {
        if (event.event === 'sallyport.egress.decision')
          broadcast('decisions', eventText('decision', auditEventView(event)))
      }),
  }

  function wanted(kind: Kind): boolean {
    for (const kinds of watchers.values()) if (kinds.has(kind)) return true
    return false
  }

  function adjust(): void {
    for (const kind of KINDS) {
      const want = wanted(kind)
      if (want && !subscriptions.has(kind)) subscriptions.set(kind, subscribe[kind]())
      if (!want) {
        subscriptions.get(kind)?.()
        subscriptions.delete(kind)
      }
    }
    if (watchers.size > 0) heartbeat ??= clock.after(HEARTBEAT_MS, beat)
    else {
      heartbeat?.cancel()
      heartbeat = undefined
    }
  }

  function beat(): void {
    heartbeat = undefined
    for (const response of watchers.keys()) send(response, ': still here\n\n')
    adjust()
  }

  function broadcast(kind: Kind, text: string): void {
    for (const [response, kinds] of watchers) if (kinds.has(kind)) send(response, text)
  }

  function send(response: ServerResponse, text: string): void {
    if (response.destroyed) return
    response.write(text)
    if (response.writableLength > MOST_BUFFERED) response.destroy()
  }

  return {
    add(response, kinds) {
      if (watchers.size >= MOST_WATCHERS)
        throw new Problem('too_many_watchers', `${MOST_WATCHERS} watch already`, {
          remedy: 'end one of the other watches, then try again',
        })
      response.writeHead(200, { ...SAFETY_FIELDS, 'Content-Type': 'text/event-stream; charset=utf-8' })
      watchers.set(response, kinds)
      response.once('close', () => {
        watchers.delete(response)
        adjust()
      })
      adjust()
      const open = kinds.has('approvals') ? approvals.list({ limit: 1000 }) : []
      const snapshot = eventText('snapshot', { approvals: open.map((each) => approvalView(each)) })
      // All that is open may be more than a slow reader's share; it counts from the first event after it.
      response.write(`retry: ${RETRY_MS}\n\n${snapshot}`)
    },
    get size() {
      return watchers.size
    },
    get reviewing() {
      return wanted('approvals')
    },
    close() {
      for (const response of watchers.keys()) {
        if (response.writableLength > 0) response.destroy()
        else response.end()
      }
    },
  }
}

type StreamData = { [Name in keyof typeof streamEvents]: (typeof streamEvents)[Name]['_zod']['output'] }

function changeText(change: ApprovalChange): string {
  if (change.kind === 'revoked')
    return eventText('grant', { change: 'revoked', grant: grantView(change.grant) })
  const grant = change.kind === 'answered' && change.grant ? { grant: grantView(change.grant) } : {}
  return eventText('approval', { change: change.kind, approval: approvalView(change.approval), ...grant })
}

/** One line of data: JSON has no line breaks of its own. */
function eventText<Name extends keyof StreamData>(name: Name, data: StreamData[Name]): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}
