// wire: bytes over TCP sockets, read through pooled buffers and written with honest backpressure. It knows nothing of
// HTTP, policy or records.

import { type OnReadOpts, Socket, type TcpNetConnectOpts } from 'node:net'
import type { ReadBuffers } from './buffers.ts'
import { PatientSocket } from './patient-socket.ts'
import type { Pulse } from './pulse.ts'
import type { Room } from './room.ts'

/** Who gets what a connection reads. One at a time; a door passes the connection on by setting another. */
export interface Receiver {
  /**
   * `bytes` may be kept until this returns, or, if it returns false, until `resume()`: false stops reading. A receiver
   * that passes bytes to another connection returns false unless that one is `isFlushed`.
   */
  received(bytes: Buffer): boolean
  /** The peer ended its side (FIN). Ours may still be written to. */
  ended(): void
  /** The last call: both sides are closed, by an error or in order. */
  closed(error: Error | undefined): void
}

/** Node takes more of them than its types say. */
type SocketOptions = ConstructorParameters<typeof Socket>[0]

/** After this much in one direction a connection gets a large read buffer of its own. */
const PROMOTE_AFTER_BYTES = 256 * 1024
/** Once a read brings no more than this, it gives the buffer back: what flows is no longer bulk. */
const DEMOTE_BELOW_BYTES = 16 * 1024
const LINGER_MS = 5000
/** A peer that has said nothing for so long is asked by the kernel whether it is still there. */
const KEEP_ALIVE_AFTER_MS = 60_000
/** Up to so many bytes are copied together for one plain write. */
const JOIN_BYTES = 16_384
const EMPTY = Buffer.alloc(0)

const DEAF: Receiver = { received: () => false, ended: () => {}, closed: () => {} }

/** What all connections of one daemon share. */
export interface Wire {
  readonly buffers: ReadBuffers
  readonly pulse: Pulse
  readonly room: Room
}

export class Connection {
  readonly socket: Socket
  receiver: Receiver = DEAF
  /** Called once, after the receiver has heard of the close. */
  onClosed: (() => void) | undefined
  /** When bytes last came or went, by the pulse: a few seconds coarse. */
  activeAt: number
  readonly #wire: Wire
  /** Bytes read since there was a large buffer last. */
  #carried = 0
  #own: Buffer | undefined
  /** The receiver returned false: it may still hold, or have queued for writing, bytes of our buffer. */
  #lent = false
  #closed = false
  #error: Error | undefined

  private constructor(wire: Wire, open: (onread: OnReadOpts) => Socket) {
    this.#wire = wire
    this.activeAt = wire.pulse.now
    wire.room.enter()
    this.socket = open({
      // Called for the first read and after each one: the buffer for the next.
      buffer: () => this.#own ?? this.#wire.buffers.shared,
      callback: (count, bytes) => this.#read(bytes as Buffer, count),
    })
    this.socket.on('error', (error) => {
      this.#error = error
    })
    this.socket.on('end', () => {
      // Not where a write had failed before: that was no end in order.
      if (!this.socket.destroyed) this.receiver.ended()
    })
    this.socket.on('close', () => this.#close())
  }

  /**
   * Takes over the handle of an accepted connection. There is no public option for reading an accepted socket into
   * buffers of one's own; a socket that is made around the handle can have them.
   */
  static ofHandle(wire: Wire, handle: object): Connection {
    return new Connection(
      wire,
      (onread) => new Socket({ handle, allowHalfOpen: true, onread } as SocketOptions),
    )
  }

  /** Opens a connection to an address; `socket` emits `connect` or `error`. Nothing is read before `resume()`. */
  static open(wire: Wire, options: TcpNetConnectOpts): Connection {
    return new Connection(wire, (onread) =>
      new PatientSocket({ allowHalfOpen: true, noDelay: true, onread } as SocketOptions).connect({
        ...options,
        autoSelectFamily: false,
      }),
    )
  }

  /** The same over the ordinary stream of a socket, which is slower. */
  static ofSocket(wire: Wire, socket: Socket): Connection {
    socket.allowHalfOpen = true
    const connection = new Connection(wire, () => socket)
    socket.pause()
    socket.on('data', (bytes: Buffer) => {
      connection.activeAt = wire.pulse.now
      if (!connection.receiver.received(bytes)) socket.pause()
    })
    return connection
  }

  #read(bytes: Buffer, count: number): boolean {
    this.activeAt = this.#wire.pulse.now
    if (this.#own !== undefined && bytes.buffer === this.#own.buffer) {
      const more = this.receiver.received(bytes.subarray(0, count))
      this.#lent = !more
      if (more && count < DEMOTE_BELOW_BYTES) this.#giveBack()
      return more
    }
    const copy = Buffer.allocUnsafe(count)
    bytes.copy(copy, 0, 0, count)
    this.#carried += count
    if (this.#carried > PROMOTE_AFTER_BYTES && count >= DEMOTE_BELOW_BYTES)
      this.#own = this.#wire.buffers.take()
    return this.receiver.received(copy)
  }

  /** A buffer may be used again only if nobody can still be writing from it; otherwise the garbage collector has it. */
  #giveBack(): void {
    if (this.#own === undefined) return
    this.#wire.buffers.give(this.#own, !this.#lent)
    this.#own = undefined
    this.#carried = 0
  }

  resume(): void {
    this.#lent = false
    if (!this.#closed) this.socket.resume()
  }

  pause(): void {
    if (!this.#closed) this.socket.pause()
  }

  /** Sends every write at once from now on (TCP_NODELAY). A connection that is only ever answered once needs no such call. */
  prompt(): void {
    this.socket.setNoDelay(true)
  }

  /**
   * Has the kernel probe a silent peer from now on (SO_KEEPALIVE), so that one that vanished without a word (a machine
   * that lost power, a NAT that forgot) is noticed long before an idle limit of hours.
   */
  keepAlive(): void {
    this.socket.setKeepAlive(true, KEEP_ALIVE_AFTER_MS)
  }

  /** Hands bytes to the kernel; what it does not take is queued. Writes after the end or the close are dropped. */
  write(bytes: Buffer | string): void {
    if (this.#closed || this.socket.writableEnded || this.socket.destroyed) return
    this.activeAt = this.#wire.pulse.now
    if (typeof bytes === 'string') this.socket.write(bytes, 'latin1')
    else if (bytes.length > 0) this.socket.write(bytes)
  }

  /** Writes several pieces as one system call: little ones are put together, since copying them is the cheaper way. */
  writeAll(pieces: readonly Buffer[]): void {
    if (pieces.length === 0) return
    if (pieces.length === 1) return this.write(pieces[0]!)
    let bytes = 0
    for (const piece of pieces) bytes += piece.length
    if (bytes <= JOIN_BYTES) return this.write(Buffer.concat(pieces, bytes))
    this.socket.cork()
    for (const piece of pieces) this.write(piece)
    this.socket.uncork()
  }

  /**
   * Whether the kernel has everything that was written: then every buffer that was passed to `write` is free again. What
   * a closed connection had queued is gone with it.
   */
  get isFlushed(): boolean {
    return this.#closed || this.socket.writableLength === 0
  }

  /**
   * Calls back when the kernel has what was written so far, or when the connection is closed. Not `drain`: that comes only
   * after a write that reached the high-water mark, so a small pending write would never wake its reader.
   */
  whenFlushed(flushed: () => void): void {
    if (this.#closed) queueMicrotask(flushed)
    // Destroyed and not closed yet: what was queued still counts as unflushed, and whoever is called back before the
    // close would ask again at once, for ever.
    else if (this.socket.writableEnded || this.socket.destroyed) this.socket.once('close', flushed)
    // A failed write is told before the socket is destroyed, while Node walks through the writes that were queued: one
    // that is queued from within that walk would be failed by it as well, without end. So nothing is written any more.
    else this.socket.write(EMPTY, (error) => (error ? void this.socket.once('close', flushed) : flushed()))
  }

  /** Ends our side after what was written; the peer may go on sending. */
  end(): void {
    if (this.#closed || this.socket.destroyed) return
    // Where the peer has ended too and has got everything, closing says the same as ending, with one system call less.
    if (this.socket.readableEnded && this.isFlushed) this.socket.destroy()
    else this.socket.end()
  }

  /**
   * Ends our side after what was written, reads and forgets what the peer still sends, and closes after five seconds at
   * the latest. A close with unread bytes would reset the connection and take the last answer with it (RFC 9112 §9.6).
   */
  endAndDrain(): void {
    if (this.#closed) return
    const since = this.#wire.pulse.now
    const stop = this.#wire.pulse.onBeat((now) => {
      if (now - since > LINGER_MS) this.destroy()
    })
    this.receiver = { received: () => true, ended: () => {}, closed: stop }
    this.end()
    this.resume()
  }

  /** Ends both sides at once; `reset` makes the peer see a reset and so cannot take a cut message for a whole one. */
  destroy(reset = false): void {
    if (this.#closed) return
    if (reset && this.socket.readyState !== 'opening') this.socket.resetAndDestroy()
    else this.socket.destroy()
  }

  get isClosed(): boolean {
    return this.#closed
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#wire.room.leave()
    this.#giveBack()
    const receiver = this.receiver
    this.receiver = DEAF
    receiver.closed(this.#error)
    this.onClosed?.()
  }
}
