import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatProblem } from '../../src/config/problems.ts'
import { SECTIONS, SETTINGS } from '../../src/config/settings-table.ts'
import { tomlKey, tomlText } from '../../src/config/toml-text.ts'
import { parseToml, positionIn } from '../../src/config/toml.ts'
import { type ConfigFolder, createConfigFolder } from './folder.ts'

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 300)

/** Whatever was loaded, the answer is a snapshot, or problems that a person can act on. */
async function check(
  folder: ConfigFolder,
  content: string | Uint8Array,
  environment: Record<string, string> = {},
) {
  const result = await folder.load(content, environment)
  if (result.kind === 'ok') {
    expect(result.snapshot.version).toMatch(/^[0-9a-f]{12}$/)
    return
  }
  expect(result.problems.length).toBeGreaterThan(0)
  for (const problem of result.problems) {
    expect(problem.file).not.toBe('')
    expect(problem.problem).not.toBe('')
    expect(problem.remedy).not.toBe('')
    expect(problem.line).toBeGreaterThanOrEqual(0)
    expect(formatProblem(problem)).not.toMatch(/\p{Cc}/u)
  }
}

const anyValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constantFrom(
      '25s',
      '16KiB',
      '127.0.0.1:0',
      '*.example.com',
      'example.com:1',
      '10.0.0.0/8',
      'hold',
      '../x',
      '',
    ),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), tie('value'), { maxKeys: 3 }),
  ),
})).value

test('CFG-80 random bytes never crash the loader', async () => {
  await using folder = await createConfigFolder()
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), (bytes) => check(folder, bytes)),
    { numRuns: RUNS },
  )
})

test('CFG-81 random pieces of TOML never crash the loader', async () => {
  await using folder = await createConfigFolder()
  const piece = fc.oneof(
    fc.constantFrom(
      '[',
      ']',
      '[[',
      ']]',
      '{',
      '}',
      '=',
      '.',
      ',',
      '"',
      "'",
      '"""',
      "'''",
      '\n',
      '\r\n',
      '\r',
      ' ',
      '#',
      '\\',
      '\\u00',
      '-',
      '+',
      '_',
      ':',
      'inf',
      'nan',
      '1979-05-27',
      '0x',
      '1e5',
      'true',
      '\ufeff',
      '\u0000',
      '\u007f',
      '__proto__',
      'constructor',
      'toString',
    ),
    fc.constantFrom(...SETTINGS.map((row) => row.name), ...SECTIONS),
    fc.constantFrom('"25s"', '443', '["example.com"]'),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), (pieces) => check(folder, pieces.join(''))),
    { numRuns: RUNS },
  )
})

test('CFG-82 any value for any setting, in the file or in the environment, is taken or explained', async () => {
  await using folder = await createConfigFolder()
  const setting = fc.tuple(fc.constantFrom(...SETTINGS), anyValue)
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(setting, { maxLength: 6, selector: ([row]) => row.key }),
      fc.array(fc.tuple(fc.constantFrom(...SETTINGS), fc.string({ unit: 'grapheme' })), { maxLength: 3 }),
      (settings, variables) => {
        const text = settings.map(([row, value]) => `${row.key} = ${tomlText(value)}\n`).join('')
        return check(
          folder,
          `# fuzz\n${text}`,
          Object.fromEntries(variables.map(([row, value]) => [row.variable, value])),
        )
      },
    ),
    { numRuns: RUNS },
  )
})

test('CFG-83 what is written as TOML is read back, and every key is found where it was written', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ minLength: 1 }), anyValue, { minKeys: 1 }), (table) => {
      const lines = Object.entries(table).map(([key, value]) => `${tomlKey(key)} = ${tomlText(value)}`)
      const result = parseToml(`${lines.join('\n')}\n`)
      if (result.kind === 'invalid') throw new Error(`${result.problem}\n${lines.join('\n')}`)
      Object.keys(table).forEach((key, i) => {
        expect(positionIn(result.root, [key])).toEqual({ line: i + 1, column: 1 })
      })
      expect(Object.keys(result.value)).toEqual(Object.keys(table))
    }),
    { numRuns: RUNS },
  )
})
