import { describe, expect, test } from '@jest/globals'
import type { Identity } from '../../../../src/core/flow/identity.ts'
import { flowOf, normalize, verdictOf, type Json } from '../hubble-records.ts'

/** A row as written at aggregation level 0 by the destination's node, changed by `changes`. */
function row(changes: Json = {}): Json {
  return {
    start_time: 1_767_323_045, end_time: 1_767_323_345,
    source_ip: '10.0.1.10', source_name: 'web-7d4b9c6f58-x2k9p', source_name_aggr: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_port: 40_000, source_type: 'wep',
    source_labels: { labels: ['app=web', 'pod-template-hash=7d4b9c6f58'] },
    dest_ip: '10.0.2.20', dest_name: 'db-0', dest_name_aggr: 'db-*', dest_namespace: 'shop', dest_port: 5432, dest_type: 'wep', dest_labels: { labels: ['app=db'] },
    dest_service_namespace: 'shop', dest_service_name: 'db', dest_service_port: 'pg', dest_service_port_num: 5432,
    proto: 'tcp', action: 'allow', reporter: 'dst', policies: { enforced_policies: ['0|default|shop/knp.default.db|allow|0'] },
    bytes_in: 388, bytes_out: 1113, num_flows: 3, packets_in: 6, packets_out: 5, host: 'node-1',
    ...changes,
  }
}

/** The same at the default level for allowed rows: no addresses, no pod names. */
const AGGREGATED: Json = { source_ip: null, source_name: '-', source_port: null, dest_ip: null, dest_name: '-' }
const NOT_A_POD: Json = { dest_name: '-', dest_namespace: '-', dest_labels: null, dest_service_namespace: '-', dest_service_name: '-', dest_service_port: '-', dest_service_port_num: null }

function responder(changes: Json, options: { podCidrs?: string[] } = {}): Identity {
  return flowOf(row(changes), options).responder
}

describe('rows', () => {
  test('become records of the true initiator', () => {
    const record = flowOf(row())
    expect(record).toMatchObject({
      kind: 'flow', format: 'calico-enterprise', firstAtUs: 1_767_323_045_000_000, lastAtUs: 1_767_323_345_000_000,
      initiatorIp: '10.0.1.10', responderIp: '10.0.2.20', initiatorPod: 'web-7d4b9c6f58-x2k9p', responderPod: 'db-0',
      protocol: 'TCP', port: 5432, initiatorPort: 0, orientation: 'conntrack', side: 'server', observedVerdict: 'allowed', node: 'node-1', flows: 3,
    })
    expect(record.initiator).toMatchObject({
      kind: 'pod', cluster: 'c1', namespace: 'shop', labels: { app: 'web', 'pod-template-hash': '7d4b9c6f58' }, labelQuality: 'full',
      workload: { kind: 'Deployment', name: 'web' }, workloadEvidence: 'pod-name', name: '',
    })
    expect(record.responder.workload).toEqual({ kind: 'StatefulSet', name: 'db' })
  })

  test('of aggregates have no addresses and what the pods share', () => {
    const record = flowOf(row({ ...AGGREGATED, dest_name_aggr: 'api-*' }))
    expect(record).toMatchObject({ initiatorIp: '', responderIp: '', initiatorPod: '', responderPod: '', port: 5432 })
    expect(record.initiator).toMatchObject({ labelQuality: 'intersection', workload: { kind: 'Deployment', name: 'web' } })
    expect(record.responder).toMatchObject({ labelQuality: 'intersection', workload: { kind: 'Workload', name: 'api' } })
  })

  test('without labels keep what names there are', () => {
    expect(responder({ dest_labels: null })).toMatchObject({ labels: {}, labelQuality: 'none', name: '' })
    expect(responder({ dest_labels: null, dest_name: 'tool', dest_name_aggr: 'tool' })).toMatchObject({ workload: { kind: 'Pod', name: 'tool' }, name: 'tool' })
    expect(responder({ dest_labels: { labels: [] } })).toMatchObject({ labels: {}, labelQuality: 'full' })
  })

  test('lose the labels that Calico adds to its view of a pod', () => {
    expect(responder({ dest_labels: { labels: ['projectcalico.org/namespace=shop', 'app=db', 'note=a=b', 'bare'] } }).labels).toEqual({ app: 'db', bare: '', note: 'a=b' })
  })

  test('of both reporters are two sides of one edge', () => {
    const client = flowOf(row({ reporter: 'src' }))
    const server = flowOf(row())
    expect([client.side, server.side]).toEqual(['client', 'server'])
    expect([client.initiator, client.responder, client.port]).toEqual([server.initiator, server.responder, server.port])
  })

  test('denied at ingress are allowed at the source and denied at the destination', () => {
    expect(flowOf(row({ action: 'deny' })).observedVerdict).toBe('denied')
    expect(flowOf(row({ reporter: 'src', action: 'allow' })).observedVerdict).toBe('allowed')
  })

  test('staged policies and profiles change nothing', () => {
    const policies = { all_policies: ['1|default|shop/staged:default.x|deny|1', '0|__PROFILE__|__PROFILE__.kns.shop|allow|0'], pending_policies: ['0|default|shop/staged:default.x|deny|1'] }
    expect(flowOf(row({ policies })).observedVerdict).toBe('allowed')
    expect(flowOf(row({ policies: null })).observedVerdict).toBe('allowed')
  })

  test('accept protocols by number, ports and counts as text, and end equal to start', () => {
    expect(flowOf(row({ proto: 6 }))).toMatchObject({ protocol: 'TCP' })
    expect(flowOf(row({ proto: '17' }))).toMatchObject({ protocol: 'UDP' })
    expect(flowOf(row({ proto: 'sctp' }))).toMatchObject({ protocol: 'SCTP' })
    expect(flowOf(row({ dest_port: '8443', num_flows: '0' }))).toMatchObject({ port: 8443, flows: 1 })
    expect(flowOf(row({ end_time: 1_767_323_045 })).lastAtUs).toBe(1_767_323_045_000_000)
    expect(flowOf(row({ start_time: undefined, end_time: undefined, '@timestamp': 1_767_323_345_000 })).lastAtUs).toBe(1_767_323_345_000_000)
  })
})

describe('ends that are no pods', () => {
  test('public and private networks are outside, unless inside a pod CIDR', () => {
    const net = { ...NOT_A_POD, dest_type: 'net', dest_name_aggr: 'pvt', dest_ip: '192.168.9.9' }
    expect(responder(net)).toMatchObject({ kind: 'external', name: 'pvt' })
    expect(responder({ ...net, dest_name_aggr: 'pub', dest_ip: '203.0.113.9' })).toMatchObject({ kind: 'external', name: '' })
    expect(responder(net, { podCidrs: ['192.168.0.0/16'] }).kind).toBe('unknown')
    expect(flowOf(row({ ...net, dest_ip: null, dest_name_aggr: 'pub' }))).toMatchObject({ responder: { kind: 'external' }, responderIp: '' })
  })

  test('what is reached through the Service of the API server is the API server, on the port behind the Service', () => {
    const net = { ...NOT_A_POD, dest_type: 'net', dest_name_aggr: 'pvt', dest_ip: '172.18.0.2', dest_port: 6443, dest_service_namespace: 'default', dest_service_name: 'kubernetes' }
    expect(flowOf(row(net))).toMatchObject({ responder: { kind: 'kube-apiserver' }, port: 6443 })
  })

  test('a Service address that was denied before translation is unknown and has no pod port', () => {
    const net = { ...NOT_A_POD, dest_type: 'net', dest_name_aggr: 'pvt', dest_ip: '10.96.0.5', dest_service_name: 'db', action: 'deny' }
    expect(flowOf(row(net))).toMatchObject({ responder: { kind: 'unknown' }, port: 0 })
  })

  test('host endpoints are nodes; the reporting one is the pod\'s host', () => {
    const hep = { ...NOT_A_POD, dest_type: 'hep', dest_name_aggr: 'node-2' }
    expect(responder(hep).kind).toBe('node')
    expect(responder({ ...hep, dest_name_aggr: 'node-1' }).kind).toBe('host')
  })

  test('network sets keep name and namespace', () => {
    expect(responder({ ...NOT_A_POD, dest_type: 'ns', dest_name_aggr: 'partners' })).toMatchObject({ kind: 'networkset', namespace: '', name: 'partners', workload: null })
    expect(responder({ ...NOT_A_POD, dest_type: 'ns', dest_namespace: 'shop', dest_name_aggr: 'partners' })).toMatchObject({ kind: 'networkset', namespace: 'shop' })
  })

  test('a missing type is told by the names', () => {
    expect(responder({ dest_type: undefined }).kind).toBe('pod')
    expect(responder({ ...NOT_A_POD, dest_type: null, dest_name_aggr: 'pub' }).kind).toBe('external')
  })
})

describe('rows that make no edge', () => {
  const cases: [string, Json, string][] = [
    ['host forwarding', { reporter: 'fwd' }, 'ignored forwarded'],
    ['ICMP, whose ports are null', { proto: 'icmp', source_port: null, dest_port: null }, 'ignored icmp'],
    ['ICMP by number', { proto: 1 }, 'ignored icmp'],
    ['other protocols', { proto: 'vrrp' }, 'ignored other-protocol'],
    ['other protocol numbers', { proto: '4' }, 'ignored other-protocol'],
    ['multicast', { dest_ip: '224.0.0.1' }, 'ignored multicast-or-link-local'],
    ['between hosts', { ...NOT_A_POD, dest_type: 'net', dest_name_aggr: 'pub', source_type: 'hep', source_name_aggr: 'node-1' }, 'ignored no-endpoint'],
    ['no destination port (aggregation level 3)', { dest_port: null }, 'rejected no-port'],
    ['a bad port', { dest_port: 70_000 }, 'rejected bad-port'],
    ['a port that is text', { dest_port: 'http' }, 'rejected wrong-type'],
    ['a bad address', { dest_ip: '10.0.0.256' }, 'rejected bad-address'],
    ['an address that is a number', { dest_ip: 5 }, 'rejected wrong-type'],
    ['no time', { start_time: null, end_time: null }, 'rejected missing-field'],
    ['time as text', { start_time: 'yesterday' }, 'rejected bad-time'],
    ['end before start', { end_time: 1_767_323_000 }, 'rejected bad-time'],
    ['the seventies', { start_time: 5 }, 'rejected too-early'],
    ['milliseconds', { start_time: 1_767_323_045_000, end_time: 1_767_323_045_000 }, 'rejected in-future'],
    ['no protocol', { proto: null }, 'rejected missing-field'],
    ['an unknown type', { dest_type: 'pod' }, 'rejected wrong-type'],
    ['an unknown reporter', { reporter: 'me' }, 'rejected wrong-type'],
    ['an action that is a number', { action: 5 }, 'rejected wrong-type'],
    ['labels that are text', { dest_labels: 'app=db' }, 'rejected wrong-type'],
    ['a label that is a number', { dest_labels: { labels: [5] } }, 'rejected wrong-type'],
    ['too many labels', { dest_labels: { labels: Array.from({ length: 300 }, (_, i) => `a${i}=b`) } }, 'rejected too-many-labels'],
    ['a namespace that is an object', { dest_namespace: {} }, 'rejected wrong-type'],
    ['a count that is text', { num_flows: 'many' }, 'rejected wrong-type'],
  ]
  test.each(cases)('%s', (_, changes, expected) => {
    expect(verdictOf(row(changes))).toBe(expected)
  })

  test('a destination that also forwarded is the server', () => {
    expect(flowOf(row({ reporter: 'dst, fwd' })).side).toBe('server')
    expect(flowOf(row({ reporter: 'src,fwd' })).side).toBe('client')
  })
})

describe('rows that are told apart', () => {
  const digest = (changes: Json): string => {
    const r = flowOf(row(changes))
    return `${r.digestHi}-${r.digestLo}`
  }

  test('by every field that distinguishes rows of one window', () => {
    const variants: Json[] = [
      {}, { start_time: 1_767_323_044 }, { end_time: 1_767_323_346 }, { host: 'node-2' }, { reporter: 'src' }, { action: 'deny' }, { source_port: 40_001 }, { dest_port: 5433 },
      { bytes_in: 389 }, { packets_out: 6 }, { num_flows: 4 }, { num_flows_started: 1 }, { proto: 'udp' }, { source_ip: '10.0.1.11' }, { dest_name: 'db-1' },
      { policies: { enforced_policies: ['0|default|shop/knp.default.db|allow|1'] } }, { policies: { all_policies: ['0|default|shop/knp.default.db|allow|0'] } }, { process_name: 'nginx' },
    ]
    expect(new Set(variants.map(digest)).size).toBe(variants.length)
  })

  test('not by the order of keys, nor by fields that shippers add', () => {
    expect(digest({})).toBe(digest({ '@timestamp': 5, tag: 'x' }))
    const record = normalize(Object.fromEntries(Object.entries(row()).reverse()))
    expect(record).toEqual(flowOf(row()))
  })
})
