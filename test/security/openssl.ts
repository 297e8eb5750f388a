import { Duplex } from 'node:stream'
import { connect, type ConnectionOptions, createSecureContext, type SecureContext, TLSSocket } from 'node:tls'

/** What OpenSSL makes of a ClientHello: whether it answers it, and which host it takes it to be for. */
export type OpenSslView =
  | { readonly kind: 'answered'; readonly serverName: string | undefined }
  | { readonly kind: 'not_answered' }

const HANDSHAKE = 22

/** What Node's TLS client says first, over a duplex in memory. */
export function firstFlight(options: ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = new Duplex({
      read() {},
      write(bytes: Buffer, _, done) {
        resolve(Buffer.from(bytes))
        done()
      },
    })
    connect({ ...options, socket }).on('error', () => {})
  })
}

export function serverContext(options: { cert: string; key: string }): SecureContext {
  // As lenient as OpenSSL gets: what any server might accept must count as accepted.
  return createSecureContext({ ...options, minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' })
}

/** Gives these bytes, and then the end, to a TLS server in memory. */
export function openSslView(context: SecureContext, bytes: Buffer): Promise<OpenSslView> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read() {},
      write(written: Buffer, _, done) {
        // An alert is no answer. A server that has a certificate for any name answers what has none without asking.
        if (written[0] === HANDSHAKE) finish({ kind: 'answered', serverName: undefined })
        done()
      },
    })
    const server = new TLSSocket(wire as ConstructorParameters<typeof TLSSocket>[0], {
      isServer: true,
      secureContext: context,
      // Asked as soon as the hello is accepted and has a name, before anything is answered.
      SNICallback(serverName, done) {
        finish({ kind: 'answered', serverName })
        done(new Error('that is all we wanted to know'))
      },
    })
    let finished = false
    function finish(view: OpenSslView): void {
      if (finished) return
      finished = true
      resolve(view)
      setImmediate(() => {
        server.destroy()
        wire.destroy()
      })
    }
    server.on('error', () => finish({ kind: 'not_answered' }))
    server.on('end', () => finish({ kind: 'not_answered' }))
    server.on('close', () => finish({ kind: 'not_answered' }))
    server.resume()
    wire.push(bytes)
    wire.push(null)
  })
}
