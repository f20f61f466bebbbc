import { expect, test } from '@jest/globals'
import { parseTimeUs } from '../../src/core/base/time.ts'
import { createIdentity } from '../../src/core/flow/identity.ts'
import type { Identity } from '../../src/core/flow/identity.ts'
import { simulate } from '../../src/core/simulate/simulate.ts'
import type { ObservedTraffic } from '../../src/pipeline/observed-traffic.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { observeLines, topologyOf } from '../support/observe.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'
import { randomTopology } from '../support/random-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0

/** How other sources would have described the end of a Hubble edge: fewer labels, or none and only the controller. */
function seenLess(identity: Identity, random: Random): Identity {
  if (identity.kind !== 'pod' || identity.workload === null) return identity
  const kind = random.pick(['none', 'none-by-name', 'intersection', 'same'] as const)
  if (kind === 'same') return identity
  const labels = kind === 'intersection' ? Object.fromEntries(Object.entries(identity.labels).filter(() => random.chance(0.7))) : {}
  return createIdentity({
    ...identity, labels, namespaceLabels: {}, labelQuality: kind === 'intersection' ? 'intersection' : 'none', workloadEvidence: kind === 'none' ? 'record' : 'pod-name', name: '',
  })
}

function policies(observed: ObservedTraffic): string {
  return JSON.stringify(recommend(observed, { cluster: 'default' }).policies)
}

test('the same traffic from Hubble and from Calico together gives the policies of Hubble alone', () => {
  for (let seed = 1; seed <= rounds({ small: 4, full: 20 }); seed++) {
    const topology = topologyOf(randomTopology(seed).object)
    const lines = (format: 'hubble' | 'calico-enterprise'): string[] => [...simulate(topology, { format, minutes: 10, seed, startUs, rate: 0.5 }).lines()]
    const hubble = lines('hubble')
    expect({ seed, equal: policies(observeLines([...lines('calico-enterprise'), ...hubble])) === policies(observeLines(hubble)) }).toEqual({ seed, equal: true })
  }
})

test('edges described less well by up to three more sources change no policy', () => {
  for (let seed = 1; seed <= rounds({ small: 8, full: 150 }); seed++) {
    const random = createRandom(seed)
    const best = observeLines(simulate(topologyOf(randomTopology(seed).object), { format: 'hubble', minutes: 10, seed, startUs, rate: 0.5 }).lines())
    const others = Array.from({ length: 1 + random.int(3) }, () => best.edges.map((e) => (e.fromPort === 0 ? { ...e, from: seenLess(e.from, random), to: seenLess(e.to, random) } : e)))
    const together = random.shuffle([...best.edges, ...others.flat()])
    expect({ seed, equal: policies({ ...best, edges: together }) === policies(best) }).toEqual({ seed, equal: true })
  }
})
