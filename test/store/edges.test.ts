import { beforeAll, describe, expect, test } from '@jest/globals'
import { EdgeBatch } from '../../src/core/aggregate/edge-batch.ts'
import { foldEdges } from '../../src/core/aggregate/fold-edges.ts'
import { EXTERNAL_PEER_LIMIT, WINDOW_US } from '../../src/core/flow/edge.ts'
import type { ObservedEdge } from '../../src/core/flow/edge.ts'
import type { FlowRecord } from '../../src/core/flow/flow-record.ts'
import { createIdentity } from '../../src/core/flow/identity.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectEdges, selectObservedRange } from '../../src/store/read/select-edges.ts'
import { selectIdentities, selectPodNetworks } from '../../src/store/read/select-identities.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { foldEdgeWindows } from '../../src/store/write/fold-edge-windows.ts'
import { createTestDatabase } from '../support/database.ts'
import { externalIdentity, flowRecord, podIdentity, randomFlows, START_US } from '../support/flow-records.ts'
import { createRandom, rounds } from '../support/random.ts'
import { collect, createWriter, outcomes } from '../support/stored-flows.ts'

let database: Database
let clusters = 0

beforeAll(async () => {
  ({ database } = await createTestDatabase())
})

async function newCluster(): Promise<number> {
  return ensureCluster(database, `cluster-${clusters++}`)
}

/** What core says about these flows, without a database. */
function edgesInMemory(flows: readonly FlowRecord[]): ObservedEdge[] {
  const batch = new EdgeBatch()
  for (const flow of flows) batch.add(flow)
  return foldEdges(batch.windows(), batch.externalPeers(), batch.externalOverflows())
}

/** Identity.index is a process's own affair; everything else must be equal. */
function plain(edges: readonly ObservedEdge[]): unknown {
  return edges.map((edge) => ({ ...edge, from: edge.from.key, to: edge.to.key }))
}

async function storeInParts(clusterId: number, parts: readonly (readonly FlowRecord[])[]): Promise<void> {
  const writer = createWriter(database, clusterId)
  for (const part of parts) await writer.store(collect(part), { source: 'test' })
}

describe('laws', () => {
  test('edges read back equal those aggregated in memory, whatever the order, the batches, the replays and the folding', async () => {
    for (let round = 0; round < rounds({ small: 3, full: 40 }); round++) {
      const seed = 0xed6e + round
      const random = createRandom(seed)
      const flows = randomFlows(random, 50 + random.int(400))
      const parts: FlowRecord[][] = Array.from({ length: 1 + random.int(5) }, () => [])
      for (const flow of random.shuffle([...flows, ...flows.filter(() => random.chance(0.3))])) random.pick(parts).push(flow)
      const clusterId = await newCluster()
      await storeInParts(clusterId, parts)
      const expected = { seed, edges: plain(edgesInMemory(flows)) }
      expect({ seed, edges: plain(await selectEdges(database, { clusterId })) }).toEqual(expected)
      await foldEdgeWindows(database, clusterId)
      expect({ seed, edges: plain(await selectEdges(database, { clusterId })) }).toEqual(expected)
      await storeInParts(clusterId, parts)
      expect({ seed, edges: plain(await selectEdges(database, { clusterId })) }).toEqual(expected)
    }
  }, 3_600_000)

  test('folding while batches arrive loses and doubles nothing', async () => {
    const clusterId = await newCluster()
    const flows = randomFlows(createRandom(5), 3_000)
    let isDone = false
    const folding = (async () => {
      while (!isDone) await Promise.all([foldEdgeWindows(database, clusterId), foldEdgeWindows(database, clusterId)])
    })()
    const writers = [createWriter(database, clusterId), createWriter(database, clusterId)]
    for (let at = 0; at < flows.length; at += 200) {
      await Promise.all(writers.map((writer, i) => writer.store(collect(flows.slice(at + i * 100, at + (i + 1) * 100)), { source: 'test' })))
    }
    isDone = true
    await folding
    expect(plain(await selectEdges(database, { clusterId }))).toEqual(plain(edgesInMemory(flows)))
  })
})

test('every record counts once as stored or duplicate, also for another process and within one batch', async () => {
  const clusterId = await newCluster()
  const flows = randomFlows(createRandom(11), 500)
  const first = createWriter(database, clusterId)
  expect(outcomes(await first.store(collect(flows.slice(0, 300)), { source: 'a' }))).toEqual({ stored: 300 })
  expect(outcomes(await first.store(collect(flows.slice(200, 400)), { source: 'a' }))).toEqual({ stored: 100, duplicate: 100 })
  const restarted = createWriter(database, clusterId)
  expect(outcomes(await restarted.store(collect([...flows, ...flows.slice(450)]), { source: 'b' }))).toEqual({ stored: 100, duplicate: 450 })
  expect(outcomes(await first.store(collect(flows), { source: 'a' }))).toEqual({ duplicate: 500 })
})

test('after folding there is one row per edge, window, side and verdict, and nothing left to fold', async () => {
  const clusterId = await newCluster()
  const flows = randomFlows(createRandom(12), 300)
  await storeInParts(clusterId, [flows.slice(0, 100), flows.slice(100, 200), flows.slice(200)])
  expect(await foldEdgeWindows(database, clusterId)).toBeGreaterThan(0)
  expect(await foldEdgeWindows(database, clusterId)).toBe(0)
  const batch = new EdgeBatch()
  for (const flow of flows) batch.add(flow)
  const { rows } = await database.query<{ windows: string, peers: string }>(
    `select (select count(*) from edge_windows where cluster_id = $1) as windows, (select count(*) from external_peers where cluster_id = $1) as peers`, [clusterId],
  )
  expect(rows[0]).toEqual({ windows: String(batch.windowCount), peers: String(batch.externalPeers().length) })
})

test('a range selects the windows that it touches, half-open', async () => {
  const clusterId = await newCluster()
  await storeInParts(clusterId, [[
    flowRecord({ firstAtUs: START_US, port: 1 }), flowRecord({ firstAtUs: START_US + WINDOW_US, port: 2 }), flowRecord({ firstAtUs: START_US + 2 * WINDOW_US, port: 3 }),
  ]])
  const ports = async (sinceUs?: number, untilUs?: number) => (await selectEdges(database, { clusterId, sinceUs, untilUs })).map((edge) => edge.port)
  expect(await ports()).toEqual([1, 2, 3])
  expect(await ports(START_US + WINDOW_US, START_US + 2 * WINDOW_US)).toEqual([2])
  expect(await ports(START_US + WINDOW_US - 1, START_US + WINDOW_US + 1)).toEqual([1, 2])
  expect(await selectObservedRange(database, clusterId)).toEqual({ sinceUs: START_US, untilUs: START_US + 2 * WINDOW_US + 1 })
  expect(await selectObservedRange(database, await newCluster())).toBeUndefined()
})

test('more outside addresses than are kept: the sample is the same for every order, batching and folding', async () => {
  const random = createRandom(9)
  const flows = Array.from({ length: EXTERNAL_PEER_LIMIT + 2_000 }, (_, i) => flowRecord({
    responder: externalIdentity(), responderIp: `198.18.${i >> 8}.${i & 255}`, port: 443, firstAtUs: START_US + i,
  }))
  const expected = plain(edgesInMemory(flows))
  const clusterId = await newCluster()
  const shuffled = random.shuffle(flows)
  await storeInParts(clusterId, [shuffled.slice(0, 7_000), shuffled.slice(7_000)])
  expect(plain(await selectEdges(database, { clusterId }))).toEqual(expected)
  await foldEdgeWindows(database, clusterId)
  expect(plain(await selectEdges(database, { clusterId }))).toEqual(expected)
  const { rows } = await database.query<{ kept: string }>('select count(distinct ip) as kept from external_peers where cluster_id = $1', [clusterId])
  expect(Number(rows[0]?.kept)).toBe(EXTERNAL_PEER_LIMIT)
  await storeInParts(clusterId, [flows.map((flow, i) => ({ ...flow, digestHi: 77, digestLo: i + 1 }))])
  expect((await selectEdges(database, { clusterId }))[0]?.externals.every((e) => e.flows === 2)).toBe(true)
})

test('identities come back exactly: hostile labels, NUL, lone surrogates, backslashes, tabs', async () => {
  const clusterId = await newCluster()
  const labels = { 'a\\b\tc\n': '\\N', nul: 'x\0y', lone: '\ud800', '__proto__x': '}{",', emoji: '🦊', empty: '' }
  const hostile = createIdentity({ ...podIdentity('x'), labels, namespace: 'n\0s\\\t', workload: { kind: 'K\0', name: '\\.' } })
  const flow = flowRecord({ initiator: hostile, initiatorPod: 'pod\0\t\\N\n\ud800', node: '\\.\n', initiatorIp: '10.9.8.7' })
  const writer = createWriter(database, clusterId)
  expect(outcomes(await writer.store(collect([flow]), { source: 'so\0urce' }))).toEqual({ stored: 1 })
  expect((await selectIdentities(database, clusterId)).map((identity) => identity.key)).toContain(hostile.key)
  expect((await selectEdges(database, { clusterId }))[0]?.from.labels).toEqual(labels)
  const { rows } = await database.query('select initiator_pod, node, initiator_ip from flow_records where cluster_id = $1', [clusterId])
  expect(rows).toEqual([{ initiator_pod: 'pod\ufffd\t\\N\n\ufffd', node: '\\.\n', initiator_ip: '10.9.8.7' }])
})

test('a long namespace, node, detail or source does not stop a batch', async () => {
  const clusterId = await newCluster()
  const long = 'ü'.repeat(5_000)
  const identity = createIdentity({ ...podIdentity('x'), namespace: long })
  const collected = collect([flowRecord({ initiator: identity, node: long })])
  collected.coverage.push({ type: 'lost-events', atUs: START_US, node: long, lost: 3, detail: long })
  expect(outcomes(await createWriter(database, clusterId).store(collected, { source: long }))).toEqual({ stored: 1 })
})

test('an id that stands for another key stops the batch and stores nothing', async () => {
  const clusterId = await newCluster()
  const writer = createWriter(database, clusterId)
  await writer.store(collect([flowRecord()]), { source: 'test' })
  await database.query(`update identities set key = 'another' where cluster_id = $1 and workload_name = 'web'`, [clusterId])
  const before = await database.query('select count(*) from flows where cluster_id = $1', [clusterId])
  const restarted = createWriter(database, clusterId)
  await expect(restarted.store(collect([flowRecord()]), { source: 'test' })).rejects.toThrow(/^Two identities have the id -?\d+: another and /)
  expect((await database.query('select count(*) from flows where cluster_id = $1', [clusterId])).rows).toEqual(before.rows)
})

test('pod networks are kept per cluster, sorted', async () => {
  const clusterId = await newCluster()
  await storeInParts(clusterId, [[flowRecord({ initiatorIp: '10.244.1.2', responderIp: 'fd00::1' })], [flowRecord({ initiatorIp: '10.244.0.9', responderIp: '10.244.1.3' })]])
  expect(await selectPodNetworks(database, clusterId)).toEqual(['10.244.0.0/24', '10.244.1.0/24', 'fd00::/64'])
})
