import { expect, test } from 'vitest'
import { parseToml, positionIn } from '../../src/config/toml.ts'

const DOCUMENT = `top = 1
[policy]
allowed_domains = [
  "a.example", # a comment
  "b.example",
]
private = [{ host = "x", ports = [1,
  2] }]
inline.dotted = true

[[tables.each]]
name = "one"
[[tables.each]]
"quoted key" = "two"
[tables.each.below]
x = 1
`

test.each([
  [['top'], 1, 1],
  [['policy'], 2, 2],
  [['policy', 'allowed_domains'], 3, 1],
  [['policy', 'allowed_domains', 0], 4, 3],
  [['policy', 'allowed_domains', 1], 5, 3],
  [['policy', 'private', 0], 7, 12],
  [['policy', 'private', 0, 'host'], 7, 14],
  [['policy', 'private', 0, 'ports', 1], 8, 3],
  [['policy', 'inline', 'dotted'], 9, 8],
  [['tables', 'each', 0, 'name'], 12, 1],
  [['tables', 'each', 1, 'quoted key'], 14, 1],
  [['tables', 'each', 1, 'below', 'x'], 16, 1],
  // What is not written down is where the deepest part of it is.
  [['policy', 'private', 0, 'cidr'], 7, 12],
])('CFG-20 %j stands at line %d, column %d', (path, line, column) => {
  const result = parseToml(DOCUMENT)
  if (result.kind === 'invalid') throw new Error(result.problem)
  expect(positionIn(result.root, path)).toEqual({ line, column })
})

test('CFG-21 values come through as they are written', () => {
  const result = parseToml(DOCUMENT)
  if (result.kind === 'invalid') throw new Error(result.problem)
  expect(JSON.parse(JSON.stringify(result.value))).toEqual({
    top: 1,
    policy: {
      allowed_domains: ['a.example', 'b.example'],
      private: [{ host: 'x', ports: [1, 2] }],
      inline: { dotted: true },
    },
    tables: { each: [{ name: 'one' }, { 'quoted key': 'two', below: { x: 1 } }] },
  })
})

test.each([
  ['a = 1\nb = 2\na = 3', 3, 1, /^it is defined twice$/, 'a'],
  ['[hold]\nwait = "1s"\n[hold]\n', 3, 2, /^it is defined twice$/, 'hold'],
  ['[hold]\nwait = 25s\n', 2, 10, /^something follows the value$/, ''],
  ['[hold]\nwait = hold\n', 2, 8, /^it is not TOML$/, ''],
  ['x = "abc\n', 1, 9, /./, ''],
  ['x = [\n  "a",\n', 2, 7, /^a list is not closed$/, ''],
  ['x = [1 2]', 1, 8, /^a comma is missing$/, ''],
  ['x\n', 1, 2, /^the equals sign is missing$/, ''],
  ['a = 1\nx\n\n\nb = 1', 2, 2, /^the equals sign is missing$/, ''],
  ['x =', 1, 4, /^the value is missing$/, ''],
  ['x =\r\ny = 2', 1, 4, /^the value is missing$/, ''],
  ['[hold\nwait = "1s"', 1, 6, /^the name of a section is not closed$/, ''],
  ['x = "C:\\Users"', 1, 9, /^a backslash begins an unknown escape$/, ''],
  ['x = “y”', 1, 5, /^it is not TOML$/, ''],
  ['a = 1\nx\r = 2', 2, 2, /^a carriage return stands without a line feed$/, ''],
  ['a = "\u0000"', 1, 6, /^a control character stands in a text$/, ''],
])('CFG-22 %j is refused with its place and a remedy', (source, line, column, problem, field) => {
  const result = parseToml(source)
  expect(result).toMatchObject({ kind: 'invalid', position: { line, column }, field })
  if (result.kind === 'document') return
  expect(result.problem).toMatch(problem)
  expect(result.remedy).toMatch(/^[a-z]/)
})

test.each([
  ['lists', `x = ${'['.repeat(100_000)}${']'.repeat(100_000)}`],
  ['fewer lists', `x = ${'['.repeat(100)}${']'.repeat(100)}`],
  ['inline tables', `x = ${'{ a = '.repeat(5000)}1${' }'.repeat(5000)}`],
  ['dotted keys', `x${'.a'.repeat(50_000)} = 1`],
  ['sections', `[x${'.a'.repeat(5000)}]`],
])('CFG-23 deeply nested %s are refused', (_, source) => {
  expect(parseToml(source)).toMatchObject({ kind: 'invalid', problem: 'it is nested too deeply' })
})

test('CFG-24 a byte order mark and the line ends of Windows are fine', () => {
  const result = parseToml('\ufeff# c\r\n[a]\r\nb = 1\r\n')
  if (result.kind === 'invalid') throw new Error(result.problem)
  expect(positionIn(result.root, ['a', 'b'])).toEqual({ line: 3, column: 1 })
})

test('CFG-25 keys with a meaning in JavaScript are keys like any other', () => {
  const result = parseToml('[__proto__]\npolluted = true\n[constructor]\nprototype = 1\n')
  if (result.kind === 'invalid') throw new Error(result.problem)
  expect(Object.keys(result.value)).toEqual(['__proto__', 'constructor'])
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})
