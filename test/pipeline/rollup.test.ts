import { readdirSync, readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { EdgeBatch } from '../../src/core/aggregate/edge-batch.ts'
import { foldEdges } from '../../src/core/aggregate/fold-edges.ts'
import { US_PER_HOUR } from '../../src/core/aggregate/node-hours.ts'
import { US_PER_DAY } from '../../src/core/base/time.ts'
import type { ObservedEdge } from '../../src/core/flow/edge.ts'
import type { FlowRecord } from '../../src/core/flow/flow-record.ts'
import { expireLevels, rollUp } from '../../src/pipeline/rollup.ts'
import type { Database, Queryable } from '../../src/store/db/database.ts'
import { withSnapshot } from '../../src/store/db/database.ts'
import { selectEdges, selectObservedRange } from '../../src/store/read/select-edges.ts'
import { selectLevelState } from '../../src/store/read/select-levels.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { foldEdgeWindows } from '../../src/store/write/fold-edge-windows.ts'
import { createEmptyDatabase, createTestDatabase } from '../support/database.ts'
import { flowRecord, randomFlows, START_US } from '../support/flow-records.ts'
import { createRandom } from '../support/random.ts'
import { collect, createWriter } from '../support/stored-flows.ts'

let database: Database
let clusters = 0

beforeAll(async () => {
  ({ database } = await createTestDatabase())
})

async function newCluster(): Promise<number> {
  return ensureCluster(database, `rollup-${clusters++}`)
}

async function store(clusterId: number, flows: readonly FlowRecord[]): Promise<void> {
  await createWriter(database, clusterId).store(collect(flows), { source: 'test' })
}

function edgesOf(flows: readonly FlowRecord[]): unknown {
  const batch = new EdgeBatch()
  for (const flow of flows) batch.add(flow)
  return plain(foldEdges(batch.windows(), batch.externalPeers(), batch.externalOverflows()))
}

/** Identity.index is a process's own affair. */
function plain(edges: readonly ObservedEdge[]): unknown {
  return edges.map((edge) => ({ ...edge, from: edge.from.key, to: edge.to.key }))
}

async function read(clusterId: number, range: { sinceUs?: number, untilUs?: number } = {}): Promise<unknown> {
  return plain(await selectEdges(database, { clusterId, ...range }))
}

async function counts(clusterId: number): Promise<{ windows: number, hours: number, days: number }> {
  const count = (table: string): string => `(select count(*)::integer from edge_${table} where cluster_id = $1) as ${table}`
  const { rows } = await database.query<{ windows: number, hours: number, days: number }>(`select ${count('windows')}, ${count('hours')}, ${count('days')}`, [clusterId])
  return rows[0] ?? { windows: NaN, hours: NaN, days: NaN }
}

const at = (hours: number): number => START_US + hours * US_PER_HOUR
/** Windows kept from hour `windows` on, hours from `hours` on. */
const cutoffs = (windows: number, hours = -1000, days = -1000) => ({ cutoffs: { rawUs: 0, windowsUs: at(windows), hoursUs: at(hours), daysUs: at(days) } })

describe('rolling up', () => {
  test('an hour is rolled once the watermark has passed its end, and again only when something came', async () => {
    const clusterId = await newCluster()
    await store(clusterId, [flowRecord({ firstAtUs: at(0) }), flowRecord({ firstAtUs: at(1) })])
    expect(await rollUp(database, clusterId, { watermarkUs: at(1) - 1 })).toEqual({ hours: 0, days: 0 })
    expect(await rollUp(database, clusterId, { watermarkUs: at(1) })).toEqual({ hours: 1, days: 0 })
    expect(await rollUp(database, clusterId, { watermarkUs: at(24) })).toEqual({ hours: 1, days: 1 })
    expect(await rollUp(database, clusterId, { watermarkUs: at(48) })).toEqual({ hours: 0, days: 0 })
    expect(await counts(clusterId)).toEqual({ windows: 2, hours: 2, days: 1 })
  })

  test.each([1, 8])('an edge that arrives %d days late reaches its hour and its day', async (days) => {
    const clusterId = await newCluster()
    const early = [flowRecord({ firstAtUs: at(0) }), flowRecord({ firstAtUs: at(days * 24) })]
    await store(clusterId, early)
    await rollUp(database, clusterId, { watermarkUs: at(days * 24) })
    const late = flowRecord({ firstAtUs: at(0.5), port: 9999 })
    await store(clusterId, [late])
    // Also before it is rolled: readers take the hour's windows.
    expect(await read(clusterId)).toEqual(edgesOf([...early, late]))
    expect(await rollUp(database, clusterId, { watermarkUs: at(days * 24) })).toEqual({ hours: 1, days: 1 })
    expect(await read(clusterId)).toEqual(edgesOf([...early, late]))
    const ports = async (table: string): Promise<unknown> => (await database.query(`select port from ${table} where cluster_id = $1 and ${table === 'edge_days' ? 'day_start' : 'hour_start'} = to_timestamp($2::bigint / 1e6) order by port`, [clusterId, START_US])).rows
    expect(await ports('edge_hours')).toEqual([{ port: 5432 }, { port: 9999 }])
    expect(await ports('edge_days')).toEqual([{ port: 5432 }, { port: 9999 }])
  })

  test('folding keeps in mind what is rolled and what is not', async () => {
    const clusterId = await newCluster()
    const flows = [0, 1, 2].map((i) => flowRecord({ firstAtUs: at(0) + i }))
    for (const flow of flows.slice(0, 2)) await store(clusterId, [flow])
    await rollUp(database, clusterId, { watermarkUs: at(24) })
    expect(await foldEdgeWindows(database, clusterId)).toBeGreaterThan(0)
    expect(await rollUp(database, clusterId, { watermarkUs: at(24) })).toEqual({ hours: 0, days: 0 })
    await store(clusterId, flows.slice(2))
    await foldEdgeWindows(database, clusterId)
    expect(await selectLevelState(database, clusterId)).toMatchObject({ dirtyHours: [START_US] })
    expect(await rollUp(database, clusterId, { watermarkUs: at(24) })).toEqual({ hours: 1, days: 1 })
    expect(await read(clusterId)).toEqual(edgesOf(flows))
  })
})

describe('expiry', () => {
  test('windows go once their hour holds them, hours once their day does; what came late is added to what was kept', async () => {
    const clusterId = await newCluster()
    const flows = [0, 1, 25, 50].map((hour) => flowRecord({ firstAtUs: at(hour), port: 1000 + hour }))
    await store(clusterId, flows)
    // Nothing was rolled up yet: expiry sees to it first.
    expect(await expireLevels(database, clusterId, cutoffs(48, 24))).toEqual({ windows: 3, hours: 1, days: 0 })
    expect(await counts(clusterId)).toEqual({ windows: 1, hours: 1, days: 1 + 1 })
    expect(await read(clusterId)).toEqual(edgesOf(flows))
    const late = [flowRecord({ firstAtUs: at(0.1), lastAtUs: at(25.1), port: 1000 }), flowRecord({ firstAtUs: at(1), port: 1001 }), flowRecord({ firstAtUs: at(2), port: 7 })]
    await store(clusterId, late)
    expect(await read(clusterId)).toEqual(edgesOf([...flows, ...late]))
    await rollUp(database, clusterId, { watermarkUs: at(0) })
    expect(await read(clusterId)).toEqual(edgesOf([...flows, ...late]))
    expect((await counts(clusterId)).windows).toBe(1)
    expect(await selectObservedRange(database, clusterId)).toEqual({ sinceUs: at(0), untilUs: at(50) + 1 })
    expect(await expireLevels(database, clusterId, cutoffs(48, 24))).toEqual({ windows: 0, hours: 0, days: 0 })
  })

  test('after expiry the margins of a range are whole hours, then whole days', async () => {
    const clusterId = await newCluster()
    const ports = async (sinceUs: number, untilUs: number): Promise<number[]> => (await selectEdges(database, { clusterId, sinceUs, untilUs })).map((edge) => edge.port)
    await store(clusterId, [0, 0.5, 10, 30].map((hour, i) => flowRecord({ firstAtUs: at(hour), port: i + 1 })))
    expect(await ports(at(0.25), at(0.75))).toEqual([2])
    await expireLevels(database, clusterId, cutoffs(48))
    expect(await ports(at(0.25), at(0.75))).toEqual([1, 2])
    expect(await ports(at(1), at(10))).toEqual([])
    await expireLevels(database, clusterId, cutoffs(48, 24))
    expect(await ports(at(0.25), at(0.75))).toEqual([1, 2, 3])
    expect(await ports(at(24), at(48))).toEqual([4])
  })

  test('days go with their outside addresses, never before their hours', async () => {
    const clusterId = await newCluster()
    const flows = randomFlows(createRandom(3), 100)
    await store(clusterId, flows)
    await store(clusterId, [flowRecord({ firstAtUs: at(24 * 20), port: 1 })])
    expect(await expireLevels(database, clusterId, cutoffs(-48, -72, 24 * 10))).toMatchObject({ days: 0 })
    const { days } = await expireLevels(database, clusterId, cutoffs(24 * 10, 24 * 10, 24 * 10))
    expect(days).toBeGreaterThan(0)
    expect((await selectEdges(database, { clusterId })).map((edge) => edge.port)).toEqual([1])
    const { rows } = await database.query(`select 1 from external_peers where cluster_id = $1 union all select 1 from external_peer_batches where cluster_id = $1
      union all select 1 from external_overflows where cluster_id = $1`, [clusterId])
    expect(rows).toEqual([])
  })
})

test('several workers, folding, rolling and expiring, next to a writer and readers: nothing is lost, doubled or seen in part', async () => {
  const clusterId = await newCluster()
  const random = createRandom(77)
  const flows = randomFlows(random, 1_200).map((flow) => {
    const shift = random.int(6) * US_PER_DAY
    return { ...flow, firstAtUs: flow.firstAtUs + shift, lastAtUs: flow.lastAtUs + shift }
  })
  const state = { isDone: false, begun: 0, committed: 0 }
  const work = async (seed: number): Promise<void> => {
    const own = createRandom(seed)
    while (!state.isDone) {
      await foldEdgeWindows(database, clusterId)
      await rollUp(database, clusterId, { watermarkUs: START_US + own.int(8) * US_PER_DAY })
      await expireLevels(database, clusterId, cutoffs(24 * own.int(4), 24 * own.int(3)))
    }
  }
  const look = async (): Promise<void> => {
    while (!state.isDone) {
      const atLeast = state.committed
      const edges = await selectEdges(database, { clusterId })
      const seen = edges.flatMap((edge) => edge.sightings).reduce((sum, s) => sum + s.flows, 0)
      expect(seen).toBeGreaterThanOrEqual(atLeast)
      expect(seen).toBeLessThanOrEqual(state.begun)
    }
  }
  const others = [work(1), work(2), work(3), look()]
  const writer = createWriter(database, clusterId)
  for (let from = 0; from < flows.length; from += 60) {
    const batch = flows.slice(from, from + 60)
    state.begun += batch.reduce((sum, flow) => sum + flow.flows, 0)
    await writer.store(collect(batch), { source: 'test' })
    state.committed = state.begun
  }
  state.isDone = true
  await Promise.all(others)
  expect(await read(clusterId)).toEqual(edgesOf(flows))
  await rollUp(database, clusterId, { watermarkUs: at(24 * 100) })
  expect(await read(clusterId)).toEqual(edgesOf(flows))
})

test('a rollup in between changes nothing for who has begun to read', async () => {
  const clusterId = await newCluster()
  const flows = randomFlows(createRandom(4), 50)
  await store(clusterId, flows)
  await withSnapshot(database, async (tx) => {
    await selectLevelState(tx, clusterId)
    await rollUp(database, clusterId, { watermarkUs: at(1000) })
    await expireLevels(database, clusterId, cutoffs(48, 24))
    expect(plain(await selectEdges(tx, { clusterId }))).toEqual(edgesOf(flows))
  })
})

test('ninety of 370 days are read by the index, and nothing else', async () => {
  const clusterId = await newCluster()
  await database.query(
    `insert into edge_days (day_start, first_at, last_at, initiator_id, responder_id, flows, cluster_id, port, initiator_port, evidence, is_long_lived, protocol, side, observed_verdict, presence)
     select day, day, day, edge, 1, 1, $1, 80, 0, 1, false, 'TCP', 'server', 'allowed', 1::bit(288)
     from generate_series(timestamptz '2025-01-01T00:00:00Z', '2026-01-04T00:00:00Z', '1 day') as day cross join generate_series(1, 200) as edge`, [clusterId],
  )
  await database.query('insert into edge_day_rollups (cluster_id, day_start, first_at, last_at) select distinct cluster_id, day_start, first_at, last_at from edge_days where cluster_id = $1', [clusterId])
  await store(clusterId, Array.from({ length: 100 }, (_, i) => flowRecord({ firstAtUs: at(i), port: 5 })))
  await rollUp(database, clusterId, { watermarkUs: at(96) })
  await database.query('analyze edge_days, edge_hours, edge_windows')
  const plans: string[] = []
  await withSnapshot(database, async (tx) => {
    const recorder: Queryable = {
      query: async (text, values) => {
        if (text.includes('edge_days')) plans.push(JSON.stringify((await tx.query(`explain (analyze, format json) ${text}`, values)).rows))
        return text.includes('edge_days') ? { rows: [], rowCount: 0 } : tx.query(text, values)
      },
    }
    await selectEdges(recorder, { clusterId, sinceUs: at(100 - 90 * 24), untilUs: at(100) })
  })
  const [plan = ''] = plans
  expect(plan).toContain('edge_days_cluster_id_day_start_idx')
  const rowsOf = (table: string): number => [...plan.matchAll(new RegExp(`"Relation Name":"${table}".*?"Actual Rows":([\\d.]+),"Actual Loops":(\\d+)`, 'g'))].reduce((sum, m) => sum + Number(m[1]) * Number(m[2]), 0)
  // 85 days of 200 edges, the four days that were rolled up, and the four hours of today that are not.
  expect([rowsOf('edge_days'), rowsOf('edge_hours'), rowsOf('edge_windows')]).toEqual([expect.closeTo(85 * 200 + 4, -1), 0, 4])
})

test('windows from before this schema are rolled up, too', async () => {
  const { database: old } = await createEmptyDatabase()
  const files = readdirSync('migrations').sort()
  const at10 = files.findIndex((file) => file.startsWith('000010'))
  const run = async (names: readonly string[]): Promise<void> => { for (const file of names) await old.query(readFileSync(`migrations/${file}`, 'utf8')) }
  await run(files.slice(0, at10))
  await old.query(
    `insert into edge_windows (window_start, first_at, last_at, initiator_id, responder_id, flows, cluster_id, port, initiator_port, evidence, is_long_lived, protocol, side, observed_verdict)
     select w, w, w + interval '1 minute', 1, 2, 3, 1, 80, 0, 2, false, 'TCP', 'server', 'allowed' from generate_series(timestamptz '2026-01-01T00:00:00Z', '2026-01-01T02:00:00Z', '5 minutes') as w`,
  )
  await old.query(`insert into edge_window_batches (cluster_id, window_start) select 1, timestamptz '2026-01-01T00:00:00Z' from generate_series(1, 3)`)
  await old.query(`insert into ingest_received (cluster_id, source, records) values (1, 'old', 75)`)
  await run(files.slice(at10))
  expect(await rollUp(old, 1, { watermarkUs: at(24) })).toEqual({ hours: 3, days: 1 })
  const { rows } = await old.query(`select flows, bit_count(presence)::integer as windows, evidence, (select newest_at = '2026-01-01T02:01:00Z' from ingest_received) as is_known from edge_days`)
  expect(rows).toEqual([{ flows: '75', windows: 25, evidence: 2, is_known: true }])
})
