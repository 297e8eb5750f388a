import { domainToASCII } from 'node:url'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { InvalidHost, parseHost } from '../../src/core/hostname.ts'

function textOf(text: string): string {
  const host = parseHost(text)
  return `${host.kind} ${host.text}`
}

function problemOf(text: string): string {
  try {
    parseHost(text)
  } catch (error) {
    if (error instanceof InvalidHost) return error.problem
    throw error
  }
  return 'none'
}

/** What each row came to, for those that came to something else. */
function wrong(rows: readonly (readonly [string, string])[], actual: (text: string) => string): string[] {
  return rows
    .filter(([text, expected]) => actual(text) !== expected)
    .map(([text, expected]) => `${JSON.stringify(text)}: ${actual(text)}, not ${expected}`)
}

test('HOST-01 every spelling of a name comes to the same lower-case A-labels', () => {
  const rows = [
    ['example.com', 'name example.com'],
    ['EXAMPLE.com', 'name example.com'],
    ['example.com.', 'name example.com'],
    ['ExAmPlE.CoM.', 'name example.com'],
    ['localhost', 'name localhost'],
    ['a', 'name a'],
    ['_dmarc.example.com', 'name _dmarc.example.com'],
    ['a-b.c--d.example', 'name a-b.c--d.example'],
    ['1.2.3.4.example', 'name 1.2.3.4.example'],
    ['127.0.0.1.nip.io', 'name 127.0.0.1.nip.io'],
    ['0xg.com', 'name 0xg.com'],
    ['bücher.example', 'name xn--bcher-kva.example'],
    ['BÜCHER.example', 'name xn--bcher-kva.example'],
    ['xn--bcher-kva.example', 'name xn--bcher-kva.example'],
    ['XN--BCHER-KVA.example', 'name xn--bcher-kva.example'],
    ['ｅｘａｍｐｌｅ.com', 'name example.com'],
    ['example。com', 'name example.com'],
    ['example．com｡', 'name example.com'],
    ['exa\u00admple.com', 'name example.com'],
    ['\u212aernel.org', 'name kernel.org'],
    ['faß.de', 'name xn--fa-hia.de'],
    ['☃.net', 'name xn--n3h.net'],
    [`${'a'.repeat(63)}.example`, `name ${'a'.repeat(63)}.example`],
    [`${'abc.'.repeat(63)}a`, `name ${'abc.'.repeat(63)}a`],
    [`${'abc.'.repeat(63)}a.`, `name ${'abc.'.repeat(63)}a`],
  ] as const
  expect(wrong(rows, textOf)).toEqual([])
})

test('HOST-02 addresses have one spelling, and IPv6 stands in brackets', () => {
  const rows = [
    ['127.0.0.1', 'address 127.0.0.1'],
    ['255.255.255.255', 'address 255.255.255.255'],
    ['192.0.2.1.', 'address 192.0.2.1'],
    ['[::1]', 'address ::1'],
    ['[2001:DB8:0:0:0:0:0:1]', 'address 2001:db8::1'],
    ['[2001:db8::0001]', 'address 2001:db8::1'],
    ['[::ffff:127.0.0.1]', 'address ::ffff:7f00:1'],
  ] as const
  expect(wrong(rows, textOf)).toEqual([])
})

test('HOST-03 an address that is not spelled in dotted decimal is refused, whatever a resolver would make of it', () => {
  const NUMERIC = 'a numeric host must be a dotted-decimal IPv4 address such as 192.0.2.1'
  const spellings = [
    '0',
    '1',
    '127.1',
    '127.0.1',
    '2130706433',
    '017700000001',
    '0x7f000001',
    '0x7f.1',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '127.0.0.01',
    '127.0.0.001',
    '00.0.0.0',
    '127.0.0.0x1',
    '0x7F.0x0.0x0.0x1',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.1.1.256',
    '1.2.3.999',
    '4294967296',
    'example.0x',
    'example.1',
    'a.0x1f',
    '127.1.',
    '0x7f.1.',
    '2130706433.',
    '169.254.43518',
    '0xa9fea9fe',
    '10.1',
    '0XA9FEA9FE',
  ]
  expect(
    wrong(
      spellings.map((text) => [text, NUMERIC] as const),
      problemOf,
    ),
  ).toEqual([])
})

test('HOST-04 a name that UTS 46 would turn into an address is refused', () => {
  const BAD = 'it is not a valid internationalised name (UTS 46)'
  const spellings = [
    '１２７.0.0.1',
    '127。0。0。１',
    '①②⑦.0.0.1',
    '０x7f.1',
    '2130706433。',
    '１.２.３.４.',
    '1２7.1',
  ]
  const rows = spellings.filter((text) => !/^[\x20-\x7e]*$/.test(text)).map((text) => [text, BAD] as const)
  expect(rows.length).toBe(spellings.length)
  const accepted = rows.filter(([text]) => problemOf(text) === 'none')
  expect(accepted).toEqual([])
})

test('HOST-05 what is not a host is refused, and the problem says why', () => {
  const rows = [
    ['', 'the host is empty'],
    ['.', 'a label is empty'],
    ['..', 'a label is empty'],
    ['example..com', 'a label is empty'],
    ['.example.com', 'a label is empty'],
    ['denied.test..', 'a label is empty'],
    ['example.com。.', 'a label is empty'],
    ['a b', 'a host may not contain white space'],
    [' example.com', 'a host may not contain white space'],
    ['example.com\t', 'a host may not contain white space'],
    ['evil\0.example.com', 'a host may not contain control characters'],
    ['evil\n.example.com', 'a host may not contain control characters'],
    ['example.com\x7f', 'a host may not contain control characters'],
    ['user@example.com', 'user information (…@) is not permitted'],
    ['example.com:80', 'an IPv6 address must stand in brackets'],
    ['::1', 'an IPv6 address must stand in brackets'],
    ['ex%61mple.com', "a host may not contain '%'"],
    ['example.com/', "a host may not contain '/'"],
    ['example\\.com', "a host may not contain '\\'"],
    ['*.example.com', "a host may not contain '*'"],
    ['exam!ple', "a host may not contain '!'"],
    ['[example.com]', 'brackets may hold an IPv6 address only'],
    ['[127.0.0.1]', 'brackets may hold an IPv6 address only'],
    ['[]', 'brackets may hold an IPv6 address only'],
    ['[::1', 'a bracket is not closed'],
    ['[::1]x', 'a bracket is not closed'],
    ['[', 'a bracket is not closed'],
    ['[[::1]]', 'brackets may hold an IPv6 address only'],
    ['[fe80::1%25eth0]', 'an IPv6 address with a zone id is only meaningful on one machine'],
    ['[fe80::1%eth0]', 'an IPv6 address with a zone id is only meaningful on one machine'],
    ['[::1%25.example.com]', 'an IPv6 address with a zone id is only meaningful on one machine'],
    ['-a.example', 'a label begins or ends with a hyphen'],
    ['a-.example', 'a label begins or ends with a hyphen'],
    [`${'a'.repeat(64)}.example`, 'a label is longer than 63 characters'],
    [`${'abc.'.repeat(63)}ab`, 'the host is longer than 253 characters'],
    ['a'.repeat(100_000), 'the host is longer than 253 characters'],
    ['ü'.repeat(100_000), 'the host is longer than 253 characters'],
    ['\ud800.example', 'it is not a valid internationalised name (UTS 46)'],
    ['a\u200db.example', 'it is not a valid internationalised name (UTS 46)'],
    ['example.com／x', 'it is not a valid internationalised name (UTS 46)'],
    ['xn--é.example', 'it mixes Unicode labels and labels that begin with xn--'],
    ['é.xn--9ca', 'it mixes Unicode labels and labels that begin with xn--'],
    ['é。XN--9ca', 'it mixes Unicode labels and labels that begin with xn--'],
  ] as const
  expect(wrong(rows, problemOf)).toEqual([])
})

test('HOST-06 an A-label that is not the one spelling of what it stands for is refused', () => {
  // Punycode of: a control character, É (lower case is canonical), ﬁ (fi), a plain letter, soft hyphen and é, e and a
  // combining accent, a full-width digit, mixed directions, an empty label; and what does not decode at all.
  const labels = [
    'xn--a',
    'xn--dca',
    'xn--jm6c',
    'xn--a-',
    'xn--abc-',
    'xn--kba4j',
    'xn--e-xbb',
    'xn--8g7c',
    'xn--a-zhc',
    'xn--',
    'xn---',
    'xn--99999999',
    'xn--9',
    'xn--0-0hc',
  ]
  const accepted = labels
    .flatMap((label) => [label, `${label}.example`, `www.${label}.de`])
    .filter((text) => {
      return problemOf(text) === 'none'
    })
  expect(accepted).toEqual([])
  // The same check lets through what is canonical.
  expect(textOf('xn--9ca.xn--fa-hia.xn--ls8h.de')).toBe('name xn--9ca.xn--fa-hia.xn--ls8h.de')
})

/** Texts that look like hosts more often than random ones do. */
const hostLike = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc
    .array(fc.constantFrom(...'aZ9-_.xn--éß。．１%[]:@*\0 İſK'), { maxLength: 24 })
    .map((parts) => parts.join('')),
  fc.domain(),
  fc.ipV4(),
  fc.ipV6().map((text) => `[${text}]`),
)

function hostOrUndefined(text: string): string | undefined {
  return problemOf(text) === 'none' ? textOf(text).slice(textOf(text).indexOf(' ') + 1) : undefined
}

test('HOST-07 property: parseHost is idempotent, and its output is plain, short, and without a second form', () => {
  fc.assert(
    fc.property(hostLike, (text) => {
      const host = hostOrUndefined(text)
      if (host === undefined) return
      const again = parseHost(host.includes(':') ? `[${host}]` : host)
      expect(again.text).toBe(host)
      expect(host.length).toBeLessThanOrEqual(253)
      expect(host).toMatch(/^[a-z0-9._:-]+$/)
      if (!host.includes(':')) expect(domainToASCII(host)).toBe(host)
    }),
    { numRuns: 5000 },
  )
})

test('HOST-08 property: letter case and one trailing dot never make another host', () => {
  fc.assert(
    fc.property(fc.domain(), (name) => {
      const host = hostOrUndefined(name)
      expect(hostOrUndefined(name.toUpperCase())).toBe(host)
      expect(hostOrUndefined(`${name}.`)).toBe(host)
      expect(hostOrUndefined(`${name}..`)).toBeUndefined()
    }),
  )
})

test('HOST-09 property: no text makes parseHost throw anything but InvalidHost', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (text) => {
      problemOf(text)
    }),
    { numRuns: 3000 },
  )
})

test('HOST-10 a text of a million characters is refused without being read to its end more than once', () => {
  const texts = ['a.', 'é.', 'xn--a.', '１.', '[', ':', '-', 'A'].map((unit) => unit.repeat(1_000_000))
  const start = performance.now()
  for (const text of texts) expect(problemOf(text)).not.toBe('none')
  // Quadratic would take minutes.
  expect(performance.now() - start).toBeLessThan(5000)
})
