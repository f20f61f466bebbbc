import { expect, test } from '@jest/globals'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { createTestDatabase } from '../support/database.ts'
import { flowRecord, START_US } from '../support/flow-records.ts'
import { collect, createWriter } from '../support/stored-flows.ts'

const DAY_US = 86_400_000_000

async function rowsByPartition(database: Awaited<ReturnType<typeof createTestDatabase>>['database']): Promise<Record<string, number>> {
  const { rows } = await database.query<{ part: string, n: number }>('select tableoid::regclass::text as part, count(*)::integer as n from flows group by 1 order by 1')
  return Object.fromEntries(rows.map((row) => [row.part, row.n]))
}

test('recent days get partitions of their own, other times stay in the default one', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'a')
  const writer = createWriter(database, clusterId, START_US + 3 * DAY_US)
  await writer.store(collect([
    flowRecord({ firstAtUs: START_US }), flowRecord({ firstAtUs: START_US + DAY_US - 1 }), flowRecord({ firstAtUs: START_US + DAY_US }),
    flowRecord({ firstAtUs: START_US - 500 * DAY_US }), flowRecord({ firstAtUs: START_US + 300 * DAY_US }),
  ]), { source: 'test' })
  expect(await rowsByPartition(database)).toMatchObject({ flows_20260101: 2, flows_20260102: 1, flows_default: 2 })
})

test('rows of a day that lie in the default partition move when its partition is made, while others write', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'a')
  const early = createWriter(database, clusterId, START_US - 100 * DAY_US)
  await early.store(collect(Array.from({ length: 500 }, (_, i) => flowRecord({ firstAtUs: START_US + i }))), { source: 'test' })
  expect(await rowsByPartition(database)).toEqual({ flows_default: 500 })
  const writers = Array.from({ length: 4 }, () => createWriter(database, clusterId, START_US))
  await Promise.all(writers.map(async (writer, w) => {
    for (let i = 0; i < 5; i++) await writer.store(collect([flowRecord({ firstAtUs: START_US + 1_000 * w + i }), flowRecord({ firstAtUs: START_US - 500 * DAY_US })]), { source: 'test' })
  }))
  expect(await rowsByPartition(database)).toEqual({ flows_20260101: 520, flows_default: 20 })
})
