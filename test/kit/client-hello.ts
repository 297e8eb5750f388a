import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'

export interface HelloParts {
  /** Latin1; undefined: no server_name extension. */
  readonly serverName?: string
  readonly alpn?: readonly string[]
  /** More extensions, as they stand: type and content. */
  readonly extensions?: readonly (readonly [type: number, content: Buffer])[]
  /** False: no extensions at all, as before TLS 1.0 had any. */
  readonly withExtensions?: boolean
}

/** A ClientHello message, without record layer. */
export function clientHello(parts: HelloParts): Buffer {
  const extensions: Buffer[] = []
  if (parts.serverName !== undefined) extensions.push(extension(0, serverNameList(parts.serverName)))
  if (parts.alpn) {
    const names = Buffer.concat(parts.alpn.map((name) => vector(1, Buffer.from(name))))
    extensions.push(extension(16, vector(2, names)))
  }
  for (const [type, content] of parts.extensions ?? []) extensions.push(extension(type, content))
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 8)),
    vector(2, Buffer.from([0x13, 0x01, 0x13, 0x02])),
    vector(1, Buffer.from([0])),
    ...(parts.withExtensions === false ? [] : [vector(2, Buffer.concat(extensions))]),
  ])
  return Buffer.concat([Buffer.from([1]), uint(3, body.length), body])
}

export function serverNameList(name: string): Buffer {
  return vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, 'latin1'))]))
}

/** A message in TLS records: split at these places, or in one. */
export function inRecords(message: Buffer, ...splits: readonly number[]): Buffer {
  const places = [0, ...splits, message.length]
  return Buffer.concat(
    places.slice(1).map((end, i) => {
      const fragment = message.subarray(places[i], end)
      return Buffer.concat([Buffer.from([22, 3, 1]), vector(2, fragment)])
    }),
  )
}

/** What Node's own TLS sends first. */
export async function nodeClientHello(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const heard = Promise.withResolvers<Buffer>()
  server.once('connection', (socket) => {
    socket.once('data', (bytes: Buffer) => {
      heard.resolve(bytes)
      socket.destroy()
    })
  })
  const client = connect({ ...options, port, host: '127.0.0.1' })
  client.on('error', () => {})
  const hello = await heard.promise
  client.destroy()
  server.close()
  return hello
}

export function vector(size: 1 | 2 | 3, content: Buffer): Buffer {
  return Buffer.concat([uint(size, content.length), content])
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([uint(2, type), vector(2, content)])
}

function uint(size: 1 | 2 | 3, value: number): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntBE(value, 0, size)
  return bytes
}
