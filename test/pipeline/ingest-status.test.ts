import { expect, test } from '@jest/globals'
import { saveClusterState } from '../../src/pipeline/cluster-state.ts'
import { readIngestStatus } from '../../src/pipeline/ingest-status.ts'
import type { Database } from '../../src/store/db/database.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { createTestDatabase } from '../support/database.ts'
import { flowRecord, START_US } from '../support/flow-records.ts'
import { collect, createWriter } from '../support/stored-flows.ts'

const HOUR_US = 3_600_000_000

/** Names of nodes that reported in each hour from START_US. */
async function report(database: Database, clusterId: number, hours: readonly string[]): Promise<void> {
  const flows = hours.flatMap((nodes, hour) => nodes.split(' ').map((node) => flowRecord({ node, firstAtUs: START_US + hour * HOUR_US + 1 })))
  await createWriter(database, clusterId).store(collect(flows), { source: 'test' })
}

async function missing(database: Database, clusterId: number): Promise<string[]> {
  const status = await readIngestStatus(database, { cluster: { id: clusterId, name: 'test' }, nowUs: START_US, limit: 100 })
  return status.coverage.newest.filter((e) => e.type === 'missing-node').map((e) => `${e.node} ${e.at.slice(11, 16)}-${e.until?.slice(11, 16) ?? ''}`).reverse()
}

test('with cluster state its nodes are expected: one that never reported is missed, one that was removed is not', async () => {
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'test')
  await report(database, clusterId, ['a b', 'a b', 'a', 'a', 'a', 'a'])
  expect(await missing(database, clusterId)).toEqual(['b 02:00-05:00'])
  const node = (name: string): object => ({ apiVersion: 'v1', kind: 'Node', metadata: { name, uid: `uid-${name}` }, status: { addresses: [{ type: 'InternalIP', address: `192.0.2.${name.charCodeAt(0)}` }] } })
  const save = (hour: number, names: readonly string[]) => saveClusterState(database, clusterId, { atUs: START_US + hour * HOUR_US, objects: names.map(node), source: 'api' })
  await save(0, ['a', 'b', 'c'])
  await save(2, ['a', 'b', 'c'])
  await save(2.5, ['a', 'c'])
  await save(5, ['a', 'c'])
  expect(await missing(database, clusterId)).toEqual(['c 00:00-05:00'])
})
