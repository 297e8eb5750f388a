import { posix } from 'node:path'

/** Source texts by their path below src/, such as `proxy/connect.ts`. */
export type Sources = ReadonlyMap<string, string>

// Highest first; what stands in one line is on one level. An arrow may only point to a lower level, or stay in its room:
// so no slice imports another, and neither do the two front doors.
const LEVELS: readonly (readonly string[])[] = [
  ['main'],
  ['cli'],
  ['daemon'],
  ['proxy', 'admin'],
  ['config'],
  ['policy', 'approvals', 'cache', 'tls', 'credentials', 'upstream', 'audit'],
  ['storage', 'http1', 'wire'],
  ['core'],
]

/** Rooms in which nothing is read, written, opened or dialled. */
const PURE: ReadonlySet<string> = new Set(['core', 'http1', 'policy'])

/** All that a pure room may have of Node: computation, no descriptors. */
const PURE_MODULES: ReadonlySet<string> = new Set(['node:buffer', 'node:crypto', 'node:url'])

/** Packages that compute and do nothing else. */
const PURE_PACKAGES: ReadonlySet<string> = new Set(['tldts'])

interface Import {
  readonly specifier: string
  readonly isReExport: boolean
}

const IMPORT =
  /^[ \t]*(import|export)\b(?:[^'"`;]*?\bfrom)?[ \t\n]*['"]([^'"]+)['"]|\bimport\([ \t\n]*['"]([^'"]+)['"]/gm

/** Everything in which the sources leave the house as it is drawn, one sentence each. */
export function findViolations(sources: Sources): string[] {
  const violations: string[] = []
  for (const [file, text] of sources) {
    const room = roomOf(file)
    if (levelOf(room) === -1) {
      violations.push(`${file} is in no room of the house: add ${room} to its level`)
      continue
    }
    for (const found of importsOf(text)) violations.push(...judge(file, room, found, sources))
  }
  return violations
}

function judge(file: string, room: string, { specifier, isReExport }: Import, sources: Sources): string[] {
  if (isReExport) return [`${file} re-exports ${specifier}: import it from the file that owns it`]
  if (!specifier.startsWith('.')) return judgeOutside(file, room, specifier)
  const target = posix.join(posix.dirname(file), specifier)
  if (!sources.has(target)) return [`${file} imports ${specifier}, which is not a file of src`]
  const other = roomOf(target)
  if (other === room || levelOf(other) > levelOf(room)) return []
  const where = levelOf(other) === levelOf(room) ? 'stands beside it' : 'stands above it'
  return [`${file} imports ${target}: ${other} ${where}`]
}

function judgeOutside(file: string, room: string, specifier: string): string[] {
  if (!PURE.has(room)) return []
  if (specifier.startsWith('node:'))
    return PURE_MODULES.has(specifier) ? [] : [`${file} imports ${specifier}: ${room} is pure`]
  return room === 'policy' && PURE_PACKAGES.has(specifier)
    ? []
    : [`${file} imports the package ${specifier}: ${room} stands on nothing`]
}

function importsOf(text: string): Import[] {
  const code = text.replace(/\/\*[^]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  return Array.from(code.matchAll(IMPORT), ([, keyword, specifier, dynamic]) => ({
    specifier: specifier ?? dynamic!,
    isReExport: keyword === 'export',
  }))
}

/** The folder of a file, or, for a file of src itself, its name. */
function roomOf(file: string): string {
  return file.split('/')[0]!.replace(/\.ts$/, '')
}

function levelOf(room: string): number {
  return LEVELS.findIndex((level) => level.includes(room))
}
