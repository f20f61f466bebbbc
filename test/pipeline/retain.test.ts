import { expect, test } from '@jest/globals'
import { findCoverageGaps } from '../../src/core/aggregate/coverage-gaps.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { retain } from '../../src/pipeline/retain.ts'
import { selectEdges } from '../../src/store/read/select-edges.ts'
import { selectIngestTotals } from '../../src/store/read/select-ingest-totals.ts'
import { selectNodeHours } from '../../src/store/read/select-ingest-status.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { createTestDatabase } from '../support/database.ts'
import { flowRecord, START_US } from '../support/flow-records.ts'
import { collect, createWriter, outcomes } from '../support/stored-flows.ts'

const DAY_US = 86_400_000_000

test('housekeeping changes no result; after 14 days a replay raises counts and nothing else', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'test')
  const flows = Array.from({ length: 30 }, (_, i) => flowRecord({ firstAtUs: START_US + i }))
  const writer = createWriter(database, clusterId)
  for (let i = 0; i < 30; i += 10) await writer.store(collect(flows.slice(i, i + 10)), { source: 'test' })
  const edges = await selectEdges(database, { clusterId })
  const totals = await selectIngestTotals(database)
  const storedAtUs = Date.now() * 1000
  await retain(database, clusterId, storedAtUs + 13 * DAY_US)
  expect([await selectEdges(database, { clusterId }), await selectIngestTotals(database)]).toEqual([edges, totals])
  expect((await database.query('select count(*)::integer as n from ingest_totals')).rows).toEqual([{ n: 1 }])
  expect(outcomes(await createWriter(database, clusterId).store(collect(flows), { source: 'test' }))).toEqual({ duplicate: 30 })
  await retain(database, clusterId, storedAtUs + 15 * DAY_US)
  expect(outcomes(await createWriter(database, clusterId).store(collect(flows), { source: 'test' }))).toEqual({ stored: 30 })
  const doubled = edges.map((edge) => ({ ...edge, sightings: edge.sightings.map((s) => ({ ...s, flows: 2 * s.flows })) }))
  expect(await selectEdges(database, { clusterId })).toEqual(doubled)
})

test('folding the hours of nodes changes no gap, and leaves one row per node and hour', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'test')
  const writer = createWriter(database, clusterId)
  const hours = [['n1', 0], ['n1', 1], ['n2', 0], ['n1', 2], ['n2', 2], ['n1', 3], ['n1', 8]] as const
  const flows = hours.flatMap(([node, hour]) => Array.from({ length: 3 }, (_, i) => flowRecord({ node, firstAtUs: START_US + hour * 3_600_000_000 + i * 1_200_000_000 })))
  for (let i = 0; i < flows.length; i += 2) await writer.store(collect(flows.slice(i, i + 2)), { source: 'test' })
  const gaps = async () => findCoverageGaps(await selectNodeHours(database, { clusterId }))
  const before = await gaps()
  expect(before.map((g) => [g.type, g.node, (g.sinceUs - START_US) / 3_600_000_000])).toEqual([['missing-node', 'n2', 1], ['missing-node', 'n2', 3], ['gap', '', expect.closeTo(3.75)]])
  await retain(database, clusterId, START_US)
  expect(await gaps()).toEqual(before)
  expect((await database.query('select 1 from node_hours')).rowCount).toBe(hours.length)
  expect((await database.query('select sum(flows)::integer as n from node_hours')).rows).toEqual([{ n: flows.length }])
  await createWriter(database, clusterId).store(collect(flows), { source: 'again' })
  expect((await database.query('select sum(flows)::integer as n from node_hours')).rows).toEqual([{ n: flows.length }])
})

test('absurd counts never stop housekeeping', async () => {
  const { database } = await createTestDatabase()
  const ingester = await createIngester(database, { cluster: 'absurd', nowUs: () => START_US })
  const row = (i: number): string => JSON.stringify({
    start_time: START_US / 1e6, end_time: START_US / 1e6 + 1, source_type: 'wep', source_namespace: 'a', source_name_aggr: 'a-*', dest_type: 'wep', dest_namespace: 'b',
    dest_name_aggr: 'b-*', dest_port: 80, proto: 'tcp', action: 'allow', reporter: 'dst', source_ip: `10.0.0.${i}`, num_flows: Number.MAX_SAFE_INTEGER,
  })
  for (const half of [0, 1]) {
    const rows = Array.from({ length: 1500 }, (_, i) => row(i % 250).replace('"num_flows"', `"bytes_in":${half * 1500 + i},"num_flows"`))
    expect(await ingester.ingestBody(Buffer.from(rows.join('\n')), { source: 'http', maxBytes: 1 << 24 })).toMatchObject({ stored: 1500 })
  }
  const edges = await selectEdges(database, { clusterId: ingester.clusterId })
  await retain(database, ingester.clusterId, START_US)
  expect(await selectEdges(database, { clusterId: ingester.clusterId })).toEqual(edges)
})
