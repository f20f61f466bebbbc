import { expect, test } from '@jest/globals'
import { buildIdentityMap } from '../../src/core/flow/identity-map.ts'
import { DEFAULT_LABEL_RULES } from '../../src/core/flow/label-rules.ts'
import { versionIdentityMap } from '../../src/pipeline/identity-map.ts'
import { selectIdentityMapVersions } from '../../src/store/read/select-identity-map.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { saveIdentityMap } from '../../src/store/write/save-identity-map.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'
import { pod } from '../support/observed-edges.ts'

test('a version is made only when the content is new, counts from 1 per cluster, and never changes', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'one')
  const other = await ensureCluster(database, 'two')
  const save = (id: number, contentDigest: string, at = 0): Promise<number> => saveIdentityMap(database, { clusterId: id, createdAtUs: START_US + at, contentDigest, document: JSON.stringify({ at, nul: '\0' }) })
  expect([await save(clusterId, 'a'), await save(clusterId, 'b'), await save(clusterId, 'a', 5), await save(other, 'b')]).toEqual([1, 2, 1, 1])
  expect(await selectIdentityMapVersions(database, clusterId)).toEqual([
    { version: 1, createdAtUs: START_US, contentDigest: 'a' }, { version: 2, createdAtUs: START_US, contentDigest: 'b' },
  ])
})

test('many that save at once agree on the versions', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'one')
  const versions = await Promise.all(Array.from({ length: 24 }, (_, i) => saveIdentityMap(database, { clusterId, createdAtUs: START_US, contentDigest: `d${i % 4}`, document: '{}' })))
  expect(new Set(versions)).toEqual(new Set([1, 2, 3, 4]))
  expect(versions.every((version, i) => version === versions[i % 4])).toBe(true)
})

test('more pods are no new version, another ignored key or rule is', async () => {
  const { database } = await createTestDatabase()
  await ensureCluster(database, 'default')
  const shards = (n: number): ReturnType<typeof pod>[] => Array.from({ length: n }, (_, i) => pod('shop/db:StatefulSet', { app: 'db', shard: `${i}` }))
  const version = (map: ReturnType<typeof buildIdentityMap>): Promise<number> => versionIdentityMap(database, map, { cluster: 'default', nowUs: START_US })
  expect([
    await version(buildIdentityMap([])), await version(buildIdentityMap(shards(2))), await version(buildIdentityMap(shards(7))),
    await version(buildIdentityMap(shards(7), { ...DEFAULT_LABEL_RULES, keep: ['shard'] })), await version(buildIdentityMap([])),
  ]).toEqual([1, 2, 2, 3, 1])
})
