import { expect, test } from '@jest/globals'
import { retain } from '../../src/pipeline/retain.ts'
import { selectEdges } from '../../src/store/read/select-edges.ts'
import { selectIngestTotals } from '../../src/store/read/select-ingest-totals.ts'
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
