import { describe, expect, test } from '@jest/globals'
import { findCoverageGaps } from '../../src/core/aggregate/coverage-gaps.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { createHousekeeper, retain } from '../../src/pipeline/retain.ts'
import { withTransaction } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
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

describe('what expires, and by whose clock', () => {
  const NOW_US = START_US + 1000 * DAY_US
  /** A flow so many days before the service's clock. */
  const ago = (days: number, port: number) => flowRecord({ firstAtUs: NOW_US - days * DAY_US, port })

  async function store(database: Database, cluster: string, flows: ReturnType<typeof flowRecord>[]): Promise<number> {
    const clusterId = await ensureCluster(database, cluster)
    await createWriter(database, clusterId, NOW_US).store(collect(flows), { source: 'test' })
    return clusterId
  }

  async function count(database: Database, table: string, clusterId: number): Promise<number> {
    return (await database.query<{ n: number }>(`select count(*)::integer as n from ${table} where cluster_id = $1`, [clusterId])).rows[0]?.n ?? NaN
  }

  const ports = async (database: Database, clusterId: number): Promise<number[]> => (await selectEdges(database, { clusterId })).map((edge) => edge.port)

  test('each level as long as it is kept, and no edge before its day', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await store(database, 'live', [0, 6, 13, 15, 89, 91, 399, 402].map((days) => ago(days, days + 1)))
    const before = await selectEdges(database, { clusterId })
    const report = await retain(database, clusterId, NOW_US)
    expect(report).toMatchObject({ failures: [] })
    expect(await selectEdges(database, { clusterId })).toEqual(before.filter((edge) => edge.port !== 403))
    const tables = ['flows', 'edge_windows', 'edge_hours', 'edge_days', 'flow_ends']
    // 0 days ago has just begun: neither its hour nor its day has been passed. 6 days ago is the first raw day kept.
    expect(await Promise.all(tables.map((table) => count(database, table, clusterId)))).toEqual([2, 3, 4, 6, 2])
    const second = await retain(database, clusterId, NOW_US)
    expect(second).toMatchObject({ rolled: 0, expired: 0, failures: [] })
    expect(await Promise.all(tables.map((table) => count(database, table, clusterId)))).toEqual([2, 3, 4, 6, 2])
  })

  test('a log of last year keeps its newest days, and a collector that stood still keeps everything', async () => {
    const { database } = await createTestDatabase()
    const old = await store(database, 'old', [400, 401, 420].map((days) => ago(days, days)))
    const live = await store(database, 'live', [0, 8, 20].map((days) => ago(days, days + 1)))
    for (let round = 0; round < 2; round++) {
      expect(await createHousekeeper(database).run(NOW_US)).toMatchObject({ failures: [] })
      expect([await count(database, 'flows', old), await count(database, 'edge_windows', old)]).toEqual([2, 2])
      expect([await count(database, 'flows', live), await count(database, 'edge_windows', live)]).toEqual([1, 2])
      expect([await ports(database, old), await ports(database, live)]).toEqual([[400, 401, 420], [1, 9, 21]])
    }
  })

  test('a flow from the future ages nothing', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await store(database, 'ahead', [ago(-3000, 1), ago(0, 2), ago(6, 3), ago(13, 4)])
    await retain(database, clusterId, NOW_US)
    expect([await count(database, 'flows', clusterId), await count(database, 'edge_windows', clusterId)]).toEqual([3, 4])
  })

  test('days of raw flows are dropped whole once no cluster needs them; until then the rows of the others go', async () => {
    const { database } = await createTestDatabase()
    const partitions = async (): Promise<string[]> => (await database.query<{ name: string }>(`select relname as name from pg_inherits join pg_class on pg_class.oid = inhrelid where inhparent = 'flows'::regclass order by 1`)).rows.map((row) => row.name)
    const live = await store(database, 'live', [0, 3, 8].map((days) => ago(days, days + 1)))
    const slow = await store(database, 'slow', [ago(3, 1), ago(8, 2)])
    const housekeeper = createHousekeeper(database)
    await housekeeper.run(NOW_US)
    // 8 days ago lies behind the live cluster's retention, not behind that of the slow one. Tomorrow is there before its first flow.
    const days = ['19', '24', '27', '28']
    expect(await partitions()).toEqual([...days.map((day) => `flows_202809${day}`), 'flows_default'])
    expect([await count(database, 'flows', live), await count(database, 'flows', slow)]).toEqual([2, 2])
    await createWriter(database, slow, NOW_US).store(collect([ago(0, 3)]), { source: 'test' })
    expect((await housekeeper.run(NOW_US)).expired).toBeGreaterThan(0)
    expect(await partitions()).toEqual([...days.slice(1).map((day) => `flows_202809${day}`), 'flows_default'])
    expect([await count(database, 'flows', live), await count(database, 'flows', slow)]).toEqual([2, 2])
  })

  test('a batch that writes for long is not waited for', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await store(database, 'busy', [ago(8, 1), ago(0, 2)])
    await withTransaction(database, async (tx) => {
      await tx.query('lock table only flows in row exclusive mode')
      expect(await createHousekeeper(database).run(NOW_US)).toMatchObject({ failures: [] })
      expect(await count(database, 'flows', clusterId)).toBe(2)
    })
    await createHousekeeper(database).run(NOW_US)
    expect(await count(database, 'flows', clusterId)).toBe(1)
  })

  test('what is kept can be set', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await store(database, 'short', [0, 2, 4, 6, 9].map((days) => ago(days, days + 1)))
    await retain(database, clusterId, NOW_US, { retention: { rawDays: 1, windowDays: 3, hourDays: 5, dayDays: 7, latenessDays: 1 } })
    expect(await Promise.all(['flows', 'edge_windows'].map((table) => count(database, table, clusterId)))).toEqual([1, 2])
    expect(await ports(database, clusterId)).toEqual([1, 3, 5, 7])
  })

  test('signs of incomplete observation go as the hours and days do', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await ensureCluster(database, 'test')
    const collected = collect([0, 80, 100].map((days) => ago(days, 1)))
    for (const days of [0, 390, 410]) collected.coverage.push({ type: 'lost-events', atUs: NOW_US - days * DAY_US, node: 'n', lost: 1, detail: '' })
    await createWriter(database, clusterId, NOW_US).store(collected, { source: 'test' })
    await retain(database, clusterId, NOW_US)
    expect(await Promise.all(['node_hours', 'node_hour_batches', 'coverage_events'].map((table) => count(database, table, clusterId)))).toEqual([2, 2, 2])
  })
})

test('a step that fails does not stop the others, nor the other clusters', async () => {
  const { database } = await createTestDatabase()
  const clusters = [await ensureCluster(database, 'a'), await ensureCluster(database, 'b')]
  for (const clusterId of clusters) {
    const writer = createWriter(database, clusterId)
    for (const days of [30, 30, 0]) await writer.store(collect([flowRecord({ firstAtUs: START_US - days * DAY_US })]), { source: 'test' })
  }
  await database.query(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no hour today'; end $$`)
  await database.query(`create trigger refuse before insert on edge_hours for each row when (new.cluster_id = ${clusters[0]}) execute function refuse()`)
  const { failures, ...report } = await createHousekeeper(database).run(START_US)
  expect(failures.map(({ step, error }) => [step, error instanceof Error ? error.message : ''])).toEqual([['roll-up', 'no hour today'], ['expire-edges', 'no hour today']])
  expect(report.folded).toBeGreaterThan(0)
  expect((await database.query('select distinct cluster_id from edge_days')).rows).toEqual([{ cluster_id: clusters[1] }])
  // Nothing that could not be rolled up is gone.
  expect((await database.query('select cluster_id, count(*)::integer as windows from edge_windows group by 1 order by 1')).rows).toEqual([
    { cluster_id: clusters[0], windows: 2 }, { cluster_id: clusters[1], windows: 1 }])
  await expect(retain(database, clusters[0] ?? 0, START_US)).rejects.toThrow('no hour today')
  await database.query('drop trigger refuse on edge_hours')
  expect((await createHousekeeper(database).run(START_US)).failures).toEqual([])
  expect((await database.query('select count(*)::integer as n from edge_days')).rows).toEqual([{ n: 2 }])
})
