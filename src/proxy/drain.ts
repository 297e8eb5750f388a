import type { Clock } from '../core/clock.ts'
import type { Front } from './front.ts'
import type { Tunnels } from './tunnels.ts'

/** Takes no more connections, lets what runs finish for `timeout` milliseconds, and cuts the tunnels that are left. */
export async function drainTraffic(
  front: Front,
  tunnels: Tunnels,
  timeout: number,
  clock: Clock,
): Promise<void> {
  front.drain()
  const late = Promise.withResolvers<void>()
  const alarm = clock.after(timeout, () => late.resolve())
  await Promise.race([front.whenEmpty(), late.promise])
  alarm.cancel()
  tunnels.closeWhere(() => true, 'draining')
}
