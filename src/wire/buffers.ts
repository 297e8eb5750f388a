/**
 * Memory that sockets read into. Small and idle connections share one buffer and get copies of what came (a copy of a
 * small message costs less than a buffer of their own); a connection that carries much takes a large one from the pool,
 * so that bulk is read with few system calls and without garbage.
 */
export interface ReadBuffers {
  /** Read into by every connection that has carried little. Its content is valid during one read callback only. */
  readonly shared: Buffer
  take(): Buffer
  /** Only for a buffer that nothing refers to any more: no write from it may be pending. */
  give(buffer: Buffer): void
}

const SHARED_BYTES = 64 * 1024
const LARGE_BYTES = 256 * 1024

/** `keep`: how many unused large buffers stay for reuse (default 64, which is 16 MiB). */
export function createReadBuffers(keep = 64): ReadBuffers {
  const free: Buffer[] = []
  return {
    shared: Buffer.allocUnsafeSlow(SHARED_BYTES),
    take: () => free.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES),
    give(buffer) {
      if (free.length < keep) free.push(buffer)
    },
  }
}
