import { Socket } from 'node:net'

/** Every TCP connection that this process began, in order. */
export interface Dials extends Disposable {
  /** `host:port` of each that did not go to one of these ports (those of the proxy itself, mostly). */
  beyond(...own: readonly number[]): string[]
}

interface Attempt {
  readonly host?: string
  readonly port?: number
}

/**
 * Listens at the one place through which all of Node's connections go: an attempt counts, whether anybody answers it or
 * not, so that a test can say that an address which nobody listens on was not even tried. `reroute`: where connections to an
 * address end up instead, as if something on the way had changed their destination.
 */
export function watchDials(options: { readonly reroute?: Readonly<Record<string, string>> } = {}): Dials {
  const attempts: Attempt[] = []
  // oxlint-disable-next-line typescript/unbound-method -- it is put back, and called with the socket
  const original = Socket.prototype.connect
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
    // `net.connect` passes its arguments as one array, `new Socket().connect` as they are.
    const [first] = Array.isArray(args[0]) ? (args[0] as unknown[]) : args
    // With a path it is a Unix socket, whatever else stands there.
    const attempt = first as { host?: string; port?: number; path?: string | null } | null
    if (typeof attempt === 'object' && attempt !== null && attempt.port !== undefined && !attempt.path) {
      attempts.push({ ...attempt })
      const host = String(attempt.host ?? 'localhost')
      const to = options.reroute?.[host]
      if (to !== undefined) attempt.host = to
      // Nothing of a test leaves the machine, not even when what it tests is broken: a closed port of loopback instead.
      else if (!/^(?:127\.|localhost$|::1?$|0\.0\.0\.0$)/.test(host))
        Object.assign(attempt, { host: '127.0.0.1', port: 1 })
    } else if (typeof first === 'number') attempts.push({ port: first, host: String(args[1]) })
    return Reflect.apply(original, this, args) as Socket
  } as typeof original
  return {
    beyond: (...own) =>
      attempts
        .filter(({ port }) => port !== undefined && !own.includes(Number(port)))
        .map(({ host, port }) => `${host}:${port}`),
    [Symbol.dispose]() {
      Socket.prototype.connect = original
    },
  }
}
