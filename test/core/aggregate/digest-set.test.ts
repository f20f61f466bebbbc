import { expect, test } from '@jest/globals'
import { DigestSet } from '../../../src/core/aggregate/digest-set.ts'
import { createRandom, rounds } from '../../support/random.ts'

test('agrees with a Set of texts, also for colliding halves and zero', () => {
  const random = createRandom(3)
  const set = new DigestSet(4)
  const reference = new Set<string>()
  for (let i = 0; i < rounds({ small: 20_000, full: 500_000 }); i++) {
    const hi = random.pick([0, 1, random.int(2 ** 32)])
    // (0, 0) and (0, 1) are one digest.
    const lo = Math.max(1, random.pick([1, 2, random.int(64), random.int(2 ** 32)]))
    const key = `${hi} ${lo}`
    const isKnown = reference.has(key)
    if (set.has(hi, lo) !== isKnown || set.add(hi, lo) === isKnown) throw new Error(`disagreement on (${key}) after ${i} digests`)
    reference.add(key)
  }
  expect(set.size).toBe(reference.size)
  expect([set.add(0, 0), set.has(0, 0)]).toEqual([!reference.has('0 1'), true])
})
