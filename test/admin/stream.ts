import { request } from 'node:http'
import type { AdminAddress } from '../../src/admin/admin.ts'

export interface StreamEvent {
  readonly event: string
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly data: any
}

/** One who watches, as an EventSource would. */
export interface Stream extends Disposable {
  readonly status: number
  /** Everything so far, comments included. */
  text(): string
  /** The next event that has not been taken yet. */
  next(): Promise<StreamEvent>
  /** Resolves when the stream ends, however it does. */
  readonly ended: Promise<void>
  /** Stops reading without closing. */
  stall(): void
  resume(): void
  until(what: (text: string) => boolean): Promise<void>
}

export function watch(
  to: AdminAddress,
  path = '/v1/events',
  headers: Record<string, string> = {},
): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      ...(to.kind === 'socket' ? { socketPath: to.path } : { host: to.address, port: to.port }),
      path,
      agent: false,
      headers: { ...(to.kind === 'socket' ? { Host: 'localhost' } : {}), ...headers },
    })
    outgoing.on('error', reject)
    outgoing.on('response', (response) => {
      let text = ''
      let taken = 0
      const wakers = new Set<() => void>()
      const wake = () => {
        for (const waker of wakers) waker()
      }
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        wake()
      })
      response.on('error', () => {})
      outgoing.on('error', () => {})
      const ended = new Promise<void>((done) => response.once('close', () => done()))
      const until = (what: (text: string) => boolean) =>
        new Promise<void>((done, fail) => {
          const check = () => {
            if (!what(text)) return
            wakers.delete(check)
            done()
          }
          wakers.add(check)
          void ended.then(() => fail(new Error(`the stream ended after ${JSON.stringify(text.slice(-200))}`)))
          check()
        })
      const events = () => [...text.matchAll(/event: (.*)\ndata: (.*)\n\n/g)]
      resolve({
        status: response.statusCode!,
        text: () => text,
        async next() {
          const index = taken++
          await until(() => events().length > index)
          const [, event, data] = events()[index]!
          return { event: event!, data: JSON.parse(data!) }
        },
        ended,
        stall: () => void response.pause(),
        resume: () => void response.resume(),
        until,
        [Symbol.dispose]: () => void outgoing.destroy(),
      })
    })
    outgoing.end()
  })
}
