import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from '@jest/globals'
import type { ObservedEdge } from '../../src/core/flow/edge.ts'
import type { FlowRecord } from '../../src/core/flow/flow-record.ts'
import { simulate, SIMULATED_FORMATS } from '../../src/core/simulate/simulate.ts'
import { loadTopology } from '../../src/manifests/load-topology.ts'
import { saveClusterState } from '../../src/pipeline/cluster-state.ts'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { reaggregate } from '../../src/pipeline/reaggregate.ts'
import { retain } from '../../src/pipeline/retain.ts'
import { expireLevels, rollUp } from '../../src/pipeline/rollup.ts'
import { openDatabase } from '../../src/store/db/database.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectEdges } from '../../src/store/read/select-edges.ts'
import { ensureCluster } from '../../src/store/write/ensure-cluster.ts'
import { foldEdgeWindows } from '../../src/store/write/fold-edge-windows.ts'
import { createTestDatabase } from '../support/database.ts'
import { classEnd } from '../support/observed-edges.ts'
import { externalIdentity, flowRecord, randomFlows, START_US } from '../support/flow-records.ts'
import { createRandom, rounds } from '../support/random.ts'
import type { Random } from '../support/random.ts'
import { collect, createWriter } from '../support/stored-flows.ts'

const DAY_US = 86_400_000_000
const HOUR_US = 3_600_000_000
const NOW_US = START_US + 4 * DAY_US

function plain(edges: readonly ObservedEdge[]): string[] {
  return edges.map(({ from, to, ...rest }) => JSON.stringify({ from: from.key, to: to.key, ...rest }))
}

/** What only one of them has, short enough to be read. */
function differences(edges: readonly string[], expected: readonly string[]): string[] {
  const shown = (sign: string) => (text: string): string => {
    const { from, to, protocol, port, fromPort, evidence, sightings } = JSON.parse(text) as { from: string; to: string; protocol: string; port: number; fromPort: number; evidence: number; sightings: object[] }
    const end = (key: string): string => { const parts = JSON.parse(key) as unknown[]; return `${String(parts[0])} ${String(parts[2])} ${String(parts[4])} ${JSON.stringify(parts[6])}` }
    return `${sign} ${end(from)} -> ${end(to)} ${protocol} ${fromPort} ${port} evidence ${evidence} ${sightings.map((s) => JSON.stringify(s)).join(' ').replaceAll(/"|\w+AtUs/g, '')}`
  }
  return [...edges.filter((edge) => !expected.includes(edge)).map(shown('+')), ...expected.filter((edge) => !edges.includes(edge)).map(shown('-'))]
}

async function edgesOf(database: Database, clusterId: number, range: { sinceUs?: number; untilUs?: number } = {}): Promise<string[]> {
  return plain(await selectEdges(database, { clusterId, ...range }))
}

/** All that readers may ask for: folded, rows are comparable one by one. */
async function rowsOf(database: Database, clusterId: number): Promise<unknown> {
  await foldEdgeWindows(database, clusterId)
  await rollUp(database, clusterId, { watermarkUs: NOW_US })
  const all = async (table: string): Promise<unknown[]> => (await database.query<{ row: string }>(`select (to_jsonb(t) - 'cluster_id')::text as row from ${table} t where cluster_id = $1 order by 1`, [clusterId])).rows
  return { windows: await all('edge_windows'), peers: await all('external_peers'), hours: await all('edge_hours'), days: await all('edge_days'), nodes: await all('node_hours') }
}

/** Random flows of four days, some of them lasting for days. */
function flowsOf(random: Random, amount: number): FlowRecord[] {
  return randomFlows(random, amount).map((flow) => {
    const shiftUs = random.int(3) * DAY_US + random.int(22) * HOUR_US
    return { ...flow, firstAtUs: flow.firstAtUs + shiftUs, lastAtUs: flow.lastAtUs + shiftUs }
  })
}

async function store(database: Database, clusterId: number, flows: readonly FlowRecord[], batchSize = 400): Promise<void> {
  const writer = createWriter(database, clusterId, NOW_US)
  for (let at = 0; at < flows.length; at += batchSize) await writer.store(collect(flows.slice(at, at + batchSize)), { source: 'test' })
}

test('without news of the cluster the edges come out as they were, whether folded, rolled up or neither', async () => {
  for (let seed = 1; seed <= rounds({ small: 1, full: 60 }); seed++) {
    const random = createRandom(seed)
    const { database } = await createTestDatabase()
    const clusterId = await ensureCluster(database, 'test')
    // More outside addresses of one edge and day than are kept.
    const scan = seed > 1 ? [] : Array.from({ length: 10_300 }, (_, i) => flowRecord({ firstAtUs: START_US + i, responder: externalIdentity(), responderIp: `198.51.${i >> 8}.${i & 255}`, port: 443 }))
    await store(database, clusterId, [...flowsOf(random, 1_500), ...scan], 2_000)
    if (random.chance(0.5)) await foldEdgeWindows(database, clusterId)
    if (random.chance(0.5)) await rollUp(database, clusterId, { watermarkUs: START_US + 2 * DAY_US })
    const ranges = [{}, { sinceUs: START_US + DAY_US / 3 }, { sinceUs: START_US + 5 * HOUR_US, untilUs: START_US + 29 * HOUR_US }]
    const before = await Promise.all(ranges.map((range) => edgesOf(database, clusterId, range)))
    const report = await reaggregate(database, { cluster: 'test', nowUs: () => NOW_US })
    expect(report.days.map((day) => [day.outcome, day.revised])).toEqual(report.days.map(() => ['rebuilt', 0]))
    expect(report.days.reduce((sum, day) => sum + day.flows, 0)).toBe(1_500 + scan.length)
    expect(await Promise.all(ranges.map((range) => edgesOf(database, clusterId, range)))).toEqual(before)
    const rows = await rowsOf(database, clusterId)
    const { database: other } = await createTestDatabase()
    const otherId = await ensureCluster(other, 'test')
    await store(other, otherId, [...flowsOf(createRandom(seed), 1_500), ...scan], 5_000)
    expect(rows).toEqual(await rowsOf(other, otherId))
  }
})

/** The same traffic as the AWS agent would log it: addresses only. */
function* awsLines(lines: Iterable<string>): Generator<string> {
  for (const line of lines) {
    const flow = JSON.parse(line) as { SrcAddr: string; DstAddr: string; SrcPort: number; DstPort: number; Proto: number; TimeFlowEndMs: number; FlowDirection: number }
    yield JSON.stringify({
      level: 'info', ts: new Date(flow.TimeFlowEndMs).toISOString(), logger: 'ebpf-client', msg: 'Flow Info:  ', 'Src IP': flow.SrcAddr, 'Src Port': flow.SrcPort, 'Dest IP': flow.DstAddr,
      'Dest Port': flow.DstPort, Proto: flow.Proto === 17 ? 'UDP' : 'TCP', Verdict: 'ACCEPT', Direction: flow.FlowDirection === 0 ? 'ingress' : 'egress',
    })
  }
}

/** The same traffic as FLP writes it without enrichment. */
function* bareLines(lines: Iterable<string>): Generator<string> {
  for (const line of lines) yield JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line) as object).filter(([key]) => !key.includes('K8S_'))))
}

/** As Cilium writes ends that it has forgotten: some without any description, some as the world; some without their direction. */
function* namelessLines(lines: Iterable<string>): Generator<string> {
  const random = createRandom(5)
  for (const line of lines) {
    const record = JSON.parse(line) as { flow?: Record<string, unknown> }
    if (record.flow === undefined) continue
    // One of two pods: a flow without any end that could be a pod is ignored when it comes, and nothing is stored of it.
    const arePods = ['source', 'destination'].every((end) => JSON.stringify(record.flow?.[end] ?? {}).includes('"pod_name"'))
    if (arePods && random.chance(0.7)) record.flow[random.pick(['source', 'destination'])] = random.chance(0.5) ? {} : { identity: 2, labels: ['reserved:world'] }
    if (random.chance(0.3)) for (const key of ['is_reply', 'reply', 'event_type', 'l4']) record.flow[key] = key === 'l4' ? withoutFlags(record.flow.l4) : undefined
    yield JSON.stringify(record)
  }
}

function withoutFlags(l4: unknown): unknown {
  const { TCP: tcp, ...rest } = l4 as { TCP?: object }
  return tcp === undefined ? rest : { TCP: { ...tcp, flags: undefined } }
}

/** Pods that Calico does not run, which it calls a network. */
function* networkLines(lines: Iterable<string>): Generator<string> {
  for (const line of lines) {
    const row = JSON.parse(line) as Record<string, unknown>
    if (row.dest_type === 'wep' && typeof row.dest_ip === 'string' && row.dest_ip !== '') Object.assign(row, { dest_type: 'net', dest_name: '-', dest_name_aggr: 'pvt', dest_namespace: '-', dest_labels: null })
    yield JSON.stringify(row)
  }
}

/** Without the records that only told a Service's port, which is no pod's and is not stored. */
function* withoutServices(lines: Iterable<string>): Generator<string> {
  for (const line of lines) if (!/"source_xlated":"[^"]|"(Src|Dst)K8S_Type":"Service"|_service"/.test(line)) yield line
}

const REWRITTEN: Readonly<Record<string, ((lines: Iterable<string>) => Iterable<string>) | undefined>> = {
  'netobserv without enrichment': bareLines, 'aws-vpc-cni': awsLines, 'hubble without names': (lines) => namelessLines(withoutServices(lines)), hubble: withoutServices, netobserv: withoutServices, 'calico without pods': networkLines,
}

describe('with cluster state that came later', () => {
  test.each(['netobserv', 'netobserv without enrichment', 'aws-vpc-cni', 'antrea', 'goldmane', 'calico-enterprise', 'calico without pods', 'hubble', 'hubble without names'] as const)('%s: edges equal those of an ingest that knew it from the start', async (format) => {
    const topology = await loadTopology(fileURLToPath(new URL('../../examples/shop.yaml', import.meta.url)))
    const simulated = SIMULATED_FORMATS.find((known) => format.startsWith(known.slice(0, 6))) ?? 'netobserv'
    const simulation = simulate(topology, { format: simulated, minutes: 6, seed: 3, startUs: START_US + 10 * HOUR_US, cluster: 'test' })
    const lines = [...REWRITTEN[format]?.(simulation.lines()) ?? simulation.lines()].slice(0, 5_000)
    // Before and after the flows, so that addresses are certain in between.
    const states = [10, 11].map((hour) => ({ objects: simulation.clusterObjects(), source: `test-${hour}`, atUs: START_US + hour * HOUR_US }))
    const stores = []
    for (const isKnown of [true, false]) {
      const { database } = await createTestDatabase()
      const clusterId = await ensureCluster(database, 'test')
      if (isKnown) for (const state of states) await saveClusterState(database, clusterId, state)
      const ingester = await createIngester(database, { cluster: 'test', nowUs: () => START_US + 12 * HOUR_US, isAnyAge: true })
      const report = await ingester.ingestValues({ source: 'test', values: lines.map((line, offset) => ({ bytes: Buffer.from(line), offset })) })
      expect(report.stored).toBeGreaterThan(100)
      stores.push({ database, clusterId })
    }
    const [knowing, learning] = stores as [typeof stores[number], typeof stores[number]]
    const expected = await edgesOf(knowing.database, knowing.clusterId)
    const before = await edgesOf(learning.database, learning.clusterId)
    for (const state of states) await saveClusterState(learning.database, learning.clusterId, state)
    const dry = await reaggregate(learning.database, { cluster: 'test', nowUs: () => START_US + 12 * HOUR_US, isDryRun: true })
    expect(await edgesOf(learning.database, learning.clusterId)).toEqual(before)
    const report = await reaggregate(learning.database, { cluster: 'test', nowUs: () => START_US + 12 * HOUR_US })
    expect(report.days).toEqual(dry.days)
    expect(differences(await edgesOf(learning.database, learning.clusterId), expected)).toEqual([])
    if (format !== 'hubble' && format !== 'goldmane' && format !== 'calico-enterprise') expect(report.days[0]?.revised).toBeGreaterThan(0)
    // Again: the same.
    expect((await reaggregate(learning.database, { cluster: 'test', nowUs: () => START_US + 12 * HOUR_US })).days).toEqual(report.days)
    expect(await edgesOf(learning.database, learning.clusterId)).toEqual(expected)
  })
})

test('batches that come while it runs are neither lost nor counted twice, next to housekeeping', async () => {
  const random = createRandom(11)
  const { database } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'test')
  const early = flowsOf(random, 2_000)
  const late = flowsOf(random, 2_000)
  await store(database, clusterId, early)
  let isStoring = true
  const storing = store(database, clusterId, late, 50).finally(() => { isStoring = false })
  const housekeeping = (async () => {
    while (isStoring) await retain(database, clusterId, NOW_US)
  })()
  let runs = 0
  while (isStoring || runs < 2) {
    const { days } = await reaggregate(database, { cluster: 'test', nowUs: () => NOW_US, retry: { giveUpAfterMs: 50_000 } })
    expect(days.every((day) => day.outcome === 'rebuilt')).toBe(true)
    runs++
  }
  await Promise.all([storing, housekeeping])
  const { database: other } = await createTestDatabase()
  const otherId = await ensureCluster(other, 'test')
  await store(other, otherId, [...early, ...late], 5_000)
  expect(await edgesOf(database, clusterId)).toEqual(await edgesOf(other, otherId))
  expect(await rowsOf(database, clusterId)).toEqual(await rowsOf(other, otherId))
})

/** Two states between which the pods of `randomFlows` are known by their addresses. */
async function learnPods(database: Database, clusterId: number): Promise<void> {
  const metadata = (name: string, namespace?: string): object => ({ name, namespace, uid: `uid-${name}`, labels: { app: name }, creationTimestamp: '2025-11-01T00:00:00Z' })
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: metadata('shop') }, { apiVersion: 'v1', kind: 'Node', metadata: metadata('node-1'), status: { addresses: [{ type: 'InternalIP', address: '192.168.0.1' }] } },
    { apiVersion: 'v1', kind: 'Service', metadata: metadata('db', 'shop'), spec: { clusterIP: '10.96.0.1', ports: [] } },
    ...Array.from({ length: 9 }, (_, i) => ({
      apiVersion: 'v1', kind: 'Pod', metadata: metadata(`db-${i}`, 'shop'), spec: { nodeName: 'node-1', containers: [] },
      status: { phase: 'Running', podIP: `10.0.2.${i}`, podIPs: [{ ip: `10.0.2.${i}` }], startTime: '2025-11-01T00:00:00Z' },
    })),
  ]
  for (const [source, atUs] of [['before', START_US - 60 * DAY_US], ['after', NOW_US]] as const) await saveClusterState(database, clusterId, { objects, source, atUs })
}

test('killed anywhere, it leaves each day as it was or as it shall be, and a repeated run completes them', async () => {
  const random = createRandom(12)
  const nobody = classEnd('unknown')
  const flows = flowsOf(random, 4_000).map((flow) => (flow.responder.kind === 'pod' && flow.orientation !== 'unoriented' ? { ...flow, format: 'aws-vpc-cni' as const, responder: nobody, responderPod: '' } : flow))
  const days = [0, 1, 2, 3].map((day) => ({ sinceUs: START_US + day * DAY_US, untilUs: START_US + (day + 1) * DAY_US }))
  const read = async (database: Database, clusterId: number): Promise<string[][]> => Promise.all(days.map((range) => edgesOf(database, clusterId, range)))
  const calm = await createTestDatabase()
  const calmId = await ensureCluster(calm.database, 'test')
  await store(calm.database, calmId, flows, 2_000)
  const before = await read(calm.database, calmId)
  await learnPods(calm.database, calmId)
  await reaggregate(calm.database, { cluster: 'test', nowUs: () => NOW_US })
  const after = await read(calm.database, calmId)
  expect(after[0]).not.toEqual(before[0])
  expect(after[0]?.some((edge) => edge.includes('db-3'))).toBe(true)

  const { database, connectionString } = await createTestDatabase()
  const clusterId = await ensureCluster(database, 'test')
  await store(database, clusterId, flows, 2_000)
  await learnPods(database, clusterId)
  for (let kill = 0; kill < rounds({ small: 1, full: 40 }); kill++) {
    const child = spawn(process.execPath, [fileURLToPath(new URL('../support/reaggregate-child.ts', import.meta.url)), connectionString, 'test', String(NOW_US)], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    const timer = setTimeout(() => child.kill('SIGKILL'), random.int(1_500))
    await once(child, 'exit')
    clearTimeout(timer)
    for (const [i, edges] of (await read(database, clusterId)).entries()) expect([JSON.stringify(before[i]), JSON.stringify(after[i])]).toContain(JSON.stringify(edges))
  }
  await reaggregate(database, { cluster: 'test', nowUs: () => NOW_US, retry: { giveUpAfterMs: 50_000 } })
  expect(await read(database, clusterId)).toEqual(after)
  expect(await rowsOf(database, clusterId)).toEqual(await rowsOf(calm.database, calmId))
})

describe('days that raw flows do not hold', () => {
  test('are left alone and told: raw flows gone, never stored, or needed from the day after', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await ensureCluster(database, 'test')
    const at = (day: number, hour = 12): FlowRecord => flowRecord({ firstAtUs: START_US + day * DAY_US + hour * HOUR_US })
    await store(database, clusterId, [at(0), at(1), at(2), at(4), at(6)])
    await createWriter(database, clusterId, NOW_US, { keepsFlows: false }).store(collect([at(6, 13)]), { source: 'test' })
    await database.query(`delete from flows where last_at < '2026-01-02'`)
    const before = await edgesOf(database, clusterId)
    const report = await reaggregate(database, { cluster: 'test', nowUs: () => NOW_US })
    expect(report.days.map(({ day, outcome }) => [day.slice(0, 10), outcome])).toEqual([
      ['2026-01-01', 'not-covered'], ['2026-01-02', 'rebuilt'], ['2026-01-03', 'rebuilt'], ['2026-01-05', 'rebuilt'], ['2026-01-07', 'not-covered'],
    ])
    expect(report.days.at(-1)?.uncovered).toEqual({ windows: 1, first: '2026-01-07T13:00:00Z', last: '2026-01-07T13:00:00Z' })
    expect(report.olderEdges).toEqual({ since: '2026-01-01T12:00:00Z', until: '2026-01-02T00:00:00Z' })
    expect(await edgesOf(database, clusterId)).toEqual(before)
    const some = await reaggregate(database, { cluster: 'test', nowUs: () => NOW_US, sinceUs: START_US + 2 * DAY_US + 1, untilUs: START_US + 3 * DAY_US })
    expect(some.days.map(({ day }) => day.slice(0, 10))).toEqual(['2026-01-03'])
  })

  test('a day whose windows have expired is left alone, also when a late flow is not rolled up yet', async () => {
    const { database } = await createTestDatabase()
    const clusterId = await ensureCluster(database, 'test')
    const at = (day: number, port: number): FlowRecord => flowRecord({ firstAtUs: START_US + day * DAY_US, port })
    await store(database, clusterId, [at(0, 1), at(2, 2)])
    await expireLevels(database, clusterId, { cutoffs: { rawUs: 0, windowsUs: START_US + 2 * DAY_US, hoursUs: 0, daysUs: 0 } })
    await store(database, clusterId, [at(0, 3)])
    const before = await edgesOf(database, clusterId)
    const { days, olderEdges } = await reaggregate(database, { cluster: 'test', nowUs: () => NOW_US })
    expect(days.map(({ day, outcome }) => [day.slice(0, 10), outcome])).toEqual([['2026-01-01', 'expired'], ['2026-01-03', 'rebuilt']])
    expect(olderEdges).toEqual({ since: '2026-01-01T00:00:00Z', until: '2026-01-03T00:00:00Z' })
    expect(await edgesOf(database, clusterId)).toEqual(before)
  })

  test('a stopped run says so, and other rules of labels make a version of the identity map', async () => {
    const { database, connectionString } = await createTestDatabase()
    const clusterId = await ensureCluster(database, 'test')
    await store(database, clusterId, [flowRecord()])
    const narrow = openDatabase({ connectionString, maxConnections: 2 })
    await expect(reaggregate(narrow, { cluster: 'test', nowUs: () => NOW_US })).rejects.toThrow('Rebuilding needs 3 connections to the database; FLOWFENCE_DATABASE_CONNECTIONS allows 2.')
    await narrow.close()
    const options = { cluster: 'test', nowUs: () => NOW_US }
    await expect(reaggregate(database, { ...options, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'unavailable' })
    await expect(reaggregate(database, { ...options, cluster: 'nobody' })).rejects.toMatchObject({ code: 'not-found' })
    const labelRules = { ignore: ['app'], keep: [], detect: true, namespaces: {} }
    expect((await reaggregate(database, { ...options, isDryRun: true, labelRules })).identityMap).toEqual({ version: null, isNew: true })
    expect((await reaggregate(database, { ...options, labelRules })).identityMap).toEqual({ version: 1, isNew: true })
    expect((await reaggregate(database, { ...options, labelRules })).identityMap).toEqual({ version: 1, isNew: false })
    expect((await reaggregate(database, options)).identityMap).toEqual({ version: 2, isNew: true })
  })
})
