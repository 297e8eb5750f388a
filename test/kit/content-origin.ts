import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Certificate } from './certificate.ts'

export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly version: string
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  /** Of the content. */
  readonly bytes: number
  readonly sha256: string
  /** The content was cut short. */
  readonly aborted: boolean
}

export interface ContentOrigin extends AsyncDisposable {
  readonly address: string
  readonly port: number
  /** Requests whose content has ended, in that order. */
  readonly seen: readonly SeenRequest[]
  /** Connections that were ever accepted. */
  readonly connections: number
  /** Bytes of all connections as the network saw them: with TLS, the ciphertext. */
  readonly read: number
  readonly written: number
  /** Resolves when a request for this path has ended or was cut. */
  saw(url: string): Promise<SeenRequest>
  /** Resolves when no connection is open. */
  idle(): Promise<void>
}

export interface ContentOriginOptions {
  readonly tls?: Certificate
  readonly address?: string
  readonly port?: number
  /** Instead of the usual content. */
  readonly serve?: RequestListener
}

/** Bytes that only their number determines, so that each end can make them. */
export function contentOf(length: number, seed = 0): Buffer {
  const block = createHash('sha512').update(String(seed)).digest()
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += block.length)
    block.copy(bytes, at, 0, Math.min(block.length, length - at))
  for (let at = 0; at + 4 <= length; at += 1024) bytes.writeUInt32BE(at, at)
  return bytes
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/**
 * An origin by Node's own server. `/bytes/N` and `/bytes/N/SEED` are content (Range is known), `/forever` never ends,
 * everything else says what was asked. Content that is sent to it is counted and digested.
 */
export async function startContentOrigin(options: ContentOriginOptions = {}): Promise<ContentOrigin> {
  const { tls } = options
  const seen: SeenRequest[] = []
  const open = new Set<Socket>()
  const closed = { read: 0, written: 0 }
  let connections = 0
  const wakers = new Set<() => void>()
  const wake = (): void => wakers.forEach((waker) => waker())
  const when = <T>(look: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const waker = () => {
        const found = look()
        if (found === undefined) return
        wakers.delete(waker)
        resolve(found)
      }
      wakers.add(waker)
      waker()
    })

  const listener: RequestListener = (request, response) => {
    const hash = createHash('sha256')
    let bytes = 0
    request.on('data', (more: Buffer) => {
      bytes += more.length
      hash.update(more)
    })
    request.on('error', () => {})
    request.once('close', () => {
      const { method = '', url = '', httpVersion: version, headers, rawHeaders } = request
      const sum = hash.digest('hex')
      seen.push({
        method,
        url,
        version,
        headers,
        rawHeaders,
        bytes,
        sha256: sum,
        aborted: !request.complete,
      })
      wake()
    })
    if (options.serve) options.serve(request, response)
    else serveContent(request, response)
  }

  const server: Server = tls
    ? createTlsServer({ cert: tls.cert, key: tls.key }, listener)
    : createServer(listener)
  server.on('checkContinue', (request: IncomingMessage, response) => {
    if (request.url === '/refuse') response.writeHead(417, { 'Content-Length': 0, Connection: 'close' }).end()
    else response.writeContinue()
    if (request.url !== '/refuse') listener(request, response)
    else seen.push({ ...refusedUpload(request) })
    wake()
  })
  server.on('connection', (socket: Socket) => {
    connections++
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => {
      open.delete(socket)
      closed.read += socket.bytesRead
      closed.written += socket.bytesWritten
      wake()
    })
  })
  server.on('tlsClientError', () => {})
  server.listen(options.port ?? 0, options.address ?? '127.0.0.1')
  await once(server, 'listening')
  const bound = server.address() as AddressInfo

  return {
    address: bound.address,
    port: bound.port,
    seen,
    get connections() {
      return connections
    },
    get read() {
      return [...open].reduce((sum, { bytesRead }) => sum + bytesRead, closed.read)
    },
    get written() {
      return [...open].reduce((sum, { bytesWritten }) => sum + bytesWritten, closed.written)
    },
    saw: (url) => when(() => seen.find((each) => each.url === url)),
    idle: async () => void (await when(() => (open.size === 0 ? true : undefined))),
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function refusedUpload({
  method = '',
  url = '',
  httpVersion,
  headers,
  rawHeaders,
}: IncomingMessage): SeenRequest {
  return {
    method,
    url,
    version: httpVersion,
    headers,
    rawHeaders,
    bytes: 0,
    sha256: sha256(''),
    aborted: false,
  }
}

const serveContent: RequestListener = (request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://origin')
  const asked = /^\/bytes\/(\d+)(?:\/(\d+))?$/.exec(pathname)
  if (pathname === '/forever') {
    response.writeHead(200, { 'Content-Type': 'application/octet-stream' })
    response.write('beginning\n')
    return
  }
  if (asked) {
    const whole = contentOf(Number(asked[1]), Number(asked[2] ?? 0))
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    const [from, to] = range ? [Number(range[1]), Number(range[2])] : [0, whole.length - 1]
    const part = whole.subarray(from, to + 1)
    response.writeHead(range ? 206 : 200, {
      'Content-Type': 'application/octet-stream',
      'Content-Length': part.length,
      ETag: '"one"',
      ...(range ? { 'Content-Range': `bytes ${from}-${to}/${whole.length}` } : {}),
    })
    response.end(part)
    return
  }
  request.once('end', () => {
    const body = `${request.method} ${request.headers.host}${request.url}\n`
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length }).end(body)
  })
}
