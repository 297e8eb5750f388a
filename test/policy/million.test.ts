import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parseAuthority } from '../../src/core/authority.ts'
import { decide } from '../../src/policy/decide.ts'
import { compilePolicy } from '../../src/policy/policy.ts'
import { CLIENT, noGrant } from './ask.ts'

const COUNT = 1_000_000
const folder = mkdtempSync(join(tmpdir(), 'sallyport-million-'))

afterAll(() => rmSync(folder, { recursive: true }))

/** The name of line n: every tenth is a wildcard, and many share their last labels. */
const nameOf = (n: number) => `host-${n}.zone-${n % 997}.example`
const lineOf = (n: number) => (n % 10 === 0 ? `*.${nameOf(n)}` : n % 10 === 1 ? `**.${nameOf(n)}` : nameOf(n))

test('POL-120 a list file of 1,000,000 domains denies its domains, each by its own line, and nothing else', () => {
  const file = join(folder, 'denied.txt')
  writeFileSync(file, Array.from({ length: COUNT }, (_, i) => lineOf(i + 1)).join('\n'))
  const { policy, problems } = compilePolicy({
    allowed: [{ text: '*', source: { file: 'sallyport.toml', line: 1 } }],
    denied: [],
    deniedFiles: [{ file, bytes: readFileSync(file) }],
    allowedPorts: [443],
    unfamiliar: 'deny',
    private: [],
    own: [],
    localAddresses: [],
  })
  expect(problems).toEqual([])
  expect(policy.counts.denied).toBe(COUNT)

  const answer = (host: string) =>
    decide(policy, { authority: parseAuthority(`${host}:443`), client: CLIENT }, noGrant)
  const wrong: string[] = []
  const check = (host: string, line: number | undefined) => {
    const decision = answer(host)
    const actual = decision.kind === 'deny' ? decision.rule?.source?.line : undefined
    const asExpected =
      line === undefined ? decision.kind === 'allow' : decision.kind === 'deny' && actual === line
    if (!asExpected && wrong.length < 10) wrong.push(`${host}: ${JSON.stringify(decision)}, not line ${line}`)
  }
  // One line in seven, which are lines of every kind: the name, and what is below, beside and above it.
  for (let n = 1; n <= COUNT; n += 7) {
    const wildcard = n % 10
    check(nameOf(n), wildcard === 0 ? undefined : n)
    check(`a.b.${nameOf(n)}`, wildcard <= 1 ? n : undefined)
    check(`x${nameOf(n)}`, undefined)
    check(`${nameOf(n)}.test`, undefined)
  }
  for (let zone = 0; zone < 997; zone++) check(`zone-${zone}.example`, undefined)
  expect(wrong).toEqual([])
  const rule = (host: string) => {
    const decision = answer(host)
    return decision.kind === 'deny' ? decision.rule : undefined
  }
  expect(rule(`www.${nameOf(500_000)}`)).toEqual({
    list: 'denied_domains',
    text: `*.${nameOf(500_000)}`,
    source: { file, line: 500_000 },
  })
}, 120_000)
