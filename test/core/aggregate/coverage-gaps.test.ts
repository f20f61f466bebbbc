import { describe, expect, test } from '@jest/globals'
import { findCoverageGaps } from '../../../src/core/aggregate/coverage-gaps.ts'
import type { CoverageGap, StateNode } from '../../../src/core/aggregate/coverage-gaps.ts'
import { NodeHours, US_PER_HOUR } from '../../../src/core/aggregate/node-hours.ts'
import type { NodeHour } from '../../../src/core/aggregate/node-hours.ts'
import { START_US } from '../../support/flow-records.ts'
import { createRandom, rounds } from '../../support/random.ts'

/** `n1 xx.x` one letter per hour from START_US: x flows in all of it, b in its first 5 minutes, e in its last 5, . none. */
function rows(...lines: string[]): NodeHour[] {
  return lines.flatMap((line) => {
    const [node = '', hours = ''] = line.split(' ')
    return [...hours].flatMap((letter, i): NodeHour[] => (letter === '.' ? [] : [{
      format: 'hubble', node: node === '-' ? '' : node, hourStartUs: START_US + i * US_PER_HOUR, flows: 1, windows: letter === 'b' ? 1 : letter === 'e' ? 1 << 11 : 4095,
    }]))
  })
}

/** `missing-node n1 2-4`: from hour 2 to before hour 4. */
function shown(gaps: readonly CoverageGap[]): string[] {
  const hour = (us: number): string => String(Number(((us - START_US) / US_PER_HOUR).toFixed(3)))
  return gaps.map((g) => `${g.type} ${g.node === '' ? '-' : g.node} ${hour(g.sinceUs)}-${hour(g.untilUs)}`)
}

function state(name: string, from: number, to: number): StateNode {
  return { name, sinceUs: START_US + from * US_PER_HOUR, untilUs: START_US + to * US_PER_HOUR }
}

describe('nodes', () => {
  test('one that was silent while others reported is missing, hour by hour joined', () => {
    expect(shown(findCoverageGaps(rows('n1 xxxxx', 'n2 x..xx')))).toEqual(['missing-node n2 1-3'])
  })

  test('the newest hour is still coming in', () => {
    expect(shown(findCoverageGaps(rows('n1 xxx', 'n2 xx.')))).toEqual([])
  })

  test('hours in which nobody reported are a gap and nobody\'s fault', () => {
    expect(shown(findCoverageGaps(rows('n1 x..xx', 'n2 x..xx')))).toEqual(['gap - 1-3'])
  })

  test('one that is gone is expected for a day, and no longer', () => {
    expect(shown(findCoverageGaps(rows(`n1 ${'x'.repeat(40)}`, 'n2 xx')))).toEqual(['missing-node n2 2-26'])
  })

  test('with cluster state, exactly its nodes are expected: one that never reported is missed, one that was removed is not', () => {
    const known = [state('n1', 0, 40), state('n2', 0, 2), state('n3', 0, 40)]
    expect(shown(findCoverageGaps(rows('n1 xxxxx', 'n2 xx...'), known))).toEqual(['missing-node n3 0-4'])
  })

  test('a node that came or went within the hour is not expected in it; hours without state go by what reported', () => {
    expect(shown(findCoverageGaps(rows('n1 xxxxxx', 'n2 x.....'), [state('n1', 0, 3), state('n3', 1.5, 3)]))).toEqual(['missing-node n3 2-3', 'missing-node n2 3-5'])
  })

  test('formats that name no node miss nobody', () => {
    expect(findCoverageGaps(rows('- xxxxx'), [state('n1', 0, 9)])).toEqual([])
  })

  test('each format for itself', () => {
    const calico = rows('n1 x..xx').map((row): NodeHour => ({ ...row, format: 'calico-enterprise' }))
    expect(findCoverageGaps([...rows('n1 xxxxx'), ...calico]).map((g) => [g.format, g.type])).toEqual([['calico-enterprise', 'gap']])
  })
})

describe('gaps', () => {
  test('go from the last window with a flow to the next one, and count from one hour on', () => {
    expect(shown(findCoverageGaps(rows('n1 xb.x')))).toEqual(['gap - 1.083-3'])
    expect(shown(findCoverageGaps(rows('n1 xbx')))).toEqual([])
    expect(shown(findCoverageGaps(rows('n1 b.e')))).toEqual(['gap - 0.083-2.917'])
    expect(shown(findCoverageGaps(rows('n1 be')))).toEqual(['gap - 0.083-1.917'])
  })

  test('before the first and after the last flow there is none', () => {
    expect(findCoverageGaps(rows('n1 ..xx..'))).toEqual([])
    expect(findCoverageGaps([])).toEqual([])
  })
})

test('partial rows in any order and any split say the same as whole ones', () => {
  for (let seed = 1; seed <= rounds({ small: 200, full: 20_000 }); seed++) {
    const random = createRandom(seed)
    const flows = Array.from({ length: 60 }, () => ({
      format: 'hubble' as const, node: random.pick(['', 'n1', 'n2', 'n3']), lastAtUs: START_US + random.int(30) * US_PER_HOUR + random.int(US_PER_HOUR),
    }))
    const nodes = random.chance(0.5) ? [] : [state('n1', 0, random.int(30)), state('n9', random.int(10), 30)]
    const whole = new NodeHours()
    flows.forEach((flow) => whole.add(flow))
    const parts = Array.from({ length: 3 }, () => new NodeHours())
    for (const flow of random.shuffle(flows)) random.pick(parts).add(flow)
    expect({ seed, gaps: findCoverageGaps(random.shuffle(parts.flatMap((p) => p.list())), nodes) }).toEqual({ seed, gaps: findCoverageGaps(whole.list(), nodes) })
    expect(whole.list().reduce((sum, row) => sum + row.flows, 0)).toBe(60)
  }
})

test('names of nodes beyond the limit are not kept: their flows count under no name', () => {
  const names = new Set<string>()
  const hours = new NodeHours((node) => names.has(node) || (names.size < 2 && names.add(node) !== undefined))
  for (let i = 0; i < 1000; i++) hours.add({ format: 'hubble', node: `n${i}`, lastAtUs: START_US })
  for (let i = 0; i < 10; i++) hours.add({ format: 'hubble', node: 'n0', lastAtUs: START_US })
  expect(hours.list().map((row) => [row.node, row.flows])).toEqual([['n0', 11], ['n1', 1], ['', 998]])
  expect(hours.unnamed).toBe(998)
})
