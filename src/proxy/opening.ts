import { unreachable } from '../core/decision.ts'
import type { Trouble } from '../core/errors.ts'
import { type Host, InvalidHost, parseHost } from '../core/hostname.ts'
import { type Opening, readClientHello } from '../tls/client-hello.ts'
import type { Connection } from '../wire/connection.ts'

export type OpeningVerdict =
  | {
      readonly kind: 'agrees'
      readonly serverName: string | undefined
      /** All that came. */
      readonly bytes: Buffer
      /** How many of them are the hello; what follows may have to be judged as well. */
      readonly length: number
    }
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
    let pieces = [early]
    let length = early.length
    let needed = 1
    /** True while more bytes are needed. */
    function undecided(): boolean {
      // A client that sends byte by byte must not have all of it looked at each time.
      if (length < needed && length <= limit) return true
      const bytes = Buffer.concat(pieces, length)
      pieces = [bytes]
      const opening = readClientHello(bytes)
      if (opening.kind === 'incomplete' && length <= limit) {
        needed = opening.needed
        return true
      }
      resolve(verdictOn(opening, bytes, target))
      return false
    }
    client.receiver = {
      received(more) {
        // Copied: the read buffer is used again while we wait for the rest.
        pieces.push(Buffer.from(more))
        length += more.length
        return undecided()
      },
      ended: () => resolve({ kind: 'gone' }),
      closed: () => resolve({ kind: 'gone' }),
    }
    if (undecided()) client.resume()
  })
}

function verdictOn(opening: Opening, bytes: Buffer, target: Host): OpeningVerdict {
  switch (opening.kind) {
    case 'incomplete':
    case 'not_tls':
      return { kind: 'refused', trouble: 'tls_required', serverName: undefined }
    case 'hello': {
      const { serverName } = opening
      if (agrees(serverName, target)) return { kind: 'agrees', serverName, bytes, length: opening.length }
      return { kind: 'refused', trouble: 'tls_server_name_mismatch', serverName }
    }
    default:
      return unreachable(opening)
  }
}

/**
 * Whether a server name is that of the target. A name must be named; an address may not be (RFC 6066 §3), though some
 * clients put it there.
 */
export function agrees(serverName: string | undefined, target: Host): boolean {
  if (serverName === undefined) return target.kind === 'address'
  // RFC 6066 §3: ASCII. Other bytes might mean to a server what they do not mean to us.
  if (!/^[!-~]+$/.test(serverName)) return false
  try {
    return parseHost(serverName).text === target.text
  } catch (error) {
    if (error instanceof InvalidHost) return false
    throw error
  }
}
