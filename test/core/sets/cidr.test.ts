import { describe, expect, test } from '@jest/globals'
import { addressOf } from '../../../src/core/sets/address.ts'
import { AddressSet, cidrContains, parseCidr } from '../../../src/core/sets/cidr.ts'
import type { Cidr } from '../../../src/core/sets/cidr.ts'
import { createRandom, rounds } from '../../support/random.ts'
import type { Random } from '../../support/random.ts'

function cidr(text: string): Cidr {
  const parsed = parseCidr(text)
  if (parsed === undefined) throw new Error(`not a CIDR: ${text}`)
  return parsed
}

function setOf(...texts: string[]): AddressSet {
  return AddressSet.fromCidrs(texts.map(cidr))
}

describe('CIDR blocks', () => {
  test.each([
    ['10.1.2.3/24', '10.1.2.0/24'], ['0.0.0.0/0', '0.0.0.0/0'], ['203.0.113.7/0', '0.0.0.0/0'], ['10.0.0.1/32', '10.0.0.1/32'],
    ['2001:DB8::1/64', '2001:db8::/64'], ['::/0', '::/0'], ['::1/128', '::1/128'], ['::ffff:10.1.2.3/120', '10.1.2.0/24'],
  ])('%s is %s', (text, canonical) => {
    expect(parseCidr(text)?.text).toBe(canonical)
  })

  test.each(['', '/', '10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/+1', '10.0.0.0/08', '10.0.0.0/8/8', '010.0.0.0/8', '::/129', 'fe80::1%eth0/64', '10.0.0/8', 'a/8', ' 10.0.0.0/8'])('%j is no CIDR', (text) => {
    expect(parseCidr(text)).toBeUndefined()
  })

  test('contain blocks of their own family only', () => {
    expect(cidrContains(cidr('10.0.0.0/8'), cidr('10.1.0.0/16'))).toBe(true)
    expect(cidrContains(cidr('10.1.0.0/16'), cidr('10.0.0.0/8'))).toBe(false)
    expect(cidrContains(cidr('::/0'), cidr('10.0.0.0/8'))).toBe(false)
  })
})

/** Cheaper than `expect` in a loop of many thousand. */
function mustEqual(shown: string, got: unknown, want: unknown): void {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${shown}\ngot ${JSON.stringify(got)}\nwant ${JSON.stringify(want)}`)
}

/** The first addresses of a family, where all random blocks lie. */
const UNIVERSE = 64

function randomBlocks(random: Random, family: 4 | 6): Cidr[] {
  return Array.from({ length: random.int(6) }, () => {
    const base = addressOf(family, BigInt(random.int(UNIVERSE))).text
    return cidr(`${base}/${(family === 4 ? 32 : 128) - random.int(5)}`)
  })
}

function members(set: AddressSet, family: 4 | 6): number[] {
  return Array.from({ length: UNIVERSE * 2 }, (_, i) => i).filter((i) => set.has(addressOf(family, BigInt(i))))
}

describe('sets of addresses', () => {
  test('agree with naive sets on random blocks of both families, in one representation', () => {
    for (let seed = 1; seed <= rounds({ small: 60, full: 3_000 }); seed++) {
      const random = createRandom(seed)
      const blocks = { a: [...randomBlocks(random, 4), ...randomBlocks(random, 6)], b: [...randomBlocks(random, 4), ...randomBlocks(random, 6)] }
      const [a, b] = [AddressSet.fromCidrs(blocks.a), AddressSet.fromCidrs(random.shuffle(blocks.b))]
      for (const family of [4, 6] as const) {
        const inBlocks = (list: readonly Cidr[]): number[] => Array.from({ length: UNIVERSE * 2 }, (_, i) => i)
          .filter((i) => list.some((c) => c.family === family && c.start <= BigInt(i) && BigInt(i) <= c.end))
        const [x, y] = [inBlocks(blocks.a), inBlocks(blocks.b)]
        const shown = `seed ${seed} IPv${family} ${blocks.a.map((c) => c.text).join(',')} and ${blocks.b.map((c) => c.text).join(',')}`
        mustEqual(shown, members(a, family), x)
        mustEqual(shown, members(a.union(b), family), [...new Set([...x, ...y])].sort((p, q) => p - q))
        mustEqual(shown, members(a.intersect(b), family), x.filter((i) => y.includes(i)))
        mustEqual(shown, members(a.subtract(b), family), x.filter((i) => !y.includes(i)))
      }
      const parts = a.subtract(b).union(a.intersect(b))
      mustEqual(`seed ${seed}`, [parts.equals(a), parts.v4.map(String), parts.toString()], [true, a.v4.map(String), a.toString()])
    }
  })

  test('are covered exactly by the fewest blocks', () => {
    for (let seed = 1; seed <= rounds({ small: 200, full: 5_000 }); seed++) {
      const random = createRandom(seed)
      const set = AddressSet.fromCidrs(randomBlocks(random, random.pick([4, 6])))
      const cover = set.toCidrs()
      mustEqual(`seed ${seed} ${set.toString()}`, AddressSet.fromCidrs(cover).equals(set), true)
      // Fewest: no two blocks are the halves of one block, and none lies in another.
      for (const one of cover) {
        for (const other of cover) {
          if (one === other) continue
          const isHalves = one.prefix === other.prefix && one.prefix > 0 && cidr(`${one.text.split('/')[0] ?? ''}/${one.prefix - 1}`).text === cidr(`${other.text.split('/')[0] ?? ''}/${other.prefix - 1}`).text
          mustEqual(`seed ${seed} ${one.text} ${other.text}`, [isHalves, cidrContains(one, other)], [false, false])
        }
      }
    }
  })

  test('cover a range of odd borders', () => {
    const set = setOf('10.0.0.0/24').subtract(setOf('10.0.0.0/32', '10.0.0.255/32'))
    expect(set.toString()).toBe('10.0.0.1/32,10.0.0.2/31,10.0.0.4/30,10.0.0.8/29,10.0.0.16/28,10.0.0.32/27,10.0.0.64/26,10.0.0.128/26,10.0.0.192/27,10.0.0.224/28,10.0.0.240/29,10.0.0.248/30,10.0.0.252/31,10.0.0.254/32')
    expect(set.size).toBe(254n)
  })

  test('keep the families apart', () => {
    const v4 = setOf('0.0.0.0/0')
    expect([v4.has(addressOf(6, 1n)), AddressSet.all.subtract(v4).toString(), v4.union(setOf('::/0')).equals(AddressSet.all)]).toEqual([false, '::/0', true])
    expect([AddressSet.empty.toString(), AddressSet.empty.isEmpty, v4.intersect(setOf('::/0')).isEmpty]).toEqual(['-', true, true])
  })
})
