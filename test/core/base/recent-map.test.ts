import { describe, expect, test } from '@jest/globals'
import { RecentMap } from '../../../src/core/base/recent-map.ts'
import { createRandom } from '../../support/random.ts'

describe('a map of what was asked for recently', () => {
  test('keeps what is in use while any number of others come and go', () => {
    const map = new RecentMap<number, string>(100)
    map.set(-1, 'in use')
    for (let i = 0; i < 10_000; i++) {
      map.set(i, 'once')
      if (i % 50 === 0) expect(map.get(-1)).toBe('in use')
    }
    expect(map.get(0)).toBeUndefined()
    expect(map.get(9_999)).toBe('once')
  })

  test('never holds more than two generations', () => {
    const map = new RecentMap<number, number>(100)
    const random = createRandom(1)
    for (let i = 0; i < 5_000; i++) {
      const key = random.int(400)
      if (map.get(key) === undefined) map.set(key, key)
      expect(map.size).toBeLessThanOrEqual(200)
    }
  })

  test('counts the weight of its entries where they have one', () => {
    const map = new RecentMap<number, string>(1000)
    for (let i = 0; i < 100; i++) map.set(i, 'heavy', 400)
    expect(map.size).toBeLessThanOrEqual(4)
    map.set(1000, 'heavier than a generation', 5000)
    expect(map.get(1000)).toBe('heavier than a generation')
  })

  test('gives what was set last, whatever its generation', () => {
    const map = new RecentMap<number, number>(3)
    for (let i = 0; i < 50; i++) {
      map.set(7, i)
      map.set(100 + i, 0)
      expect(map.get(7)).toBe(i)
    }
  })
})
