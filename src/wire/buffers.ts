/**
 * Memory that sockets read into. Small and idle connections share one buffer and get copies of what came (a copy of a
 * small message costs less than a buffer of their own); a connection that carries much takes a large one from the pool,
 * so that bulk is read with few system calls and without garbage.
 */
export interface ReadBuffers {
  /** Read into by every connection that has carried little. Its content is valid during one read callback only. */
  readonly shared: Buffer
  /** Undefined where as many are in use as there may be: the shared one serves as well, only not as fast. */
  take(): Buffer | undefined
  /** `reusable`: nothing refers to it any more, and no write from it is pending. */
  give(buffer: Buffer, reusable: boolean): void
}

const SHARED_BYTES = 64 * 1024
const LARGE_BYTES = 256 * 1024

/**
 * `most`: how many large buffers may be in use (default 256, which is 64 MiB): a client that opens thousands of
 * connections, and lets each carry much and then rest, must not hold as many. `keep`: how many unused ones stay for
 * reuse (default 64, which is 16 MiB).
 */
export function createReadBuffers({ most = 256, keep = 64 } = {}): ReadBuffers {
  const free: Buffer[] = []
  let used = 0
  return {
    shared: Buffer.allocUnsafeSlow(SHARED_BYTES),
    take() {
      if (used >= most) return undefined
      used++
      return free.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES)
    },
    give(buffer, reusable) {
      used--
      if (reusable && free.length < keep) free.push(buffer)
    },
  }
}
