import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import type { OriginServer } from './origin.ts'

// Listens with the shortest queue there is and then never runs again, so that nothing is ever accepted.
const LISTENER = `
const { createServer } = require('node:net')
const { parentPort } = require('node:worker_threads')
const server = createServer()
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort.postMessage(server.address().port)
  setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
})`

/** An origin to which connecting takes for ever: its queue of connections is full, so the kernel answers no more. */
export async function startDeafOrigin(): Promise<OriginServer> {
  const worker = new Worker(LISTENER, { eval: true })
  const [port] = (await once(worker, 'message')) as [number]
  const fillers: Socket[] = []
  for (let i = 0; i < 2; i++) {
    const filler = connect({ port, host: '127.0.0.1' })
    filler.on('error', () => {})
    fillers.push(filler)
    await once(filler, 'connect')
  }
  return {
    port,
    connections: 0,
    open: new Set(),
    async [Symbol.asyncDispose]() {
      for (const filler of fillers) filler.destroy()
      await worker.terminate()
    },
  }
}
