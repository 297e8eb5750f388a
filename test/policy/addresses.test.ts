import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ipAddressFromBytes } from '../../src/core/ip-address.ts'
import { type AddressClass, classifyAddress, unmapped } from '../../src/policy/addresses.ts'
import { address } from './ask.ts'

/** The address `by` steps away. */
function step(text: string, by: 1n | -1n): string {
  const { bytes } = address(text)
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  value += by
  const next = new Uint8Array(bytes.length)
  for (let i = next.length - 1; i >= 0; i--) {
    next[i] = Number(value & 0xffn)
    value >>= 8n
  }
  return ipAddressFromBytes(next).text
}

type Range = readonly [
  first: string,
  last: string,
  kind: AddressClass,
  before: AddressClass | undefined,
  after: AddressClass | undefined,
]

/** First, last, one before, one after, and what they are not. */
function misjudged(ranges: readonly Range[]): string[] {
  return ranges.flatMap(([first, last, kind, before, after]) => {
    const rows: [string, AddressClass][] = [
      [first, kind],
      [last, kind],
    ]
    if (before !== undefined) rows.push([step(first, -1n), before])
    if (after !== undefined) rows.push([step(last, 1n), after])
    return rows
      .filter(([text, expected]) => classifyAddress(address(text)) !== expected)
      .map(([text, expected]) => `${text}: ${classifyAddress(address(text))}, not ${expected}`)
  })
}

test('ADDR-20 IPv4: every special-purpose block, to the address', () => {
  expect(
    misjudged([
      ['0.0.0.0', '0.0.0.0', 'unspecified', undefined, 'this-network'],
      ['0.0.0.1', '0.255.255.255', 'this-network', 'unspecified', 'public'],
      ['10.0.0.0', '10.255.255.255', 'private', 'public', 'public'],
      ['100.64.0.0', '100.127.255.255', 'shared', 'public', 'public'],
      ['127.0.0.0', '127.255.255.255', 'loopback', 'public', 'public'],
      ['169.254.0.0', '169.254.255.255', 'link-local', 'public', 'public'],
      ['172.16.0.0', '172.31.255.255', 'private', 'public', 'public'],
      ['192.0.0.0', '192.0.0.255', 'protocol-assignment', 'public', 'public'],
      ['192.0.2.0', '192.0.2.255', 'documentation', 'public', 'public'],
      ['192.88.99.0', '192.88.99.255', '6to4-relay', 'public', 'public'],
      ['192.168.0.0', '192.168.255.255', 'private', 'public', 'public'],
      ['198.18.0.0', '198.19.255.255', 'benchmarking', 'public', 'public'],
      ['198.51.100.0', '198.51.100.255', 'documentation', 'public', 'public'],
      ['203.0.113.0', '203.0.113.255', 'documentation', 'public', 'public'],
      ['224.0.0.0', '239.255.255.255', 'multicast', 'public', 'reserved'],
      ['240.0.0.0', '255.255.255.254', 'reserved', 'multicast', 'broadcast'],
      ['255.255.255.255', '255.255.255.255', 'broadcast', 'reserved', undefined],
    ]),
  ).toEqual([])
})

test('ADDR-21 IPv4: the metadata addresses of clouds, also the one that looks public', () => {
  expect(
    misjudged([
      ['169.254.169.254', '169.254.169.254', 'metadata', 'link-local', 'link-local'],
      ['169.254.170.2', '169.254.170.2', 'metadata', 'link-local', 'link-local'],
      ['169.254.170.23', '169.254.170.23', 'metadata', 'link-local', 'link-local'],
      ['169.254.0.23', '169.254.0.23', 'metadata', 'link-local', 'link-local'],
      ['169.254.42.42', '169.254.42.42', 'metadata', 'link-local', 'link-local'],
      ['168.63.129.16', '168.63.129.16', 'metadata', 'public', 'public'],
      ['100.100.100.200', '100.100.100.200', 'metadata', 'shared', 'shared'],
      ['192.0.0.192', '192.0.0.192', 'metadata', 'protocol-assignment', 'protocol-assignment'],
    ]),
  ).toEqual([])
})

test('ADDR-22 IPv6: nothing is public outside 2000::/3, and not its special blocks', () => {
  expect(
    misjudged([
      ['::', '::', 'unspecified', undefined, 'loopback'],
      ['::1', '::1', 'loopback', 'unspecified', 'this-network'],
      ['::808:808', '::808:808', 'ipv4-compatible', 'ipv4-compatible', 'ipv4-compatible'],
      ['::1:0:0', '::1:0:0', 'reserved', undefined, 'reserved'],
      [
        '64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff',
        '64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff',
        'reserved',
        'reserved',
        'unspecified',
      ],
      ['64:ff9b::1:0:0', '64:ff9b:0:ffff:ffff:ffff:ffff:ffff', 'reserved', undefined, undefined],
      ['64:ff9b:1:808:8:800:808:808', '64:ff9b:1:808:8:800:808:808', 'nat64-local', undefined, undefined],
      ['64:ff9b:2::', '64:ff9b:2::', 'reserved', undefined, 'reserved'],
      ['100::', '100::ffff:ffff:ffff:ffff', 'discard-only', 'reserved', 'reserved'],
      [
        '1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
        '1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
        'reserved',
        'reserved',
        'public',
      ],
      ['2000::', '2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'public', 'reserved', undefined],
      ['2001:1::', '2001:1:ffff:ffff:ffff:ffff:ffff:ffff', 'protocol-assignment', undefined, 'benchmarking'],
      [
        '2001:2::',
        '2001:2:0:ffff:ffff:ffff:ffff:ffff',
        'benchmarking',
        'protocol-assignment',
        'protocol-assignment',
      ],
      ['2001:10::', '2001:1f:ffff:ffff:ffff:ffff:ffff:ffff', 'orchid', 'protocol-assignment', 'orchid'],
      ['2001:20::', '2001:2f:ffff:ffff:ffff:ffff:ffff:ffff', 'orchid', 'orchid', 'protocol-assignment'],
      ['2001:30::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff', 'protocol-assignment', 'orchid', 'public'],
      ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', 'documentation', 'public', 'public'],
      ['2002:808:808::', '2002:808:808:ffff:ffff:ffff:ffff:ffff', '6to4', '6to4', '6to4'],
      ['2003::', '2003::', 'public', undefined, 'public'],
      ['3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', 'documentation', 'public', 'public'],
      [
        '3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
        '3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
        'public',
        'public',
        'reserved',
      ],
      ['5f00::', '5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'segment-routing', 'reserved', 'reserved'],
      ['fc00::', 'fd00:ec1:ffff:ffff:ffff:ffff:ffff:ffff', 'unique-local', 'reserved', 'metadata'],
      ['fd00:ec2::', 'fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff', 'metadata', 'unique-local', 'unique-local'],
      ['fd00:42::42', 'fd00:42::42', 'metadata', 'unique-local', 'unique-local'],
      ['fd20:ce::254', 'fd20:ce::254', 'metadata', 'unique-local', 'unique-local'],
      ['fd21::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'unique-local', 'unique-local', 'reserved'],
      ['fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'link-local', 'reserved', 'site-local'],
      ['fec0::', 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'site-local', 'link-local', 'multicast'],
      ['ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'multicast', 'site-local', undefined],
    ]),
  ).toEqual([])
})

const hex = (bytes: readonly number[]) =>
  `${((bytes[0]! << 8) | bytes[1]!).toString(16)}:${((bytes[2]! << 8) | bytes[3]!).toString(16)}`

/** Every IPv6 form in which somebody would find this IPv4 address. */
function formsOf(ipv4: string): string[] {
  const b = ipv4.split('.').map(Number)
  const inverted = b.map((byte) => byte ^ 0xff)
  const h = hex(b)
  const [b0, b1, b2, b3] = b as [number, number, number, number]
  const two = (high: number, low: number) => ((high << 8) | low).toString(16)
  return [
    `::ffff:${h}`, // mapped
    `::${h}`, // compatible
    `::ffff:0:${h}`, // translated (SIIT)
    `64:ff9b::${h}`, // NAT64
    `64:ff9b:1::${h}`, // local NAT64, prefix of 96 bits
    `64:ff9b:1:${two(b0, b1)}:${two(0, b2)}:${two(b3, 0)}::`, // of 48 bits
    `64:ff9b:1:${two(0, b0)}:${two(0, b1)}:${two(b2, b3)}::`, // of 56 bits
    `64:ff9b:1:0:${two(0, b0)}:${two(b1, b2)}:${two(b3, 0)}:0`, // of 64 bits
    `2002:${h}::1`, // 6to4
    `2001:0:808:808:0:0:${hex(inverted)}`, // Teredo, client
    `2001:0:${h}:0:0:f7f7:f7f7`, // Teredo, server
    `2a00:1450:4001:81b:0:5efe:${h}`, // ISATAP under a public prefix
    `2a00:1450:4001:81b:200:5efe:${h}`, // ISATAP, globally unique
    `fe80::5efe:${h}`, // ISATAP on its link
  ]
}

test('ADDR-23 a non-public IPv4 address stays one in every IPv6 form that hides it', () => {
  const hidden: [string, AddressClass][] = [
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['169.254.169.254', 'metadata'],
    ['168.63.129.16', 'metadata'],
    ['10.0.0.1', 'private'],
    ['10.255.255.255', 'private'],
    ['172.16.0.1', 'private'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'shared'],
    ['198.18.0.1', 'benchmarking'],
    ['224.0.0.1', 'multicast'],
    ['255.255.255.255', 'broadcast'],
    ['240.0.0.1', 'reserved'],
  ]
  const open: string[] = []
  const misnamed: string[] = []
  for (const [ipv4, kind] of hidden)
    for (const form of formsOf(ipv4)) {
      const actual = classifyAddress(address(form))
      if (actual === 'public') open.push(`${ipv4} in ${form}`)
      // Under the local NAT64 prefix the place of the address is not known, so its class need not be.
      if (actual !== kind && !form.startsWith('64:ff9b:1:')) misnamed.push(`${ipv4} in ${form}: ${actual}`)
    }
  expect(open).toEqual([])
  expect(misnamed).toEqual([])
})

test('ADDR-24 of the forms of a public IPv4 address only those are public by which the internet is reached', () => {
  const classes = formsOf('8.8.8.8').map((form) => classifyAddress(address(form)))
  expect(classes).toEqual([
    'public', // mapped: a socket makes it 8.8.8.8
    'ipv4-compatible',
    'ipv4-translated',
    'public', // NAT64: what DNS64 answers on a network without IPv4
    'nat64-local',
    'nat64-local',
    'nat64-local',
    'nat64-local',
    '6to4',
    'teredo',
    'teredo',
    'public', // ISATAP under a public prefix is an address like any other
    'public',
    'link-local',
  ])
})

test('ADDR-25 public addresses are public', () => {
  const texts = [
    '1.1.1.1',
    '8.8.8.8',
    '93.184.216.34',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '223.255.255.255',
  ]
  for (const text of [
    ...texts,
    '2606:4700::1111',
    '2a00:1450:4001:81b::200e',
    '2620:fe::fe',
    '3ffe::1',
    '2400:cb00::1',
  ])
    expect(classifyAddress(address(text)), text).toBe('public')
})

test('ADDR-26 only a mapped address is another spelling of an IPv4 address', () => {
  expect(unmapped(address('::ffff:192.0.2.1')).text).toBe('192.0.2.1')
  for (const text of [
    '192.0.2.1',
    '::192.0.2.1',
    '64:ff9b::192.0.2.1',
    '::fffe:192.0.2.1',
    '1::ffff:192.0.2.1',
  ])
    expect(unmapped(address(text)).text, text).toBe(address(text).text)
})

test('ADDR-27 property: whatever is public is global unicast by its first bits, mapped and NAT64 aside', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.boolean(), (bytes, low) => {
      const shaped = Uint8Array.from(bytes)
      // Random addresses seldom begin as anything does: half of them get a beginning of the special kind.
      if (low) shaped.set([0, 0x64, 0xff, 0x9b, 0, bytes[5]! & 1, 0, 0].slice(0, bytes[6]! % 9))
      const kind = classifyAddress(ipAddressFromBytes(shaped))
      if (kind !== 'public') return
      const text = ipAddressFromBytes(shaped).text
      expect((shaped[0]! & 0xe0) === 0x20 || /^(?:::ffff:|64:ff9b::)/.test(text), text).toBe(true)
    }),
    { numRuns: 5000 },
  )
})
