#!/usr/bin/env node
// The executable of the package. It is plain JavaScript that old Nodes can parse, so that a start on one of them
// ends in one helpful line and not in a syntax error. A checkout runs the sources; a published package runs dist/.
import { existsSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 24 || (major === 24 && minor < 15)) {
  process.stderr.write(
    `sallyport: Node ${process.versions.node} is too old, 24.15 or newer is needed; ` +
      'in a checkout run `npm ci` and start with `npm start` or `npx sallyport` (they use the pinned Node), ' +
      'elsewhere install a current Node\n',
  )
  process.exit(1)
}
// The compile cache keeps the stripped and compiled sources, which takes two thirds off the start.
nodeModule.enableCompileCache?.()
const built = new URL('../dist/main.js', import.meta.url)
const source = new URL('../src/main.ts', import.meta.url)
const entry = existsSync(fileURLToPath(source)) ? source : built
const { main } = await import(entry.href)
await main(process.argv.slice(2))
