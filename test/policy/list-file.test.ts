import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { readList } from '../../src/policy/list-file.ts'
import { InvalidPattern, parsePattern, patternText, SCOPE_PREFIX } from '../../src/policy/pattern.ts'
import { compile, policyOf, ask } from './ask.ts'

/** What each line came to: its number and the canonical pattern, or the problem. */
function read(text: string | Uint8Array): string[] {
  const lines: string[] = []
  readList(typeof text === 'string' ? Buffer.from(text) : text, {
    name: (bytes, start, end, scope, line) =>
      lines.push(
        `${line} ${SCOPE_PREFIX[scope]}${Buffer.from(bytes.subarray(start, end)).toString('latin1')}`,
      ),
    pattern: (pattern, _text, line) => lines.push(`${line} ${patternText(pattern)}`),
    problem: (entry, line, { problem }) => lines.push(`${line} ${entry}: ${problem}`),
  })
  return lines
}

test('POL-40 one pattern a line; comments, blank lines, CR LF, white space and a missing last line end are fine', () => {
  const text = [
    '# a list',
    'one.example',
    '',
    '*.two.example\r',
    '  **.three.example  ',
    '\t',
    'four.example # why',
    'five.example#why',
    '#six.example',
    'SEVEN.example.',
    'bücher.example',
    'xn--bcher-kva.example',
    'region*.example',
    '192.0.2.1',
    '2001:db8::/32',
    'eight.example:8443',
    '1.example',
    'last.example',
  ].join('\n')
  expect(read(text)).toEqual([
    '2 one.example',
    '4 *.two.example',
    '5 **.three.example',
    '7 four.example',
    '8 five.example',
    '10 seven.example',
    '11 xn--bcher-kva.example',
    '12 xn--bcher-kva.example',
    '13 region*.example',
    '14 192.0.2.1',
    '15 [2001:db8::]/32',
    '16 eight.example:8443',
    '17 1.example',
    '18 last.example',
  ])
  expect(read('\ufeffone.example\n')).toEqual(['1 one.example'])
  expect(read('')).toEqual([])
  expect(read('\n\n\n')).toEqual([])
})

test('POL-41 a hosts file is read as its names, without those of the machine itself', () => {
  const text = [
    '127.0.0.1 localhost',
    '127.0.0.1 localhost.localdomain',
    '::1 localhost',
    '::1 ip6-localhost ip6-loopback',
    'fe80::1%lo0 localhost',
    '255.255.255.255 broadcasthost',
    '0.0.0.0 0.0.0.0',
    '0.0.0.0 ads.example',
    '127.0.0.1 tracker.example',
    '0.0.0.0\ttab.example',
    '0.0.0.0   several.example also.example localhost # and a comment',
    '0.0.0.0 UPPER.example\r',
    '0.0.0.0',
  ].join('\n')
  expect(read(text)).toEqual([
    '8 ads.example',
    '9 tracker.example',
    '10 tab.example',
    '11 several.example',
    '11 also.example',
    '12 upper.example',
    '13 0.0.0.0',
  ])
})

test('POL-42 only 0.0.0.0 and 127.0.0.1 make a line of a hosts file', () => {
  expect(read('192.0.2.7 intranet.example\n::1 ads.example\n10.0.0.1 a.example b.example')).toEqual([
    '1 192.0.2.7 intranet.example: it contains white space',
    '2 ::1 ads.example: it contains white space',
    '3 10.0.0.1 a.example b.example: it contains white space',
  ])
})

test('POL-43 a line that stands for nothing is a problem with its number, and the others are read all the same', () => {
  const text =
    'good.example\nhttps://bad.example/\n||ad.example^\nbad..example\n0.0.0.0 -x.example ok.example\nlast.example'
  expect(read(text)).toEqual([
    '1 good.example',
    '2 https://bad.example/: it is a URL; a pattern has no scheme and no path',
    '3 ||ad.example^: it is a rule of an ad blocker',
    '4 bad..example: a label is empty',
    '5 -x.example: a label begins or ends with a hyphen',
    '5 ok.example',
    '6 last.example',
  ])
})

test('POL-44 bytes that are no text, and lines without an end, are problems and nothing worse', () => {
  expect(read(Uint8Array.from([0xff, 0xfe, 0x61, 0x0a, 0x62, 0x0a]))).toHaveLength(2)
  expect(read('a\0b.example')).toEqual(['1 a\0b.example: a host may not contain control characters'])
  const [problem] = read('a'.repeat(10_000_000))
  expect(problem).toBe(`1 ${'a'.repeat(60)}…: the line is too long`)
})

test('POL-45 at most twenty problems of a file are told, and then how many more there are', () => {
  const bad = Array.from({ length: 50 }, (_, i) => `bad ${i}`).join('\n')
  const { problems } = compile({ files: [`ok.example\n${bad}\n*\n`, 'also bad\n'] })
  expect(problems).toHaveLength(22)
  expect(problems[0]).toEqual({
    field: 'denied_domains_files',
    value: 'bad 0',
    source: { file: 'list-1.txt', line: 2 },
    problem: 'it contains white space',
    remedy: 'write one pattern an entry',
  })
  expect(problems[20]).toEqual({
    field: 'denied_domains_files',
    value: 'list-1.txt',
    source: { file: 'list-1.txt', line: 22 },
    problem: '31 more entries of this file are not patterns',
    remedy: 'check that the file is a list of domains or a hosts file, one pattern a line',
  })
  expect(problems[21]?.source).toEqual({ file: 'list-2.txt', line: 1 })
})

test('POL-46 the rule of a list file is named by file and line, and an earlier entry is the one that is named', () => {
  const policy = policyOf({
    denied: ['twice.example'],
    files: [
      '# list\nads.example\n*.wild.example\ntwice.example\nport.example:443\n',
      'ads.example\nonly.example\n',
    ],
  })
  const ruleOf = (host: string) => {
    const decision = ask(policy, host)
    return decision.kind === 'deny' && decision.rule
      ? `${decision.rule.source?.file}:${decision.rule.source?.line} ${decision.rule.text}`
      : decision.kind
  }
  expect(ruleOf('ads.example')).toBe('list-1.txt:2 ads.example')
  expect(ruleOf('a.b.wild.example')).toBe('list-1.txt:3 *.wild.example')
  expect(ruleOf('wild.example')).toBe('hold')
  expect(ruleOf('twice.example')).toBe('sallyport.toml:1 twice.example')
  expect(ruleOf('only.example')).toBe('list-2.txt:2 only.example')
  expect(ruleOf('port.example:443')).toBe('list-1.txt:5 port.example:443')
  expect(ruleOf('port.example:80')).toBe('hold')
})

/** A text for a line, mostly near to names. */
const lineLike = fc.oneof(
  fc.domain(),
  fc
    .array(
      fc.constantFrom(
        'a',
        'Z',
        '1',
        '-',
        '_',
        '.',
        '*.',
        '**.',
        'xn--',
        'é',
        ':80',
        '0.0.0.0 ',
        '127.0.0.1 ',
        '0x',
      ),
      {
        maxLength: 10,
      },
    )
    .map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 40 }),
)

test('POL-47 property: the fast way and parsePattern agree on every line', () => {
  fc.assert(
    fc.property(lineLike, (line) => {
      // What only lists know is tested above.
      if (/[#\n\ud800-\udfff]/.test(line) || /\s\S/.test(line.trim()) || line.startsWith('\ufeff')) return
      if (line.trim() === '') return
      let expected: string
      try {
        expected = `1 ${patternText(parsePattern(line))}`
      } catch (error) {
        expected = `1 ${line.trim()}: ${(error as InvalidPattern).problem}`
      }
      expect(read(line)).toEqual([expected])
    }),
    { numRuns: 5000 },
  )
})

test('POL-48 property: no bytes make it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      read(bytes)
    }),
    { numRuns: 2000 },
  )
})
