import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { FLOW_FORMATS, type FlowFormat, type FlowRecord } from '../../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../../src/core/normalize/normalizer.ts'
import { findOrientation, isFromResponder, ORIENTATION_TABLE, orientTuple, type OrientationRow } from '../../../src/core/normalize/orientation.ts'
import { flow, flowOf, tcp, type Json } from './hubble-records.ts'

/** A packet from 10.0.1.10 to 10.0.2.20 without any evidence of its own. */
function hubble(changes: Json): Json {
  return flow({ is_reply: undefined, l4: tcp(40_000, 5432, 'ACK'), ...changes })
}

const calico: Json = {
  start_time: 1_767_323_045, end_time: 1_767_323_345, source_ip: '10.0.1.10', source_name: 'web-0', source_name_aggr: 'web-*', source_namespace: 'shop', source_port: 40_000, source_type: 'wep',
  dest_ip: '10.0.2.20', dest_name: 'db-0', dest_name_aggr: 'db-*', dest_namespace: 'shop', dest_port: 5432, dest_type: 'wep', proto: 'tcp', action: 'allow', reporter: 'src', num_flows: 1,
}
const goldmane: Json = {
  Key: { source_name: 'web-*', source_namespace: 'shop', source_type: 1, dest_name: 'db-*', dest_namespace: 'shop', dest_type: 1, dest_port: 5432, proto: 'tcp', reporter: 2, action: 1 },
  start_time: 1_767_323_045, end_time: 1_767_323_060, num_connections_started: 1,
}
const antrea: Json = {
  flowStartSeconds: '2026-01-02 03:04:05', flowEndSeconds: '2026-01-02 03:04:10', sourceIP: '10.0.1.10', destinationIP: '10.0.2.20', sourceTransportPort: 40_000, destinationTransportPort: 5432,
  protocolIdentifier: 6, sourcePodName: 'web-0', sourcePodNamespace: 'shop', destinationPodName: 'db-0', destinationPodNamespace: 'shop', flowType: 1, octetTotalCount: 1, packetTotalCount: 1,
}
function netobserv(changes: Json): Json {
  return {
    SrcAddr: '10.0.1.10', DstAddr: '10.0.2.20', SrcPort: 40_000, DstPort: 5432, Proto: 6, Etype: 2048, FlowDirection: 1, Flags: 16, Bytes: 60, Packets: 1, TimeFlowStartMs: 1_767_323_045_000, TimeFlowEndMs: 1_767_323_046_000,
    TimeReceived: 1_767_323_047, SrcK8S_Name: 'web-0', SrcK8S_Namespace: 'shop', SrcK8S_Type: 'Pod', SrcK8S_OwnerName: 'web', SrcK8S_OwnerType: 'StatefulSet',
    DstK8S_Name: 'db-0', DstK8S_Namespace: 'shop', DstK8S_Type: 'Pod', DstK8S_OwnerName: 'db', DstK8S_OwnerType: 'StatefulSet', ...changes,
  }
}
const gke: Json = {
  connection: { src_ip: '10.0.1.10', dest_ip: '10.0.2.20', src_port: 40_000, dest_port: 5432, protocol: 'tcp', direction: 'egress' }, disposition: 'allow',
  src: { pod_name: 'web-0', pod_namespace: 'shop' }, dest: { pod_name: 'db-0', pod_namespace: 'shop' }, timestamp: '2026-01-02T03:04:05Z',
}
function aws(port: number, ip = '10.0.2.20'): Json {
  return { ts: '2026-01-02T03:04:05Z', msg: 'Flow Info: ', 'Src IP': '10.0.1.10', 'Src Port': 40_001, 'Dest IP': ip, 'Dest Port': port, Proto: 'TCP', Verdict: 'ACCEPT' }
}

/** A record for every row of the table: source 10.0.1.10, destination 10.0.2.20. */
const RECORDS: Readonly<Record<FlowFormat, Readonly<Record<string, Json | string>>>> = {
  hubble: {
    // The flags and is_reply say otherwise: the stronger row decides.
    'policy-verdict event (event_type 5)': hubble({ event_type: { type: 5 }, l4: tcp(40_000, 5432, 'SYN', 'ACK'), is_reply: true }),
    'SYN without ACK': hubble({ l4: tcp(40_000, 5432, 'SYN'), is_reply: true }),
    'SYN with ACK': hubble({ l4: tcp(40_000, 5432, 'SYN', 'ACK'), is_reply: false }),
    'is_reply true, or only the older reply true': hubble({ reply: true }),
    'is_reply false, written by Retina': hubble({ is_reply: false, extensions: { '@type': 'x/utils.RetinaMetadata' } }),
    'is_reply false': hubble({ is_reply: false }),
    'none of these': hubble({ traffic_direction: 'EGRESS', l4: tcp(40_000, 5432, 'FIN', 'ACK') }),
  },
  'calico-enterprise': { 'every row': calico },
  goldmane: { 'every flow': goldmane },
  antrea: {
    'line of the audit log': '2026/01/02 03:04:05.123456 IngressRule K8sNetworkPolicy:shop/db allow-web Ingress Allow 190 shop/db-0 10.0.1.10 40000 10.0.2.20 5432 TCP 60 <nil>',
    'every flow record': antrea,
  },
  netobserv: {
    'connection record, destination port below 32768': netobserv({ _RecordType: 'newConnection', _HashId: 'a1' }),
    'connection record, destination port from 32768 on': netobserv({ _RecordType: 'newConnection', _HashId: 'a1', DstPort: 50_051 }),
    'SYN without SYN_ACK': netobserv({ Flags: 2 }),
    'SYN_ACK without SYN': netobserv({ Flags: 256 }),
    'destination is a Service': netobserv({ DstK8S_Type: 'Service', DstK8S_Name: 'db', DstK8S_OwnerType: 'Service', DstK8S_OwnerName: 'db' }),
    'source is a Service': netobserv({ SrcK8S_Type: 'Service', SrcK8S_Name: 'web', SrcK8S_OwnerType: 'Service', SrcK8S_OwnerName: 'web' }),
    'none of these': netobserv({}),
  },
  gke: { 'every record': gke },
  'aws-vpc-cni': { 'destination is a Service': aws(50_051, '10.96.0.5'), 'destination port below 32768 and below the source port': aws(32_767), 'destination port from 32768 on, or above the source port': aws(32_768) },
}

/** With a Service at 10.96.0.5. */
function recordOf(raw: unknown): FlowRecord {
  const normalizer = createNormalizer({
    cluster: 'c1', history: () => ({
      holderOf: (ip) => (ip === '10.96.0.5' ? { kind: 'service', namespace: 'shop', name: 'db' } : { kind: 'unknown' }), podNamed: () => undefined, backendsOf: () => undefined,
    }),
  })
  const record = normalizer.normalize(raw)
  if (record.kind !== 'flow') throw new Error(JSON.stringify(record))
  return record
}

describe('the table of who opened the connection', () => {
  test('has at least one row for every format, and every row a record here', () => {
    expect([...new Set(ORIENTATION_TABLE.map((row) => row.format))].sort()).toEqual([...FLOW_FORMATS].sort())
    for (const format of FLOW_FORMATS) expect(ORIENTATION_TABLE.filter((row) => row.format === format).map((row) => row.shows)).toEqual(Object.keys(RECORDS[format]))
  })

  test.each(ORIENTATION_TABLE.map((row): [string, OrientationRow] => [`${row.format}: ${row.shows}`, row]))('%s', (_, row) => {
    const { orientation, initiatorIp, initiator } = recordOf(RECORDS[row.format][row.shows])
    expect(orientation).toBe(row.evidence)
    // Goldmane has no addresses: its initiator is known by name.
    if (row.initiator !== 'not known') expect(initiatorIp === '10.0.1.10' || initiator.workload?.name === 'web').toBe(row.initiator === 'source')
  })

  test('leaves no initiator where there is no evidence, and names one everywhere else', () => {
    for (const row of ORIENTATION_TABLE) expect(row.initiator === 'not known').toBe(row.evidence === 'unoriented')
  })
})

describe('Hubble\'s rows', () => {
  const bools = [false, true] as const
  const combinations = bools.flatMap((isVerdictEvent) => bools.flatMap((isSyn) => bools.flatMap((isAck) => bools.flatMap((isDrop) =>
    [undefined, false, true].map((isReply) => ({ isVerdictEvent, isSyn, isAck, isDrop, isReply }))))))

  test.each(combinations)('decide %j in the order of the table', (facts) => {
    const rows: readonly (readonly [boolean, string])[] = [
      [facts.isVerdictEvent, 'policy-verdict event (event_type 5)'], [facts.isSyn && !facts.isAck, 'SYN without ACK'], [facts.isSyn && facts.isAck, 'SYN with ACK'],
      [facts.isReply === true, 'is_reply true, or only the older reply true'], [facts.isReply === false, 'is_reply false'], [true, 'none of these'],
    ]
    const shows = rows.find(([fits]) => fits)?.[1]
    const row = ORIENTATION_TABLE.find((r) => r.format === 'hubble' && r.shows === shows)
    const orientation = findOrientation(facts)
    expect(orientation).toBe(row?.evidence)
    if (orientation !== 'unoriented') expect(isFromResponder(facts, orientation)).toBe(row?.initiator === 'destination')
  })
})

test('a tuple towards a port that kernels give to clients is no proof', () => {
  expect([1, 443, 32_767, 32_768, 60_999, 65_535].map((port) => orientTuple(port, 40_000))).toEqual(['conntrack', 'conntrack', 'conntrack', 'unoriented', 'unoriented', 'unoriented'])
  // An answer where the kernel picks clients' ports from 20000 on.
  expect([orientTuple(20_000, 8080), orientTuple(20_001, 443), orientTuple(443, 443), orientTuple(443, 0), orientTuple(50_000, 0)]).toEqual(['unoriented', 'unoriented', 'unoriented', 'conntrack', 'unoriented'])
})

test('what one record does not prove keeps both ports', () => {
  for (const row of ORIENTATION_TABLE.filter((r) => r.evidence === 'unoriented')) {
    const record = flowOf(RECORDS[row.format][row.shows])
    expect([record.initiatorPort > 0, record.port > 0]).toEqual([true, true])
  }
})

test('the decision record shows the same table', () => {
  const page = readFileSync(new URL('../../../docs/decisions/0005-orientation.md', import.meta.url), 'utf8')
  const names: Readonly<Record<FlowFormat, string>> = {
    hubble: 'Hubble', 'calico-enterprise': 'Calico Enterprise', goldmane: 'Goldmane', antrea: 'Antrea', netobserv: 'NetObserv', gke: 'GKE', 'aws-vpc-cni': 'AWS VPC CNI',
  }
  const rows = ORIENTATION_TABLE.map(({ format, shows, evidence, initiator }, i) => `| ${ORIENTATION_TABLE[i - 1]?.format === format ? '' : `${names[format]} `}| ${shows} | ${evidence} | ${initiator} |`)
  expect(page.split('\n').filter((line) => rows.includes(line))).toEqual(rows)
})
