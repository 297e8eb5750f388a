import { createServer, type Server } from 'node:net'
import { clientOf, type ClientId } from '../core/client.ts'
import type { ProtocolError } from '../http1/protocol-error.ts'
import type { RequestHead } from '../http1/request-reader.ts'
import { acceptConnections, type Remote } from '../wire/acceptor.ts'
import type { Connection, Wire } from '../wire/connection.ts'
import { Roster } from '../wire/roster.ts'
import { ClientSession } from './session.ts'
import type { SessionHooks, SessionLimits } from './session-parts.ts'

export interface ListenerParts {
  readonly wire: Wire
  readonly limits: () => SessionLimits & {
    readonly connections: number
    readonly connectionsPerClient: number
  }
  readonly doors: {
    connect(session: ClientSession, head: RequestHead): Promise<void>
    forward(session: ClientSession, head: RequestHead): Promise<void>
    malformed(session: ClientSession, error: ProtocolError): Promise<void>
  }
  /** The client has opened its first connection, or closed its last one. */
  readonly onClient: (client: ClientId, present: boolean) => void
  /** Something went wrong that should not; the connection it concerns is gone already. */
  readonly onFault: (error: unknown) => void
  /** What a connection gets that is one too many. */
  readonly turnAway: () => string
  /** Connections were turned away because there are too many, `count` since the last call: at most one call a second. */
  readonly onLimit: (client: ClientId, count: number) => void
}

export interface Listener extends AsyncDisposable {
  /** Where it listens, with the port that it got. */
  readonly address: { readonly address: string; readonly port: number }
  readonly connections: number
  /** Takes no more connections and ends the idle ones; those that are being served go on. */
  drain(): void
  /** Resolves when no connection is left. */
  whenEmpty(): Promise<void>
}

/** Accepts clients on `host:port` (port 0: any) and serves each connection. Throws what `listen` throws. */
export async function listen(host: string, port: number, parts: ListenerParts): Promise<Listener> {
  const { wire } = parts
  const open = new Roster<Connection>()
  const sessions = new Roster<ClientSession>()
  const perClient = new Map<ClientId, number>()
  let emptied: (() => void)[] = []
  let draining = false

  const hooks: SessionHooks = {
    serve(session, head) {
      const door = head.method === 'CONNECT' ? parts.doors.connect : parts.doors.forward
      door(session, head).catch(parts.onFault)
    },
    malformed(session, error) {
      parts.doors.malformed(session, error).catch(parts.onFault)
    },
  }

  function accept(connection: Connection, { address, port }: Remote): void {
    const client = clientOf(address, port)
    const limits = parts.limits()
    const count = (perClient.get(client.id) ?? 0) + 1
    if (open.size >= mostClients(limits) || count > limits.connectionsPerClient || !wire.room.hasSeat()) {
      turnAway(connection, client.id)
      return
    }
    const seat = open.add(connection)
    perClient.set(client.id, count)
    if (count === 1) parts.onClient(client.id, true)
    connection.onClosed = () => {
      seat.leave()
      release(client.id)
    }
    const session = new ClientSession(connection, client, limits, hooks, wire.pulse.now)
    session.seat = sessions.add(session)
    connection.resume()
  }

  /** Each client may need a connection to an origin. */
  function mostClients({ connections }: { readonly connections: number }): number {
    return Math.min(connections, Math.floor(wire.room.most / 2))
  }

  /** A client that opens connections on and on must not fill the log as well. */
  let turnedAway = 0
  let toldAt = Number.NEGATIVE_INFINITY
  function turnAway(connection: Connection, client: ClientId): void {
    connection.write(parts.turnAway())
    // At once: of those that are accepted in one turn of the loop, each would keep its descriptor to the end of it. The
    // kernel has the answer.
    connection.destroy()
    turnedAway++
    if (toldAt === wire.pulse.now) return
    toldAt = wire.pulse.now
    parts.onLimit(client, turnedAway)
    turnedAway = 0
  }

  function release(client: ClientId): void {
    const left = (perClient.get(client) ?? 1) - 1
    if (left > 0) perClient.set(client, left)
    else {
      perClient.delete(client)
      parts.onClient(client, false)
    }
    if (open.size > 0) return
    for (const resolve of emptied) resolve()
    emptied = []
  }

  const stopBeat = wire.pulse.onBeat((now) => {
    sessions.forEach((session) => session.beat(now))
  })

  const server: Server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  acceptConnections(server, wire, accept)
  // Out of descriptors, say: the kernel keeps the connection waiting and Node tries again.
  server.on('error', parts.onFault)
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('the listener has no address')

  function drain(): void {
    if (draining) return
    draining = true
    server.close()
    sessions.forEach((session) => session.retire())
  }

  function whenEmpty(): Promise<void> {
    return open.size === 0 ? Promise.resolve() : new Promise((resolve) => emptied.push(resolve))
  }

  return {
    address: { address: bound.address, port: bound.port },
    get connections() {
      return open.size
    },
    drain,
    whenEmpty,
    async [Symbol.asyncDispose]() {
      drain()
      stopBeat()
      // Whoever is being served must see that its answer was cut; the others have had theirs.
      sessions.forEach((session) => session.connection.destroy(true))
      open.forEach((connection) => connection.destroy())
      await whenEmpty()
    },
  }
}
