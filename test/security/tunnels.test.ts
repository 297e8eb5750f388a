import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startEchoOrigin } from '../kit/origin.ts'
import { startRoute } from '../kit/route.ts'

/** TCP_ESTABLISHED, and «the keep-alive timer runs», of /proc/net/tcp. */
const ESTABLISHED = '01'
const KEEP_ALIVE_TIMER = '02'

/** Seconds until the kernel probes the peer of this connection; undefined: it will not. Linux tells, others do not. */
async function probeAfter(
  is: (localPort: number, remotePort: number) => boolean,
): Promise<number | undefined> {
  const port = (address: string) => Number.parseInt(address.slice(address.indexOf(':') + 1), 16)
  for (const line of (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1)) {
    const [, local, remote, state, , timer] = line.trim().split(/\s+/)
    if (state !== ESTABLISHED || !is(port(local!), port(remote!))) continue
    const [kind, ticks] = timer!.split(':')
    if (kind === KEEP_ALIVE_TIMER) return Number.parseInt(ticks!, 16) / 100
  }
  return undefined
}

test.runIf(process.platform === 'linux')(
  'SEC-21k both sides of a tunnel are probed after a minute of silence, so that a peer that vanished is noticed',
  async () => {
    await using route = await startRoute({ origin: startEchoOrigin() })
    await using client = await route.tunnel()
    client.write('x')
    await client.until('x')
    const sides = [
      (local: number, remote: number) => local === route.proxy.port && remote === client.socket.localPort,
      (_: number, remote: number) => remote === route.origin.port,
    ]
    for (const side of sides) {
      // While the last bytes wait for their acknowledgement, another timer runs.
      let seconds: number | undefined
      await expect.poll(async () => (seconds = await probeAfter(side)), { timeout: 15_000 }).toBeDefined()
      expect(seconds).toBeGreaterThan(20)
      expect(seconds).toBeLessThanOrEqual(60)
    }
  },
)
