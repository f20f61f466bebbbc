import { readFile, readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { flowCode } from '../../src/core/flow/flow-codes.ts'
import { FLOW_FORMATS, PROTOCOLS } from '../../src/core/flow/flow-record.ts'
import type { FlowRecord } from '../../src/core/flow/flow-record.ts'
import { simulate } from '../../src/core/simulate/simulate.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { loadTopology } from '../../src/manifests/load-topology.ts'
import { withTransaction } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
import { migrate } from '../../src/store/db/migrate.ts'
import { FlowSelector } from '../../src/store/read/select-flows.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { identityId } from '../../src/store/write/identity-id.ts'
import { insertIdentities } from '../../src/store/write/insert-identities.ts'
import { anyFlow, ORIENTATIONS, plainFlow, SIDES, VERDICTS } from '../support/any-flows.ts'
import { createEmptyDatabase, createTestDatabase } from '../support/database.ts'
import { flowRecord, podIdentity, randomFlows, START_US } from '../support/flow-records.ts'
import { createRandom, rounds } from '../support/random.ts'
import { collect, createWriter } from '../support/stored-flows.ts'

const DAY_US = 86_400_000_000
const MIGRATIONS = fileURLToPath(new URL('../../migrations/', import.meta.url))

/** What the store keeps of a flow: not its digest. */
function kept(flow: FlowRecord): object {
  return { ...plainFlow(flow), digestHi: 0, digestLo: 0 }
}

function sorted(flows: readonly object[]): string[] {
  return flows.map((flow) => JSON.stringify(flow)).sort()
}

/** As people read them. */
async function viewed(database: Database, clusterId: number): Promise<object[]> {
  const { rows } = await database.query<Record<string, string | number>>(
    `select f.format, (extract(epoch from f.first_at) * 1000000)::bigint as first_us, (extract(epoch from f.last_at) * 1000000)::bigint as last_us, i.key as initiator, r.key as responder,
       f.initiator_ip, f.responder_ip, f.initiator_pod, f.responder_pod, f.protocol, f.port, f.initiator_port, f.orientation, f.side, f.observed_verdict, f.node, f.flows
     from flow_records f join identities i on i.cluster_id = f.cluster_id and i.id = f.initiator_id join identities r on r.cluster_id = f.cluster_id and r.id = f.responder_id
     where f.cluster_id = $1`, [clusterId],
  )
  return rows.map((r) => ({
    format: r.format, firstAtUs: Number(r.first_us), lastAtUs: Number(r.last_us), initiator: r.initiator, responder: r.responder, initiatorIp: r.initiator_ip, responderIp: r.responder_ip,
    initiatorPod: r.initiator_pod, responderPod: r.responder_pod, protocol: r.protocol, port: r.port, initiatorPort: r.initiator_port, orientation: r.orientation, side: r.side,
    observedVerdict: r.observed_verdict, node: r.node, flows: Number(r.flows), digestHi: 0, digestLo: 0,
  }))
}

/** As the program reads them. */
async function selected(database: Database, clusterId: number): Promise<object[]> {
  return withTransaction(database, async (tx) => {
    const flows: object[] = []
    for await (const flow of new FlowSelector(clusterId).read(tx, { sinceUs: START_US - 500 * DAY_US, untilUs: START_US + 500 * DAY_US })) flows.push(kept(flow))
    return flows
  })
}

describe('stored flows read back as they were', () => {
  let database: Database
  beforeAll(async () => {
    ({ database } = await createTestDatabase())
  })

  test('every kind of end, address, port and word', async () => {
    for (let seed = 1; seed <= rounds({ small: 1, full: 100 }); seed++) {
      const random = createRandom(seed)
      const clusterId = await ensureCluster(database, `words-${seed}`)
      const writer = createWriter(database, clusterId)
      const flows: FlowRecord[] = []
      for (let batch = 0; batch < 3; batch++) {
        const added = Array.from({ length: 300 }, () => anyFlow(random))
        flows.push(...added)
        await writer.store(collect(added), { source: 'test' })
      }
      const expected = sorted(flows.map(kept))
      expect(sorted(await selected(database, clusterId))).toEqual(expected)
      expect(sorted(await viewed(database, clusterId))).toEqual(expected)
    }
  })

  test('parts of a range: by last instant, by first instant', async () => {
    const clusterId = await ensureCluster(database, 'parts')
    const random = createRandom(99)
    const flows = Array.from({ length: 500 }, () => anyFlow(random))
    await createWriter(database, clusterId).store(collect(flows), { source: 'test' })
    const [sinceUs, untilUs, firstBeforeUs] = [START_US + DAY_US / 2, START_US + DAY_US, START_US + DAY_US / 2]
    const read = async (query: object): Promise<string[]> => withTransaction(database, async (tx) => {
      const found: object[] = []
      for await (const flow of new FlowSelector(clusterId).read(tx, { sinceUs, untilUs, ...query })) found.push(kept(flow))
      return sorted(found)
    })
    const inRange = flows.filter((f) => f.lastAtUs >= sinceUs && f.lastAtUs < untilUs)
    expect(await read({})).toEqual(sorted(inRange.map(kept)))
    const early = inRange.filter((f) => f.firstAtUs < firstBeforeUs)
    expect(early.length).toBeGreaterThan(3)
    expect(await read({ firstBeforeUs })).toEqual(sorted(early.map(kept)))
  })

  test('NUL and halves of surrogate pairs, which the database cannot hold, become U+FFFD; hostile names stay apart', async () => {
    const clusterId = await ensureCluster(database, 'hostile')
    const names = ['a\0b', 'a\ud800b', 'a\ufffdb', "'; drop table flows; --", '\\N\t', '😀', 'x'.repeat(5_000)]
    await createWriter(database, clusterId).store(collect(names.map((name) => flowRecord({ initiatorPod: name, node: name, side: 'client' }))), { source: 'test' })
    const { rows } = await database.query<{ initiator_pod: string; node: string }>('select initiator_pod, node from flow_records where cluster_id = $1', [clusterId])
    const expected = names.map((name) => name.replace(/[\0\ud800]/u, '\ufffd')).sort()
    expect(rows.map((row) => row.initiator_pod).sort()).toEqual(expected)
    expect(rows.map((row) => row.node).sort()).toEqual(expected)
  })

  test('more connections in one record than an integer holds: the row says 2,147,483,647, the edge all of them', async () => {
    const clusterId = await ensureCluster(database, 'many')
    await createWriter(database, clusterId).store(collect([flowRecord({ flows: 5_000_000_000 })]), { source: 'test' })
    const { rows } = await database.query<{ raw: number; edge: string }>('select f.flows as raw, w.flows as edge from flow_records f, edge_windows w where f.cluster_id = $1 and w.cluster_id = $1', [clusterId])
    expect(rows).toEqual([{ raw: 2_147_483_647, edge: '5000000000' }])
  })

  test('the words of the database are those of the program', async () => {
    for (const protocol of PROTOCOLS) for (const side of SIDES) for (const observedVerdict of VERDICTS) {
      const words = ORIENTATIONS.flatMap((orientation) => FLOW_FORMATS.map((format) => ({ protocol, side, observed_verdict: observedVerdict, orientation, format })))
      const codes = words.map(({ orientation, format }) => flowCode(flowRecord({ protocol, side, observedVerdict, orientation, format })))
      const { rows } = await database.query('select f.* from unnest($1::smallint[]) with ordinality as codes (code, place), flow_facts(code) f order by place', [codes])
      expect(rows).toEqual(words)
    }
  })
})

describe('ends of flows', () => {
  test('last_day is that of the latest flow, whatever comes first; two processes share the rows', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await ensureCluster(database, 'a')
    const [one, other] = [createWriter(database, clusterId), createWriter(database, clusterId)]
    const lastDay = async (): Promise<unknown> => (await database.query<{ day: string; n: number }>('select max(last_day)::text as day, count(*)::integer as n from flow_ends')).rows[0]
    await one.store(collect([flowRecord({ firstAtUs: START_US + DAY_US })]), { source: 'a' })
    expect(await lastDay()).toEqual({ day: '2026-01-02', n: 2 })
    await other.store(collect([flowRecord({ firstAtUs: START_US })]), { source: 'b' })
    expect(await lastDay()).toEqual({ day: '2026-01-02', n: 2 })
    await other.store(collect([flowRecord({ firstAtUs: START_US + 3 * DAY_US })]), { source: 'b' })
    await one.store(collect([flowRecord({ firstAtUs: START_US + 2 * DAY_US })]), { source: 'a' })
    expect(await lastDay()).toEqual({ day: '2026-01-04', n: 2 })
    await one.store(collect([flowRecord({ firstAtUs: START_US + 9 * DAY_US })]), { source: 'a' })
    expect(await lastDay()).toEqual({ day: '2026-01-10', n: 2 })
  })

  test('many processes that bring the same and different ends at once lose none and mix none up', async () => {
    const { database } = await createTestDatabase()
    const clusterIds = [await ensureCluster(database, 'a'), await ensureCluster(database, 'b')]
    const work = Array.from({ length: 6 }, (_, w) => {
      const random = createRandom(w)
      const clusterId = clusterIds[w % 2] as number
      return { clusterId, writer: createWriter(database, clusterId), batches: Array.from({ length: 4 }, () => Array.from({ length: 100 }, () => anyFlow(random))) }
    })
    await Promise.all(work.map(async ({ writer, batches }, w) => {
      for (const flows of batches) await writer.store(collect(flows), { source: `source-${w}` })
    }))
    for (const clusterId of clusterIds) {
      const flows = work.filter((w) => w.clusterId === clusterId).flatMap((w) => w.batches.flat())
      expect(sorted(await viewed(database, clusterId))).toEqual(sorted(flows.map(kept)))
    }
  })
})

test('raw flows of the shop example take at most 90 bytes each, with their ends and indexes', async () => {
  const { database } = await createTestDatabase()
  const topology = await loadTopology(fileURLToPath(new URL('../../examples/shop.yaml', import.meta.url)))
  const simulation = simulate(topology, { format: 'hubble', minutes: 30, seed: 1, startUs: START_US, rate: 2 })
  const ingester = await createIngester(database, { cluster: 'shop', nowUs: () => START_US + DAY_US })
  let values: { bytes: Buffer; offset: number }[] = []
  let offset = 0
  for (const line of simulation.lines()) {
    values.push({ bytes: Buffer.from(line), offset: offset++ })
    if (values.length < 10_000) continue
    await ingester.ingestValues({ source: 'test', values })
    values = []
  }
  await database.query('vacuum analyze')
  const { rows: [size] } = await database.query<{ rows: number; bytes: string }>(
    `select (select count(*)::integer from flows) as rows, (select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'flows'::regclass)
       + pg_total_relation_size('flow_ends') as bytes`)
  expect(size?.rows).toBeGreaterThan(10_000)
  expect(Number(size?.bytes) / (size?.rows ?? 1)).toBeLessThanOrEqual(90)
})

test('without raw flows the same edges are stored, and no flow', async () => {
  const flows = randomFlows(createRandom(3), 2_000)
  const edges: unknown[] = []
  const { database } = await createTestDatabase()
  for (const keepsFlows of [true, false]) {
    const clusterId = await ensureCluster(database, `raw-${String(keepsFlows)}`)
    await createWriter(database, clusterId, START_US, { keepsFlows }).store(collect(flows), { source: 'test' })
    const { rows: [count] } = await database.query<{ flows: number; ends: number }>(
      'select (select count(*)::integer from flows where cluster_id = $1) as flows, (select count(*)::integer from flow_ends where cluster_id = $1) as ends', [clusterId])
    expect(count?.flows).toBe(keepsFlows ? 2_000 : 0)
    if (!keepsFlows) expect(count?.ends).toBe(0)
    edges.push(await Promise.all(['edge_windows', 'external_peers', 'node_hours'].map(async (table) => (
      (await database.query<{ row: Record<string, unknown> }>(`select to_jsonb(t) - 'cluster_id' as row from ${table} t where cluster_id = $1 order by 1`, [clusterId])).rows))))
  }
  expect(edges[1]).toEqual(edges[0])
})

test('migration 000009 keeps every flow that was stored in wide rows', async () => {
  const { database } = await createEmptyDatabase()
  const files = (await readdir(MIGRATIONS)).sort()
  await database.query('create table schema_migrations (id serial primary key, name varchar(255) not null, run_on timestamp not null)')
  for (const file of files.filter((name) => name < '000009')) {
    await database.query(await readFile(`${MIGRATIONS}${file}`, 'utf8'))
    await database.query('insert into schema_migrations (name, run_on) values ($1, now())', [file.replace('.sql', '')])
  }
  const { rows: [cluster] } = await database.query<{ id: number }>(`insert into clusters (name) values ('old') returning id`)
  const clusterId = cluster?.id ?? 0
  const random = createRandom(4)
  // One of each day in a partition of its own, as the service made them; the rest in the default one.
  await database.query(`create table flows_20260101 partition of flows for values from ('2026-01-01T00:00:00Z') to ('2026-01-02T00:00:00Z')`)
  const flows = [
    ...Array.from({ length: 600 }, () => anyFlow(random)), flowRecord({ flows: 5_000_000_000, port: 65_535 }),
    flowRecord({ initiatorPod: 'a\nb', initiator: podIdentity('ünïcode'), node: 'näme' }),
  ]
  await insertIdentities(database, clusterId, [...new Set(flows.flatMap((f) => [f.initiator, f.responder]))])
  for (const f of flows) {
    await database.query(
      `insert into flows (last_at, first_at, initiator_id, responder_id, digest, flows, cluster_id, port, initiator_port, protocol, side, observed_verdict, orientation, format,
         initiator_ip, responder_ip, initiator_pod, responder_pod, node)
       values (to_timestamp($1::bigint / 1000000.0), to_timestamp($2::bigint / 1000000.0), $3, $4, 1, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
      [f.lastAtUs, f.firstAtUs, identityId(f.initiator).text, identityId(f.responder).text, f.flows, clusterId, f.port, f.initiatorPort, f.protocol, f.side, f.observedVerdict, f.orientation,
        f.format, f.initiatorIp, f.responderIp, f.initiatorPod, f.responderPod, f.node])
  }
  const ran = await migrate(database)
  expect(ran[0]).toBe('000009_compact_flows')
  const expected = sorted(flows.map((flow) => kept({ ...flow, flows: Math.min(flow.flows, 2_147_483_647) })))
  expect(sorted(await viewed(database, clusterId))).toEqual(expected)
  expect(sorted(await selected(database, clusterId))).toEqual(expected)
  // Ends of old and of new flows are one row.
  const before = await database.query('select 1 from flow_ends')
  await createWriter(database, clusterId, START_US).store(collect(flows.slice(0, 600)), { source: 'test' })
  expect((await database.query('select 1 from flow_ends')).rowCount).toBe(before.rowCount)
})
