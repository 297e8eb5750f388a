import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { expect, test } from 'vitest'
import { findViolations } from './kit/architecture.ts'

const SRC = join(import.meta.dirname, '..', 'src')

function readSources(): Map<string, string> {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  return new Map(
    files.map((file) => [file.replaceAll(sep, '/'), readFileSync(join(SRC, file), 'utf8')] as const),
  )
}

test('ARCH-01 every import of src points down, slices do not know each other, pure rooms do no I/O', () => {
  const sources = readSources()
  expect(sources.size).toBeGreaterThan(100)
  expect(findViolations(sources)).toEqual([])
})

/** What is found when these lines are added to these files of the real sources. */
function planted(additions: Record<string, string>): string[] {
  const sources = readSources()
  for (const [file, line] of Object.entries(additions))
    sources.set(file, `${line}\n${sources.get(file) ?? ''}`)
  return findViolations(sources)
}

test('ARCH-02 an arrow that points up or sideways is found', () => {
  const cases: readonly (readonly [file: string, line: string, violation: string])[] = [
    [
      'core/fields.ts',
      "import { decide } from '../policy/decide.ts'",
      'core/fields.ts imports policy/decide.ts: policy stands above it',
    ],
    [
      'policy/decide.ts',
      "import type { Approvals } from '../approvals/approvals.ts'",
      'policy/decide.ts imports approvals/approvals.ts: approvals stands beside it',
    ],
    [
      'upstream/dialer.ts',
      "import {\n  readClientHello,\n  type Opening,\n} from '../tls/client-hello.ts'",
      'upstream/dialer.ts imports tls/client-hello.ts: tls stands beside it',
    ],
    [
      'wire/pulse.ts',
      "import { requestHead } from '../http1/writer.ts'",
      'wire/pulse.ts imports http1/writer.ts: http1 stands beside it',
    ],
    [
      'audit/log.ts',
      "import { loadConfig } from '../config/load.ts'",
      'audit/log.ts imports config/load.ts: config stands above it',
    ],
    [
      'proxy/connect.ts',
      "import { createAdmin } from '../admin/admin.ts'",
      'proxy/connect.ts imports admin/admin.ts: admin stands beside it',
    ],
    [
      'admin/admin.ts',
      "const late = await import('../daemon.ts')",
      'admin/admin.ts imports daemon.ts: daemon stands above it',
    ],
    ['daemon.ts', "import './main.ts'", 'daemon.ts imports main.ts: main stands above it'],
  ]
  for (const [file, line, violation] of cases) expect(planted({ [file]: line })).toEqual([violation])
})

test('ARCH-03 I/O in a pure room is found, and a package in one that stands on nothing', () => {
  const modules = [
    'node:net',
    'node:fs',
    'node:fs/promises',
    'node:http',
    'node:dns',
    'node:child_process',
    'fs',
  ]
  for (const name of modules) {
    for (const file of ['core/hostname.ts', 'http1/body.ts', 'policy/decide.ts'])
      expect(planted({ [file]: `import * as io from '${name}'` }), `${name} in ${file}`).toHaveLength(1)
    expect(planted({ 'wire/pulse.ts': `import * as io from '${name}'` })).toEqual([])
  }
  expect(planted({ 'core/hostname.ts': "import { parse } from 'tldts'" })).toEqual([
    'core/hostname.ts imports the package tldts: core stands on nothing',
  ])
})

test('ARCH-04 a re-export, a file that is not there, and a room that nobody drew are found', () => {
  expect(planted({ 'core/fields.ts': "export * from './id.ts'" })).toEqual([
    'core/fields.ts re-exports ./id.ts: import it from the file that owns it',
  ])
  expect(planted({ 'core/fields.ts': "export { randomId } from './id.ts'" })).toHaveLength(1)
  expect(planted({ 'core/fields.ts': "import { x } from '../../test/kit/dns.ts'" })).toEqual([
    'core/fields.ts imports ../../test/kit/dns.ts, which is not a file of src',
  ])
  expect(planted({ 'utils/strings.ts': 'export const x = 1' })).toEqual([
    'utils/strings.ts is in no room of the house: add utils to its level',
  ])
})

test('ARCH-05 what only looks like an import is none', () => {
  expect(
    planted({
      'core/fields.ts':
        "// import { decide } from '../policy/decide.ts'\n/*\nimport '../daemon.ts'\n*/\nexport const from = 'x'",
    }),
  ).toEqual([])
})
