import { describe, expect, test } from '@jest/globals'
import { EdgeBatch } from '../../../src/core/aggregate/edge-batch.ts'
import { foldEdges } from '../../../src/core/aggregate/fold-edges.ts'
import { PodNetworks } from '../../../src/core/aggregate/pod-networks.ts'
import { EXTERNAL_PEER_LIMIT, MAX_PRESENCE_WINDOWS, WINDOW_US } from '../../../src/core/flow/edge.ts'
import type { ObservedEdge } from '../../../src/core/flow/edge.ts'
import type { FlowRecord } from '../../../src/core/flow/flow-record.ts'
import { createIdentity } from '../../../src/core/flow/identity.ts'
import { externalIdentity, flowRecord, podIdentity, randomFlows, START_US } from '../../support/flow-records.ts'
import { createRandom, rounds } from '../../support/random.ts'

const MINUTE_US = 60_000_000
const DAY_US = 86_400_000_000

function batchOf(flows: readonly FlowRecord[]): EdgeBatch {
  const batch = new EdgeBatch()
  for (const flow of flows) batch.add(flow)
  return batch
}

function edgesOf(...batches: EdgeBatch[]): ObservedEdge[] {
  return foldEdges(batches.flatMap((b) => b.windows()), batches.flatMap((b) => b.externalPeers()), batches.flatMap((b) => b.externalOverflows()))
}

function sortedWindows(batch: EdgeBatch) {
  return batch.windows().sort((a, b) => a.windowStartUs - b.windowStartUs)
}

describe('edge windows', () => {
  test('the count goes to the window of the last instant and presence to every window touched', () => {
    const rows = sortedWindows(batchOf([flowRecord({ firstAtUs: START_US + MINUTE_US, lastAtUs: START_US + 11 * MINUTE_US, flows: 3 })]))
    expect(rows.map((r) => [r.windowStartUs - START_US, r.flows, r.firstAtUs - START_US, r.lastAtUs - START_US])).toEqual([
      [0, 0, MINUTE_US, WINDOW_US - 1],
      [WINDOW_US, 0, WINDOW_US, 2 * WINDOW_US - 1],
      [2 * WINDOW_US, 3, 2 * WINDOW_US, 11 * MINUTE_US],
    ])
    expect(rows.some((r) => r.isLongLived)).toBe(false)
  })

  test('a window is half-open: its end instant belongs to the next one', () => {
    const rows = sortedWindows(batchOf([flowRecord({ firstAtUs: START_US + WINDOW_US })]))
    expect(rows.map((r) => r.windowStartUs)).toEqual([START_US + WINDOW_US])
  })

  test('a connection of days is present 288 windows back, is marked long-lived and keeps its first instant', () => {
    const first = START_US - 9 * DAY_US
    const rows = sortedWindows(batchOf([flowRecord({ firstAtUs: first, lastAtUs: START_US + 1 })]))
    expect(rows).toHaveLength(MAX_PRESENCE_WINDOWS + 1)
    expect(rows[0]).toMatchObject({ windowStartUs: START_US - MAX_PRESENCE_WINDOWS * WINDOW_US, flows: 0, firstAtUs: first, isLongLived: true })
    expect(rows.at(-1)).toMatchObject({ windowStartUs: START_US, flows: 1, firstAtUs: START_US })
    expect(rows.every((r) => r.isLongLived)).toBe(true)
  })

  test('sides and verdicts of one edge stay apart and evidence is joined', () => {
    const edges = edgesOf(batchOf([
      flowRecord({ side: 'server', flows: 2 }), flowRecord({ side: 'client', orientation: 'is-reply' }),
      flowRecord({ side: 'server', observedVerdict: 'denied' }),
    ]))
    expect(edges).toHaveLength(1)
    expect(edges[0]?.sightings.map((s) => [s.side, s.verdict, s.flows])).toEqual([['client', 'allowed', 1], ['server', 'allowed', 2], ['server', 'denied', 1]])
    expect(edges[0]?.evidence).toBe(2 | 4)
  })

  test('identities with equal keys are one, whatever process or cache made them', () => {
    const again = createIdentity({ ...podIdentity('web') })
    const edges = edgesOf(batchOf([flowRecord(), flowRecord({ initiator: again })]))
    expect(edges.map((e) => e.sightings[0]?.flows)).toEqual([2])
  })

  test('an unoriented edge keeps both ports apart from the oriented one', () => {
    const edges = edgesOf(batchOf([flowRecord(), flowRecord({ orientation: 'unoriented', initiatorPort: 40_000 })]))
    expect(edges.map((e) => [e.port, e.fromPort])).toEqual([[5432, 0], [5432, 40_000]])
  })
})

describe('laws', () => {
  test('folding any shuffle and any split of the same flows gives the same edges', () => {
    for (let round = 0; round < rounds({ small: 10, full: 300 }); round++) {
      const seed = 0xa66 + round
      const random = createRandom(seed)
      const flows = randomFlows(random, 1 + random.int(300))
      const expected = edgesOf(batchOf(flows))
      const parts: FlowRecord[][] = Array.from({ length: 1 + random.int(6) }, () => [])
      for (const flow of random.shuffle(flows)) random.pick(parts).push(flow)
      expect({ seed, edges: edgesOf(...parts.map(batchOf)) }).toEqual({ seed, edges: expected })
    }
  })

  test('a duplicated flow raises counts and changes nothing else', () => {
    for (let round = 0; round < rounds({ small: 5, full: 200 }); round++) {
      const seed = 0xd0b + round
      const random = createRandom(seed)
      const flows = randomFlows(random, 100)
      const twice = [...flows, ...flows.filter(() => random.chance(0.5))]
      expect({ seed, edges: withoutCounts(edgesOf(batchOf(random.shuffle(twice)))) }).toEqual({ seed, edges: withoutCounts(edgesOf(batchOf(flows))) })
    }
  })
})

function withoutCounts(edges: ObservedEdge[]): unknown {
  return edges.map((e) => ({ ...e, sightings: e.sightings.map((s) => ({ ...s, flows: 0 })), externals: e.externals.map((s) => ({ ...s, flows: 0 })) }))
}

describe('outside addresses', () => {
  const outside = (i: number, fields: Partial<FlowRecord> = {}) =>
    flowRecord({ responder: externalIdentity(), responderIp: `198.${18 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`, port: 443, ...fields })

  test('are kept exactly up to the limit', () => {
    const edges = edgesOf(batchOf(Array.from({ length: EXTERNAL_PEER_LIMIT }, (_, i) => outside(i))))
    expect(edges[0]?.externals).toHaveLength(EXTERNAL_PEER_LIMIT)
    expect(edges[0]?.manyExternals).toBe(false)
  })

  test('beyond the limit the sample depends on the set and not on order or batches, and its counts are complete', () => {
    const random = createRandom(7)
    const flows = Array.from({ length: 25_000 }, (_, i) => outside(i))
    const all = [...flows, ...flows]
    const once = edgesOf(batchOf(all))
    const shuffled = random.shuffle(all)
    const parts = [shuffled.slice(0, 9_000), shuffled.slice(9_000, 33_000), shuffled.slice(33_000)]
    expect(edgesOf(...parts.map(batchOf))).toEqual(once)
    expect(once[0]?.externals).toHaveLength(EXTERNAL_PEER_LIMIT)
    expect(once[0]?.manyExternals).toBe(true)
    expect(once[0]?.externals.every((e) => e.flows === 2)).toBe(true)
  })

  test('two batches under the limit that together pass it are marked too', () => {
    const flows = Array.from({ length: EXTERNAL_PEER_LIMIT + 1 }, (_, i) => outside(i))
    const edges = edgesOf(batchOf(flows.slice(0, 5_000)), batchOf(flows.slice(5_000)))
    expect(edges[0]?.manyExternals).toBe(true)
    expect(edges[0]?.externals).toHaveLength(EXTERNAL_PEER_LIMIT)
  })

  test('a connection over midnight is known on both days and counted on the last', () => {
    const midnight = START_US + DAY_US
    const peers = batchOf([outside(1, { firstAtUs: midnight - 1000, lastAtUs: midnight + 1000 })]).externalPeers()
    expect(peers.map((p) => [p.dayStartUs - START_US, p.flows, p.firstAtUs - midnight, p.lastAtUs - midnight])).toEqual([
      [0, 0, -1000, -1], [DAY_US, 1, 0, 1000],
    ])
  })

  test('the address of an outside initiator is kept, and an unknown address makes no row', () => {
    const from = { initiator: externalIdentity(), responder: podIdentity('web'), responderIp: '10.0.1.2' }
    const peers = batchOf([flowRecord({ ...from, initiatorIp: '198.51.100.7' }), flowRecord({ ...from, initiatorIp: '' })]).externalPeers()
    expect(peers.map((p) => [p.ip, p.flows])).toEqual([['198.51.100.7', 1]])
  })
})

test('pod networks are the /24 and /64 around pod addresses, in canonical text', () => {
  const networks = new PodNetworks()
  networks.add(flowRecord({ initiatorIp: '10.244.3.17', responderIp: '2001:db8::5' }))
  networks.add(flowRecord({ initiatorIp: '10.244.3.18', responderIp: 'fd00:0:0:1:2:3:4:5' }))
  networks.add(flowRecord({ initiatorIp: '', responder: externalIdentity(), responderIp: '203.0.113.9' }))
  networks.add(flowRecord({ initiatorIp: '::1', responderIp: 'fd00:10:244:1::7' }))
  expect(networks.list()).toEqual(['10.244.3.0/24', '2001:db8::/64', '::/64', 'fd00:0:0:1::/64', 'fd00:10:244:1::/64'])
})
