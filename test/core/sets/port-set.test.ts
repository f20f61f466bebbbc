import { describe, expect, test } from '@jest/globals'
import { PortSet } from '../../../src/core/sets/port-set.ts'
import { createRandom, rounds } from '../../support/random.ts'
import type { Random } from '../../support/random.ts'

const TOP = 65_535

/** Intervals near both ends of the universe, so that borders and neighbours meet often. */
function randomIntervals(random: Random): { start: number; end: number }[] {
  return Array.from({ length: random.int(6) }, () => {
    const base = random.chance(0.3) ? TOP - 30 : 1
    const start = base + random.int(30)
    return { start, end: Math.min(TOP, start + random.int(8)) }
  })
}

function members(intervals: readonly { start: number; end: number }[]): Set<number> {
  const all = new Set<number>()
  for (const { start, end } of intervals) for (let p = start; p <= end; p++) all.add(p)
  return all
}

function sorted(set: ReadonlySet<number>): number[] {
  return [...set].sort((a, b) => a - b)
}

/** Cheaper than `expect` in a loop of many thousand. */
function mustEqual(shown: string, got: unknown, want: unknown): void {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${shown}\ngot ${JSON.stringify(got)}\nwant ${JSON.stringify(want)}`)
}

describe('sets of ports', () => {
  test('agree with naive sets on random input, and equal sets have one representation', () => {
    for (let seed = 1; seed <= rounds({ small: 500, full: 20_000 }); seed++) {
      const random = createRandom(seed)
      const [left, right] = [randomIntervals(random), randomIntervals(random)]
      const [a, b] = [PortSet.from(left), PortSet.from(right)]
      const [x, y] = [members(left), members(right)]
      const cases: [string, PortSet, Set<number>][] = [
        ['a', a, x],
        ['union', a.union(b), new Set([...x, ...y])],
        ['intersect', a.intersect(b), new Set([...x].filter((p) => y.has(p)))],
        ['subtract', a.subtract(b), new Set([...x].filter((p) => !y.has(p)))],
        ['symmetric', a.subtract(b).union(b.subtract(a)), new Set([...x, ...y].filter((p) => x.has(p) !== y.has(p)))],
      ]
      for (const [name, got, want] of cases) {
        const shown = `seed ${seed} ${name} of ${JSON.stringify([left, right])}`
        mustEqual(shown, sorted(members(got.intervals)), sorted(want))
        const rebuilt = PortSet.from(random.shuffle([...want]).map((p) => ({ start: p, end: p })))
        mustEqual(shown, rebuilt.intervals, got.intervals)
        mustEqual(shown, [got.equals(rebuilt), got.isEmpty, got.size, got.toString()], [true, want.size === 0, want.size, rebuilt.toString()])
      }
      const port = 1 + random.int(40)
      mustEqual(`seed ${seed} has ${port}`, a.has(port), x.has(port))
    }
  })

  test('have laws: union and intersection commute, complement twice is the set itself', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = createRandom(seed)
      const [a, b] = [PortSet.from(randomIntervals(random)), PortSet.from(randomIntervals(random))]
      expect(a.union(b).equals(b.union(a))).toBe(true)
      expect(a.intersect(b).equals(b.intersect(a))).toBe(true)
      expect(PortSet.all.subtract(PortSet.all.subtract(a)).equals(a)).toBe(true)
    }
  })

  test('print intervals, and a dash for none', () => {
    expect(PortSet.of(80).union(PortSet.range(443, 445)).union(PortSet.of(81)).toString()).toBe('80-81,443-445')
    expect([PortSet.empty.toString(), PortSet.all.toString(), PortSet.range(1, TOP).isAll, PortSet.range(2, TOP).isAll]).toEqual(['-', '1-65535', true, false])
  })

  test('refuse what is no port', () => {
    for (const [start, end] of [[0, 1], [1, 65_536], [5, 4], [1.5, 2]] as const) expect(() => PortSet.range(start, end)).toThrow('a port range needs 1 <= start <= end <= 65535')
  })
})
