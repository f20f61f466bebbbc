import { describe, expect, test } from '@jest/globals'
import type { AddressHolder, ClusterHistory, HistoryPod } from '../../../../src/core/cluster/cluster-history.ts'
import { NO_HISTORY } from '../../../../src/core/cluster/cluster-history.ts'
import type { FlowRecord } from '../../../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { DB, flow, flowOf, pod, reply, reserved, tcp, verdictOf, WEB, WORLD, type Json } from '../hubble-records.ts'

/** The moment of `flow()`. */
const AT_US = 1_767_323_045_123_456

function statePod(name: string, app: string): HistoryPod {
  return {
    namespace: 'shop', name, labels: { app, tier: 'x' }, namespaceLabels: {}, workload: { kind: 'Deployment', name: app }, hostNetwork: false, nodeName: 'n', ports: [],
  }
}

/** 10.0.9.1 was cache's until the moment of the flow; 10.0.9.2 is api's from then on. 10.96.0.5:80 is port 8080 of api; 10.96.0.6 is a Service without proven pods. */
const HOLDERS: Record<string, (atUs: number) => AddressHolder> = {
  '10.0.9.1': (atUs) => (atUs < AT_US ? { kind: 'pod', pod: statePod('cache-0', 'cache') } : { kind: 'unknown' }),
  '10.0.9.2': (atUs) => (atUs < AT_US ? { kind: 'unknown' } : { kind: 'pod', pod: statePod('api-7d4b9c6f58-x2k9p', 'api') }),
  '10.0.0.4': () => ({ kind: 'node', node: 'n' }),
  '10.96.0.5': () => ({ kind: 'service', namespace: 'shop', name: 'api' }),
  '10.96.0.6': () => ({ kind: 'service', namespace: 'shop', name: 'split' }),
}
const HISTORY: ClusterHistory = {
  holderOf: (ip, atUs) => HOLDERS[ip]?.(atUs) ?? { kind: 'unknown' },
  podNamed: (namespace, name) => (namespace === 'shop' && name === 'db-0' ? statePod('db-0', 'db') : undefined),
  backendsOf: (ip, port) => (ip === '10.96.0.5' && port === 80 ? { pods: [statePod('api-7d4b9c6f58-x2k9p', 'api')], port: 8080 } : undefined),
}

const normalizer = createNormalizer({ cluster: 'c1', history: () => HISTORY, podCidrs: ['10.0.9.0/24'] })

function recordOf(raw: Json): FlowRecord {
  const outcome = normalizer.normalize(raw)
  if (outcome.kind !== 'flow') throw new Error(JSON.stringify(outcome))
  return outcome
}

function edge(raw: Json): string {
  const record = recordOf(raw)
  const name = (end: FlowRecord['initiator']): string => (end.kind === 'pod' ? `${end.namespace}/${end.labels.app ?? ''}` : end.kind)
  return `${name(record.initiator)} -> ${name(record.responder)}:${record.port}`
}

const to = (destination: unknown, ip: string, changes: Json = {}): Json => flow({ destination, IP: { source: '10.0.1.10', destination: ip }, ...changes })

describe('an end without a name, when cluster state covers the moment', () => {
  test.each<[string, unknown]>([['world', WORLD], ['unmanaged', reserved('unmanaged')], ['starting up', reserved('init')], ['nothing', {}], ['a number', { identity: 40_000 }]])(
    'said to be %s is the pod that held the address, and nobody later or earlier', (_, end) => {
      expect(edge(to(end, '10.0.9.2'))).toBe('shop/web -> shop/api:5432')
      expect(edge(to(end, '10.0.9.1'))).toBe('shop/web -> unknown:5432')
    })

  test('is a node, never the outside, where state knows the address as a node\'s', () => {
    expect(edge(to(WORLD, '10.0.0.4'))).toBe('shop/web -> node:5432')
    expect(edge(flow({ source: WORLD, IP: { source: '10.0.0.4', destination: '10.0.2.20' } }))).toBe('node -> shop/db:5432')
  })

  test('stays what its labels say where those say more than the world', () => {
    expect(edge(to(reserved('host'), '10.0.9.2'))).toBe('shop/web -> host:5432')
    expect(edge(to(reserved('kube-apiserver', 'world'), '10.0.9.2'))).toBe('shop/web -> kube-apiserver:5432')
  })

  test('a pod that the record names wins over whoever has the address', () => {
    expect(edge(to(DB, '10.0.9.2'))).toBe('shop/web -> shop/db:5432')
    expect(recordOf(to(DB, '10.0.9.2')).responder.labelQuality).toBe('identity-subset')
  })

  test('a named pod without labels has those that state knows, in its own cluster only', () => {
    const masked = { namespace: 'shop', pod_name: 'db-0' }
    expect(recordOf(to(masked, '10.0.2.20')).responder).toMatchObject({ labels: { app: 'db', tier: 'x' }, labelQuality: 'full' })
    const abroad = flow({ source: { ...WEB, cluster_name: 'east' }, destination: { ...masked, cluster_name: 'west' } })
    expect(recordOf(abroad).responder).toMatchObject({ cluster: 'west', labels: {}, labelQuality: 'none' })
  })
})

describe('ports of Services, when cluster state proves them', () => {
  const xlated = (service: string, port: number): Json => reply({ IP: { source: '10.0.2.20', source_xlated: service, destination: '10.0.1.10' }, l4: tcp(port, 40_000, 'ACK') })

  test('a translated reply has the pods\' port, not the Service\'s', () => {
    expect(edge(xlated('10.96.0.5', 80))).toBe('shop/web -> shop/db:8080')
    expect(edge(xlated('::ffff:10.96.0.5', 80))).toBe('shop/web -> shop/db:8080')
  })

  test('and none where it is not proven', () => {
    expect(edge(xlated('10.96.0.5', 443))).toBe('shop/web -> shop/db:0')
    expect(edge(xlated('10.96.0.6', 80))).toBe('shop/web -> shop/db:0')
    expect(edge(xlated('nonsense', 80))).toBe('shop/web -> shop/db:0')
  })

  test('a ClusterIP before translation is the pods behind it', () => {
    const service = { l4: tcp(40_000, 80, 'SYN'), destination_service: { name: 'api', namespace: 'shop' } }
    expect(recordOf(to(WORLD, '10.96.0.5', service))).toMatchObject({ responder: { workload: { name: 'api' } }, responderIp: '', responderPod: '', port: 8080 })
    expect(edge(to(WORLD, '10.96.0.5', { l4: tcp(40_000, 80, 'SYN') }))).toBe('shop/web -> shop/api:8080')
    expect(edge(to(WORLD, '10.96.0.6', service))).toBe('shop/web -> unknown:0')
  })

  test('nobody opens a connection from a Service\'s address', () => {
    expect(edge(flow({ source: WORLD, IP: { source: '10.96.0.5', destination: '10.0.2.20' }, l4: tcp(80, 5432, 'SYN') }))).toBe('unknown -> shop/db:5432')
  })

  test('an unoriented packet towards a Service is not taken to its pods: the end stays unknown, and no rule comes of it', () => {
    const open = recordOf(flow({ is_reply: undefined, destination: WORLD, IP: { source: '10.0.1.10', destination: '10.96.0.5' }, l4: tcp(40_000, 80) }))
    expect(open).toMatchObject({ orientation: 'unoriented', initiator: { namespace: 'shop' }, initiatorPort: 40_000, responder: { kind: 'unknown' }, responderIp: '10.96.0.5' })
  })
})

test('what state learns later makes no new record of an old one', () => {
  for (const raw of [to(WORLD, '10.0.9.2'), to({ namespace: 'shop', pod_name: 'db-0' }, '10.0.2.20'), to(WORLD, '10.96.0.5', { l4: tcp(40_000, 80, 'SYN') })]) {
    const without = createNormalizer({ cluster: 'c1', history: () => NO_HISTORY }).normalize(raw)
    expect(recordOf(raw)).toMatchObject(without.kind === 'flow' ? { digestHi: without.digestHi, digestLo: without.digestLo } : {})
    expect(without.kind).toBe('flow')
  }
})

describe('well-known addresses', () => {
  test.each([['169.254.20.10', 'node-local-dns'], ['169.254.169.254', 'metadata'], ['fd00:ec2::254', 'metadata'], ['FD00:EC2:0::254', 'metadata']])('%s is %s, whatever its labels', (ip, name) => {
    for (const end of [WORLD, reserved('host'), reserved('unmanaged'), {}, undefined]) expect(flowOf(to(end, ip)).responder).toMatchObject({ kind: 'external', name })
  })

  test('do not hide a pod that answers there', () => {
    expect(flowOf(to(pod('kube-system/node-local-dns-x2k9p', 'k8s-app=node-local-dns'), '169.254.20.10')).responder).toMatchObject({ kind: 'pod', namespace: 'kube-system' })
  })
})

describe('an exporter that aggregates', () => {
  test('says so once per hour and node, and tells when the first event was', () => {
    const own = createNormalizer({ cluster: 'c1' })
    const row = flow({ aggregate: { egress_flow_count: 7, ingress_flow_count: '2' } })
    expect(own.normalize(row)).toMatchObject({ flows: 9, firstAtUs: AT_US, lastAtUs: AT_US })
    own.normalize({ ...row, time: '2026-01-02T03:59:59Z' })
    expect(own.takeCoverage().map((c) => `${c.type} ${c.node}: ${c.detail}`)).toEqual(['aggregation node-1: the exporter aggregates: a row tells when its first event was, not the others'])
    own.normalize(flow())
    expect(own.takeCoverage()).toEqual([])
  })
})

describe('names and numbers are no evidence', () => {
  test('DNS names name nobody', () => {
    const named = flowOf(to(WORLD, '203.0.113.9', { destination_names: ['db.shop.svc.cluster.local', 'example.org'], source_names: ['web'] }))
    expect(named.responder).toMatchObject({ kind: 'external', name: '', namespace: '' })
    expect(named.responder).toBe(flowOf(to(WORLD, '203.0.113.9')).responder)
  })

  test('one outside address is one end, whatever number and CIDR it goes by', () => {
    const ends = [WORLD, { identity: 16_777_217, labels: ['cidr:203.0.113.0/24', 'reserved:world'] }, { identity: 16_777_300, labels: ['cidr:203.0.113.9/32='] }, { identity: 16_777_217 }]
    expect(new Set(ends.map((end) => flowOf(to(end, '203.0.113.9')).responder.key)).size).toBe(1)
  })
})

describe('addresses that no policy speaks of', () => {
  test.each([
    ['multicast', '224.0.0.251'], ['broadcast', '255.255.255.255'], ['no address yet', '0.0.0.0'], ['IPv6 multicast', 'ff02::2'], ['IPv6 link-local with a zone', 'fe80::1%eth0'], ['mapped broadcast', '::ffff:255.255.255.255'],
  ])('%s is ignored', (_, ip) => {
    expect(verdictOf(to(WORLD, ip))).toBe('ignored multicast-or-link-local')
    expect(verdictOf(flow({ source: WORLD, IP: { source: ip, destination: '10.0.2.20' } }))).toBe('ignored multicast-or-link-local')
  })
})
