import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { describeSettings, settingComment } from '../../src/config/describe.ts'
import { configJsonSchema } from '../../src/config/json-schema.ts'
import { loadConfig } from '../../src/config/load.ts'
import { SECTIONS, SETTINGS } from '../../src/config/settings-table.ts'
import { loaded } from './folder.ts'

const DIR = join(import.meta.dirname, '../../config')
const FILE = join(DIR, 'sallyport.toml')
const TEXT = readFileSync(FILE, 'utf8')

/** What a section holds, from its header to the next. */
function sectionText(section: string): string {
  const start = section === '' ? 0 : TEXT.indexOf(`\n[${section}]\n`)
  const end = TEXT.slice(start + 1).search(/\n\[[a-z]+\]\n/)
  return TEXT.slice(start, end === -1 ? undefined : start + 1 + end)
}

/** Settings of which the shipped file says something else than the default. */
const STARTER = ['state_dir', 'policy.allowed_domains', 'policy.denied_domains']

test.each(SETTINGS.map((row) => ({ key: row.key, row })))(
  'CFG-70 the shipped file documents $key: meaning, form, bounds, true default',
  ({ key, row }) => {
    const section = sectionText(row.section)
    const comment = settingComment(row).join('\n')
    expect(section).toContain(`\n${comment}\n`)
    const after = section.slice(section.indexOf(comment) + comment.length + 1)
    if (row.defaultText === 'unset') expect(after).toMatch(new RegExp(`^# ${row.name} = "`))
    else if (!STARTER.includes(key)) expect(after.split('\n')[0]).toBe(`${row.name} = ${row.defaultText}`)
  },
)

test('CFG-71 the shipped file loads without a warning, and sets nothing away from its default but the starter policy', async () => {
  const { snapshot } = loaded(await loadConfig(FILE, {}))
  expect(snapshot.warnings).toEqual([])
  const defaults = loaded(await loadConfig(undefined, {}, { cwd: DIR })).snapshot
  const different = describeSettings(snapshot)
    .filter(
      (each, i) =>
        each.value.replaceAll(/\/var\/state/g, '') !==
        describeSettings(defaults)[i]!.value.replaceAll(/\/config\/var\/state/g, ''),
    )
    .map(({ key }) => key)
  expect(different).toEqual(['policy.allowed_domains', 'policy.denied_domains'])
  expect(snapshot.settings.state_dir).toBe(join(DIR, '../var/state'))
  expect(snapshot.settings.policy.unfamiliar).toBe('hold')
  expect(snapshot.counts.allowed).toBeGreaterThan(20)
  expect(snapshot.counts.denied).toBeGreaterThan(10)
})

test('CFG-72 the policy chapter begins with what *. means', () => {
  const before = TEXT.slice(0, TEXT.indexOf('\n[policy]\n'))
  const chapter = before.slice(before.lastIndexOf('\n\n') + 2).split('\n')
  expect(chapter[0]).toBe(
    '# "*.example.com" means every subdomain of example.com, at any depth, and NOT example.com itself.',
  )
})

test('CFG-73 the file names its schema, and the shipped schema is the current one', () => {
  expect(TEXT.startsWith('#:schema ./sallyport.schema.json\n')).toBe(true)
  const shipped: unknown = JSON.parse(readFileSync(join(DIR, 'sallyport.schema.json'), 'utf8'))
  expect(shipped).toEqual(JSON.parse(JSON.stringify(configJsonSchema())))
})

test('CFG-74 the schema knows every setting with its default, and durations as texts', () => {
  const schema = configJsonSchema() as {
    properties: Record<string, { properties?: Record<string, unknown> }>
  }
  expect(Object.keys(schema.properties)).toEqual(['state_dir', ...SECTIONS])
  for (const row of SETTINGS) {
    const node =
      row.section === ''
        ? schema.properties[row.name]
        : schema.properties[row.section]?.properties?.[row.name]
    expect(node).toMatchObject({ description: expect.stringContaining(row.form) })
    if (row.initial !== undefined) expect(node).toMatchObject({ default: row.initial })
    if (row.kind === 'duration') expect(node).toMatchObject({ type: 'string', pattern: expect.any(String) })
  }
  expect(schema).toMatchObject({ additionalProperties: false })
})

test('CFG-75 git ignores what the shipped configuration makes', () => {
  const root = join(DIR, '..')
  const ignored = execFileSync('git', ['check-ignore', 'var/state/admin.sock'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(ignored.trim()).toBe('var/state/admin.sock')
})
