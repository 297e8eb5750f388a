import { isIPv4, isIPv6 } from 'node:net'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ipAddressFromBytes, parseIpAddress, parseIpv4, parseIpv6 } from '../../src/core/ip-address.ts'

test('ADDR-01 IPv4 is four decimal numbers without leading zeros', () => {
  expect([...parseIpv4('192.0.2.255')!.bytes]).toEqual([192, 0, 2, 255])
  const bad = [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.04',
    '1..2.3',
    '.1.2.3',
    '1.2.3.',
    ' 1.2.3.4',
  ]
  for (const text of [
    ...bad,
    '1.2.3.4 ',
    '+1.2.3.4',
    '1.2.3.-4',
    '0x1.2.3.4',
    '1.2.3.4a',
    '１.2.3.4',
    '1.2.3.4\0',
  ])
    expect(parseIpv4(text), text).toBeUndefined()
})

test('ADDR-02 IPv6 has one text, whatever the spelling (RFC 5952)', () => {
  const rows = [
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8::A', '2001:db8::a'],
    ['2001:0db8:0000:0000:0000:0000:0000:000a', '2001:db8::a'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8::1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:192.0.2.1', '1:2:3:4:5:6:c000:201'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ] as const
  for (const [text, expected] of rows) expect(parseIpv6(text)?.text, text).toBe(expected)
})

test('ADDR-03 what is not an IPv6 address is not one', () => {
  const bad = [
    '',
    ':',
    ':::',
    '1',
    '1:',
    ':1',
    '1:2',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '1:::2',
    '::1:',
    '12345::',
    '::g',
    '::1%eth0',
    '::1%25eth0',
    '[::1]',
    '::1.2.3',
    '::1.2.3.4.5',
    '::1.2.3.256',
    '::1.2.3.04',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::1:2:3:4:5:6:7.8.9.10:1',
    ' ::1',
    '::1 ',
    '::１',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '1:2:3:4::5:6:7:8:9',
    `::${'1'.repeat(60)}`,
  ]
  for (const text of bad) expect(parseIpv6(text), text).toBeUndefined()
})

test('ADDR-04 property: Node and Sallyport agree on what an address is', () => {
  const texts = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.array(fc.constantFrom(...':::..01fF29g'), { maxLength: 30 }).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(texts, (text) => {
      expect(parseIpv4(text) !== undefined).toBe(isIPv4(text))
      expect(parseIpv6(text) !== undefined).toBe(isIPv6(text))
      const address = parseIpAddress(text)
      if (!address) return
      expect(parseIpAddress(address.text)).toEqual(address)
      expect(ipAddressFromBytes(address.bytes)).toEqual(address)
    }),
    { numRuns: 5000 },
  )
})

test('ADDR-05 bytes that are not 4 or 16 are not an address', () => {
  expect(() => ipAddressFromBytes(new Uint8Array(5))).toThrow('4 or 16 bytes, not 5')
})
