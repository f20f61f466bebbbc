import { expect, test } from '@jest/globals'
import { saveClusterState } from '../../src/pipeline/cluster-state.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
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

test('signs that flow records carry are stored with them, once per hour and node, and told by report and status', async () => {
  const { database } = await createTestDatabase()
  const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US, batchRecords: 3 })
  const flow = (node: string, i: number): string => JSON.stringify({
    SrcAddr: '10.244.1.7', SrcPort: 40_000 + i, SrcK8S_Name: 'web-0', SrcK8S_Namespace: 'shop', SrcK8S_Type: 'Pod', SrcK8S_OwnerName: 'web', SrcK8S_OwnerType: 'StatefulSet',
    DstAddr: '10.244.2.4', DstPort: 5432, DstK8S_Name: 'db-0', DstK8S_Namespace: 'shop', DstK8S_Type: 'Pod', DstK8S_OwnerName: 'db', DstK8S_OwnerType: 'StatefulSet',
    Proto: 6, Flags: 2, FlowDirection: 0, Bytes: 60, Packets: 1, Sampling: 50, AgentIP: node, TimeFlowStartMs: START_US / 1000 + i, TimeFlowEndMs: START_US / 1000 + i, TimeReceived: START_US / 1e6,
  })
  const body = Array.from({ length: 20 }, (_, i) => `${flow(i % 2 === 0 ? '192.0.2.1' : '192.0.2.2', i)}\n`).join('')
  const report = await ingester.ingestBody(Buffer.from(body), { source: 'http', maxBytes: 1e9, isBackfill: true })
  expect(report.stored).toBe(20)
  expect(report.coverage).toMatchObject([{ type: 'sampling', events: 2, lost: 0 }])
  expect(report.coverage[0]?.detail).toContain('50')
  const status = await readIngestStatus(database, { cluster: { id: ingester.clusterId, name: 'test' }, nowUs: START_US, limit: 100 })
  expect(status.coverage.counts.sampling).toBe(2)
})

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
