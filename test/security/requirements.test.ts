import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const page = readFileSync(new URL('../../SECURITY.md', import.meta.url), 'utf8')
const table = page.slice(page.indexOf('## Requirements'))
const tests = globSync('test/**/*.test.ts')
  .map((file) => readFileSync(file, 'utf8'))
  .join('\n')

test('SEC-00a each of the sixty requirements has a row', () => {
  const numbers = [...table.matchAll(/^\| (\d+)(?: – (\d+))? +\|/gm)].flatMap(([, first, last]) => {
    const from = Number(first)
    return Array.from({ length: Number(last ?? first) - from + 1 }, (_, i) => from + i)
  })
  expect(numbers).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
})

test('SEC-00b each test that the table names is there', () => {
  const ids = [...table.matchAll(/\b[A-Z][A-Z0-9]+-\d\d\b/g)].map(([id]) => id)
  expect(ids.length).toBeGreaterThan(100)
  const isThere = (id: string) =>
    new RegExp(`['"\`(]${id}${id.startsWith('SEC-') ? '[a-z]' : ''}(?![0-9a-z])`).test(tests)
  expect(ids.filter((id) => !isThere(id))).toEqual([])
})

test('SEC-00c each row names the tests that attack what it says', () => {
  const numbers = new Set([...tests.matchAll(/['"`]SEC-(\d\d)[a-z]\b/g)].map(([, number]) => Number(number)))
  numbers.delete(0)
  expect(numbers.size).toBeGreaterThan(20)
  const unnamed = [...numbers].filter(
    (number) =>
      !new RegExp(`^\\| ${number} +\\|.*\\bSEC-${String(number).padStart(2, '0')}\\b`, 'm').test(table),
  )
  expect(unnamed).toEqual([])
})
