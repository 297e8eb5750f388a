import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawClient extends AsyncDisposable {
  readonly socket: Socket
  write(text: string | Buffer): void
  /** Waits until what has come contains `end` (or matches), and returns and forgets all up to and with it. */
  until(end: string | RegExp): Promise<string>
  /** Waits for the other side's end and returns the rest, latin1. */
  rest(): Promise<string>
  /** What has come and was not taken yet. */
  readonly pending: string
  /** Whether the connection was reset rather than ended, once it is closed. */
  readonly wasReset: boolean
}

/** A client that says exactly the bytes it is told to say. `from`: its own address, by which the proxy knows it. */
export async function rawClient(port: number, host = '127.0.0.1', from?: string): Promise<RawClient> {
  const socket = connect({
    port,
    host,
    allowHalfOpen: true,
    ...(from !== undefined && { localAddress: from }),
  })
  await once(socket, 'connect')
  socket.setNoDelay(true)
  let pending = ''
  let finished = false
  let wasReset = false
  const wakers = new Set<() => void>()
  const wake = () => {
    for (const waker of wakers) waker()
  }
  socket.on('data', (bytes: Buffer) => {
    pending += bytes.toString('latin1')
    wake()
  })
  socket.on('end', () => {
    finished = true
    wake()
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') wasReset = true
  })
  socket.on('close', () => {
    finished = true
    wake()
  })
  function when<T>(look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const waker = () => {
        const found = look()
        if (found !== undefined) {
          wakers.delete(waker)
          resolve(found)
        } else if (finished) {
          wakers.delete(waker)
          reject(new Error(`the connection ended; what had come: ${JSON.stringify(pending.slice(0, 2000))}`))
        }
      }
      wakers.add(waker)
      waker()
    })
  }
  return {
    socket,
    write: (text) => void socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text),
    until: (end) =>
      when(() => {
        const at = typeof end === 'string' ? pending.indexOf(end) : pending.search(end)
        if (at === -1) return undefined
        const length = typeof end === 'string' ? end.length : end.exec(pending)![0].length
        const taken = pending.slice(0, at + length)
        pending = pending.slice(at + length)
        return taken
      }),
    rest: () =>
      when(() => {
        if (!finished) return undefined
        const taken = pending
        pending = ''
        return taken
      }),
    get pending() {
      return pending
    },
    get wasReset() {
      return wasReset
    },
    async [Symbol.asyncDispose]() {
      if (socket.destroyed) return
      socket.destroy()
      await once(socket, 'close')
    },
  }
}
