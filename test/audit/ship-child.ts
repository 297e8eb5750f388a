// A process that a test kills: appends to the log and ships it at the same time, and prints what was acknowledged.
// argv: directory, endpoint, protocol.
import { writeSync } from 'node:fs'
import { openAuditLog } from '../../src/audit/log.ts'
import { startShipper } from '../../src/audit/shipper.ts'
import { systemClock } from '../../src/core/clock.ts'
import { SEVERITY } from '../../src/core/event.ts'
import { exporterFor } from './exporters.ts'

const [dir, endpoint, protocol] = process.argv.slice(2) as [string, string, 'grpc' | 'http/protobuf']
const onError = (error: Error): void => void process.stderr.write(`${error.message}\n`)
const log = await openAuditLog({ dir, segmentBytes: 65_536, instance: `child-${process.pid}`, onError })
const exporter = await exporterFor({ endpoint }, { protocol, timeout: 2000 })
// Retries in hundredths of the usual time, so that an outage in the test is short.
const clock = { ...systemClock, after: (ms: number, wake: () => void) => systemClock.after(ms / 100, wake) }
await startShipper({ log, exporter, clock, batchSize: 64, interval: 1000, onTrouble: () => {} })

for (let i = 0; ; i++) {
  const name = `${process.pid}-${i}`
  const attributes = { name, filling: 'x'.repeat((i * 37) % 700) }
  await new Promise<void>((resolve, reject) => {
    log.append(
      { event: 'sallyport.admin.action', severity: SEVERITY.INFO, time: Date.now(), attributes },
      (error) => {
        if (error) return reject(error)
        writeSync(1, `${name}\n`)
        resolve()
      },
    )
  })
}
