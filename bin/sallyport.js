#!/usr/bin/env node
// The executable of the package. It is plain JavaScript that old Nodes can parse, so that a start on one of them
// ends in one helpful line and not in a syntax error. A checkout runs the sources; a published package runs dist/.
import { existsSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(
    `sallyport: Node ${process.versions.node} is too old, 24.15 or newer is needed; ` +
      'in a checkout run `npm ci` and start with `npm start` or `npx sallyport`, which use the pinned Node; ' +
      'elsewhere install a current Node\n',
  )
  process.exit(1)
}
// V8 would put objects that once lived long into the old generation from the start. Whatever such an object refers to
// then lives until the next major collection, dead or not: with thousands of short connections a second that is most
// of them, and pauses of 20 to 50 milliseconds in place of one or two.
setFlagsFromString('--no-allocation-site-pretenuring')
const source = fileURLToPath(new URL('../src/main.ts', import.meta.url))
if (existsSync(source)) {
  // The compile cache keeps the stripped sources, which takes two thirds off the start. It lies inside the checkout:
  // the default place is shared by all users of the machine, and what lies there is run.
  nodeModule.enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url)))
  const { main } = await import('../src/main.ts')
  await main(process.argv.slice(2))
} else {
  const { main } = await import('../dist/main.js')
  await main(process.argv.slice(2))
}
