import { type AST, ParseError, parseTOML } from 'toml-eslint-parser'
import { syntaxProblem } from './toml-syntax.ts'

/** Both from 1. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** Where a key or an entry of a list stands, and what is in it. */
export interface TomlNode {
  readonly position: Position
  keys?: Map<string, TomlNode>
  entries?: TomlNode[]
}

export type TomlResult =
  | { readonly kind: 'document'; readonly value: TomlTable; readonly root: TomlNode }
  | {
      readonly kind: 'invalid'
      readonly position: Position
      readonly field: string
      readonly problem: string
      readonly remedy: string
    }

/** Without a prototype, so that a key such as `__proto__` is a key like any other. */
export type TomlTable = Record<string, unknown>

/** Far beyond what any setting needs, far below what the stack holds. */
const DEEPEST = 32

class TooDeep extends Error {}

/** Reads TOML 1.0. Never throws: whatever the text is, the answer is a document or a problem with its place. */
export function parseToml(source: string): TomlResult {
  const text = source.startsWith('\ufeff') ? source.slice(1) : source
  const bare = /\r(?!\n)/.exec(text)
  if (bare)
    return invalid(
      positionOfIndex(text, bare.index),
      'a carriage return stands without a line feed',
      'save the file with the line ends of Unix or Windows',
    )
  try {
    const value = emptyTable()
    const root = nodeAt({ line: 1, column: 1 })
    for (const each of parseTOML(text, { tomlVersion: '1.0' }).body[0].body) {
      if (each.type === 'TOMLTable') addTable(each, value, root)
      else addKeyValue(each, value, root, 0)
    }
    return { kind: 'document', value, root }
  } catch (error) {
    return failure(error, text)
  }
}

/** The place of what `path` leads to, or of the deepest part of it that is written down. */
export function positionIn(root: TomlNode, path: readonly PropertyKey[]): Position | undefined {
  let node: TomlNode | undefined = root
  let found: Position | undefined
  for (const part of path) {
    node = typeof part === 'number' ? node.entries?.[part] : node.keys?.get(String(part))
    if (!node) break
    found = node.position
  }
  return found
}

function failure(error: unknown, text: string): TomlResult {
  if (error instanceof ParseError) return { kind: 'invalid', ...syntaxProblem(error, text) }
  // The parser recurses: what is nested deeply enough overflows its stack.
  if (error instanceof TooDeep || error instanceof RangeError)
    return invalid(
      { line: 1, column: 1 },
      'it is nested too deeply',
      `nest at most ${DEEPEST} lists and tables`,
    )
  // A parser that fails in a way of its own must not take the daemon down with it: a reload keeps the old policy.
  return invalid({ line: 1, column: 1 }, 'the TOML parser failed on it', 'simplify what was changed last')
}

function invalid(position: Position, problem: string, remedy: string): TomlResult {
  return { kind: 'invalid', position, field: '', problem, remedy }
}

function addTable(table: AST.TOMLTable, value: TomlTable, root: TomlNode): void {
  if (table.resolvedKey.length > DEEPEST) throw new TooDeep()
  let target = value
  let node = root
  const position = positionOfNode(table.key)
  table.resolvedKey.forEach((part, i) => {
    if (typeof part === 'number') return
    const index = table.resolvedKey[i + 1]
    node = childOf(node, part, position)
    if (typeof index === 'number') {
      const list = (target[part] ??= []) as TomlTable[]
      target = list[index] ??= emptyTable()
      node.entries ??= []
      node = node.entries[index] ??= nodeAt(position)
    } else target = (target[part] ??= emptyTable()) as TomlTable
  })
  for (const each of table.body) addKeyValue(each, target, node, 0)
}

function addKeyValue(pair: AST.TOMLKeyValue, value: TomlTable, parent: TomlNode, depth: number): void {
  if (depth + pair.key.keys.length > DEEPEST) throw new TooDeep()
  let target = value
  let node = parent
  pair.key.keys.forEach((part, i) => {
    const name = part.type === 'TOMLBare' ? part.name : part.value
    node = childOf(node, name, positionOfNode(part))
    if (i < pair.key.keys.length - 1) target = (target[name] ??= emptyTable()) as TomlTable
    else target[name] = valueOf(pair.value, node, depth + i + 1)
  })
}

function valueOf(content: AST.TOMLContentNode, node: TomlNode, depth: number): unknown {
  if (depth > DEEPEST) throw new TooDeep()
  switch (content.type) {
    case 'TOMLValue':
      return content.value
    case 'TOMLArray': {
      const entries = (node.entries = [] as TomlNode[])
      return content.elements.map((element) => {
        const child = nodeAt(positionOfNode(element))
        entries.push(child)
        return valueOf(element, child, depth + 1)
      })
    }
    case 'TOMLInlineTable': {
      const table = emptyTable()
      for (const each of content.body) addKeyValue(each, table, node, depth + 1)
      return table
    }
  }
}

function childOf(node: TomlNode, key: string, position: Position): TomlNode {
  node.keys ??= new Map()
  const known = node.keys.get(key)
  if (known) return known
  const child = nodeAt(position)
  node.keys.set(key, child)
  return child
}

function nodeAt(position: Position): TomlNode {
  return { position }
}

function emptyTable(): TomlTable {
  return Object.create(null) as TomlTable
}

function positionOfNode(node: AST.TOMLNode): Position {
  return { line: node.loc.start.line, column: node.loc.start.column + 1 }
}

function positionOfIndex(text: string, index: number): Position {
  const before = text.slice(0, index)
  const start = before.lastIndexOf('\n') + 1
  return { line: before.split('\n').length, column: index - start + 1 }
}
