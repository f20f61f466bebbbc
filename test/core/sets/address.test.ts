import { describe, expect, test } from '@jest/globals'
import { addressClass, addressOf, parseAddress } from '../../../src/core/sets/address.ts'
import { createRandom, rounds } from '../../support/random.ts'

describe('addresses', () => {
  test.each([
    ['10.0.0.1', 4, '10.0.0.1'],
    ['255.255.255.255', 4, '255.255.255.255'],
    ['0.0.0.0', 4, '0.0.0.0'],
    ['::ffff:10.0.0.1', 4, '10.0.0.1'],
    ['::FFFF:0a00:0001', 4, '10.0.0.1'],
    ['2001:DB8:0:0:0:0:0:1', 6, '2001:db8::1'],
    ['2001:db8::0:1:0:0:1', 6, '2001:db8::1:0:0:1'],
    ['fe80::1%eth0', 6, 'fe80::1'],
    ['::', 6, '::'],
    ['64:ff9b::192.0.2.33', 6, '64:ff9b::c000:221'],
  ])('%s reads as IPv%d %s', (text, family, canonical) => {
    expect(parseAddress(text)).toMatchObject({ family, text: canonical })
  })

  test.each(['', ' ', '1', '1.2.3', '1.2.3.4.5', '1.2.3.256', '010.0.0.1', '10.0.0.01', '1.2.3.', '.1.2.3', '1..2.3', '0x7f.1.1.1', '-1.2.3.4', '1.2.3.4 ', '1.2.3.4/32',
    ':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::', 'g::', '::1::', '::ffff:010.0.0.1', '[::1]', 'localhost', '::1/128', '1e1.1.1.1'])('%j is no address', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })

  test('parsing the text of any number gives the number back', () => {
    for (let seed = 1; seed <= rounds({ small: 500, full: 20_000 }); seed++) {
      const random = createRandom(seed)
      const family = random.pick([4, 6] as const)
      let value = 0n
      for (let i = 0; i < (family === 4 ? 2 : 8); i++) value = value * 65_536n + BigInt(random.chance(0.5) ? 0 : random.int(65_536))
      if (family === 6 && value >> 32n === 0xffffn) continue
      const address = addressOf(family, value)
      expect([seed, parseAddress(address.text)]).toEqual([seed, address])
      expect([seed, parseAddress(address.text.toUpperCase())]).toEqual([seed, address])
    }
  })

  test.each([
    ['0.0.0.0', 'unspecified'], ['255.255.255.255', 'broadcast'], ['224.0.0.251', 'multicast'], ['239.255.255.250', 'multicast'], ['240.0.0.1', 'public'],
    ['127.0.0.53', 'loopback'], ['169.254.169.254', 'link-local'], ['10.1.2.3', 'private'], ['172.16.0.1', 'private'], ['172.31.255.255', 'private'],
    ['172.32.0.1', 'public'], ['192.168.1.1', 'private'], ['192.169.1.1', 'public'], ['100.64.0.1', 'private'], ['100.127.0.1', 'private'], ['100.128.0.1', 'public'],
    ['8.8.8.8', 'public'], ['::', 'unspecified'], ['::1', 'loopback'], ['ff02::1', 'multicast'], ['fe80::1', 'link-local'], ['febf::1', 'link-local'],
    ['fc00::1', 'private'], ['fdff::1', 'private'], ['fe00::1', 'public'], ['2001:db8::1', 'public'], ['::ffff:10.0.0.1', 'private'],
  ])('%s is %s', (text, expected) => {
    const address = parseAddress(text)
    expect(address === undefined ? undefined : addressClass(address)).toBe(expected)
  })
})
