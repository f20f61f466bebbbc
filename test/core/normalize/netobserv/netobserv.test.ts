import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import type { ClusterHistory, HistoryPod } from '../../../../src/core/cluster/cluster-history.ts'
import { NO_HISTORY } from '../../../../src/core/cluster/cluster-history.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { describeShared, sharedPath } from '../../../support/shared.ts'
import { answer, bare, edgeOf, flowOf, nobody, nodeEnd, podEnd, read, record, serviceEnd, verdictOf, type Json } from './netobserv-records.ts'

describe('the record on the page', () => {
  test('is read as the page says', () => {
    const page = readFileSync(new URL('../../../../docs/sources/netobserv.md', import.meta.url), 'utf8')
    const line = /```json\n(.*)\n```/.exec(page)?.[1] ?? ''
    const normalizer = createNormalizer({ cluster: 'c1' })
    expect(normalizer.normalize(JSON.parse(line))).toMatchObject({
      kind: 'flow', format: 'netobserv', firstAtUs: 1_767_323_044_000_000, lastAtUs: 1_767_323_045_123_000, initiatorIp: '10.244.1.10', responderIp: '10.244.2.20',
      initiatorPod: 'web-7d4b9c6f58-x2k9p', responderPod: 'db-0', protocol: 'TCP', port: 5432, initiatorPort: 0, orientation: 'tcp-flags', side: 'client',
      observedVerdict: 'allowed', node: 'worker-1', flows: 1,
      initiator: { kind: 'pod', cluster: 'c1', namespace: 'shop', labels: {}, labelQuality: 'none', workload: { kind: 'Deployment', name: 'web' }, workloadEvidence: 'record' },
      responder: { workload: { kind: 'StatefulSet', name: 'db' } },
    })
    expect(normalizer.takeCoverage()).toEqual([{ type: 'sampling', atUs: 1_767_322_800_000_000, node: 'worker-1', lost: 0, detail: 'NetObserv sampling 1:50' }])
  })
})

describe('who opened the connection', () => {
  test('SYN is the client\'s; an answer to it sets only SYN_ACK, and turns the record round', () => {
    expect(edgeOf(record({ Flags: 2 + 16 }))).toBe('shop/web -> shop/db:5432 tcp-flags client')
    expect(edgeOf(answer({ Flags: 256 + 16 }))).toBe('shop/web -> shop/db:5432 tcp-flags client')
    expect(edgeOf(record({ Flags: 18, FlowDirection: 0 }))).toBe('shop/web -> shop/db:5432 tcp-flags server')
    expect(edgeOf(answer({ Flags: 272, FlowDirection: 1 }))).toBe('shop/web -> shop/db:5432 tcp-flags server')
  })

  test.each<[string, unknown, string]>([
    ['a number as text', '18', 'tcp-flags'], ['names', ['SYN', 'ACK', 'PSH'], 'tcp-flags'], ['a name that does not exist', ['ACK', 'NEW'], 'unoriented'],
    ['nothing', undefined, 'unoriented'], ['both SYN and SYN_ACK, which contradict each other', 258, 'unoriented'], ['FIN_ACK and RST only', 512 + 4, 'unoriented'],
  ])('flags as %s', (_, flags, orientation) => {
    expect(flowOf(record({ Flags: flags })).orientation).toBe(orientation)
  })

  test('from the middle of a connection nothing is known: both ports are kept, in one order for both directions', () => {
    expect(edgeOf(record())).toBe('shop/web:40000 -> shop/db:5432 unoriented client')
    expect(edgeOf(answer())).toBe('shop/web:40000 -> shop/db:5432 unoriented client')
    expect(edgeOf(answer({ FlowDirection: 1 }))).toBe('shop/web:40000 -> shop/db:5432 unoriented server')
    expect(edgeOf(record({ Proto: 17, Flags: 2, DstPort: 53 }))).toBe('shop/web:40000 -> shop/db:53 unoriented client')
  })

  test('a tracked connection has its first end as source, but never proves a port that kernels give to clients', () => {
    for (const type of ['newConnection', 'heartbeat', 'endConnection']) {
      expect(edgeOf(record({ _RecordType: type, _HashId: 'a1', Flags: 256 }))).toBe('shop/web -> shop/db:5432 conntrack client')
      expect(edgeOf(answer({ _RecordType: type }))).toBe('shop/web:40000 -> shop/db:5432 unoriented client')
    }
    expect(edgeOf(record({ _RecordType: 'flowLog', _IsFirst: true }))).toBe('shop/web:40000 -> shop/db:5432 unoriented client')
  })

  test('one node for both ends reports for the server', () => {
    const same = { ...podEnd('Dst', 'shop/db-0', 'StatefulSet/db', 'worker-1'), FlowDirection: 2 }
    expect(edgeOf(record({ ...same, Flags: 18 }))).toBe('shop/web -> shop/db:5432 tcp-flags server')
  })

  test('without FlowDirection the agent\'s address among the hosts tells the side', () => {
    expect(flowOf(record({ FlowDirection: undefined })).side).toBe('client')
    expect(flowOf(record({ FlowDirection: undefined, AgentIP: '172.18.0.4' })).side).toBe('server')
    expect(flowOf(record({ FlowDirection: undefined, AgentIP: '172.18.0.9' }))).toMatchObject({ side: 'unknown', node: '172.18.0.9' })
    expect(flowOf(record({ FlowDirection: '0' }))).toMatchObject({ side: 'server', node: 'worker-2' })
  })
})

describe('a Service that is dialled', () => {
  const before = { DstAddr: '10.96.0.44', DstPort: 5433, ...serviceEnd('Dst', 'shop/db') }
  const back: Json = { SrcAddr: '10.96.0.44', SrcPort: 5433, ...serviceEnd('Src', 'shop/db') }

  test('before translation has no pod port and no workload, in either direction of the packets', () => {
    expect(edgeOf(record(before))).toBe('shop/web -> unknown:0 conntrack client')
    expect(edgeOf(answer(back))).toBe('shop/web -> unknown:0 conntrack client')
  })

  test('is the pod that the record itself shows behind it', () => {
    const translated = { XlatDstAddr: '10.244.2.20', XlatDstPort: 5432, XlatSrcAddr: '10.244.1.10', XlatSrcPort: 40_000 }
    const names = { XlatDstK8S_Type: 'Pod', XlatDstK8S_Namespace: 'shop', XlatDstK8S_Name: 'db-0', XlatDstK8S_OwnerType: 'StatefulSet', XlatDstK8S_OwnerName: 'db' }
    expect(edgeOf(record({ ...before, ...translated, ...names }))).toBe('shop/web -> shop/db:5432 conntrack client')
    expect(flowOf(record({ ...before, ...translated })).responderIp).toBe('10.244.2.20')
    for (const nothing of ['', null, '10.96.0.44']) expect(edgeOf(record({ ...before, ...translated, XlatDstAddr: nothing }))).toBe('shop/web -> unknown:0 conntrack client')
  })

  test('of the API server is the API server, on a port that is not its own', () => {
    const api = { DstAddr: '10.96.0.1', DstPort: 443, ...serviceEnd('Dst', 'default/kubernetes') }
    expect(edgeOf(record(api))).toBe('shop/web -> kube-apiserver:0 conntrack client')
    expect(edgeOf(answer({ SrcAddr: '10.96.0.1', SrcPort: 443, ...serviceEnd('Src', 'default/kubernetes') }))).toBe('shop/web -> kube-apiserver:0 conntrack client')
  })

  test('by something that is no pod says nothing to a policy', () => {
    expect(verdictOf(record({ ...before, SrcAddr: '172.18.0.3', ...nodeEnd('Src', 'worker-1') }))).toBe('ignored no-endpoint')
  })
})

describe('ends', () => {
  test('nodes are the pod\'s own host or others, also by an address that only equals the pod\'s host', () => {
    expect(edgeOf(record({ SrcAddr: '172.18.0.4', ...nodeEnd('Src', 'worker-2'), Flags: 2 }))).toMatch(/^host -> shop\/db/)
    expect(edgeOf(record({ SrcAddr: '172.18.0.5', ...nodeEnd('Src', 'worker-3'), Flags: 2 }))).toMatch(/^node -> shop\/db/)
    expect(edgeOf(record({ SrcAddr: '172.18.0.4', ...nobody('Src'), Flags: 2 }))).toMatch(/^host -> shop\/db/)
  })

  test('a pod on the host\'s network is its node', () => {
    const agent = { DstAddr: '172.18.0.4', ...podEnd('Dst', 'shop/agent-k7x2z', 'DaemonSet/agent', 'worker-2') }
    expect(edgeOf(record({ ...agent, Flags: 2 }))).toBe('shop/web -> node:5432 tcp-flags client')
  })

  test('what no name tells is outside where the record is enriched, somebody where it is not', () => {
    expect(flowOf(record({ DstAddr: '192.168.7.7', ...nobody('Dst') })).initiator).toMatchObject({ kind: 'external', name: 'pvt' })
    expect(edgeOf(record({ DstAddr: '203.0.113.9', ...nobody('Dst'), Flags: 2 }))).toBe('shop/web -> external:5432 tcp-flags client')
    expect(edgeOf(record({ DstAddr: '10.244.9.9', ...nobody('Dst'), Flags: 2 }), { podCidrs: ['10.244.0.0/16'] })).toBe('shop/web -> unknown:5432 tcp-flags client')
    expect(edgeOf(bare({ Flags: 2 }))).toBe('unknown -> unknown:5432 tcp-flags unknown')
    expect(edgeOf(bare({ Flags: 2, DstAddr: '203.0.113.9', FlowDirection: 0 }))).toBe('unknown -> external:5432 tcp-flags unknown')
  })

  test('pods without namespace and ends of an unheard-of type are somebody', () => {
    expect(flowOf(record({ SrcK8S_Namespace: '', Flags: 2 })).initiator.kind).toBe('unknown')
    expect(flowOf(record({ SrcK8S_Type: 'Gateway', Flags: 2 })).initiator.kind).toBe('unknown')
  })

  test('a controller in between is what the pod\'s name tells', () => {
    const owned = (path: string, owner: string): unknown => flowOf(record({ ...podEnd('Src', path, owner, 'worker-1'), Flags: 2 })).initiator
    expect(owned('shop/web-7d4b9c6f58-x2k9p', 'ReplicaSet/web-7d4b9c6f58')).toMatchObject({ workload: { kind: 'Deployment', name: 'web' }, workloadEvidence: 'pod-name' })
    expect(owned('shop/bill-29455384-x2k9p', 'Job/bill-29455384')).toMatchObject({ workload: { kind: 'CronJob', name: 'bill' } })
    expect(owned('shop/import-x2k9p', 'Job/import')).toMatchObject({ workload: { kind: 'Job', name: 'import' }, workloadEvidence: 'record' })
    expect(owned('shop/tool', 'Pod/tool')).toMatchObject({ workload: { kind: 'Pod', name: 'tool' }, name: 'tool' })
  })

  test('are looked up in cluster state at the flow\'s own time', () => {
    const pod: HistoryPod = { namespace: 'shop', name: 'db-0', labels: { app: 'db' }, namespaceLabels: null, workload: { kind: 'StatefulSet', name: 'db' }, hostNetwork: false, nodeName: '', ports: [] }
    const fromUs = 1_767_323_045_000_000
    const history: ClusterHistory = {
      ...NO_HISTORY,
      podNamed: (_, name, atUs) => (name === 'db-0' && atUs >= fromUs ? pod : undefined),
      holderOf: (ip, atUs) => (ip === '10.244.2.20' && atUs >= fromUs ? { kind: 'pod', pod } : { kind: 'unknown' }),
      backendsOf: (ip, port) => (ip === '10.96.0.44' && port === 5433 ? { pods: [pod], port: 5432 } : undefined),
    }
    const options = { history: () => history }
    const earlier = { TimeFlowStartMs: 1_767_323_000_000, TimeFlowEndMs: 1_767_323_001_000 }
    expect(flowOf(record({ Flags: 2 }), options).responder).toMatchObject({ labels: { app: 'db' }, labelQuality: 'full' })
    expect(flowOf(record({ Flags: 2, ...earlier }), options).responder).toMatchObject({ labels: {}, labelQuality: 'none' })
    expect(edgeOf(bare({ Flags: 2 }), options)).toBe('unknown -> shop/db:5432 tcp-flags unknown')
    expect(edgeOf(bare({ Flags: 2, ...earlier }), options)).toBe('unknown -> unknown:5432 tcp-flags unknown')
    const service = { DstAddr: '10.96.0.44', DstPort: 5433, ...serviceEnd('Dst', 'shop/db') }
    expect(edgeOf(record(service), options)).toBe('shop/web -> shop/db:5432 conntrack client')
    expect(flowOf(record(service), options)).toMatchObject({ responderIp: '', responderPod: '' })
  })
})

describe('verdicts', () => {
  const acl = (action: string, direction?: string): Json => ({ Feature: 'acl', Type: 'NetworkPolicy', Namespace: 'shop', Name: 'db', Action: action, Direction: direction })
  const verdict = (changes: Json): string => {
    const { observedVerdict, side } = flowOf(record({ Flags: 2, ...changes }))
    return `${observedVerdict} ${side}`
  }

  test('an ACL\'s drop is a denial on the side of its policy', () => {
    expect(verdict({ NetworkEvents: [acl('allow', 'Egress')] })).toBe('allowed client')
    expect(verdict({ NetworkEvents: [acl('drop', 'Ingress')] })).toBe('denied server')
    expect(verdict({ NetworkEvents: [acl('allow', 'Ingress'), acl('drop', 'Egress')], FlowDirection: 0 })).toBe('denied client')
    expect(verdict({ NetworkEvents: [acl('drop')] })).toBe('denied client')
    expect(verdict({ NetworkEvents: ['Dropped by network policy db in namespace shop'] })).toBe('denied client')
    expect(verdict({ NetworkEvents: [{ Feature: 'other', Action: 'drop' }] })).toBe('allowed client')
  })

  test('dropped packets are no denial: an error, or not known, when none passed', () => {
    const cause = (text: unknown, dropped: unknown, packets?: unknown): string => verdict({ PktDropPackets: dropped, PktDropLatestDropCause: text, Packets: packets })
    expect(cause('SKB_DROP_REASON_TCP_INVALID_SEQUENCE', 1, 2)).toBe('allowed client')
    expect(cause('SKB_DROP_REASON_TCP_INVALID_SEQUENCE', 1, 1)).toBe('error client')
    expect(cause('SKB_DROP_REASON_TCP_INVALID_SEQUENCE', '2')).toBe('error client')
    expect(cause('OVS_DROP_EXPLICIT', 3, 3)).toBe('unknown client')
    expect(cause('SKB_DROP_REASON_NETFILTER_DROP', 3, 3)).toBe('unknown client')
    expect(cause(8, 1)).toBe('unknown client')
    expect(cause('OVS_DROP_EXPLICIT', 0, 3)).toBe('allowed client')
  })
})

describe('records that make no edge', () => {
  test.each<[string, Json, string]>([
    ['ICMP, whatever ports it has', { Proto: 1 }, 'ignored icmp'],
    ['ICMPv6 as text', { Proto: '58' }, 'ignored icmp'],
    ['other protocols', { Proto: 47 }, 'ignored other-protocol'],
    ['ARP', { Etype: 2054 }, 'ignored other-protocol'],
    ['packets seen again', { Duplicate: true }, 'ignored repeated'],
    ['multicast', { DstAddr: '224.0.0.251' }, 'ignored multicast-or-link-local'],
    ['between nodes', { ...nodeEnd('Src', 'worker-1'), ...nodeEnd('Dst', 'worker-2') }, 'ignored no-endpoint'],
    ['no protocol', { Proto: undefined }, 'rejected missing-field'],
    ['a protocol by name', { Proto: 'tcp' }, 'rejected wrong-type'],
    ['no address', { DstAddr: '' }, 'rejected missing-field'],
    ['a bad address', { SrcAddr: '10.0.0.256' }, 'rejected bad-address'],
    ['an address that is a number', { SrcAddr: 5 }, 'rejected wrong-type'],
    ['no port', { DstPort: undefined }, 'rejected missing-field'],
    ['a bad port', { DstPort: 70_000 }, 'rejected bad-port'],
    ['flags that are an object', { Flags: {} }, 'rejected wrong-type'],
    ['flags that are numbers', { Flags: [2] }, 'rejected wrong-type'],
    ['a direction of another kind', { FlowDirection: 'in' }, 'rejected wrong-type'],
    ['events that are text', { NetworkEvents: 'drop' }, 'rejected wrong-type'],
    ['an event that is a number', { NetworkEvents: [5] }, 'rejected wrong-type'],
    ['no time', { TimeFlowStartMs: undefined, TimeFlowEndMs: undefined, TimeReceived: undefined }, 'rejected missing-field'],
    ['time as a word', { TimeFlowEndMs: 'now' }, 'rejected bad-time'],
    ['seconds for milliseconds', { TimeFlowStartMs: 1_767_323_044, TimeFlowEndMs: 1_767_323_045 }, 'rejected too-early'],
    ['microseconds for milliseconds', { TimeFlowStartMs: 1_767_323_044_000_000 }, 'rejected in-future'],
    ['an end before the start', { TimeFlowEndMs: 1_767_323_043_999 }, 'rejected bad-time'],
    ['a name that is an object', { SrcK8S_Name: {} }, 'rejected wrong-type'],
    ['a name with NUL', { SrcK8S_Namespace: 'a\0' }, 'rejected wrong-type'],
    ['a type that is a number', { SrcK8S_Type: 5 }, 'rejected wrong-type'],
  ])('%s', (_, changes, expected) => {
    expect(verdictOf(record(changes))).toBe(expected)
  })

  test('times may be text, and the time of receipt stands in for a lost end', () => {
    expect(flowOf(record({ TimeFlowStartMs: '1767323044000', TimeFlowEndMs: '1767323045123' }))).toMatchObject({ firstAtUs: 1_767_323_044_000_000, lastAtUs: 1_767_323_045_123_000 })
    expect(flowOf(record({ TimeFlowEndMs: undefined, TimeReceived: '1767323046' })).lastAtUs).toBe(1_767_323_046_000_000)
  })
})

describe('records that are told apart', () => {
  const digest = (changes: Json): string => {
    const flow = flowOf(record(changes))
    return `${flow.digestHi}-${flow.digestLo}`
  }

  test('by what the agent saw: the reports of two nodes, directions and spans differ', () => {
    const variants: Json[] = [
      {}, { AgentIP: '172.18.0.4' }, { FlowDirection: 0 }, { SrcPort: 40_001 }, { DstPort: 5433 }, { Proto: 17 }, { Flags: 18 }, { Packets: 7 }, { Bytes: 1421 }, { Packets: undefined },
      { TimeFlowStartMs: 1_767_323_044_001 }, { TimeFlowEndMs: 1_767_323_045_124 }, { DstAddr: '10.244.2.21' }, { _RecordType: 'heartbeat' }, { _RecordType: 'endConnection' },
      { PktDropPackets: 1 },
    ]
    expect(new Set(variants.map(digest)).size).toBe(variants.length)
  })

  test('not by when they were received, what the enrichment knew, the interface, or the order of keys', () => {
    const again = [{ TimeReceived: 1_767_323_099 }, { Interfaces: ['br-ex'] }, { SrcK8S_OwnerName: undefined, SrcK8S_OwnerType: undefined }, { K8S_ClusterName: 'mine' }]
    for (const changes of again) expect([changes, digest(changes)]).toEqual([changes, digest({})])
    const turned = Object.fromEntries(Object.entries(record()).reverse())
    expect(read(turned)).toEqual(read(record()))
  })
})

describeShared('records captured in an OpenShift cluster', () => {
  const files = ['merged-flow_records.ndjson', 'merged-flow_records_has_dropped.ndjson']
  const counts = (file: string): Record<string, number> => {
    const normalizer = createNormalizer({ cluster: 'c1' })
    const result: Record<string, number> = {}
    for (const line of readFileSync(sharedPath(`formats/samples/netobserv/${file}`) as string, 'utf8').trim().split('\n')) {
      const o = normalizer.normalize(JSON.parse(line))
      const key = o.kind === 'flow' ? `${o.orientation} ${o.observedVerdict}` : o.kind === 'ignored' ? `ignored ${o.reason}` : `rejected ${o.code}`
      result[key] = (result[key] ?? 0) + 1
    }
    return result
  }

  test('50 flows: none shows a handshake, so only those to and from a Service are oriented', () => {
    expect(counts(files[0] ?? '')).toEqual({
      // Edited to ICMP with ports and ACK flags: the protocol decides.
      'ignored icmp': 12,
      // Geneve tunnels between the two nodes.
      'ignored no-endpoint': 8,
      // 8 of DNS, 3 of the API server's Service.
      'conntrack allowed': 11,
      // From the middle of connections, and DNS after translation.
      'unoriented allowed': 19,
    })
  })

  test('50 flows with dropped packets: sockets refused them, no policy did', () => {
    expect(counts(files[1] ?? '')).toEqual({
      // Node to node: the kubelet's and other ports.
      'ignored no-endpoint': 3,
      // Flags 788: SYN_ACK, FIN_ACK, RST, ACK of a pod that its node had asked; 7 of 8 packets passed.
      'tcp-flags allowed': 1,
      // Other packets of the record passed.
      'unoriented allowed': 5,
      // Keep-alives that the socket dropped (TCP_INVALID_SEQUENCE), resets that it consumed (TCP_RESET).
      'unoriented error': 27,
      // Answers from the Service of Loki, translated back.
      'conntrack error': 14,
    })
  })

  test('no port of a client is taken for a server\'s', () => {
    const normalizer = createNormalizer({ cluster: 'c1' })
    for (const file of files) {
      for (const line of readFileSync(sharedPath(`formats/samples/netobserv/${file}`) as string, 'utf8').trim().split('\n')) {
        const o = normalizer.normalize(JSON.parse(line))
        if (o.kind === 'flow' && o.orientation !== 'unoriented') expect(o.port).toBeLessThan(32_768)
      }
    }
  })
})
