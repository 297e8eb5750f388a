// A process that a test kills or limits: appends to the log and prints what was acknowledged.
// argv: directory, «endless» or the sizes of the records to append one after the other.
import { writeSync } from 'node:fs'
import { openAuditLog } from '../../src/audit/log.ts'
import { errnoOf } from '../../src/core/errors.ts'
import { SEVERITY } from '../../src/core/event.ts'

const [dir, ...sizes] = process.argv.slice(2) as [string, ...string[]]
const log = await openAuditLog({
  dir,
  segmentBytes: 1 << 20,
  instance: `child-${process.pid}`,
  onError: (error) => say({ trouble: errnoOf(error) ?? error.message }),
})

/** Synchronous, so that whatever was acknowledged before a kill was said. */
function say(value: object): void {
  writeSync(1, `${JSON.stringify(value)}\n`)
}

function append(name: string, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    const attributes = { name, filling: 'x'.repeat(bytes) }
    log.append(
      { event: 'sallyport.admin.action', severity: SEVERITY.INFO, time: Date.now(), attributes },
      (error) => {
        say(error ? { failed: name, code: errnoOf(error) } : { written: name })
        resolve()
      },
    )
  })
}

if (sizes[0] === 'endless') {
  for (let i = 0; ; i += 3)
    await Promise.all([0, 1, 2].map((j) => append(`${process.pid}-${i + j}`, ((i + j) * 37) % 2000)))
}
for (const [index, size] of sizes.entries()) await append(String(index), Number(size))
await log[Symbol.asyncDispose]()
