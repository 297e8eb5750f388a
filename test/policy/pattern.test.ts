import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseHost } from '../../src/core/hostname.ts'
import { matchesLabel } from '../../src/policy/glob.ts'
import { InvalidPattern, matchesHost, parsePattern, patternText } from '../../src/policy/pattern.ts'

function outcome(text: string): string {
  try {
    return patternText(parsePattern(text))
  } catch (error) {
    if (error instanceof InvalidPattern) return `${error.problem}: ${error.remedy}`
    throw error
  }
}

function wrong(rows: readonly (readonly [string, string])[]): string[] {
  return rows
    .filter(([text, expected]) => outcome(text) !== expected)
    .map(([text, expected]) => `${JSON.stringify(text)}: ${outcome(text)}, not ${expected}`)
}

test('POL-01 every form of a pattern is read, and has one canonical text', () => {
  expect(
    wrong([
      ['example.com', 'example.com'],
      ['EXAMPLE.com.', 'example.com'],
      ['  example.com ', 'example.com'],
      ['*.example.com', '*.example.com'],
      ['**.example.com', '**.example.com'],
      ['**.Example.COM.', '**.example.com'],
      ['*', '*'],
      ['*:8443', '*:8443'],
      ['example.com:8443', 'example.com:8443'],
      ['*.example.com:8443', '*.example.com:8443'],
      ['localhost', 'localhost'],
      ['bücher.example', 'xn--bcher-kva.example'],
      ['*.BÜCHER.example:443', '*.xn--bcher-kva.example:443'],
      ['*。bücher。example', '*.xn--bcher-kva.example'],
      ['_dmarc.example.com', '_dmarc.example.com'],
      ['region*.example.net', 'region*.example.net'],
      ['Region-?.example.net:8443', 'region-?.example.net:8443'],
      ['a.*.example.com', 'a.*.example.com'],
      ['*.*.example.com', '*.*.example.com'],
      ['**.cdn-*.example.com', '**.cdn-*.example.com'],
      ['a*b?c.bücher.example', 'a*b?c.xn--bcher-kva.example'],
      ['worker-*', 'worker-*'],
      ['192.0.2.1', '192.0.2.1'],
      ['192.0.2.1:8080', '192.0.2.1:8080'],
      ['[2001:DB8::0:1]', '[2001:db8::1]'],
      ['[2001:db8::1]:8080', '[2001:db8::1]:8080'],
      ['[::ffff:192.0.2.1]', '192.0.2.1'],
      ['10.1.2.0/24', '10.1.2.0/24'],
      ['10.1.2.0/24:8080', '10.1.2.0/24:8080'],
      ['0.0.0.0/0', '0.0.0.0/0'],
      ['10.1.2.3/32', '10.1.2.3'],
      ['2001:db8::/32', '[2001:db8::]/32'],
      ['[2001:db8::]/32', '[2001:db8::]/32'],
      ['[2001:db8::]/32:443', '[2001:db8::]/32:443'],
      ['2001:db8::/32:443', '[2001:db8::]/32:443'],
      ['[::ffff:10.0.0.0]/104', '10.0.0.0/8'],
      ['::/0', '[::]/0'],
    ]),
  ).toEqual([])
})

const FORMS =
  'write a host (example.com), *.example.com for its subdomains, **.example.com for both, an address, or a network (10.1.2.0/24)'

test('POL-02 anything else is an error that says what is wrong and what to write instead', () => {
  expect(
    wrong([
      ['', `the entry is empty: ${FORMS}`],
      ['   ', `the entry is empty: ${FORMS}`],
      ['https://example.com/', 'it is a URL; a pattern has no scheme and no path: write example.com'],
      [
        'HTTP://example.com:8080/a?b',
        'it is a URL; a pattern has no scheme and no path: write example.com:8080',
      ],
      ['https://user:pw@example.com', 'it is a URL; a pattern has no scheme and no path: write example.com'],
      ['https://', 'it is a URL; a pattern has no scheme and no path: write the host alone'],
      ['example.com/path', 'it contains a path; a pattern is a host: write example.com'],
      ['example.com/', 'it contains a path; a pattern is a host: write example.com'],
      ['/path', 'it contains a path; a pattern is a host: write the host alone'],
      ['user@example.com', 'it contains user information (…@): write example.com'],
      ['||ads.example^', 'it is a rule of an ad blocker: write **.ads.example'],
      ['@@||ads.example^$third-party', 'it is a rule of an ad blocker: write **.ads.example'],
      ['!example.com', 'a pattern cannot be negated: write the entry without the sign in the other list'],
      ['a.example b.example', 'it contains white space: write one pattern an entry'],
      ['{a,b}.example.com', 'braces are not part of a pattern: write one entry for each alternative'],
      ['example\\.com', `a backslash is not part of a pattern: ${FORMS}`],
      ['ex%61mple.com', `'%' is not part of a pattern: ${FORMS}`],
      [
        '.example.com',
        'it begins with a dot: write **.example.com for the host and its subdomains, or *.example.com for the subdomains alone',
      ],
      [
        '..example.com',
        'it begins with a dot: write **.example.com for the host and its subdomains, or *.example.com for the subdomains alone',
      ],
      ['.', `it begins with a dot: ${FORMS}`],
      ['*.', 'nothing follows *.: write * for every host'],
      ['**.', 'nothing follows **.: write * for every host'],
      ['**', 'it is not a pattern: write * for every host'],
      ['***', 'it is not a pattern: write * for every host'],
      [
        'a.**.example.com',
        '** may only be the first label: write **.example.com for example.com and its subdomains, or one * for one label',
      ],
      [
        'a**.example.com',
        '** may only be the first label: write **.example.com for example.com and its subdomains, or one * for one label',
      ],
      [
        '**example.com',
        '** may only be the first label: write **.com for com and its subdomains, or one * for one label',
      ],
      [
        '***.example.com',
        '** may only be the first label: write **.example.com for example.com and its subdomains, or one * for one label',
      ],
      ['**.**', '** may only be the first label: write **.example.com for example.com and its subdomains'],
      ['example.*', 'the last label may not be a wildcard: write one entry for each name that you mean'],
      ['*.*', 'the last label may not be a wildcard: write one entry for each name that you mean'],
      ['10.1.2.*', 'a wildcard never matches an address: write the network, such as 10.1.2.0/24'],
      ['192.168.*.*', 'a wildcard never matches an address: write the network, such as 192.168.0.0/16'],
      ['10.*', 'a wildcard never matches an address: write the network, such as 10.0.0.0/8'],
      ['1*.2.3.4', `a wildcard never matches an address: ${FORMS}`],
      ['*.192.0.2.1', 'an address has no subdomains: write 192.0.2.1, or a network such as 10.1.2.0/24'],
      ['a*.example.1?', `a name does not end in a number: ${FORMS}`],
      [
        'bü*.example',
        'a label with a wildcard may hold a to z, 0 to 9, hyphen and underscore only: write internationalised labels as xn--…, or without the wildcard',
      ],
      [
        'a[0-9]*.example',
        'a label with a wildcard may hold a to z, 0 to 9, hyphen and underscore only: write internationalised labels as xn--…, or without the wildcard',
      ],
      ['-*.example', `a label begins or ends with a hyphen: ${FORMS}`],
      ['*-.example', `a label begins or ends with a hyphen: ${FORMS}`],
      [`*${'a'.repeat(64)}.example`, `a label is longer than 63 characters: ${FORMS}`],
      ['a*..example', `a label is empty: ${FORMS}`],
      ['example..com', `a label is empty: ${FORMS}`],
      ['example.com..', `a label is empty: ${FORMS}`],
      ['127.1', `a numeric host must be a dotted-decimal IPv4 address such as 192.0.2.1: ${FORMS}`],
      ['xn--a.example', `a label that begins with xn-- is not valid: ${FORMS}`],
      ['a*.xn--a.example', `a label that begins with xn-- is not valid: ${FORMS}`],
      ['a'.repeat(2000), `it is longer than any host: ${FORMS}`],
      ['example.com:', 'the port is not a number: write example.com for every port'],
      ['example.com:*', 'the port is not a number: write example.com for every port'],
      [
        'example.com:0',
        'the port must be a number from 1 to 65535: write example.com:443, or example.com for every port',
      ],
      [
        'example.com:65536',
        'the port must be a number from 1 to 65535: write example.com:443, or example.com for every port',
      ],
      [
        'example.com:https',
        'the port must be a number from 1 to 65535: write example.com:443, or example.com for every port',
      ],
      [
        'example.com:80,443',
        'a pattern names one port, not several: write one entry a port, such as example.com:80',
      ],
      [
        'example.com:8000-9000',
        'a pattern names one port, not several: write one entry a port, such as example.com:8000',
      ],
      [':443', 'the host is missing: write *:443 for one port of every host'],
      ['example.com:80:90', `it has several colons: ${FORMS}; an IPv6 address stands in brackets`],
      ['2001:db8::1', 'an IPv6 address must stand in brackets: write [2001:db8::1]'],
      ['::1', 'an IPv6 address must stand in brackets: write [::1]'],
      ['[::1', 'a bracket is not closed: write [::1]'],
      ['[::1]80', 'only a port may follow the bracket: write [::1]'],
      ['[::1]:', 'the port is not a number: write [::1] for every port'],
      ['[example.com]', `brackets may hold an IPv6 address only: ${FORMS}`],
      [
        '10.1.2.3/24',
        'bits are set after the first 24: write 10.1.2.0/24 for the network, or 10.1.2.3/32 for the one address',
      ],
      [
        '2001:db8::1/32',
        'bits are set after the first 32: write 2001:db8::/32 for the network, or 2001:db8::1/128 for the one address',
      ],
      [
        '10.0.0.0/33',
        'the length of the prefix must be a number from 0 to 32: write 10.0.0.0/32 for this one address',
      ],
      [
        '10.0.0.0/',
        'the length of the prefix must be a number from 0 to 32: write 10.0.0.0/32 for this one address',
      ],
      [
        '10.0.0.0/08',
        'the length of the prefix must be a number from 0 to 32: write 10.0.0.0/32 for this one address',
      ],
      [
        '10.0.0.0/255.0.0.0',
        'the length of the prefix must be a number from 0 to 32: write 10.0.0.0/32 for this one address',
      ],
      [
        '2001:db8::/129',
        'the length of the prefix must be a number from 0 to 128: write 2001:db8::/128 for this one address',
      ],
      [
        '10.0.0/24',
        "it is not a network in CIDR notation: write the network's first address and the length of its prefix, such as 10.1.2.0/24",
      ],
      [
        '[10.0.0.0]/8',
        "it is not a network in CIDR notation: write the network's first address and the length of its prefix, such as 10.1.2.0/24",
      ],
    ]),
  ).toEqual([])
})

test('POL-03 what a pattern matches', () => {
  const rows: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    [
      'example.com',
      ['example.com', 'EXAMPLE.COM.'],
      ['www.example.com', 'notexample.com', 'example.com.evil.test', 'com'],
    ],
    [
      '*.example.com',
      ['a.example.com', 'a.b.c.example.com'],
      ['example.com', 'aexample.com', 'example.com.a'],
    ],
    [
      '**.example.com',
      ['example.com', 'a.example.com', 'a.b.example.com'],
      ['aexample.com', 'com', 'example.org'],
    ],
    ['*', ['example.com', 'localhost', 'a.b.c'], ['192.0.2.1', '[::1]']],
    [
      'region*.example.net',
      ['region.example.net', 'region-1.example.net'],
      ['a.region.example.net', 'region.a.example.net', 'regio.example.net', 'example.net'],
    ],
    [
      'region?.example.net',
      ['region1.example.net'],
      ['region.example.net', 'region12.example.net', 'region1.x.example.net'],
    ],
    [
      'a.*.example.com',
      ['a.b.example.com', 'a.xyz.example.com'],
      ['a.example.com', 'a.b.c.example.com', 'b.a.example.com', 'x.a.b.example.com'],
    ],
    ['*.*.example.com', ['a.b.example.com', 'a.b.c.example.com'], ['a.example.com', 'example.com']],
    ['**.a*.example.com', ['ab.example.com', 'x.y.a.example.com'], ['b.example.com', 'a.b.example.com']],
    ['*.a*.example.com', ['x.ab.example.com', 'x.y.a.example.com'], ['ab.example.com']],
    ['*a*.example.com', ['a.example.com', 'bab.example.com'], ['b.example.com', 'a.b.example.com']],
    ['worker-*', ['worker-1', 'worker-'.concat('x')], ['worker-1.example', 'worker']],
    ['bücher.example', ['xn--bcher-kva.example', 'BÜCHER.example', 'bücher。example'], ['bucher.example']],
    [
      '192.0.2.1',
      ['192.0.2.1', '[::ffff:192.0.2.1]', '[::ffff:c000:201]'],
      ['192.0.2.2', '[::192.0.2.1]', 'a192.0.2.1.nip.io'],
    ],
    [
      '10.1.2.0/24',
      ['10.1.2.0', '10.1.2.255', '[::ffff:10.1.2.7]'],
      ['10.1.1.255', '10.1.3.0', '[2001:db8::a01:200]'],
    ],
    ['10.1.2.0/23', ['10.1.2.0', '10.1.3.255'], ['10.1.1.255', '10.1.4.0']],
    ['[2001:db8::1]', ['[2001:DB8:0::1]'], ['[2001:db8::2]']],
    [
      '2001:db8::/33',
      ['[2001:db8::]', '[2001:db8:7fff:ffff::1]'],
      ['[2001:db8:8000::]', '[2001:db9::]', '32.1.13.184'],
    ],
    ['0.0.0.0/0', ['0.0.0.0', '255.255.255.255', '[::ffff:1.2.3.4]'], ['[::1]', 'example.com']],
    ['::/0', ['[::1]', '[ffff::]'], ['1.2.3.4', 'example.com']],
  ]
  const wrongly = rows.flatMap(([text, yes, no]) => {
    const pattern = parsePattern(text)
    const matches = (host: string) => matchesHost(pattern, parseHost(host))
    return [
      ...yes.filter((host) => !matches(host)).map((host) => `${text} does not match ${host}`),
      ...no.filter(matches).map((host) => `${text} matches ${host}`),
    ]
  })
  expect(wrongly).toEqual([])
})

test('POL-04 property: a glob matches a label exactly where the regular expression would', () => {
  const globs = fc.array(fc.constantFrom('a', 'b', '-', '*', '?'), { maxLength: 10 })
  const labels = fc.array(fc.constantFrom('a', 'b', '-'), { maxLength: 10 })
  fc.assert(
    fc.property(globs, labels, (glob, label) => {
      const source = glob.map((part) => (part === '*' ? '.*' : part === '?' ? '.' : part)).join('')
      expect(matchesLabel(glob.join(''), label.join(''))).toBe(new RegExp(`^${source}$`).test(label.join('')))
    }),
    { numRuns: 5000 },
  )
})

test('POL-05 a glob made to backtrack takes no time', () => {
  const start = performance.now()
  for (let i = 0; i < 1000; i++) expect(matchesLabel(`${'a*'.repeat(31)}b`, 'a'.repeat(63))).toBe(false)
  expect(performance.now() - start).toBeLessThan(2000)
})

const patternLike = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc
    .array(
      fc.constantFrom(
        '*',
        '**',
        '?',
        '.',
        ':',
        '/',
        '[',
        ']',
        'a',
        'xn--',
        '1',
        '24',
        '-',
        'ü',
        '%',
        '@',
        '。',
        '2001:db8::',
      ),
      {
        maxLength: 12,
      },
    )
    .map((parts) => parts.join('')),
)

test('POL-06 property: no text makes parsePattern throw anything but InvalidPattern, with a problem and a remedy', () => {
  fc.assert(
    fc.property(patternLike, (text) => {
      try {
        parsePattern(text)
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidPattern)
        expect((error as InvalidPattern).problem).not.toBe('')
        expect((error as InvalidPattern).remedy).not.toBe('')
      }
    }),
    { numRuns: 5000 },
  )
})

test('POL-07 property: the canonical text of a pattern is a pattern that means the same', () => {
  fc.assert(
    fc.property(patternLike, (text) => {
      let canonical: string
      try {
        canonical = patternText(parsePattern(text))
      } catch {
        return
      }
      expect(patternText(parsePattern(canonical))).toBe(canonical)
    }),
    { numRuns: 5000 },
  )
})

test('POL-08 entries of a million characters are refused at once', () => {
  const start = performance.now()
  for (const unit of ['*', 'a.', '*.', 'a*', '[', ':', '/', '@', 'http://', '||', '0.'])
    expect(() => parsePattern(unit.repeat(1_000_000))).toThrow(InvalidPattern)
  expect(performance.now() - start).toBeLessThan(2000)
})
