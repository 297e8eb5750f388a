// Makes the folder that is published: node bin/build.js [--no-check] [FOLDER], dist/package where none is named. In it
// are JavaScript made by tsc (--no-check: without checking types, for sources that were checked), the executable, the
// shipped configuration, and a manifest. The manifest is a copy without what only a checkout needs; above all without the
// optional dependencies, which would put a second Node (200 MB) on every user's disk. The checkout's own package.json is
// never rewritten, so a build that is cut short leaves nothing to repair.
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ONLY_IN_A_CHECKOUT = [
  'private',
  'files',
  'scripts',
  'devDependencies',
  'optionalDependencies',
  'allowScripts',
]

const root = fileURLToPath(new URL('..', import.meta.url))

if (process.env.npm_lifecycle_event === 'prepack') {
  process.stderr.write(
    'sallyport: the checkout itself is not the package; run `npm run build`, then `npm pack ./dist/package` (or publish that folder)\n',
  )
  process.exit(1)
}

const { values, positionals } = parseArgs({
  options: { 'no-check': { type: 'boolean', default: false } },
  allowPositionals: true,
})
const out = resolve(positionals[0] ?? join(root, 'dist/package'))
// What an earlier build left must not be published: a source that is gone would live on as JavaScript.
if (existsSync(out) && !existsSync(join(out, 'package.json'))) {
  process.stderr.write(
    `sallyport: ${out} is there and was not made by an earlier build; name another folder, or remove it\n`,
  )
  process.exit(1)
}
rmSync(out, { recursive: true, force: true })
mkdirSync(join(out, 'bin'), { recursive: true })

const compiler = join(dirname(fileURLToPath(import.meta.resolve('typescript/package.json'))), 'bin/tsc')
const project = ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(out, 'dist')]
if (values['no-check']) project.push('--noCheck')
try {
  execFileSync(process.execPath, [compiler, ...project], { stdio: 'inherit' })
} catch {
  process.exit(1) // tsc has said why
}

cpSync(join(root, 'bin/sallyport.js'), join(out, 'bin/sallyport.js'))
chmodSync(join(out, 'bin/sallyport.js'), 0o755)
cpSync(join(root, 'config'), join(out, 'config'), { recursive: true })
for (const name of ['LICENSE', 'README.md'])
  if (existsSync(join(root, name))) cpSync(join(root, name), join(out, name))

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
for (const key of ONLY_IN_A_CHECKOUT) delete manifest[key]
writeFileSync(join(out, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
