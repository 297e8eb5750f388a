import type { SourceLocation } from '../core/decision.ts'
import { readList } from './list-file.ts'
import type { NameHasher } from './name-hash.ts'
import { type PatternSet, PatternSetBuilder } from './pattern-set.ts'
import { InvalidPattern, type Pattern, parsePattern } from './pattern.ts'
import type { PolicyProblem } from './problem.ts'

/** An entry of a list in the settings. */
export interface PatternEntry {
  readonly text: string
  readonly source: SourceLocation
}

export interface ParsedEntry extends PatternEntry {
  readonly pattern: Pattern
}

/** A file with more entries of a list. The bytes are not kept. */
export interface ListFile {
  readonly file: string
  readonly bytes: Uint8Array
}

/** Problems that are told of one list file; more of them are counted. */
const PROBLEMS_A_FILE = 20

/** Parses the entries of a list; those that are not patterns become problems. */
export function parsedEntries(
  field: string,
  entries: readonly PatternEntry[],
  problems: PolicyProblem[],
): ParsedEntry[] {
  const parsed: ParsedEntry[] = []
  for (const { text, source } of entries) {
    const pattern = patternOrProblem(field, text, source, problems)
    if (!pattern) continue
    if (pattern.kind === 'any' && field === 'denied_domains') problems.push(denyAll(field, text, source))
    else parsed.push({ pattern, text, source })
  }
  return parsed
}

/** The pattern, or undefined and one more problem. */
export function patternOrProblem(
  field: string,
  text: string,
  source: SourceLocation,
  problems: PolicyProblem[],
): Pattern | undefined {
  try {
    return parsePattern(text)
  } catch (error) {
    if (!(error instanceof InvalidPattern)) throw error
    problems.push({ field, value: shortened(text), source, problem: error.problem, remedy: error.remedy })
    return undefined
  }
}

/** One set of all entries and of all lines of all files. Lines that are not patterns become problems. */
export function patternSet(
  list: string,
  hasher: NameHasher,
  entries: readonly ParsedEntry[],
  files: readonly ListFile[],
  problems: PolicyProblem[],
): PatternSet {
  let lines = entries.length
  let bytes = entries.length * 24
  for (const file of files) {
    lines += lineCount(file.bytes)
    bytes += file.bytes.length
  }
  const builder = new PatternSetBuilder(list, hasher, lines, bytes)
  for (const { pattern, text, source } of entries) builder.add(pattern, text, source)
  for (const { file, bytes } of files) addFile(builder, file, bytes, problems)
  return builder.build()
}

function lineCount(bytes: Uint8Array): number {
  let count = 1
  for (let at = bytes.indexOf(0x0a); at !== -1; at = bytes.indexOf(0x0a, at + 1)) count++
  return count
}

function addFile(
  builder: PatternSetBuilder,
  file: string,
  bytes: Uint8Array,
  problems: PolicyProblem[],
): void {
  const field = 'denied_domains_files'
  const number = builder.beginFile(file)
  let bad = 0
  let firstUntold = 0
  const report = (line: number, problem: PolicyProblem) => {
    if (++bad <= PROBLEMS_A_FILE) problems.push(problem)
    else if (bad === PROBLEMS_A_FILE + 1) firstUntold = line
  }
  readList(bytes, {
    name: (from, start, end, scope, line) => builder.addName(from, start, end, scope, line, number),
    pattern: (pattern, text, line) => {
      const source = { file, line }
      if (pattern.kind === 'any') report(line, denyAll(field, text, source))
      else builder.add(pattern, text, source)
    },
    problem: (text, line, { problem, remedy }) =>
      report(line, { field, value: shortened(text), source: { file, line }, problem, remedy }),
  })
  if (bad > PROBLEMS_A_FILE)
    problems.push({
      field,
      value: file,
      source: { file, line: firstUntold },
      problem: `${bad - PROBLEMS_A_FILE} more entries of this file are not patterns`,
      remedy: 'check that the file is a list of domains or a hosts file, one pattern a line',
    })
}

function denyAll(field: string, value: string, source: SourceLocation): PolicyProblem {
  return {
    field,
    value,
    source,
    problem: '* is permitted in allowed_domains only',
    remedy: 'leave it out and set unfamiliar = "deny": then only allowed hosts pass',
  }
}

function shortened(value: string): string {
  return value.length > 100 ? `${value.slice(0, 100)}…` : value
}
