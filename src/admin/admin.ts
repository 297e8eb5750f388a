import { getRequestListener } from '@hono/node-server'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { isLoopback, listenAddressText } from '../config/listen-address.ts'
import { errnoOf } from '../core/errors.ts'
import { SEVERITY } from '../core/event.ts'
import { StorageError } from '../storage/private-path.ts'
import { type BearerGate, createBearerGate, readTokenFile } from './bearer.ts'
import { checkGate, SAFETY_FIELDS } from './gate.ts'
import type { AdminParts } from './parts.ts'
import { Problem, PROBLEM_TYPE, sendProblem } from './problem.ts'
import { createRoutes } from './routes.ts'
import { listenOnSocket } from './unix-socket.ts'
import { createWatchers } from './watchers.ts'

export type AdminAddress =
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'tcp'; readonly address: string; readonly port: number; readonly tokenFile: string }

export interface Admin extends AsyncDisposable {
  /** Throws StorageError: the path is unsafe, taken by a live daemon, or no socket. */
  listenSocket(path: string): Promise<AdminAddress>
  /** `address` must be loopback; `port` 0 is any free one. Throws StorageError for a token file that is not safe. */
  listenTcp(address: string, port: number, tokenFile: string): Promise<AdminAddress>
  readonly addresses: readonly AdminAddress[]
  /** Whether somebody watches approvals live, and so could answer one. */
  readonly reviewersPresent: () => boolean
  /** Ends the watches, lets running requests finish for a moment, and takes the socket away. */
  close(): Promise<void>
}

/** How long a running request may take to finish at the end, in milliseconds. */
const CLOSING_MS = 1000

export function createAdmin(parts: AdminParts): Admin {
  const watchers = createWatchers(parts)
  const addresses: AdminAddress[] = []
  const servers: Server[] = []
  const routes = createRoutes({ ...parts, watchers, addresses: () => addresses.map(addressText) })

  /** `authorities` is asked for each request, since the port is known only after listening. */
  function serverFor(via: string, authorities: () => ReadonlySet<string>, bearer?: BearerGate): Server {
    const respond = getRequestListener((request, env) => routes.fetch(request, { ...env, via }), {
      overrideGlobalObjects: false,
    })
    const server = createServer(
      { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 5000, maxHeaderSize: 16_384 },
      (request, response) => {
        for (const [name, value] of Object.entries(SAFETY_FIELDS)) response.setHeader(name, value)
        try {
          checkGate(request, authorities())
          if (bearer && !isOpenToAll(request)) bearer.check(request.headers.authorization)
        } catch (error) {
          refuse(request, response, error)
          return
        }
        void respond(request, response)
      },
    )
    server.maxConnections = 256
    server.on('clientError', answerMalformed)
    servers.push(server)
    return server
  }

  function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (!(error instanceof Problem)) {
      parts.onTrouble(error instanceof Error ? error : new Error(String(error)))
      sendProblem(response, new Problem('internal_error', 'the request failed'))
      return
    }
    request.resume()
    sendProblem(response, error)
  }

  async function listenSocket(path: string): Promise<AdminAddress> {
    const server = serverFor('socket', () => SOCKET_AUTHORITIES)
    await listenOnSocket(server, path)
    return listening({ kind: 'socket', path })
  }

  async function listenTcp(address: string, port: number, tokenFile: string): Promise<AdminAddress> {
    if (!isLoopback(address))
      throw new StorageError(
        `admin.listen = ${listenAddressText({ address, port })}`,
        'the admin API listens on loopback only',
        'use 127.0.0.1 or [::1], or reach the socket by ssh',
      )
    const bearer = createBearerGate({
      token: readTokenFile(tokenFile),
      clock: parts.clock,
      failed: authFailed,
    })
    let authorities: ReadonlySet<string> = new Set()
    const server = serverFor('token', () => authorities, bearer)
    const actual = await listenOnPort(server, address, port)
    authorities = new Set([listenAddressText({ address, port: actual }), `localhost:${actual}`])
    return listening({ kind: 'tcp', address, port: actual, tokenFile })
  }

  function listening(address: AdminAddress): AdminAddress {
    addresses.push(address)
    return address
  }

  function authFailed(reason: 'missing' | 'wrong', throttled: boolean): void {
    parts.emit({
      event: 'sallyport.auth.failed',
      severity: SEVERITY.WARN,
      time: parts.clock.now(),
      attributes: {
        'error.type': `token_${reason}`,
        'sallyport.auth.listener': 'admin',
        // Further failures of this minute are refused unseen.
        'sallyport.auth.throttled': throttled,
      },
    })
  }

  async function close(): Promise<void> {
    watchers.close()
    await Promise.all(servers.splice(0).map((server) => closeServer(server, parts.clock)))
    addresses.length = 0
  }

  return {
    listenSocket,
    listenTcp,
    addresses,
    reviewersPresent: () => watchers.reviewing,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Any name would do where nothing but this user's processes can connect; two are enough to type. */
const SOCKET_AUTHORITIES: ReadonlySet<string> = new Set(['localhost', 'sallyport'])

/** Probes have no token, and learn one word. */
function isOpenToAll(request: IncomingMessage): boolean {
  return ['/livez', '/readyz'].includes(request.url ?? '') && ['GET', 'HEAD'].includes(request.method ?? '')
}

function listenOnPort(server: Server, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const where = listenAddressText({ address, port })
      const problem = `cannot listen there (${errnoOf(error) ?? 'unknown error'})`
      reject(new StorageError(`admin.listen = ${where}`, problem, 'choose a free port', { cause: error }))
    })
    server.listen({ host: address, port, exclusive: true }, () => {
      server.removeAllListeners('error')
      resolve((server.address() as AddressInfo).port)
    })
  })
}

async function closeServer(server: Server, clock: AdminParts['clock']): Promise<void> {
  if (!server.listening) return
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const cut = clock.after(CLOSING_MS, () => server.closeAllConnections())
  server.closeIdleConnections()
  await closed
  cut.cancel()
}

/** What Node's parser refuses gets the same shape of answer as everything else. */
function answerMalformed(error: Error, socket: Socket): void {
  if (errnoOf(error) === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const problem = new Problem('malformed_request', 'the request is not HTTP/1.1, or its head is too large', {
    remedy: 'send one well-formed HTTP/1.1 request',
  })
  const body = problem.body()
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  )
}

function addressText(address: AdminAddress): string {
  return address.kind === 'socket' ? `unix:${address.path}` : `http://${listenAddressText(address)}`
}
