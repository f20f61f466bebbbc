import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { NO_HISTORY, type AddressHolder, type ClusterHistory, type HistoryPod } from '../../../../src/core/cluster/cluster-history.ts'
import type { Identity } from '../../../../src/core/flow/identity.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
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

describe('cluster state', () => {
  const startUs = 1_767_323_045_000_000
  const pod = (name: string, fields: Partial<HistoryPod> = {}): HistoryPod => ({
    namespace: 'shop', name, labels: { app: 'state' }, namespaceLabels: { team: 'a' }, workload: { kind: 'Deployment', name: 'web' }, hostNetwork: false, nodeName: 'n', ports: [], ...fields,
  })
  const read = (changes: Json, history: Partial<ClusterHistory>): unknown => createNormalizer({ cluster: 'c1', podCidrs: ['10.0.0.0/16'], history: () => ({ ...NO_HISTORY, ...history }) }).normalize(row(changes))
  const net = { ...NOT_A_POD, dest_type: 'net', dest_name_aggr: 'pvt' }

  test('gives labels to a pod whose row has none, as they were at the time (T16)', () => {
    const asked: number[] = []
    const podNamed: ClusterHistory['podNamed'] = (_, name, atUs) => {
      asked.push(atUs)
      return name === 'web-7d4b9c6f58-x2k9p' ? pod(name) : undefined
    }
    expect(read({ source_labels: null, dest_labels: null }, { podNamed })).toMatchObject({
      initiator: { labels: { app: 'state' }, namespaceLabels: { team: 'a' }, labelQuality: 'full' }, initiatorPod: 'web-7d4b9c6f58-x2k9p',
      responder: { labels: {}, labelQuality: 'none', workload: { kind: 'StatefulSet', name: 'db' } },
    })
    expect(asked.every((atUs) => atUs >= startUs && atUs <= startUs + 300_000_000)).toBe(true)
    // Labels of the row are the pod's at that very moment.
    expect(read({}, { podNamed })).toMatchObject({ initiator: { labels: { app: 'web' } } })
    expect(read({ ...AGGREGATED, source_labels: null }, { podNamed })).toMatchObject({ initiator: { labels: {}, labelQuality: 'none' } })
  })

  test('knows the nodes that Calico takes for a private network', () => {
    expect(read({ ...net, dest_ip: '172.18.0.3' }, { holderOf: (ip) => (ip === '172.18.0.3' ? { kind: 'node', node: 'n' } : { kind: 'unknown' }) })).toMatchObject({ responder: { kind: 'node' }, port: 5432 })
  })

  test('a pod that held the address during the whole window is that pod, the next owner of the address is not (T15)', () => {
    const address = { ...net, dest_ip: '10.0.2.20' }
    const held = (from: AddressHolder): Partial<ClusterHistory> => ({ holderOf: (_, atUs) => (atUs === startUs ? from : { kind: 'pod', pod: pod('new') }) })
    expect(read(address, held({ kind: 'pod', pod: pod('new') }))).toMatchObject({ responder: { kind: 'pod' }, responderPod: 'new' })
    expect(read(address, held({ kind: 'pod', pod: pod('old') }))).toMatchObject({ responder: { kind: 'unknown' }, responderPod: '' })
    expect(read(address, held({ kind: 'nobody' }))).toMatchObject({ responder: { kind: 'unknown' } })
    expect(read(address, { holderOf: () => ({ kind: 'nobody' }) })).toMatchObject({ responder: { kind: 'unknown' } })
    expect(read(address, {})).toMatchObject({ responder: { kind: 'unknown' } })
  })

  test('a Service\'s address is its backends where state proves them and their port, else unknown without port (T8)', () => {
    const service: Partial<ClusterHistory> = { holderOf: () => ({ kind: 'service', namespace: 'shop', name: 'db' }) }
    const clusterIp = { ...net, dest_ip: '10.96.0.5', dest_port: 80, action: 'deny' }
    expect(read(clusterIp, service)).toMatchObject({ responder: { kind: 'unknown' }, port: 0 })
    expect(read(clusterIp, { ...service, backendsOf: () => ({ pods: [pod('a')], port: 8080 }) })).toMatchObject({ responder: { kind: 'pod', workload: { name: 'web' } }, port: 8080, responderIp: '' })
    expect(read({ ...clusterIp, dest_service_namespace: 'default', dest_service_name: 'kubernetes' }, service)).toMatchObject({ responder: { kind: 'kube-apiserver' }, port: 0 })
  })
})

describe('addresses that Calico calls public', () => {
  const net = { ...NOT_A_POD, dest_type: 'net', dest_name_aggr: 'pub' }

  test('carrier-grade NAT and unique local addresses may be nodes: not plain outside (T9)', () => {
    for (const dest_ip of ['100.64.3.4', 'fd00::5']) expect(responder({ ...net, dest_ip })).toMatchObject({ kind: 'external', name: 'pvt' })
    expect(responder({ ...net, dest_ip: '100.64.3.4', dest_service_name: 'db' }).kind).toBe('unknown')
  })

  test('the metadata server and node-local DNS are classes of their own (T22)', () => {
    const [metadata, dns] = [responder({ ...net, dest_ip: '169.254.169.254' }), responder({ ...net, dest_ip: '169.254.20.10', proto: 'udp', dest_port: 53 })]
    expect(new Set([metadata.name, dns.name, '']).size).toBe(3)
  })
})

describe('aggregation', () => {
  const notesOf = (changes: Json): string[] => {
    const normalizer = createNormalizer({ cluster: 'c1' })
    normalizer.normalize(row(changes))
    return normalizer.takeCoverage().map((e) => `${e.type} ${e.node} ${new Date(e.atUs / 1000).toISOString()} ${e.detail}`)
  }

  test('that loses nothing a policy needs is not noted: pod addresses, pod names, source ports (levels 0 to 2)', () => {
    expect(notesOf({})).toEqual([])
    expect(notesOf({ source_port: null })).toEqual([])
    expect(notesOf(AGGREGATED)).toEqual([])
  })

  test('that loses outside addresses or destination ports is noted (levels 2 and 3)', () => {
    expect(notesOf({ ...AGGREGATED, ...NOT_A_POD, dest_type: 'net', dest_name_aggr: 'pub' })).toEqual(['aggregation node-1 2026-01-02T03:00:00.000Z Calico aggregation level 2: outside addresses are missing'])
    expect(notesOf({ ...AGGREGATED, dest_port: null })).toEqual(['aggregation node-1 2026-01-02T03:00:00.000Z Calico aggregation level 3: destination ports are missing'])
  })

  test('counts a connection in the window it began in', () => {
    expect(flowOf(row({ num_flows: 40, num_flows_started: 5 })).flows).toBe(5)
    expect(flowOf(row({ num_flows: 40, num_flows_started: 0 })).flows).toBe(1)
    expect(flowOf(row({ num_flows: 40 })).flows).toBe(40)
  })

  test('a null, a "-" and an absent field are alike', () => {
    const fields = ['source_ip', 'source_name', 'source_port', 'source_labels', 'dest_ip', 'dest_name', 'dest_service_name', 'dest_service_namespace', 'dest_service_port', 'dest_service_port_num', 'host', 'policies']
    const alike = [null, '-', undefined].map((value) => normalize(row(Object.fromEntries(fields.map((f) => [f, value])))))
    expect(alike[0]).toMatchObject({ kind: 'flow' })
    expect(alike[1]).toEqual(alike[0])
    expect(alike[2]).toEqual(alike[0])
  })
})

describe('the page docs/sources/calico-enterprise.md', () => {
  test('shows a row and a text line that are read', () => {
    const page = readFileSync(new URL('../../../../docs/sources/calico-enterprise.md', import.meta.url), 'utf8')
    const [json] = [...page.matchAll(/^\{.*\}$/gm)].map(([line]) => line)
    expect(flowOf(JSON.parse(json ?? ''))).toEqual(flowOf(row({ policies: { enforced_policies: ['0|default|shop/knp.default.db|allow|0'], pending_policies: [] }, num_flows_started: 3, num_flows_completed: 2 })))
    const [text] = [...page.matchAll(/^\d{10} \d{10} .*$/gm)].map(([line]) => line)
    expect(flowOf(text)).toMatchObject({ port: 5432, side: 'client', initiator: { namespace: 'shop', workload: { name: 'web' } } })
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
