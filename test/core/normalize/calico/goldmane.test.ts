import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import type { ClusterHistory, HistoryPod } from '../../../../src/core/cluster/cluster-history.ts'
import { NO_HISTORY } from '../../../../src/core/cluster/cluster-history.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { flowOf, normalize, verdictOf, type Json } from '../hubble-records.ts'

const HIT: Json = { kind: 6, namespace: 'shop', name: 'db', tier: 'default', action: 1, rule_index: 1 }
const KEY: Json = {
  source_name: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_type: 1, dest_name: 'db-*', dest_namespace: 'shop', dest_type: 1, dest_port: 5432,
  dest_service_name: 'db', dest_service_namespace: 'shop', dest_service_port_name: 'pg', dest_service_port: 5432, proto: 'tcp', reporter: 1, action: 1,
  policies: { enforced_policies: [HIT], pending_policies: [HIT] },
}

/** A flow as the emitter writes it: enums and 64-bit integers are numbers, zeros are left out. */
function emitted(key: Json = {}, flow: Json = {}): Json {
  return {
    Key: { ...KEY, ...key }, start_time: 1_767_323_045, end_time: 1_767_323_060, source_labels: ['app=web', 'pod-template-hash=7d4b9c6f58'], dest_labels: ['app=db'],
    packets_in: 10, packets_out: 8, bytes_in: 600, bytes_out: 500, num_connections_started: 3, num_connections_completed: 2, num_connections_live: 1, ...flow,
  }
}

/** The same flow as protojson writes it. */
const PROTOJSON: Json = {
  Key: {
    sourceName: 'web-7d4b9c6f58-*', sourceNamespace: 'shop', sourceType: 'WorkloadEndpoint', destName: 'db-*', destNamespace: 'shop', destType: 'WorkloadEndpoint', destPort: '5432',
    destServiceName: 'db', destServiceNamespace: 'shop', destServicePortName: 'pg', destServicePort: '5432', proto: 'tcp', reporter: 'Src', action: 'Allow',
    policies: {
      enforcedPolicies: [{ kind: 'NetworkPolicy', namespace: 'shop', name: 'db', tier: 'default', action: 'Allow', ruleIndex: '1' }],
      pendingPolicies: [{ kind: 'NetworkPolicy', namespace: 'shop', name: 'db', tier: 'default', action: 'Allow', policyIndex: '0', ruleIndex: '1' }],
    },
  },
  startTime: '1767323045', endTime: '1767323060', sourceLabels: ['app=web', 'pod-template-hash=7d4b9c6f58'], destLabels: ['app=db'],
  packetsIn: '10', packetsOut: '8', bytesIn: '600', bytesOut: '500', numConnectionsStarted: '3', numConnectionsCompleted: '2', numConnectionsLive: '1',
}

/** A row of Whisker: flat, without types and connection counts. */
function whisker(changes: Json = {}): Json {
  return {
    start_time: '2026-01-02T03:04:05Z', end_time: '2026-01-02T03:04:20Z', action: 'Allow', source_name: 'web-7d4b9c6f58-*', source_namespace: 'shop',
    source_labels: 'app=web | pod-template-hash=7d4b9c6f58', dest_name: 'db-*', dest_namespace: 'shop', dest_labels: 'app=db', protocol: 'tcp', dest_port: 5432, reporter: 'Src',
    policies: { enforced: [{ kind: 'NetworkPolicy', namespace: 'shop', name: 'db', tier: 'default', action: 'Allow', policy_index: 0, rule_index: 1, trigger: null }], pending: [] },
    packets_in: 10, packets_out: 8, bytes_in: 600, bytes_out: 500, ...changes,
  }
}

const digestOf = (raw: unknown): string => {
  const { digestHi, digestLo } = flowOf(raw)
  return `${digestHi}-${digestLo}`
}

describe('a flow', () => {
  test('becomes a record of the true initiator, without addresses and node', () => {
    const record = flowOf(emitted())
    expect(record).toMatchObject({
      kind: 'flow', format: 'goldmane', firstAtUs: 1_767_323_045_000_000, lastAtUs: 1_767_323_060_000_000, initiatorIp: '', responderIp: '', initiatorPod: '', responderPod: '',
      protocol: 'TCP', port: 5432, initiatorPort: 0, orientation: 'conntrack', side: 'client', observedVerdict: 'allowed', node: '', flows: 3,
    })
    expect(record.initiator).toMatchObject({
      kind: 'pod', cluster: 'c1', namespace: 'shop', labels: { app: 'web', 'pod-template-hash': '7d4b9c6f58' }, workload: { kind: 'Deployment', name: 'web' }, workloadEvidence: 'pod-name',
    })
    expect(record.responder.workload).toEqual({ kind: 'Workload', name: 'db' })
  })

  test('is the same record however it is written, to the digest', () => {
    const camelHit = { kind: 'NetworkPolicy', namespace: 'shop', name: 'db', tier: 'default', action: 'Allow', policyIndex: 0, rule_index: '1' }
    const mixed = emitted({ source_type: 'WorkloadEndpoint', dest_port: undefined, destPort: '5432', reporter: 'Src', action: 'Allow', policies: { enforcedPolicies: [camelHit], pending_policies: [HIT] } }, { end_time: undefined, endTime: '1767323060' })
    const { Key, ...rest } = emitted()
    for (const raw of [PROTOJSON, { id: '17', flow: emitted() }, { id: 4, flow: PROTOJSON }, { flow: { key: Key, ...rest } }, { key: Key, ...rest }, mixed]) expect(normalize(raw)).toEqual(normalize(emitted()))
  })

  test('of Whisker has the same ends, window and verdict', () => {
    expect(flowOf(whisker())).toEqual({ ...flowOf(emitted()), flows: 1, digestHi: expect.any(Number), digestLo: expect.any(Number) })
    expect(flowOf(whisker({ reporter: 'Dst', action: 'Deny' }))).toMatchObject({ side: 'server', observedVerdict: 'denied' })
    expect(flowOf(whisker({ dest_labels: '' })).responder).toMatchObject({ labels: {}, labelQuality: 'none' })
  })

  test('knows the labels that all pods of the aggregate share, and says so', () => {
    expect(flowOf(emitted()).initiator.labelQuality).toBe('intersection')
    // An empty list is left out: nothing is known.
    expect(flowOf(emitted({}, { source_labels: undefined })).initiator).toMatchObject({ labels: {}, labelQuality: 'none', workload: { kind: 'Deployment', name: 'web' } })
    expect(flowOf(emitted({}, { source_labels: [] })).initiator.labelQuality).toBe('none')
  })

  test('may end when it starts, and count in text', () => {
    expect(flowOf(emitted({}, { end_time: 1_767_323_045 })).lastAtUs).toBe(1_767_323_045_000_000)
    expect(flowOf(emitted({}, { end_time: undefined })).lastAtUs).toBe(1_767_323_045_000_000)
    expect(flowOf(emitted({ proto: 'udp', dest_port: '53' }, { num_connections_started: '12' }))).toMatchObject({ protocol: 'UDP', port: 53, flows: 12 })
  })

  test('counts a connection in the window it began in, and a flow that only lives on as one', () => {
    expect(flowOf(emitted({}, { num_connections_started: undefined, num_connections_completed: undefined, num_connections_live: 40 })).flows).toBe(1)
    expect(flowOf(emitted({}, { num_connections_started: 5, num_connections_live: 40 })).flows).toBe(5)
  })
})

describe('names', () => {
  const bare = (value: unknown): Json => ({ dest_service_name: value, dest_service_namespace: value, dest_service_port_name: value, dest_service_port: undefined })

  test('"-", "" and nothing are alike', () => {
    const outcomes = ['-', '', undefined, null].map((value) => normalize(emitted({ ...bare(value), dest_type: 4, dest_name: 'pub', dest_namespace: value }, { dest_labels: undefined })))
    for (const outcome of outcomes) expect(outcome).toEqual(outcomes[0])
    expect(outcomes[0]).toMatchObject({ kind: 'flow', responder: { kind: 'external', namespace: '' } })
  })

  test('of networks are the outside, without address; private ones may be nodes', () => {
    const net = (name: string): Json => emitted({ ...bare('-'), dest_type: 4, dest_name: name, dest_namespace: '-' }, { dest_labels: undefined })
    expect(flowOf(net('pub'))).toMatchObject({ responder: { kind: 'external', name: '' }, responderIp: '' })
    expect(flowOf(net('pvt')).responder).toMatchObject({ kind: 'external', name: 'pvt' })
    const shown = (name: string): Json => whisker({ dest_name: name, dest_namespace: '', dest_labels: '' })
    expect(flowOf(shown('PUBLIC NETWORK')).responder).toMatchObject({ kind: 'external', name: '' })
    expect(flowOf(shown('PRIVATE NETWORK')).responder).toMatchObject({ kind: 'external', name: 'pvt' })
  })

  test('of hosts are nodes, of network sets the set', () => {
    expect(flowOf(emitted({ source_type: 2, source_name: 'node-1', source_namespace: '-' }, { source_labels: undefined })).initiator.kind).toBe('node')
    expect(flowOf(emitted({ ...bare('-'), dest_type: 3, dest_name: 'partners', dest_namespace: '-' })).responder).toMatchObject({ kind: 'networkset', namespace: '', name: 'partners' })
  })

  test('of a Service that stands before a private network are unknown, with no pod port', () => {
    expect(flowOf(emitted({ dest_type: 4, dest_name: 'pvt', dest_namespace: '-' }, { dest_labels: undefined }))).toMatchObject({ responder: { kind: 'unknown' }, port: 0 })
  })

  test('default/kubernetes is the API server, on the port behind the Service', () => {
    const key = { dest_type: 4, dest_name: 'pvt', dest_namespace: '-', dest_port: 6443, dest_service_name: 'kubernetes', dest_service_namespace: 'default' }
    expect(flowOf(emitted(key, { dest_labels: undefined }))).toMatchObject({ responder: { kind: 'kube-apiserver' }, port: 6443 })
  })

  test('without type and without "*" may be a pod, a host or a network set: unknown, unless cluster state has such a pod', () => {
    const row = whisker({ dest_name: 'tool', dest_labels: 'app=tool' })
    expect(flowOf(row).responder.kind).toBe('unknown')
    const pod: HistoryPod = { namespace: 'shop', name: 'tool', labels: { app: 'tool', run: 'x' }, namespaceLabels: null, workload: { kind: 'Pod', name: 'tool' }, hostNetwork: false, nodeName: 'n', ports: [] }
    const history: ClusterHistory = { ...NO_HISTORY, podNamed: (namespace, name) => (namespace === 'shop' && name === 'tool' ? pod : undefined) }
    const outcome = createNormalizer({ cluster: 'c1', history: () => history }).normalize(row)
    expect(outcome).toMatchObject({ responder: { kind: 'pod', labels: { app: 'tool', run: 'x' }, labelQuality: 'full' } })
  })
})

describe('verdicts', () => {
  const staged = { kind: 3, namespace: 'shop', name: 'x', tier: 'default', action: 2 }
  const verdict = (key: Json): string => flowOf(emitted(key)).observedVerdict

  test('are the action; pending policies never count as what happened', () => {
    expect(verdict({ action: 2 })).toBe('denied')
    expect(verdict({ policies: { enforced_policies: [HIT], pending_policies: [staged, { ...HIT, action: 2 }] } })).toBe('allowed')
    expect(verdict({ policies: { enforced_policies: [staged] } })).toBe('allowed')
  })

  test('without an action are what the enforced policies decided last', () => {
    const end = { kind: 10, namespace: 'shop', name: 'db', tier: 'default', action: 2, policy_index: 1, rule_index: -1, trigger: HIT }
    expect(verdict({ action: undefined })).toBe('allowed')
    expect(verdict({ action: 3, policies: { enforced_policies: [end, { ...HIT, action: 3 }] } })).toBe('denied')
    // A profile: no policy applied.
    expect(verdict({ action: 0, policies: { enforced_policies: [{ kind: 9, name: 'kns.shop', action: 1 }] } })).toBe('allowed')
    expect(verdict({ action: undefined, policies: { pending_policies: [HIT] } })).toBe('unknown')
  })

  test('that every enforced policy contradicts are not known', () => {
    expect(verdict({ policies: { enforced_policies: [{ ...HIT, action: 2 }] } })).toBe('unknown')
  })

  test('do not depend on policies that cannot be read', () => {
    for (const policies of ['x', 5, [], { enforced_policies: 'x' }, { enforced_policies: [null, 5, 'x', [], {}, { kind: {}, action: {}, policy_index: 'x', rule_index: 1e300, name: 5 }] }]) {
      expect(verdict({ policies })).toBe('allowed')
    }
  })
})

describe('digests', () => {
  test('of a flow of the same window that is sent again are equal, whatever its id', () => {
    expect(digestOf({ id: 1, flow: emitted() })).toBe(digestOf({ id: 2, flow: emitted() }))
  })

  test('tell flows apart that differ in anything of the key, window, labels or counts', () => {
    const deny = { ...HIT, action: 2 }
    const variants: Json[] = [
      emitted(), emitted({ reporter: 2 }), emitted({ action: 2 }), emitted({ dest_port: 5433 }), emitted({ proto: 'udp' }), emitted({ source_name: 'web-7d4b9c6f59-*' }), emitted({ dest_namespace: 'other' }),
      emitted({ dest_service_name: 'db2' }), emitted({ dest_service_port: 5433 }), emitted({ dest_service_port_name: 'x' }),
      emitted({ policies: { enforced_policies: [HIT] } }), emitted({ policies: { enforced_policies: [HIT], pending_policies: [deny] } }), emitted({ policies: { pending_policies: [HIT, HIT] } }),
      emitted({ policies: { enforced_policies: [{ ...HIT, rule_index: -1 }], pending_policies: [HIT] } }), emitted({ policies: { enforced_policies: [{ ...HIT, trigger: HIT }], pending_policies: [HIT] } }),
      emitted({}, { start_time: 1_767_323_030 }), emitted({}, { end_time: 1_767_323_061 }), emitted({}, { source_labels: ['app=web'] }), emitted({}, { num_connections_live: 2 }), emitted({}, { bytes_in: 601 }),
    ]
    expect(new Set(variants.map(digestOf)).size).toBe(variants.length)
  })

  test('of hosts with the same class are told apart by their names', () => {
    const of = (name: string): string => digestOf(emitted({ source_type: 2, source_name: name, source_namespace: '-' }, { source_labels: undefined }))
    expect(of('node-1')).not.toBe(of('node-2'))
  })
})

describe('flows that make no edge', () => {
  const cases: [string, Json, string][] = [
    ['ICMP, whose port is 0', emitted({ proto: 'icmp', dest_port: undefined }), 'ignored icmp'],
    ['other protocols', emitted({ proto: '47' }), 'ignored other-protocol'],
    ['between networks', emitted({ source_type: 4, source_name: 'pub', source_namespace: '-', dest_type: 4, dest_name: 'pub', dest_namespace: '-' }), 'ignored no-endpoint'],
    ['no port', emitted({ dest_port: undefined }), 'rejected no-port'],
    ['a bad port', emitted({ dest_port: 70_000 }), 'rejected bad-port'],
    ['no protocol', emitted({ proto: undefined }), 'rejected missing-field'],
    ['no time', emitted({}, { start_time: undefined, end_time: undefined }), 'rejected missing-field'],
    ['time as text', emitted({}, { start_time: 'yesterday' }), 'rejected bad-time'],
    ['a day that does not exist', whisker({ start_time: '2026-02-30T00:00:00Z' }), 'rejected bad-time'],
    ['end before start', emitted({}, { end_time: 1_767_323_000 }), 'rejected bad-time'],
    ['the seventies', emitted({}, { start_time: 18, end_time: 28 }), 'rejected too-early'],
    ['milliseconds', emitted({}, { start_time: 1_767_323_045_000, end_time: 1_767_323_045_000 }), 'rejected in-future'],
    ['an unknown type', emitted({ dest_type: 99 }), 'rejected wrong-type'],
    ['a type that is an object', emitted({ source_type: {} }), 'rejected wrong-type'],
    ['an unknown reporter', emitted({ reporter: 'me' }), 'rejected wrong-type'],
    ['an unknown action', emitted({ action: 'maybe' }), 'rejected wrong-type'],
    ['a name that is a number', emitted({ source_name: 5 }), 'rejected wrong-type'],
    ['a namespace with NUL', emitted({ dest_namespace: 'a\u0000b' }), 'rejected wrong-type'],
    ['labels that are a number', emitted({}, { dest_labels: 5 }), 'rejected wrong-type'],
    ['a label that is a number', emitted({}, { dest_labels: ['a=b', 5] }), 'rejected wrong-type'],
    ['too many labels', emitted({}, { dest_labels: Array.from({ length: 300 }, (_, i) => `a${i}=b`) }), 'rejected too-many-labels'],
    ['a count that is text', emitted({}, { num_connections_started: 'many' }), 'rejected wrong-type'],
  ]
  test.each(cases)('%s', (_, record, expected) => {
    expect(verdictOf(record)).toBe(expected)
  })

  test('a key of nothing is no Goldmane flow', () => {
    expect(verdictOf({ Key: {}, start_time: 1_767_323_045 })).toBe('rejected unknown-format')
  })
})

describe('the page docs/sources/goldmane.md', () => {
  const lines = [...readFileSync(new URL('../../../../docs/sources/goldmane.md', import.meta.url), 'utf8').matchAll(/^\{.*\}$/gm)].map(([line]) => line)

  test('shows flows that are read, the same in every rendering', () => {
    const records = lines.map((line) => flowOf(JSON.parse(line)))
    expect(records).toHaveLength(3)
    for (const record of records) {
      expect(record).toMatchObject({ format: 'goldmane', initiator: { namespace: 'shop', workload: { kind: 'Deployment', name: 'web' } }, port: 5432, observedVerdict: 'allowed', side: 'client' })
    }
    expect(records[1]).toEqual(records[0])
  })
})
