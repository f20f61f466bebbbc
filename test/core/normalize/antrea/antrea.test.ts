import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { NO_HISTORY, type ClusterHistory } from '../../../../src/core/cluster/cluster-history.ts'
import type { FlowRecord, Outcome } from '../../../../src/core/flow/flow-record.ts'
import { createNormalizer, type NormalizerOptions } from '../../../../src/core/normalize/normalizer.ts'

type Json = Record<string, unknown>

/** A row of ClickHouse for web:40000 -> db:5432 on other nodes, both reports joined; changed by `changes`. */
function row(changes: Json = {}): Json {
  return {
    flowStartSeconds: '2026-01-02 03:04:05', flowEndSeconds: '2026-01-02 03:05:05', flowEndReason: 2, sourceIP: '10.244.1.10', destinationIP: '10.244.2.20',
    sourceTransportPort: 40_000, destinationTransportPort: 5432, protocolIdentifier: 6, packetTotalCount: '12', octetTotalCount: '1440', reversePacketTotalCount: '10',
    sourcePodName: 'web-7d4b9c6f58-x2k9p', sourcePodNamespace: 'shop', sourceNodeName: 'worker-1', destinationPodName: 'db-0', destinationPodNamespace: 'shop',
    destinationNodeName: 'worker-2', destinationClusterIP: '10.96.0.44', destinationServicePort: 5433, destinationServicePortName: 'shop/db:pg',
    ingressNetworkPolicyRuleAction: 0, egressNetworkPolicyRuleAction: 0, tcpState: 'ESTABLISHED', flowType: 2, sourcePodLabels: '{"app":"web"}', destinationPodLabels: '{"app":"db"}',
    ...changes,
  }
}

/** What a row lacks whose destination is no pod that the reporting node knows. */
const NO_DESTINATION_POD: Json = { destinationPodName: '', destinationPodNamespace: '', destinationNodeName: '', destinationPodLabels: '', destinationClusterIP: '', destinationServicePortName: '' }
const NO_SOURCE_POD: Json = { sourcePodName: '', sourcePodNamespace: '', sourceNodeName: '', sourcePodLabels: '' }

const shared = createNormalizer({ cluster: 'c1' })

function read(raw: unknown, options?: Partial<NormalizerOptions>): Outcome {
  return (options === undefined ? shared : createNormalizer({ cluster: 'c1', ...options })).normalize(raw)
}

function flowOf(raw: unknown, options?: Partial<NormalizerOptions>): FlowRecord {
  const outcome = read(raw, options)
  if (outcome.kind !== 'flow') throw new Error(`no flow: ${JSON.stringify(outcome)}`)
  return outcome
}

function verdictOf(raw: unknown): string {
  const outcome = read(raw)
  return outcome.kind === 'flow' ? 'flow' : outcome.kind === 'ignored' ? `ignored ${outcome.reason}` : `rejected ${outcome.code}`
}

const START_US = 1_767_323_045_000_000
const EDGE = { initiatorIp: '10.244.1.10', responderIp: '10.244.2.20', initiatorPod: 'web-7d4b9c6f58-x2k9p', responderPod: 'db-0', protocol: 'TCP', port: 5432, initiatorPort: 0, flows: 1 }

describe('the row on the page', () => {
  test('is read as the page says', () => {
    const page = readFileSync(new URL('../../../../docs/sources/antrea.md', import.meta.url), 'utf8')
    const line = /```json\n(.*)\n```/.exec(page)?.[1] ?? ''
    expect(flowOf(JSON.parse(line))).toMatchObject({
      ...EDGE, format: 'antrea', firstAtUs: START_US, lastAtUs: START_US + 60_000_000, orientation: 'conntrack', side: 'server', observedVerdict: 'allowed', node: 'worker-2',
      initiator: { kind: 'pod', cluster: 'c1', namespace: 'shop', labels: { app: 'web', 'pod-template-hash': '7d4b9c6f58' }, labelQuality: 'full', workload: { kind: 'Deployment', name: 'web' }, workloadEvidence: 'pod-name' },
      responder: { labels: { app: 'db' }, labelQuality: 'full', workload: { kind: 'StatefulSet', name: 'db' } },
    })
  })
})

describe('other forms of the same record', () => {
  test('IPFIX records in JSON, wrapped or not, with one element per address family', () => {
    const { sourceIP, destinationIP, ...rest } = row({ flowStartSeconds: 1_767_323_045, flowEndSeconds: 1_767_323_105 })
    const ipfix = { ...rest, sourceIPv4Address: sourceIP, destinationIPv4Address: destinationIP }
    expect(flowOf(ipfix)).toMatchObject({ ...EDGE, firstAtUs: START_US })
    expect(flowOf({ ipfix, '@timestamp': '2026-01-02T03:05:06Z' })).toEqual(flowOf(ipfix))
    expect(flowOf({ ...rest, sourceIPv6Address: 'fd00::a', destinationIPv6Address: 'fd00::0:b' })).toMatchObject({ initiatorIp: 'fd00::a', responderIp: 'fd00::b' })
  })

  test('go-ipfix\' Kafka messages have no labels, no actions and no flow type', () => {
    const message = {
      TimeReceived: 1_767_323_106, SequenceNumber: 7, TimeFlowStartInSecs: 1_767_323_045, TimeFlowEndInSecs: 1_767_323_105, SrcIP: '10.244.1.10', DstIP: '10.244.2.20', SrcPort: 40_000,
      DstPort: 5432, Proto: 6, PacketsTotal: '12', ReversePacketsTotal: '0', SrcPodName: 'web-7d4b9c6f58-x2k9p', SrcPodNamespace: 'shop', SrcNodeName: 'worker-1', DstPodName: 'db-0',
      DstPodNamespace: 'shop', DstNodeName: 'worker-2', DstClusterIP: '10.96.0.44', DstServicePort: 5433, DstServicePortName: 'shop/db:pg',
    }
    expect(flowOf({ ...message, TcpState: 'ESTABLISHED' })).toMatchObject({ ...EDGE, side: 'server', observedVerdict: 'allowed', initiator: { labels: {}, labelQuality: 'none' } })
    expect(flowOf({ ...message, ReversePacketsTotal: '3' }).observedVerdict).toBe('allowed')
    expect(flowOf({ ...message, TcpState: 'SYN_SENT' }).observedVerdict).toBe('unknown')
    expect(flowOf({ ...message, DstPodName: '', DstPodNamespace: '' })).toMatchObject({ responder: { kind: 'unknown' }, side: 'client', node: 'worker-1' })
    expect(verdictOf({ ...message, SrcPort: 'x' })).toBe('rejected wrong-type')
  })

  test('times are seconds, text of seconds, ClickHouse\'s or RFC 3339; the start may be days ago', () => {
    for (const start of [1_767_323_045, '1767323045', '2026-01-02 03:04:05.000', '2026-01-02T03:04:05Z', '2026-01-02T05:04:05+02:00']) expect(flowOf(row({ flowStartSeconds: start })).firstAtUs).toBe(START_US)
    expect(flowOf(row({ flowStartSeconds: '2025-12-20 00:00:00' }))).toMatchObject({ firstAtUs: 1_766_188_800_000_000, lastAtUs: START_US + 60_000_000 })
    expect(flowOf(row({ flowStartSeconds: 0 })).firstAtUs).toBe(START_US + 60_000_000)
  })
})

describe('who reports', () => {
  test('a record that names one pod is its node\'s, one that names both the server\'s', () => {
    expect(flowOf(row({ flowType: 1 }))).toMatchObject({ side: 'server', node: 'worker-2' })
    expect(flowOf(row(NO_DESTINATION_POD))).toMatchObject({ side: 'client', node: 'worker-1', responder: { kind: 'unknown' } })
    expect(flowOf(row(NO_SOURCE_POD))).toMatchObject({ side: 'server', node: 'worker-2', initiator: { kind: 'unknown' } })
  })

  test.each<[string, Json, string]>([
    ['a drop at ingress', { ingressNetworkPolicyRuleAction: 2 }, 'denied server'],
    ['a reject at egress', { egressNetworkPolicyRuleAction: 3 }, 'denied client'],
    ['both, egress comes first', { egressNetworkPolicyRuleAction: '2', ingressNetworkPolicyRuleAction: 'Drop' }, 'denied client'],
    ['allowed by a rule', { egressNetworkPolicyRuleAction: 1, ingressNetworkPolicyRuleAction: 'Allow' }, 'allowed server'],
    ['an action that nobody knows', { ingressNetworkPolicyRuleAction: 9 }, 'unknown server'],
    ['an ingress drop seen by the server\'s node alone', { ...NO_SOURCE_POD, ingressNetworkPolicyRuleAction: 2 }, 'denied server'],
  ])('%s', (_, changes, expected) => {
    const { observedVerdict, side } = flowOf(row(changes))
    expect(`${observedVerdict} ${side}`).toBe(expected)
  })
})

describe('ends', () => {
  const outward = { ...NO_DESTINATION_POD, flowType: 3 }

  test('outside are addresses where the flow type says so; else a private one is somebody', () => {
    expect(flowOf(row({ ...outward, destinationIP: '203.0.113.9' })).responder).toMatchObject({ kind: 'external', name: '' })
    expect(flowOf(row({ ...outward, destinationIP: '192.168.7.7' })).responder).toMatchObject({ kind: 'external', name: 'pvt' })
    expect(flowOf(row({ ...outward, destinationIP: '192.168.7.7', flowType: 0 })).responder.kind).toBe('unknown')
    expect(flowOf(row({ ...NO_SOURCE_POD, flowType: 4, sourceIP: '198.51.100.7' })).initiator.kind).toBe('external')
  })

  test('inside, an end without name is somebody also at a public address', () => {
    expect(flowOf(row({ ...NO_DESTINATION_POD, flowType: 2, destinationIP: '203.0.113.9' })).responder.kind).toBe('unknown')
  })

  test('the API server is known by its Service, on its real port', () => {
    const api = { ...outward, destinationIP: '172.18.0.2', destinationTransportPort: 6443, destinationClusterIP: '10.96.0.1', destinationServicePortName: 'default/kubernetes:https' }
    expect(flowOf(row(api))).toMatchObject({ responder: { kind: 'kube-apiserver' }, port: 6443 })
  })

  test('a Service that was not translated has no pod port', () => {
    expect(flowOf(row({ ...outward, destinationIP: '10.96.0.44', destinationClusterIP: '10.96.0.44', destinationTransportPort: 5433 }))).toMatchObject({ responder: { kind: 'unknown' }, port: 0 })
    // Some clusters take Services' addresses from public ranges.
    expect(flowOf(row({ ...outward, destinationIP: '34.118.225.9', destinationClusterIP: '34.118.225.9', destinationTransportPort: 5433 }))).toMatchObject({ responder: { kind: 'unknown' }, port: 0 })
  })

  test('labels that the exporter left out are none, an empty object is a pod without labels', () => {
    for (const labels of ['', null, undefined, 'null']) expect(flowOf(row({ sourcePodLabels: labels })).initiator).toMatchObject({ labels: {}, labelQuality: 'none' })
    expect(flowOf(row({ sourcePodLabels: '{}' })).initiator).toMatchObject({ labels: {}, labelQuality: 'full' })
    expect(flowOf(row({ sourcePodLabels: { app: 'web' } })).initiator).toEqual(flowOf(row()).initiator)
  })

  test('cluster state of the moment gives the controller, and the labels that a record lacks', () => {
    const history: ClusterHistory = {
      ...NO_HISTORY,
      podNamed: (namespace, name) => (name !== 'agent-x2k9p' ? undefined : {
        namespace, name, labels: { app: 'agent', extra: 'y' }, namespaceLabels: { team: 'a' }, workload: { kind: 'DaemonSet', name: 'agent' }, hostNetwork: false, nodeName: '', ports: [],
      }),
    }
    const agent = { sourcePodName: 'agent-x2k9p' }
    expect(flowOf(row(agent)).initiator).toMatchObject({ workload: { kind: 'Workload', name: 'agent' }, workloadEvidence: 'pod-name' })
    expect(flowOf(row(agent), { history: () => history }).initiator).toMatchObject({ labels: { app: 'web' }, labelQuality: 'full', workload: { kind: 'DaemonSet' }, workloadEvidence: 'record', namespaceLabels: { team: 'a' } })
    expect(flowOf(row({ ...agent, sourcePodLabels: '' }), { history: () => history }).initiator.labels).toEqual({ app: 'agent', extra: 'y' })
  })
})

describe('rows that make no edge', () => {
  test.each<[string, Json, string]>([
    ['ICMP', { protocolIdentifier: 1, sourceTransportPort: 0, destinationTransportPort: 0 }, 'ignored icmp'],
    ['other protocols', { protocolIdentifier: 2 }, 'ignored other-protocol'],
    ['multicast', { destinationIP: 'ff02::1' }, 'ignored multicast-or-link-local'],
    ['no pods', { ...NO_SOURCE_POD, ...NO_DESTINATION_POD, sourceIP: '198.51.100.7', destinationIP: '203.0.113.9', flowType: 0 }, 'ignored no-endpoint'],
    ['no port', { destinationTransportPort: 0 }, 'rejected missing-field'],
    ['a bad port', { sourceTransportPort: -1 }, 'rejected bad-port'],
    ['no address', { sourceIP: '' }, 'rejected missing-field'],
    ['a bad address', { sourceIP: 'web' }, 'rejected bad-address'],
    ['an address that is a list', { destinationIP: ['10.0.0.1'] }, 'rejected wrong-type'],
    ['no protocol', { protocolIdentifier: '' }, 'rejected missing-field'],
    ['a protocol that is an object', { protocolIdentifier: {} }, 'rejected wrong-type'],
    ['no end', { flowStartSeconds: 0, flowEndSeconds: 0 }, 'rejected missing-field'],
    ['an end before the start', { flowEndSeconds: '2026-01-02 03:04:04' }, 'rejected bad-time'],
    ['a day that does not exist', { flowEndSeconds: '2026-02-30 00:00:00' }, 'rejected bad-time'],
    ['the seventies', { flowStartSeconds: 5 }, 'rejected too-early'],
    ['labels cut off', { sourcePodLabels: '{"app":"we' }, 'rejected wrong-type'],
    ['labels that are a list', { sourcePodLabels: '["app"]' }, 'rejected wrong-type'],
    ['a label that is a number', { sourcePodLabels: '{"app":5}' }, 'rejected wrong-type'],
    ['a label named __proto__', { sourcePodLabels: '{"__proto__":"x"}' }, 'rejected wrong-type'],
    ['deeply nested labels', { sourcePodLabels: '['.repeat(100_000) }, 'rejected wrong-type'],
    ['too many labels', { sourcePodLabels: JSON.stringify(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`a${i}`, 'b']))) }, 'rejected too-many-labels'],
    ['a pod name with NUL', { sourcePodName: 'a\0' }, 'rejected wrong-type'],
    ['a namespace that is a number', { destinationPodNamespace: 5 }, 'rejected wrong-type'],
    ['a node that is a number', { destinationNodeName: 5 }, 'rejected wrong-type'],
  ])('%s', (_, changes, expected) => {
    expect(verdictOf(row(changes))).toBe(expected)
  })
})

describe('rows that are told apart', () => {
  const digest = (changes: Json): string => {
    const flow = flowOf(row(changes))
    return `${flow.digestHi}-${flow.digestLo}`
  }

  test('by the connection, how far it had come, and which node speaks', () => {
    const variants: Json[] = [
      {}, { flowStartSeconds: '2026-01-02 03:04:04' }, { flowEndSeconds: '2026-01-02 03:06:05' }, { sourceTransportPort: 40_001 }, { destinationTransportPort: 5433 }, { protocolIdentifier: 17 },
      { packetTotalCount: '13' }, { reversePacketTotalCount: '11' }, { octetTotalCount: 5 }, { tcpState: 'TIME_WAIT' }, NO_SOURCE_POD, NO_DESTINATION_POD, { ingressNetworkPolicyRuleAction: 2 },
    ]
    expect(new Set(variants.map(digest)).size).toBe(variants.length)
  })

  test('not by when they were inserted, nor by labels', () => {
    expect(digest({ timeInserted: '2026-01-02 03:05:09', clusterUUID: 'x' })).toBe(digest({}))
    expect(digest({ sourcePodLabels: '' })).toBe(digest({}))
  })
})
