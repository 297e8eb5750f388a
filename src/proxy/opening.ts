import type { Host } from '../core/hostname.ts'
import { InvalidHost, parseHost } from '../core/hostname.ts'
import type { Trouble } from '../core/errors.ts'
import { type Opening, readClientHello } from '../tls/client-hello.ts'
import type { Connection } from '../wire/connection.ts'

export type OpeningVerdict =
  | { readonly kind: 'agrees'; readonly bytes: Buffer; readonly serverName: string | undefined }
  | { readonly kind: 'refused'; readonly trouble: Trouble; readonly serverName: string | undefined }
  /** The client ended or went away before it had said anything that could be judged. */
  | { readonly kind: 'gone' }

/** A fatal TLS alert `unrecognized_name` (RFC 6066 §3), which clients show better than a closed connection. */
export const UNRECOGNIZED_NAME_ALERT: Buffer = Buffer.from([21, 3, 3, 0, 2, 2, 112])

/**
 * Reads the first bytes of a tunnel until they are a whole ClientHello, and says whether the server name in it is the
 * host that policy was asked about: otherwise an allowed name would be a door to every other host that the same front
 * end serves (domain fronting), and the port a door for every protocol. `early`: what the client has sent already.
 * `limit`: bytes that are read at most before something must be whole.
 */
export function readOpening(
  client: Connection,
  early: Buffer,
  target: Host,
  limit: number,
): Promise<OpeningVerdict> {
  return new Promise((resolve) => {
    let bytes = early
    function judge(): boolean {
      const verdict = verdictOn(readClientHello(bytes), bytes, target, limit)
      if (verdict === undefined) return true
      resolve(verdict)
      return false
    }
    client.receiver = {
      received(more) {
        // Copied: the read buffer is used again while we wait for the rest. A hello is small, so is the copying.
        bytes = Buffer.concat([bytes, more])
        return judge()
      },
      ended: () => resolve({ kind: 'gone' }),
      closed: () => resolve({ kind: 'gone' }),
    }
    if (bytes.length === 0 || judge()) client.resume()
  })
}

function verdictOn(opening: Opening, bytes: Buffer, target: Host, limit: number): OpeningVerdict | undefined {
  switch (opening.kind) {
    case 'incomplete':
      return bytes.length > limit
        ? { kind: 'refused', trouble: 'tls_required', serverName: undefined }
        : undefined
    case 'not_tls':
      return { kind: 'refused', trouble: 'tls_required', serverName: undefined }
    case 'hello': {
      const { serverName } = opening
      if (agrees(serverName, target)) return { kind: 'agrees', bytes, serverName }
      return { kind: 'refused', trouble: 'tls_server_name_mismatch', serverName }
    }
  }
}

/** A name must be named; an address may not be (RFC 6066 §3), though some clients put it there. */
function agrees(serverName: string | undefined, target: Host): boolean {
  if (serverName === undefined) return target.kind === 'address'
  try {
    return parseHost(serverName).text === target.text
  } catch (error) {
    if (error instanceof InvalidHost) return false
    throw error
  }
}
