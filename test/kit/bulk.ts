import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'

export interface Bulk {
  readonly bytes: number
  readonly digest: string
}

/** Writes so many random bytes, in pieces of uneven size, and ends; waits for whoever reads. */
export async function sendBulk(socket: Socket, bytes: number): Promise<Bulk> {
  const hash = createHash('sha256')
  const pool = randomBytes(1024 * 1024)
  let sent = 0
  for (let i = 0; sent < bytes; i++) {
    const from = (i * 7919) % 500_000
    const piece = pool.subarray(from, from + Math.min(bytes - sent, 1 + ((i * 104_729) % 200_000)))
    hash.update(piece)
    sent += piece.length
    if (!socket.write(piece)) await once(socket, 'drain')
  }
  socket.end()
  return { bytes: sent, digest: hash.digest('hex') }
}

/** Reads to the end. `slow`: takes one piece a turn of the event loop, so that the sender has to wait. */
export async function readBulk(socket: Socket, options: { slow?: boolean } = {}): Promise<Bulk> {
  const hash = createHash('sha256')
  let bytes = 0
  socket.on('data', (piece: Buffer) => {
    hash.update(piece)
    bytes += piece.length
    if (!options.slow) return
    socket.pause()
    setImmediate(() => setImmediate(() => socket.resume()))
  })
  socket.resume()
  await once(socket, 'end')
  return { bytes, digest: hash.digest('hex') }
}

/**
 * Writes until the other side takes no more: returns how much it took, which is bounded where it waits for somebody
 * who does not read. `limit`: bytes after which it is plain that nobody waits.
 */
export async function pushUntilStuck(socket: Socket, limit: number): Promise<number> {
  const piece = Buffer.alloc(256 * 1024, 'x')
  let before = -1
  while (socket.bytesWritten - socket.writableLength < limit) {
    while (socket.writableLength < piece.length) socket.write(piece)
    for (let i = 0; i < 100; i++) await new Promise(setImmediate)
    const taken = socket.bytesWritten - socket.writableLength
    if (taken === before) return taken
    before = taken
  }
  return before
}
