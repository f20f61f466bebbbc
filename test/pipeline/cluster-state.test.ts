import { beforeEach, describe, expect, it } from '@jest/globals'
import { createIngester } from '../../src/pipeline/ingest.ts'
import { buildHistory } from '../../src/core/cluster/build-history.ts'
import { NO_HISTORY } from '../../src/core/cluster/cluster-history.ts'
import type { ClusterHistory } from '../../src/core/cluster/cluster-history.ts'
import { applyStateChanges, loadHistory, loadSnapshotAt, saveClusterState } from '../../src/pipeline/cluster-state.ts'
import { LiveHistory } from '../../src/pipeline/live-history.ts'
import type { Database } from '../../src/store/db/database.ts'
import { selectDocumentsAt } from '../../src/store/read/select-cluster-state.ts'
import { selectEdges } from '../../src/store/read/select-edges.ts'
import { deleteExpiredClusterState } from '../../src/store/write/save-cluster-state.ts'
import { clusterBase, podObject, serviceObject, timeText, timeUs } from '../support/cluster-objects.ts'
import { createTestDatabase } from '../support/database.ts'
import { createRandom } from '../support/random.ts'
import { StateLog } from '../support/state-log.ts'

const IP = '10.244.0.7'
const CLUSTER = 1
let database: Database

beforeEach(async () => {
  database = (await createTestDatabase()).database
})

const save = (at: number, objects: readonly unknown[]) => saveClusterState(database, CLUSTER, { atUs: timeUs(at), objects: [...clusterBase(), ...objects], source: 'test' })
const rows = async (): Promise<number> => Number((await database.query<{ n: string }>('select count(*) as n from cluster_state_versions')).rows[0]?.n)
const holder = async (at: number, ip = IP): Promise<string> => {
  const found = (await loadHistory(database, CLUSTER)).holderOf(ip, timeUs(at))
  return found.kind === 'pod' ? found.pod.name : found.kind
}

describe('storing cluster state', () => {
  it('the same state of the same moment changes nothing; another one of that moment is refused', async () => {
    expect(await save(100, [podObject('a', { ip: IP, created: 10 })])).toMatchObject({ added: 4, changed: 0, ended: 0, isKnown: false, objects: { Namespace: 1, Node: 1, Pod: 1, Service: 1 } })
    expect(await save(100, [podObject('a', { ip: IP, created: 10 })])).toMatchObject({ added: 0, isKnown: true, unchanged: 4 })
    expect(await rows()).toBe(4)
    await expect(save(100, [])).rejects.toMatchObject({ code: 'conflict' })
  })

  it('an unchanged object costs no row in the next state', async () => {
    await save(100, [podObject('a', { ip: IP, created: 10 })])
    expect(await save(200, [podObject('a', { ip: IP, created: 10 }), podObject('b', { created: 150 })])).toMatchObject({ added: 1, unchanged: 4, ended: 0 })
    expect(await save(300, [])).toMatchObject({ ended: 2, unchanged: 3 })
    expect(await rows()).toBe(5)
    expect([await holder(200), await holder(201)]).toEqual(['a', 'unknown'])
  })

  it('keeps nothing of environments, annotations and data, and passes secrets over', async () => {
    const pod = podObject('a', { ip: IP, created: 10 })
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data: { password: 'aHVudGVyMg==' } }
    const noted = { ...pod, metadata: { ...(pod.metadata as object), annotations: { note: 'private' }, managedFields: [{}] } }
    expect(await save(100, [noted, secret])).toMatchObject({ ignored: 1 })
    const { rows: found } = await database.query<{ text: string }>('select string_agg(document::text, \' \') as text from cluster_state_versions')
    expect(found[0]?.text).not.toMatch(/s3cret|TOKEN|aHVudGVyMg|private|managedFields|annotations/)
  })

  it('an object that cannot be used is left out and named, the others are stored', async () => {
    const report = await save(100, [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'bad', namespace: 'shop', labels: { a: 5 } } }, podObject('nul', { labels: { a: 'x\u0000y' } })])
    expect(report).toMatchObject({ added: 3, problems: [{ object: 3, name: 'Pod shop/bad', field: 'metadata.labels.a' }, { object: 4, name: 'Pod shop/nul' }] })
  })

  it('a moment at which a pod could not be read, or a part of the input, does not say of any address that nobody had it', async () => {
    const nobody = '203.0.113.9'
    const known = podObject('a', { ip: IP, created: 10 })
    await save(100, [known])
    expect(await holder(100, nobody)).toBe('nobody')
    await save(200, [known, { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'bad', namespace: 'shop', labels: { a: 5 } }, status: { podIP: nobody } }])
    expect(await holder(200, nobody)).toBe('unknown')
    await saveClusterState(database, CLUSTER, { atUs: timeUs(300), objects: [...clusterBase(), known], source: 'test', hasUnread: true })
    expect(await holder(300, nobody)).toBe('unknown')
  })

  it('a NetworkPolicy comes back as it was at each moment', async () => {
    const policy = (port: number) => ({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'shop', uid: 'uid-p' }, spec: { podSelector: {}, ingress: [{ ports: [{ port }] }] } })
    await save(100, [policy(80)])
    await save(200, [policy(443)])
    const stored = async (at: number) => (await selectDocumentsAt(database, CLUSTER, { momentUs: timeUs(at), existedUs: timeUs(at) })).filter((d) => d.kind === 'NetworkPolicy')
    expect([await stored(100), await stored(150), await stored(200)]).toEqual([[policy(80)], [], [policy(443)]])
  })

  it('Lists are opened', async () => {
    expect(await save(100, [{ kind: 'PodList', apiVersion: 'v1', items: [{ ...podObject('a', { ip: IP }), kind: undefined }] }])).toMatchObject({ problems: [], ignored: 0, objects: { Pod: 1 } })
  })

  it('two writers at once: both states are stored, one after the other', async () => {
    const states = Array.from({ length: 6 }, (_, i) => save(100 + i * 10, [podObject('a', { ip: IP, created: 10, started: 12 }), podObject(`p${i}`, { ip: `10.244.1.${i}`, created: 10 })]))
    await Promise.all(states)
    expect([await holder(95), await holder(150), await holder(150, '10.244.1.5'), await holder(140, '10.244.1.4'), await holder(145, '10.244.1.4')]).toEqual(['a', 'a', 'p5', 'p4', 'unknown'])
  })

  it('what ended more than 400 days ago is forgotten', async () => {
    await save(100, [podObject('a', { ip: IP, created: 10 })])
    await save(200, [])
    await deleteExpiredClusterState(database, timeUs(150 + 400 * 86_400))
    expect([await rows(), await holder(100)]).toEqual([3, 'unknown'])
  })
})

describe('a watch', () => {
  it('continues the full state of its source, told twice or once', async () => {
    const old = podObject('old', { ip: IP, created: 10, started: 12 })
    await save(100, [old])
    const young = podObject('young', { ip: IP, created: 155, started: 165 })
    const changes = [{ atUs: timeUs(150), type: 'deleted' as const, object: old }, { atUs: timeUs(170), type: 'set' as const, object: young }]
    const told = { changes, confirmedUntilUs: timeUs(300), source: 'test' }
    expect(await applyStateChanges(database, CLUSTER, told)).toMatchObject({ added: 1, ended: 1 })
    expect(await applyStateChanges(database, CLUSTER, told)).toMatchObject({ added: 0, ended: 0, changed: 0, isKnown: true })
    expect(await Promise.all([149, 150, 165, 300, 301].map((at) => holder(at)))).toEqual(['old', 'unknown', 'young', 'young', 'unknown'])
    expect(await holder(250, '203.0.113.9')).toBe('nobody')
  })

  it('without a full state of its source is refused', async () => {
    await expect(applyStateChanges(database, CLUSTER, { changes: [], confirmedUntilUs: timeUs(1), source: 'sync' })).rejects.toMatchObject({ code: 'conflict' })
  })
})

it('a running service learns of changes and of confirmations, at most every 10 seconds unless it must', async () => {
  let nowUs = timeUs(1000)
  const live = new LiveHistory(database, CLUSTER, { nowUs: () => nowUs })
  const current = (): ClusterHistory => {
    if (live.source?.kind !== 'stored') return NO_HISTORY
    const history = buildHistory(live.source.versions, live.source.confirmed)
    if (live.confirmed !== undefined) history.confirm(live.confirmed)
    return history
  }
  const seen = (at: number): string => current().holderOf(IP, timeUs(at)).kind
  await live.refresh()
  expect(seen(100)).toBe('unknown')
  await save(100, [podObject('a', { ip: IP, created: 10 })])
  await live.refresh()
  expect(seen(100)).toBe('unknown')
  nowUs += 11_000_000
  await live.refresh()
  expect([seen(100), seen(150)]).toEqual(['pod', 'unknown'])
  await applyStateChanges(database, CLUSTER, { changes: [], confirmedUntilUs: timeUs(200), source: 'test' })
  await live.refresh(true)
  expect([seen(150), current().holderOf('203.0.113.9', timeUs(150)).kind, seen(201)]).toEqual(['pod', 'nobody', 'unknown'])
})

it('the database and the rules in memory agree on random states in random order', async () => {
  const random = createRandom(7)
  const log = new StateLog()
  const times = random.shuffle(Array.from({ length: 12 }, (_, i) => i * 25))
  for (const at of times) {
    const objects = [1, 2, 3, 4].filter(() => random.chance(0.6)).map((n) => podObject(`p${n}`, {
      ip: `10.244.0.${n % 2}`, created: -50, labels: { v: String(random.int(2)) }, phase: random.chance(0.2) ? 'Succeeded' : 'Running', ...(random.chance(0.5) ? { started: n } : {}),
    }))
    await save(at, objects)
    log.save(timeUs(at), [...clusterBase(), ...objects])
  }
  const stored = await loadHistory(database, CLUSTER)
  const narrow = await loadHistory(database, CLUSTER, { sinceUs: timeUs(130), untilUs: timeUs(180) })
  const memory = log.history()
  for (let at = -60; at < 320; at += 5) {
    for (const ip of ['10.244.0.0', '10.244.0.1', '10.96.0.1', '203.0.113.9']) {
      expect([at, ip, stored.holderOf(ip, timeUs(at))]).toEqual([at, ip, memory.holderOf(ip, timeUs(at))])
      if (at >= 130 && at <= 180) expect([at, ip, narrow.holderOf(ip, timeUs(at))]).toEqual([at, ip, memory.holderOf(ip, timeUs(at))])
    }
  }
})

it('the snapshot of a moment has what was there, and of a moment before all states what existed then', async () => {
  await save(100, [podObject('a', { created: 10 }), podObject('late', { created: 90 })])
  await save(200, [podObject('b', { created: 150 })])
  const names = async (at: number): Promise<string[] | undefined> => (await loadSnapshotAt(database, CLUSTER, timeUs(at)))?.pods.map((p) => p.name)
  expect([await names(50), await names(120), await names(250)]).toEqual([['a'], ['a', 'late'], ['b']])
})

/** A Hubble line whose ends are known by address only. */
function bareFlow(at: number, from: string, to: string, port: number): string {
  return `${JSON.stringify({
    flow: {
      time: timeText(at), uuid: `${at}-${from}`, verdict: 'FORWARDED', IP: { source: from, destination: to, ipVersion: 'IPv4' }, l4: { TCP: { source_port: 40_000 + at, destination_port: port, flags: { SYN: true } } },
      source: { identity: 40_001 }, destination: { identity: 40_002 }, Type: 'L3_L4', node_name: 'node-1', event_type: { type: 4 }, traffic_direction: 'EGRESS', is_reply: false,
    },
  })}\n`
}

/** The agent of the AWS VPC CNI and NetObserv name addresses only; so may Hubble. */
const FORMATS: readonly [string, (at: number) => string][] = [
  ['hubble', (at) => bareFlow(at, '10.244.0.5', IP, 5432)],
  ['aws', (at) => `${JSON.stringify({
    level: 'info', ts: timeText(at).replace('Z', '.000Z'), logger: 'ebpf-client', caller: 'events/events.go:193', msg: 'Flow Info:  ', 'Src IP': '10.244.0.5', 'Src Port': 40_000 + at, 'Dest IP': IP,
    'Dest Port': 5432, Proto: 'TCP', Verdict: 'ACCEPT',
  })}\n`],
  ['netobserv', (at) => `${JSON.stringify({
    SrcAddr: '10.244.0.5', DstAddr: IP, SrcPort: 40_000 + at, DstPort: 5432, Proto: 6, Flags: ['SYN'], FlowDirection: 0, Bytes: 100, Packets: 1, TimeFlowStartMs: timeUs(at) / 1000,
    TimeFlowEndMs: timeUs(at) / 1000 + 100, TimeReceived: timeUs(at) / 1e6, AgentIP: '192.168.0.1',
  })}\n`],
]

it.each(FORMATS)('%s: a flow with a reused address goes to the pod that had it at the flow\'s time, and to nobody when that is not known', async (_, line) => {
  const web = (name: string, ip: string, created: number) => podObject(name, { ip, created, started: created, labels: { app: name }, owner: { kind: 'StatefulSet', name } })
  const ingester = await createIngester(database, { cluster: 'prod', nowUs: () => timeUs(1000) })
  const shop = [web('client', '10.244.0.5', 0), serviceObject('db', '10.96.0.60')]
  const put = (at: number, pod: unknown) => saveClusterState(database, ingester.clusterId, { atUs: timeUs(at), objects: [...clusterBase(), ...shop, pod], source: 'test' })
  await put(100, web('old', IP, 10))
  await put(200, web('young', IP, 180))
  const body = [50, 150, 190, 250].map(line).join('')
  await ingester.ingestBody(Buffer.from(body), { source: 'test', maxBytes: 1e6 })
  const edges = await selectEdges(database, { clusterId: ingester.clusterId })
  const seen = edges.map((e) => `${e.from.workload?.name ?? e.from.kind} -> ${e.to.workload?.name ?? e.to.kind}: ${e.sightings.reduce((n, s) => n + s.flows, 0)}`).sort()
  expect(seen).toEqual(['client -> old: 1', 'client -> unknown: 1', 'client -> young: 1', 'unknown -> unknown: 1'])
})
