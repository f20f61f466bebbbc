import { describe, expect, test } from '@jest/globals'
import { parseTimeUs } from '../../src/core/base/time.ts'
import type { TrafficEdge } from '../../src/core/flow/traffic.ts'
import { simulate } from '../../src/core/simulate/simulate.ts'
import { viewTraffic, type ObservedTraffic } from '../../src/pipeline/observed-traffic.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { observeLines, topologyOf } from '../support/observe.ts'
import { rounds } from '../support/random.ts'
import { randomTopology } from '../support/random-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0

/** An edge as far as both formats carry it: not the addresses of outside peers, and not the counts of a window, which several nodes share. */
function comparable({ from, to, protocol, port, orientation, sightings }: TrafficEdge): string {
  const seen = sightings.map((s) => `${s.side} ${s.verdict} ${s.firstAtUs}-${s.lastAtUs}`).sort()
  return JSON.stringify([from.key, from.workload?.labelSets ?? null, to.key, to.workload?.labelSets ?? null, protocol, port, orientation, seen])
}

describe('the same simulation written as Calico Enterprise and as Goldmane', () => {
  test('leads to the same traffic edges, but for the addresses of outside peers', () => {
    let edges = 0
    for (let seed = 1; seed <= rounds({ small: 8, full: 80 }); seed++) {
      const topology = topologyOf(randomTopology(seed).object)
      const observed = (format: 'calico-enterprise' | 'goldmane'): ObservedTraffic => observeLines(simulate(topology, { format, minutes: 10, seed, startUs, rate: 0.5 }).lines())
      const [enterprise, goldmane] = [observed('calico-enterprise'), observed('goldmane')]
      const [expected, found] = [viewTraffic(enterprise, 'default').traffic, viewTraffic(goldmane, 'default').traffic]
      expect({ seed, edges: found.map(comparable).sort() }).toEqual({ seed, edges: expected.map(comparable).sort() })
      expect(found.flatMap((e) => e.externals)).toEqual([])
      edges += found.length

      // Edges between pods give the same rules; those of the outside wait for an address.
      const outside = (document: ReturnType<typeof recommend>): string[] => document.review.filter((r) => r.reason.code === 'needs-address').map((r) => `${r.edge?.from.kind} ${r.edge?.to.kind} ${r.edge?.port}`)
      const isOutside = (e: TrafficEdge): boolean => e.from.identity.kind === 'external' || e.to.identity.kind === 'external'
      expect(outside(recommend(goldmane, { cluster: 'default' }))).toHaveLength(found.filter(isOutside).length)
      expect(outside(recommend(enterprise, { cluster: 'default' }))).toEqual([])
    }
    expect(edges).toBeGreaterThan(50)
  })
})
