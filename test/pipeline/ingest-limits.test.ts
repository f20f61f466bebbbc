import { beforeAll, describe, expect, test } from '@jest/globals'
import { DEFAULT_LIMITS } from '../../src/pipeline/cluster-limits.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import type { Ingester } from '../../src/pipeline/ingest.ts'
import { readIngestStatus } from '../../src/pipeline/ingest-status.ts'
import type { IngestStatus } from '../../src/pipeline/ingest-status.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectDeadLetters } from '../../src/store/read/select-dead-letters.ts'
import { createTestDatabase } from '../support/database.ts'
import { START_US } from '../support/flow-records.ts'

let database: Database
let names = 0

beforeAll(async () => {
  ({ database } = await createTestDatabase())
})

interface Made {
  readonly cluster: string
  readonly ingester: Ingester
}

async function make(limits: Partial<typeof DEFAULT_LIMITS>, cluster = `limits-${names++}`): Promise<Made> {
  return { cluster, ingester: await createIngester(database, { cluster, nowUs: () => START_US, limits: { ...DEFAULT_LIMITS, ...limits } }) }
}

async function statusOf({ cluster, ingester }: Made): Promise<IngestStatus> {
  return readIngestStatus(database, { cluster: { id: ingester.clusterId, name: cluster }, nowUs: START_US, limit: 100 })
}

let times = 0

/** A flow from a pod with this app label to the database. */
function line(app: string, node = 'n1'): string {
  const time = new Date(START_US / 1000 + times++).toISOString()
  const end = (name: string): object => ({ identity: 1000, namespace: 'shop', labels: [`k8s:app=${name}`, 'k8s:io.kubernetes.pod.namespace=shop'], pod_name: `${name}-0` })
  const flow = {
    time, verdict: 'FORWARDED', IP: { source: '10.244.1.1', destination: '10.244.2.2' }, l4: { TCP: { source_port: 40_000, destination_port: 5432, flags: { SYN: true } } },
    source: end(app), destination: end('db'), Type: 'L3_L4', node_name: node, event_type: { type: 4 }, traffic_direction: 'INGRESS', is_reply: false,
  }
  return JSON.stringify({ flow, node_name: node, time })
}

async function push({ ingester }: Made, lines: readonly string[]) {
  return ingester.ingestBody(Buffer.from(lines.join('\n')), { source: 'http', maxBytes: 1e9, isBackfill: true })
}

describe('identities beyond the limit', () => {
  test('records that would make a new one are rejected; known ones go on; all of it is counted', async () => {
    const made = await make({ identities: 3 })
    expect(await push(made, [line('a'), line('b')])).toMatchObject({ stored: 2 })
    const report = await push(made, [line('c'), line('a'), line('d'), line('b')])
    expect(report).toMatchObject({ received: 4, stored: 2, rejected: { 'too-many-identities': 2 }, deadLetters: { kept: 0, notKept: 2 } })
    expect(await statusOf(made)).toMatchObject({ conservation: { holds: true }, limits: { identities: 3 }, deadLetters: { notKept: 2 } })
  })

  test('also after a restart, and in a second process', async () => {
    const made = await make({ identities: 3 })
    await push(made, [line('a'), line('b')])
    const restarted = await make({ identities: 3 }, made.cluster)
    expect(await push(restarted, [line('c'), line('b')])).toMatchObject({ stored: 1, rejected: { 'too-many-identities': 1 } })
    expect(await push(made, [line('e'), line('a')])).toMatchObject({ stored: 1, rejected: { 'too-many-identities': 1 } })
  })

  test('a batch that brings more than there is room for keeps the first ones; a larger limit takes the rest', async () => {
    const made = await make({ identities: 6 })
    const lines = Array.from({ length: 10 }, (_, i) => line(`w${i}`))
    expect(await push(made, lines)).toMatchObject({ received: 10, stored: 5, rejected: { 'too-many-identities': 5 } })
    const larger = await make({ identities: 100 }, made.cluster)
    expect(await push(larger, [...lines, line('w0')])).toMatchObject({ received: 11, stored: 6, duplicate: 5 })
    expect((await statusOf(larger)).limits.identities).toBe(11)
  })
})

describe('dead letters beyond the limit', () => {
  test('are counted, and the status says how many were not kept', async () => {
    const made = await make({ lettersPerMinute: 5 })
    const bad = Array.from({ length: 8 }, (_, i) => `{"x":${i}}`)
    expect(await push(made, bad)).toMatchObject({ rejected: { 'unknown-format': 8 }, deadLetters: { kept: 5, notKept: 3 } })
    expect(await push(made, ['{"y":1}'])).toMatchObject({ deadLetters: { kept: 0, notKept: 1 } })
    expect((await statusOf(made)).deadLetters).toEqual({ kept: 5, complete: 5, notKept: 4 })
    const letters = await selectDeadLetters(database, { clusterId: made.ingester.clusterId, limit: 10 })
    expect(letters.map((l) => l.sample)).toEqual(['{"x":4}', '{"x":3}', '{"x":2}', '{"x":1}', '{"x":0}'])
  })

  test('a minute later there is room again', async () => {
    const made = await make({ lettersPerMinute: 1 })
    await push(made, ['{"x":1}'])
    await database.query(`update rejections set rejected_at = rejected_at - interval '61 seconds' where cluster_id = $1`, [made.ingester.clusterId])
    expect(await push(made, ['{"x":2}', '{"x":3}'])).toMatchObject({ deadLetters: { kept: 1, notKept: 1 } })
  })

  test('none at all, when that is asked for', async () => {
    expect(await push(await make({ lettersPerMinute: 0 }), ['{"x":1}'])).toMatchObject({ rejected: { 'unknown-format': 1 }, deadLetters: { kept: 0, notKept: 1 } })
  })
})

test('names of nodes beyond the limit are not kept, and their flows are stored', async () => {
  const made = await make({ nodes: 2 })
  expect(await push(made, ['n1', 'n2', 'n3', 'n4', 'n1'].map((node) => line('a', node)))).toMatchObject({ stored: 5, nodesNotKept: 2 })
  const { rows } = await database.query('select node, sum(flows)::integer as flows from node_hours where cluster_id = $1 group by node order by node', [made.ingester.clusterId])
  expect(rows).toEqual([{ node: '', flows: 2 }, { node: 'n1', flows: 2 }, { node: 'n2', flows: 1 }])
  const restarted = await make({ nodes: 2 }, made.cluster)
  expect(await push(restarted, [line('b', 'n5'), line('b', 'n2')])).toMatchObject({ stored: 2, nodesNotKept: 1 })
  expect((await statusOf(made)).limits.flowsWithoutNode).toBe(3)
})
