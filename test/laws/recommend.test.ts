import { describe, expect, test } from '@jest/globals'
import { buildSnapshot } from '../../src/core/cluster/build-snapshot.ts'
import { simulate } from '../../src/core/simulate/simulate.ts'
import { parseTimeUs } from '../../src/core/base/time.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { compareWithTruth } from '../support/against-truth.ts'
import { observeLines, topologyOf } from '../support/observe.ts'
import { createRandom, rounds } from '../support/random.ts'
import { randomTopology } from '../support/random-topology.ts'

const startUs = parseTimeUs('2026-01-01T00:00:00Z') ?? 0

describe('on random applications with known truth', () => {
  test.each(['hubble', 'calico-enterprise'] as const)('%s: every true cell is admitted, nothing else is', (format) => {
    let cells = 0
    for (let seed = 1; seed <= rounds({ small: 6, full: 120 }); seed++) {
      const random = randomTopology(seed)
      const topology = topologyOf(random.object)
      const simulation = simulate(topology, { format, minutes: 10, seed, startUs, rate: 0.5 })
      // Every other time with cluster state, which makes silent workloads known.
      const snapshot = seed % 2 === 0 ? buildSnapshot(simulation.clusterObjects()).snapshot : undefined
      const document = recommend(observeLines(simulation.lines()), { cluster: 'default', ...(snapshot === undefined ? {} : { snapshot }) })
      const compared = compareWithTruth(document, topology, { truth: simulation.truth(), ports: [...random.ports, 8443, 5671, 1, 65_535, 33_000], isSilenceKnown: snapshot !== undefined })
      // Held back may be only what nobody could orient: an ephemeral port without proof.
      const heldBack = document.review.flatMap(({ edge, reason }) => (edge?.from.kind === 'pod' && edge.to.kind === 'pod' && (reason.code !== 'unoriented' || (edge.port ?? 0) < 32_768) ? [reason.code] : []))
      const context = { seed, format, refused: document.refused, heldBack }
      expect({ ...context, missing: compared.missing, excess: compared.excess, open: compared.open, certificate: document.certificate })
        .toMatchObject({ ...context, refused: [], heldBack: [], missing: [], excess: [], open: [], certificate: { sound: true, tight: true, irredundant: true } })
      cells += compared.cells
    }
    expect(cells).toBeGreaterThan(10_000)
  })

  test('shuffled, re-batched and replayed input gives identical edges and byte-identical policies', () => {
    for (let seed = 1; seed <= rounds({ small: 3, full: 40 }); seed++) {
      const random = createRandom(seed)
      const lines = [...simulate(topologyOf(randomTopology(seed).object), { format: seed % 2 === 0 ? 'calico-enterprise' : 'hubble', minutes: 10, seed, startUs, rate: 0.5 }).lines()]
      const plain = observeLines(lines)
      const replayed = observeLines(random.shuffle([...lines, ...lines.filter(() => random.chance(0.3))]), 1 + random.int(500))
      const comparable = (observed: typeof plain): string => JSON.stringify(observed.edges.map((e) => ({ ...e, from: e.from.key, to: e.to.key })))
      expect({ seed, equal: comparable(replayed) === comparable(plain) }).toEqual({ seed, equal: true })
      expect(JSON.stringify(recommend(replayed, { cluster: 'default' }))).toBe(JSON.stringify(recommend(plain, { cluster: 'default' })))
    }
  })
})
