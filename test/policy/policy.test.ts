import { expect, test } from 'vitest'
import type { PolicyProblem } from '../../src/policy/problem.ts'
import { type Lists, compile } from './ask.ts'

function problemsOf(lists: Lists): string[] {
  return compile(lists).problems.map(told)
}

function warningsOf(lists: Lists): string[] {
  const { problems, warnings } = compile(lists)
  expect(problems).toEqual([])
  return warnings.map(told)
}

function told({ field, value, source, problem, remedy }: PolicyProblem): string {
  const place = source ? `${source.file}:${source.line}` : 'nowhere'
  return `${place} ${field} "${value}": ${problem}: ${remedy}`
}

test('POL-100 every entry that is not a pattern is a problem with its field, value and place', () => {
  expect(
    problemsOf({ allowed: ['ok.example', 'https://x.example/'], denied: ['a b', `${'x'.repeat(300)}!`] }),
  ).toEqual([
    'sallyport.toml:2 allowed_domains "https://x.example/": it is a URL; a pattern has no scheme and no path: write x.example',
    'sallyport.toml:1 denied_domains "a b": it contains white space: write one pattern an entry',
    `sallyport.toml:2 denied_domains "${'x'.repeat(100)}…": a host may not contain '!': write a host (example.com), *.example.com for its subdomains, **.example.com for both, an address, or a network (10.1.2.0/24)`,
  ])
})

test('POL-101 * stands in allow lists only', () => {
  const remedy = 'leave it out and set unfamiliar = "deny": then only allowed hosts pass'
  expect(problemsOf({ allowed: ['*', '*:8443'] })).toEqual([])
  expect(problemsOf({ denied: ['*', '*:80'] })).toEqual([
    `sallyport.toml:1 denied_domains "*": * is permitted in allowed_domains only: ${remedy}`,
    `sallyport.toml:2 denied_domains "*:80": * is permitted in allowed_domains only: ${remedy}`,
  ])
  expect(problemsOf({ files: ['ok.example\n*\n'] })).toEqual([
    `list-1.txt:2 denied_domains_files "*": * is permitted in allowed_domains only: ${remedy}`,
  ])
})

test('POL-102 an exception that does not name host, network and ports is a problem', () => {
  expect(
    problemsOf({
      private: [
        { host: 'ok.example', cidr: '10.0.0.0/8', ports: [443] },
        { host: '*', cidr: '10.0.0.0/8', ports: [443] },
        { host: 'a.example:443', cidr: '10.0.0.0/8', ports: [443] },
        { host: 'a.example', cidr: '10.0.0.1', ports: [443] },
        { host: 'a.example', cidr: '10.0.0.1/8', ports: [443] },
        { host: 'a.example', cidr: 'nonsense', ports: [] },
        { host: 'a..example', cidr: '10.0.0.0/8', ports: [0, 70_000] },
      ],
    }),
  ).toEqual([
    'sallyport.toml:2 private.host "*": an exception must name the host: write the host, or a pattern such as **.corp.example',
    'sallyport.toml:3 private.host "a.example:443": the port of an exception stands in ports: write host = "a.example" and ports = [443]',
    'sallyport.toml:4 private.cidr "10.0.0.1": the length of the prefix is missing: write 10.0.0.1/32 for this one address',
    'sallyport.toml:5 private.cidr "10.0.0.1/8": bits are set after the first 8: write 10.0.0.0/8 for the network, or 10.0.0.1/32 for the one address',
    'sallyport.toml:6 private.cidr "nonsense": it is not a network in CIDR notation: write the network\'s first address and the length of its prefix, such as 10.1.2.0/24',
    'sallyport.toml:6 private.ports "[]": an exception must name its ports: write ports = [443], or whichever the host serves',
    'sallyport.toml:7 private.host "a..example": a label is empty: write a host (example.com), *.example.com for its subdomains, **.example.com for both, an address, or a network (10.1.2.0/24)',
    'sallyport.toml:7 private.ports "0": a port must be a number from 1 to 65535: write the ports that clients may ask for, such as [80, 443]',
    'sallyport.toml:7 private.ports "70000": a port must be a number from 1 to 65535: write the ports that clients may ask for, such as [80, 443]',
  ])
})

test('POL-103 ports that are none are problems', () => {
  expect(problemsOf({ ports: [80, 0, 1.5, Number.NaN, 65_536, -1, 65_535] })).toHaveLength(5)
})

test('POL-104 an entry that is given twice is a warning, whatever its spelling', () => {
  expect(
    warningsOf({
      allowed: ['example.com', 'other.example', 'EXAMPLE.com.', 'example.com:443'],
      denied: ['1.1.1.1', '[::ffff:1.1.1.1]'],
    }),
  ).toEqual([
    'sallyport.toml:3 allowed_domains "EXAMPLE.com.": the same entry stands in sallyport.toml:1: leave one of them out',
    'sallyport.toml:2 denied_domains "[::ffff:1.1.1.1]": the same entry stands in sallyport.toml:1: leave one of them out',
  ])
})

test('POL-105 an entry that a denial makes ineffective is a warning that names the denial', () => {
  const remedy = 'take it out of one of the two lists'
  expect(
    warningsOf({
      allowed: [
        'a.example',
        '**.b.example',
        'x.c.example',
        '**.c.example',
        'd.example',
        'e.example:443',
        '**.f.example',
      ],
      denied: [
        'a.example',
        '**.b.example',
        '**.c.example',
        'd.example:80',
        'e.example',
        '*.f.example',
        'f.example:443',
      ],
      files: ['g.example\n'],
    }).filter((text) => text.includes('also denied')),
  ).toEqual([
    `sallyport.toml:1 allowed_domains "a.example": it is also denied, by a.example (sallyport.toml:1), and a denial always wins: ${remedy}`,
    `sallyport.toml:2 allowed_domains "**.b.example": it is also denied, by **.b.example (sallyport.toml:2), and a denial always wins: ${remedy}`,
    `sallyport.toml:3 allowed_domains "x.c.example": it is also denied, by **.c.example (sallyport.toml:3), and a denial always wins: ${remedy}`,
    `sallyport.toml:4 allowed_domains "**.c.example": it is also denied, by **.c.example (sallyport.toml:3), and a denial always wins: ${remedy}`,
    `sallyport.toml:6 allowed_domains "e.example:443": it is also denied, by e.example (sallyport.toml:5), and a denial always wins: ${remedy}`,
  ])
  expect(warningsOf({ allowed: ['g.example'], files: ['# list\ng.example\n'] })).toEqual([
    `sallyport.toml:1 allowed_domains "g.example": it is also denied, by g.example (list-1.txt:2), and a denial always wins: ${remedy}`,
  ])
})

test('POL-106 *.x without x is a warning that says so', () => {
  const warning = (field: string, line: number) =>
    `sallyport.toml:${line} ${field} "*.corp.example": it does not cover corp.example itself, only its subdomains: write **.corp.example if both are meant`
  expect(warningsOf({ allowed: ['*.corp.example'] })).toEqual([warning('allowed_domains', 1)])
  expect(warningsOf({ denied: ['x.example', '*.corp.example'] })).toEqual([warning('denied_domains', 2)])
  expect(warningsOf({ allowed: ['*.corp.example', 'corp.example'] })).toEqual([])
  expect(warningsOf({ allowed: ['*.corp.example', '**.example.net', '**.corp.example'] })).toEqual([])
  expect(warningsOf({ allowed: ['*.corp.example:8443', 'corp.example:8443'] })).toEqual([])
  expect(warningsOf({ allowed: ['*.corp.example:8443', 'corp.example:443'] })).toHaveLength(1)
})

test('POL-107 a wildcard in the place where names are sold is a warning', () => {
  const risky = ['*.com', '**.co.uk', '**.github.io', '*example.com', 'exam?le.co.uk', '**.a*.com']
  for (const text of risky)
    expect(warningsOf({ allowed: [text] }).join(), text).toMatch(/anybody can register a name/)
  const fine = [
    '**.example.com',
    'a*.example.com',
    '**.internal',
    '**.corp',
    'build-*',
    'a.*.example.co.uk',
    '*',
    'com',
  ]
  for (const text of fine) expect(warningsOf({ allowed: [text] }), text).toEqual([])
  // To deny them is a decision.
  expect(warningsOf({ denied: ['**.zip', '*.com'] })).toEqual([])
})

test('POL-108 an allowed address that the guard refuses is a warning that says what to do', () => {
  expect(warningsOf({ allowed: ['10.1.0.0/16', '1.1.1.1', '0.0.0.0/0', '[::1]:8080'] })).toEqual([
    'sallyport.toml:1 allowed_domains "10.1.0.0/16": it is not on the public internet (private), and the address guard comes first: add an exception to private: { host = "…", cidr = "10.1.0.0/16", ports = [443] }',
    'sallyport.toml:4 allowed_domains "[::1]:8080": it is not on the public internet (loopback), and the address guard comes first: add an exception to private: { host = "…", cidr = "::1/128", ports = [443] }',
  ])
})

test('POL-109 the counts are of different patterns, those of files included', () => {
  const { policy } = compile({
    allowed: ['a.example', 'A.example', '*.a.example', '10.0.0.0/8', 'x*.example', '*'],
    denied: ['b.example'],
    files: ['b.example\nc.example\n2001:db8::/32\n', 'c.example\nd*.example\n'],
  })
  expect(policy.counts).toEqual({ allowed: 5, denied: 4 })
})
