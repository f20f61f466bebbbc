import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { NO_HISTORY } from '../../../../src/core/cluster/cluster-history.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { describeShared, sharedPath } from '../../../support/shared.ts'
import { edgeOf, flowOf, normalize, verdictOf, type Json } from '../hubble-records.ts'

const CONNECTION: Json = { src_ip: '10.84.1.7', dest_ip: '10.84.0.11', src_port: 40_000, dest_port: 5432, protocol: 'tcp', direction: 'ingress' }
const WEB: Json = { pod_name: 'web-7d4b9c6f58-x2k9p', workload_kind: 'ReplicaSet', workload_name: 'web-7d4b9c6f58', pod_namespace: 'shop', namespace: 'shop' }
const DB: Json = { pod_name: 'db-0', workload_kind: 'StatefulSet', workload_name: 'db', pod_namespace: 'shop', namespace: 'shop' }

/** An allowed connection from web to db:5432, seen at db's node, changed by `changes` and, inside `connection`, by `connection`. */
function entry(changes: Json = {}, connection: Json = {}): Json {
  return {
    connection: { ...CONNECTION, ...connection }, disposition: 'allow', policies: [{ kind: 'NetworkPolicy', name: 'db', namespace: 'shop' }],
    src: WEB, dest: DB, count: 3, node_name: 'node-1', timestamp: '2026-01-02T03:04:05.123456789Z', ...changes,
  }
}

describe('a record', () => {
  test('is one policy verdict in the initiator\'s direction', () => {
    expect(flowOf(entry())).toMatchObject({
      kind: 'flow', format: 'gke', firstAtUs: 1_767_323_045_123_456, lastAtUs: 1_767_323_045_123_456, initiatorIp: '10.84.1.7', responderIp: '10.84.0.11',
      initiatorPod: 'web-7d4b9c6f58-x2k9p', responderPod: 'db-0', protocol: 'TCP', port: 5432, initiatorPort: 0, orientation: 'verdict-event', side: 'server',
      observedVerdict: 'allowed', node: 'node-1', flows: 3,
      initiator: { kind: 'pod', cluster: 'c1', namespace: 'shop', labels: {}, labelQuality: 'none', workload: { kind: 'Deployment', name: 'web' }, workloadEvidence: 'record' },
      responder: { workload: { kind: 'StatefulSet', name: 'db' } },
    })
    expect(flowOf(entry({}, { direction: 'egress' })).side).toBe('client')
  })

  test('of a denial counts what was aggregated and has no source port', () => {
    expect(flowOf(entry({ disposition: 'deny', count: 17 }, { src_port: undefined }))).toMatchObject({ observedVerdict: 'denied', flows: 17, port: 5432 })
  })

  test.each<[string, Json, Json, string]>([
    ['ICMP', {}, { protocol: 'icmp', src_port: undefined, dest_port: undefined }, 'ignored icmp'],
    ['a protocol without name', {}, { protocol: 'unknown' }, 'ignored other-protocol'],
    ['multicast', {}, { dest_ip: '224.0.0.1' }, 'ignored multicast-or-link-local'],
    ['two nodes', { src: { node_name: 'a', workload_kind: 'Node' }, dest: { node_name: 'b', workload_kind: 'Node' } }, {}, 'ignored no-endpoint'],
    ['no protocol', {}, { protocol: undefined }, 'rejected missing-field'],
    ['no port', {}, { dest_port: undefined }, 'rejected missing-field'],
    ['a bad port', {}, { dest_port: 65_536 }, 'rejected bad-port'],
    ['no time', { timestamp: undefined }, {}, 'rejected missing-field'],
    ['a bad time', { timestamp: 'yesterday' }, {}, 'rejected bad-time'],
    ['a time that is a number', { timestamp: 5 }, {}, 'rejected wrong-type'],
    ['an unknown disposition', { disposition: 'audit' }, {}, 'rejected wrong-type'],
    ['no direction', {}, { direction: undefined }, 'rejected wrong-type'],
    ['a bad address', {}, { src_ip: 'web' }, 'rejected bad-address'],
    ['an end that is a text', { src: 'web' }, {}, 'rejected wrong-type'],
    ['a pod name that is an object', { src: { ...WEB, pod_name: {} } }, {}, 'rejected wrong-type'],
    ['a pod without namespace', { src: { pod_name: 'web' } }, {}, 'rejected missing-field'],
    ['a count that is a text', { count: 'many' }, {}, 'rejected wrong-type'],
  ])('with %s', (_, changes, connection, outcome) => {
    expect(verdictOf(entry(changes, connection))).toBe(outcome)
  })

  test('has a digest of all it says', () => {
    const variants = [
      entry(), entry({ count: 4 }), entry({ disposition: 'deny' }), entry({ node_name: 'node-2' }), entry({ timestamp: '2026-01-02T03:04:05.123456790Z' }), entry({ src: { ...WEB, pod_name: 'web-7d4b9c6f58-zzzzz' } }),
      entry({}, { src_port: 40_001 }), entry({}, { dest_port: 80 }), entry({}, { protocol: 'udp' }), entry({}, { direction: 'egress' }), entry({}, { src_ip: '10.84.1.8' }),
    ]
    const digest = (raw: Json): string => `${flowOf(raw).digestHi}-${flowOf(raw).digestLo}`
    expect(new Set(variants.map(digest)).size).toBe(variants.length)
    expect(digest(entry())).toBe(digest(entry({ policies: undefined })))
  })
})

describe('ends', () => {
  const workloadOf = (src: Json): unknown => flowOf(entry({ src: { ...WEB, ...src } })).initiator.workload

  test('are named by the controller behind their direct owner', () => {
    expect(workloadOf({ workload_kind: 'Job', workload_name: 'backup-28401234', pod_name: 'backup-28401234-k7x2z' })).toEqual({ kind: 'CronJob', name: 'backup' })
    expect(workloadOf({ workload_kind: 'Job', workload_name: 'import', pod_name: 'import-k7x2z' })).toEqual({ kind: 'Job', name: 'import' })
    expect(workloadOf({ workload_kind: 'ReplicaSet', workload_name: 'bare', pod_name: 'bare-k7x2z' })).toEqual({ kind: 'ReplicaSet', name: 'bare' })
    expect(workloadOf({ workload_kind: 'DaemonSet', workload_name: 'agent', pod_name: 'agent-k7x2z' })).toEqual({ kind: 'DaemonSet', name: 'agent' })
    expect(workloadOf({ workload_kind: undefined, workload_name: undefined })).toEqual({ kind: 'Deployment', name: 'web' })
  })

  test('outside, on nodes and on the pod\'s own node', () => {
    expect(edgeOf(entry({ src: { instance: '198.51.100.7' } }, { src_ip: '198.51.100.7' }))).toBe('external -> shop/db:5432')
    expect(edgeOf(entry({ src: { node_name: 'node-2', workload_kind: 'Node' } }))).toBe('node -> shop/db:5432')
    expect(edgeOf(entry({ src: { node_name: 'node-1', workload_kind: 'Node' } }))).toBe('host -> shop/db:5432')
    expect(edgeOf(entry({ dest: { node_name: 'node-1', workload_kind: 'Node' } }))).toBe('shop/web -> node:5432')
  })

  test('without name in a pod network are unknown workloads, other private ones wait for nodes to be known', () => {
    const terminated = entry({ src: { instance: '10.84.1.99' } }, { src_ip: '10.84.1.99' })
    expect(edgeOf(terminated, { podCidrs: ['10.84.0.0/14'] })).toBe('unknown -> shop/db:5432')
    expect(flowOf(terminated).initiator).toMatchObject({ kind: 'external', name: 'pvt' })
  })

  test('have the labels that cluster state knew at that moment', () => {
    const normalizer = createNormalizer({
      cluster: 'c1', history: () => ({
        ...NO_HISTORY, podNamed: (namespace, name, atUs) => (name !== 'db-0' || atUs < 1_767_323_045_000_000 ? undefined : {
          namespace, name, labels: { app: 'db' }, namespaceLabels: { team: 'a' }, workload: { kind: 'StatefulSet', name: 'db' }, hostNetwork: false, nodeName: 'n', ports: [],
        }),
      }),
    })
    expect(normalizer.normalize(entry())).toMatchObject({ responder: { labels: { app: 'db' }, labelQuality: 'full', namespaceLabels: { team: 'a' } }, initiator: { labelQuality: 'none' } })
    expect(normalizer.normalize(entry({ timestamp: '2026-01-02T03:04:04Z' }))).toMatchObject({ responder: { labels: {}, labelQuality: 'none' } })
  })
})

test('says once per hour and node that uncovered traffic is not logged', () => {
  const normalizer = createNormalizer({ cluster: 'c1' })
  for (const node of ['node-1', 'node-2', 'node-1']) normalizer.normalize(entry({ node_name: node }))
  expect(normalizer.takeCoverage().map((c) => [c.type, c.node, c.detail])).toEqual([
    ['aggregation', 'node-1', 'GKE logs only traffic that a policy matched'], ['aggregation', 'node-2', 'GKE logs only traffic that a policy matched'],
  ])
})

describeShared('the reference lines', () => {
  test('are read, every one', () => {
    const lines = readFileSync(sharedPath('formats/samples/gke/policylogger-test-expected.ndjson') as string, 'utf8').trim().split('\n')
    expect(lines.map((line) => {
      const record = flowOf(JSON.parse(line))
      return `${edgeOf(JSON.parse(line))} ${record.orientation} ${record.side} ${record.observedVerdict} ${record.flows}`
    })).toEqual([
      'default/client-allow -> node:22 verdict-event server allowed 1',
      'default/client-deny -> node:22 verdict-event server denied 1',
      'default/client-allow -> default/test-service:8080 verdict-event server allowed 1',
      'default/client-allow -> default/test-service:8080 verdict-event server allowed 1',
      'default/client-deny -> default/test-service:8080 verdict-event server denied 1',
    ])
  })
})

test('the format page shows a line that is read', () => {
  const page = readFileSync(new URL('../../../../docs/sources/gke.md', import.meta.url), 'utf8')
  const line = /```json\n([^\n]+)\n```/.exec(page)?.[1] ?? ''
  expect(normalize(JSON.parse(line))).toEqual(normalize(entry({ node_name: 'gke-demo-default-pool-e8df3298-412p' })))
})
