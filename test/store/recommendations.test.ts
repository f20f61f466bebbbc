import { expect, test } from '@jest/globals'
import { findCluster, selectClusters } from '../../src/store/read/select-clusters.ts'
import { selectRecommendation, selectRecommendations } from '../../src/store/read/select-recommendations.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { saveRecommendation } from '../../src/store/write/save-recommendation.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'

test('recommendations come back byte for byte, newest first, by pages; saving the newest again changes nothing', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'one')
  const other = await ensureCluster(database, 'two')
  const save = (document: string, at: number) => saveRecommendation(database, { clusterId, createdAtUs: START_US + at, schema: 'flowfence.recommendation/v1', document })
  const document = '{ "b": 1.0, "a": ["\\u0000", "ü"],  "b2": 1e2 }'
  const ids = [await save('{"n":1}', 0), await save('{"n":2}', 1), await save(document, 2)]
  expect(await save(document, 3)).toBe(ids[2])
  const page = await selectRecommendations(database, { clusterId, limit: 2 })
  expect(page.map((head) => head.id)).toEqual([ids[2], ids[1]])
  expect((await selectRecommendations(database, { clusterId, before: page[1]?.id })).map((head) => head.id)).toEqual([ids[0]])
  expect(await selectRecommendation(database, { clusterId })).toMatchObject({ id: ids[2], cluster: 'one', document, createdAtUs: START_US + 2 })
  expect(await selectRecommendation(database, { clusterId, id: ids[0] })).toMatchObject({ document: '{"n":1}' })
  expect(await selectRecommendation(database, { clusterId: other })).toBeUndefined()
})

test('a cluster is found by name, or alone without one; otherwise the message names those that exist', async () => {
  const { database } = await createTestDatabase()
  await expect(findCluster(database, undefined)).rejects.toThrow('The database holds no flows yet: run `flowfence ingest` first.')
  const id = await ensureCluster(database, 'one')
  expect(await ensureCluster(database, 'one')).toBe(id)
  expect(await findCluster(database, undefined)).toMatchObject({ id, name: 'one' })
  await ensureCluster(database, 'two')
  await expect(findCluster(database, undefined)).rejects.toThrow('The database holds several clusters: say --cluster with one of one, two.')
  await expect(findCluster(database, 'three')).rejects.toThrow('There is no cluster "three"; known: one, two.')
  expect((await selectClusters(database)).map((cluster) => cluster.name)).toEqual(['one', 'two'])
})
