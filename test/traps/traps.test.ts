/**
 * The traps of flow logs (formats/FORMATS.md §7, T1 to T25), one test each, from lines in the formats' own shape to the edges, rules and review that come
 * of them. Each says what a generator that falls for it would do.
 */
import { describe, expect, test } from '@jest/globals'
import { answer, calico, hubble, IP, netobserv, pod, read, reviewOf, rulesOf, tcp, udp, WORLD } from './trap-lines.ts'
import type { Json } from './trap-lines.ts'

const WEB_TO_DB = ['shop/db from shop/web:5432/TCP', 'shop/web to shop/db:5432/TCP']

describe('traps', () => {
  test('T1: one connection seen many times is one edge, and its reporters are never added up', () => {
    const { edges, observed, document } = read([
      hubble({ event_type: { type: 5 }, policy_match_type: 4, trace_observation_point: undefined }), hubble(), hubble({ trace_observation_point: 'TO_OVERLAY', l4: tcp(40_000, 5432, 'ACK') }),
      hubble({ node_name: 'node-2', traffic_direction: 'INGRESS', trace_observation_point: 'TO_ENDPOINT' }), hubble({ node_name: 'node-2', traffic_direction: 'INGRESS', event_type: { type: 5 }, trace_observation_point: undefined }),
      answer(), answer({ node_name: 'node-2', traffic_direction: 'INGRESS', trace_observation_point: 'TO_OVERLAY' }),
      hubble({ Type: 'L7', event_type: { type: 129 }, l7: { type: 'REQUEST', http: { url: 'http://db/' } } }), hubble({ Type: 'SOCK', event_type: { type: 7 }, verdict: 'TRANSLATED' }),
    ])
    expect(edges).toEqual(['web -> db:5432/TCP verdict-event'])
    expect(observed.edges[0]?.sightings.map((s) => `${s.side} ${s.flows}`)).toEqual(['client 4', 'server 3'])
    // Both ends of one connection: the larger side counts, not the sum.
    expect(document.evidence['shop/web-deployment']?.['egress[0]']?.[0]?.flows).toBe(4)
    // Calico reports it once at each end, NetObserv from both nodes.
    expect(read([calico(), calico({ reporter: 'dst', host: 'node-2' })]).edges).toEqual(['web -> db:5432/TCP conntrack'])
    expect(read([netobserv(), netobserv({ FlowDirection: 0, AgentIP: '192.168.1.2' })]).edges).toEqual(['web -> db:5432/TCP tcp-flags'])
  })

  test('T2: a reply is turned round, ends and ports; a missing is_reply is unknown, not false', () => {
    expect(read([answer()]).edges).toEqual(['web -> db:5432/TCP is-reply'])
    expect(read([answer({ is_reply: undefined, reply: true })]).edges).toEqual(['web -> db:5432/TCP is-reply'])
    const silent = read([answer({ is_reply: undefined })])
    expect(silent.flows.map((f) => f.orientation)).toEqual(['unoriented'])
    expect([silent.flows[0]?.initiatorPort, silent.flows[0]?.port].sort()).toEqual([40_000, 5432])
    // NetObserv has no word for a reply: its direction of its own looks like a flow to an ephemeral port.
    const back: Json = { SrcAddr: IP.db, DstAddr: IP.web, SrcPort: 5432, DstPort: 40_000, Flags: 256 | 16 }
    const swapped = Object.fromEntries(Object.entries(netobserv()).filter(([k]) => /^(Src|Dst)K8S/.test(k)).map(([k, v]) => [k.startsWith('Src') ? k.replace('Src', 'Dst') : k.replace('Dst', 'Src'), v]))
    expect(read([netobserv({ ...swapped, ...back })]).edges).toEqual(['web -> db:5432/TCP tcp-flags'])
  })

  test('T3: a reply translated back to the Service teaches no port', () => {
    const translated = answer({ IP: { source: IP.db, source_xlated: '10.96.7.7', destination: IP.web, ipVersion: 'IPv4' }, l4: tcp(80, 40_000, 'ACK') })
    expect(read([translated]).edges).toEqual(['web -> db:0/TCP is-reply'])
    expect(rulesOf(read([translated]).document)).toEqual([])
    // Beside the forward record, which names the pod's port, it says nothing new.
    const both = read([translated, hubble()])
    expect(rulesOf(both.document)).toEqual(WEB_TO_DB)
    expect(JSON.stringify(both.document.policies)).not.toMatch(/"port":80\b/)
  })

  test('T4: without proof who opened a connection no rule is made on an ephemeral port, and a later proof decides', () => {
    const stray = hubble({ IP: { source: IP.db, destination: IP.web }, l4: tcp(5432, 40_000, 'RST'), source: pod('db'), destination: pod('web'), is_reply: undefined })
    const unknowable = hubble({ l4: tcp(45_000, 46_000, 'ACK'), is_reply: undefined })
    expect(read([stray]).edges).toEqual(['web -> db:5432/TCP port-range'])
    const alone = read([unknowable])
    expect(alone.edges.map((e) => e.replace(/^.* /, ''))).toEqual(['unoriented'])
    expect(rulesOf(alone.document)).toEqual([])
    expect(reviewOf(alone.document)[0]).toMatch(/^unoriented /)
    const syn = hubble({ l4: tcp(47_000, 46_000, 'SYN') })
    for (const lines of [[unknowable, syn], [syn, unknowable]]) expect(rulesOf(read(lines).document)).toEqual(['shop/db from shop/web:46000/TCP', 'shop/web to shop/db:46000/TCP'])
    // SYN+ACK comes from the server, whatever the record's other fields lack.
    expect(read([hubble({ IP: { source: IP.db, destination: IP.web }, l4: tcp(5432, 40_000, 'SYN', 'ACK'), source: pod('db'), destination: pod('web'), is_reply: undefined })]).edges).toEqual(['web -> db:5432/TCP tcp-flags'])
  })

  test('T5: a dropped packet is not taken for one of the initiator, whatever direction the record claims', () => {
    const droppedReply = hubble({
      verdict: 'DROPPED', drop_reason_desc: 'POLICY_DENIED', event_type: { type: 1 }, IP: { source: IP.db, destination: IP.web }, l4: tcp(5432, 40_000, 'ACK'),
      source: pod('db'), destination: pod('web'), is_reply: undefined, traffic_direction: 'EGRESS', trace_observation_point: undefined,
    })
    const { flows, document } = read([droppedReply])
    expect(flows[0]).toMatchObject({ orientation: 'unoriented', observedVerdict: 'denied' })
    expect(rulesOf(document)).toEqual([])
    // Read beside the connection itself, the packet came from the server: its node dropped it.
    expect(read([droppedReply, hubble()]).observed.edges).toHaveLength(2)
  })

  test('T6: forwarded at the client says nothing about the server; drops for other reasons than policy are no denials', () => {
    const denied = hubble({ verdict: 'DROPPED', drop_reason_desc: 'POLICY_DENIED', event_type: { type: 5 }, traffic_direction: 'INGRESS', node_name: 'node-2', is_reply: undefined })
    expect(rulesOf(read([hubble(), denied]).document)).toEqual([])
    expect(reviewOf(read([hubble(), denied]).document)).toEqual(['only-denied shop/web->shop/db:5432'])
    const noise = ['INVALID_SOURCE_IP', 'STALE_OR_UNROUTABLE_IP', 'CT_MAP_INSERTION_FAILED', 'FIB_LOOKUP_FAILED', 'IS_A_CLUSTERIP', 'DROP_RATE_LIMITED', 'UNENCRYPTED_TRAFFIC']
    for (const drop_reason_desc of noise) expect(read([hubble({ verdict: 'DROPPED', drop_reason_desc, event_type: { type: 1 } })]).flows[0]?.observedVerdict).toBe('error')
    // A producer that leaves the name unknown may fill the deprecated number.
    expect(read([hubble({ verdict: 'DROPPED', drop_reason_desc: 'DROP_REASON_UNKNOWN', drop_reason: 133, event_type: { type: 1 } })]).flows[0]?.observedVerdict).toBe('denied')
    for (const drop_reason_desc of ['POLICY_DENIED', 'POLICY_DENY', 'AUTH_REQUIRED', 133, 181, 189]) expect(read([hubble({ verdict: 'DROPPED', drop_reason_desc, event_type: { type: 1 } })]).flows[0]?.observedVerdict).toBe('denied')
    // Calico: denied at ingress, the source's row says allow.
    expect(reviewOf(read([calico(), calico({ reporter: 'dst', action: 'deny' })]).document)).toEqual(['only-denied shop/web->shop/db:5432'])
  })

  test('T7: audit is wanted traffic that a policy would deny: evidence for a rule, shown as audit', () => {
    const { document } = read([hubble({ verdict: 'AUDIT', event_type: { type: 5 } })])
    expect(rulesOf(document)).toEqual(WEB_TO_DB)
    expect(document.evidence['shop/web-deployment']?.['egress[0]']?.[0]?.observedVerdict).toBe('audit')
  })

  test('T8: a Service address is no outside address and its port no pod port', () => {
    const preDnat = hubble({ IP: { source: IP.web, destination: '10.96.7.7' }, destination: WORLD, destination_service: { name: 'db', namespace: 'shop' }, l4: tcp(40_000, 80, 'SYN') })
    const { document } = read([preDnat])
    expect(rulesOf(document)).toEqual([])
    expect(JSON.stringify(document.policies)).not.toContain('10.96.7.7')
    const calicoDenied = calico({ action: 'deny', dest_type: 'net', dest_name_aggr: 'pvt', dest_namespace: '-', dest_ip: '10.96.7.7', dest_port: 80, dest_labels: null, dest_service_name: 'db', dest_service_namespace: 'shop' })
    expect(JSON.stringify(read([calicoDenied]).document.policies)).not.toContain('10.96.7.7')
    const toService: Json = { DstAddr: '10.96.7.7', DstPort: 80, DstK8S_Type: 'Service', DstK8S_Name: 'db', DstK8S_OwnerType: 'Service', DstK8S_OwnerName: 'db', DstK8S_HostIP: undefined, DstK8S_HostName: undefined }
    const seen = read([netobserv(toService), netobserv()])
    expect(seen.edges).toEqual(['web -> db:5432/TCP tcp-flags', 'web -> unknown:0/TCP tcp-flags'])
    expect(JSON.stringify(seen.document.policies)).not.toMatch(/10\.96\.7\.7|"port":80\b/)
  })

  test('T9: traffic whose source was rewritten to a node waits for the nodes, it never becomes that address', () => {
    const fromNode = hubble({ IP: { source: '192.168.1.2', destination: IP.web }, source: { identity: 6, labels: ['reserved:remote-node'] }, destination: pod('web'), traffic_direction: 'INGRESS', l4: tcp(50_000, 8080, 'SYN') })
    expect(reviewOf(read([fromNode]).document)).toEqual(['needs-node-cidr node->shop/web:8080'])
    // The answer to a masqueraded address is translated back to the pod: that proves nothing of who opened the connection.
    const answered = read([netobserv({ SrcPort: 5432, DstAddr: '100.64.0.2', DstPort: 50_000, Proto: 17, Flags: 0, DstK8S_Type: undefined, DstK8S_Name: undefined, DstK8S_Namespace: undefined, DstK8S_OwnerName: undefined, DstK8S_OwnerType: undefined, XlatDstAddr: IP.db, XlatDstPort: 40_000 })])
    expect(answered.flows.map((f) => f.orientation)).toEqual(['unoriented'])
    // A pod that reaches itself through its own Service shows a link-local source.
    const hairpin = hubble({ IP: { source: '169.254.42.1', destination: IP.web }, source: WORLD, destination: pod('web'), traffic_direction: 'INGRESS', l4: tcp(50_000, 8080, 'SYN') })
    expect(read([hairpin]).flows[0]?.initiator.kind).toBe('unknown')
    const calicoNode = calico({ source_type: 'net', source_name_aggr: 'pvt', source_namespace: '-', source_ip: '192.168.1.2', source_labels: null, reporter: 'dst' })
    expect(rulesOf(read([calicoNode]).document)).toEqual([])
  })

  test('T10: a pod on the host network is its node: no selector picks it', () => {
    const named = { identity: 1, labels: ['reserved:host'], namespace: 'kube-system', pod_name: 'node-exporter-x2k9p' }
    const { flows, document } = read([hubble({ IP: { source: '192.168.1.2', destination: IP.web }, source: { ...named, labels: ['reserved:remote-node'] }, destination: pod('web'), l4: tcp(50_000, 9090, 'SYN'), traffic_direction: 'INGRESS' })])
    expect(flows[0]?.initiator.kind).toBe('node')
    expect(document.policies.filter((p) => JSON.stringify(p).includes('node-exporter'))).toEqual([])
    const hostPod = read([netobserv({ SrcAddr: '192.168.1.1', SrcK8S_Name: 'node-exporter-x2k9p', SrcK8S_OwnerName: 'node-exporter', SrcK8S_OwnerType: 'DaemonSet', SrcK8S_Namespace: 'kube-system' })])
    expect(hostPod.flows[0]?.initiator.kind).toBe('node')
  })

  test('T11: probes of the own node need no rule and make none', () => {
    const probe = hubble({ IP: { source: '192.168.1.1', destination: IP.web }, source: { identity: 1, labels: ['reserved:host'] }, destination: pod('web'), l4: tcp(50_000, 8080, 'SYN'), traffic_direction: 'INGRESS', event_type: { type: 4 }, trace_observation_point: 'TO_ENDPOINT' })
    const { document } = read([probe])
    expect(JSON.stringify(document.policies)).not.toMatch(/0\.0\.0\.0|192\.168\.1\.1/)
    expect(rulesOf(document)).toEqual([])
    expect(reviewOf(document)).toEqual([])
  })

  test('T12: DNS and HTTP records of the proxy enrich an edge and make none', () => {
    const question = hubble({ Type: 'L7', event_type: { type: 129 }, l4: udp(40_000, 53), destination: pod('dns'), IP: { source: IP.web, destination: IP.dns }, l7: { type: 'REQUEST', dns: { query: 'db.shop.svc.cluster.local.', qtypes: ['A'] } } })
    const proxied = hubble({ verdict: 'REDIRECTED', l4: udp(40_000, 53), destination: pod('dns'), IP: { source: IP.web, destination: IP.dns }, event_type: { type: 5 }, traffic_direction: 'EGRESS' })
    expect(read([question]).kinds).toEqual(['ignored enrichment'])
    expect(read([question, proxied]).edges).toEqual(['web -> dns:53/UDP verdict-event'])
    expect(read([proxied]).flows[0]?.observedVerdict).toBe('allowed')
  })

  test('T13: domain names beside an address are a guess and never become the rule', () => {
    const named = hubble({ IP: { source: IP.web, destination: '198.51.100.7' }, destination: WORLD, destination_names: ['cdn.example.com', 'other.example.org'], l4: tcp(40_000, 443, 'SYN') })
    expect(rulesOf(read([named]).document)).toEqual(['shop/web to 198.51.100.7/32:443/TCP'])
    expect(JSON.stringify(read([named]).document.policies)).not.toContain('example')
  })

  test('T14: an outside address is known by its address, not by the identity number of the moment', () => {
    const to = (destination: Json): Json => hubble({ IP: { source: IP.web, destination: '198.51.100.7' }, destination, l4: tcp(40_000, 443, 'SYN') })
    const forms = [WORLD, { identity: 9, labels: ['reserved:world-ipv4'] }, { identity: 16_777_217, labels: ['cidr:198.51.100.0/24=', 'reserved:world'] }, { identity: 16_777_999, labels: ['fqdn:*.example.com'] }, { identity: 16_777_218 }]
    expect(read(forms.map(to)).edges).toEqual(['web -> external:443/TCP tcp-flags'])
    expect(rulesOf(read(forms.map(to)).document)).toEqual(['shop/web to 198.51.100.7/32:443/TCP'])
    // An API server outside is an API server, though its number is one of the outside's.
    expect(read([to({ identity: 16_777_217, labels: ['reserved:kube-apiserver', 'reserved:world'] })]).flows[0]?.responder.kind).toBe('kube-apiserver')
  })

  test('T15: an address of a pod that nobody names is an unknown workload, never an ipBlock', () => {
    const gone = hubble({ IP: { source: '10.0.9.9', destination: IP.web }, source: WORLD, destination: pod('web'), l4: tcp(50_000, 8080, 'SYN'), traffic_direction: 'INGRESS' })
    expect(read([gone], { podCidrs: ['10.0.0.0/16'] }).flows[0]?.initiator.kind).toBe('unknown')
    expect(reviewOf(read([gone], { podCidrs: ['10.0.0.0/16'] }).document)).toEqual(['unknown-workload unknown->shop/web:8080'])
    // Without configuration, the networks in which pods were seen tell as much.
    const neighbour = hubble({ IP: { source: '10.0.1.99', destination: IP.web }, source: WORLD, destination: pod('web'), l4: tcp(50_000, 8080, 'SYN'), traffic_direction: 'INGRESS' })
    expect(reviewOf(read([neighbour]).document)).toEqual(['may-be-pod 10.0.1.99/32->shop/web:8080'])
    for (const labels of [['reserved:init'], ['reserved:unmanaged']]) expect(read([hubble({ source: { identity: 5, labels } })]).flows[0]?.initiator.kind).toBe('unknown')
    expect(rulesOf(read([netobserv({ SrcAddr: '10.0.9.9', ...Object.fromEntries(Object.keys(netobserv()).filter((k) => k.startsWith('SrcK8S')).map((k) => [k, undefined])) })], { podCidrs: ['10.0.0.0/16'] }).document)).toEqual([])
  })

  test('T16: labels that name an instance never reach a selector; how complete the labels are is said', () => {
    const hashed = (end: 'web' | 'db', hash: string): Json => pod(end, { labels: [`k8s:app=${end}`, `k8s:pod-template-hash=${hash}`, 'k8s:helm.sh/chart=shop-1.2.3', 'k8s:io.kubernetes.pod.namespace=shop'] })
    const { document, flows } = read([hubble({ source: hashed('web', '7d4b9c6f58'), destination: hashed('db', '6c9f8b7d54') }), hubble({ source: hashed('web', '5f7d8c9b64'), destination: hashed('db', '6c9f8b7d54') })])
    expect(JSON.stringify(document.policies)).not.toMatch(/pod-template-hash|helm\.sh/)
    expect(rulesOf(document)).toEqual(WEB_TO_DB)
    expect(flows[0]?.initiator.labelQuality).toBe('identity-subset')
    expect(read([calico()]).flows[0]?.initiator.labelQuality).toBe('intersection')
    expect(read([netobserv()]).flows[0]?.initiator.labelQuality).toBe('none')
    // A ReplicaSet's prefix is not the workload's name.
    expect(read([calico()]).flows[0]?.initiator.workload).toEqual({ kind: 'Deployment', name: 'web' })
  })

  test('T17: "-", empty and absent names are no names; another cluster of the mesh is another cluster', () => {
    const nameless = calico({ source_type: 'net', source_namespace: '-', source_name: '-', source_name_aggr: 'pub', source_ip: '198.51.100.7', source_labels: null, reporter: 'dst', dest_service_name: '-', dest_service_namespace: '-' })
    expect(read([nameless]).flows[0]?.initiator).toMatchObject({ kind: 'external', namespace: '', name: '' })
    const foreign = pod('web', { cluster_name: 'east', labels: ['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop', 'k8s:io.cilium.k8s.policy.cluster=east'], ID: undefined })
    const { flows, document } = read([hubble({ source: foreign, traffic_direction: 'INGRESS' }), hubble()])
    expect(new Set(flows.map((f) => f.initiator.cluster))).toEqual(new Set(['east', 'default']))
    expect(reviewOf(document)).toContain('foreign-cluster shop/web->shop/db:5432')
  })

  test('T18: every format has its own clock: nanoseconds, seconds, windows whose end equals their start', () => {
    expect(read([hubble({ time: '2026-01-02T03:04:05.123456789Z' })]).flows[0]?.lastAtUs).toBe(Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 123_456)
    // Two events within one microsecond are two.
    const twins = read([hubble({ time: '2026-01-02T03:04:05.123456701Z' }), hubble({ time: '2026-01-02T03:04:05.123456702Z' })])
    expect(twins.observed.edges[0]?.sightings[0]?.flows).toBe(2)
    expect(read([calico()]).flows[0]).toMatchObject({ firstAtUs: 1_767_323_045_000_000, lastAtUs: 1_767_323_345_000_000 })
    expect(read([calico({ end_time: 1_767_323_045 })]).flows[0]).toMatchObject({ firstAtUs: 1_767_323_045_000_000, lastAtUs: 1_767_323_045_000_000 })
    expect(read([netobserv()]).flows[0]).toMatchObject({ firstAtUs: 1_767_323_045_000_000, lastAtUs: 1_767_323_046_000_000 })
    expect(read([hubble({ time: '1999-12-31T23:59:59Z' }), calico({ end_time: 17_673_233_450_000 })]).kinds).toEqual(['rejected too-early', 'rejected in-future'])
  })

  test('T19: bytes and packets decide nothing and are added nowhere', () => {
    const plain = read([netobserv()])
    const heavy = read([netobserv({ Bytes: '99999999999999999999', Packets: 1e308 })])
    expect(heavy.edges).toEqual(plain.edges)
    expect(heavy.observed.edges[0]?.sightings).toEqual(plain.observed.edges[0]?.sightings)
    expect(read([calico({ bytes_in: 1e300, packets_out: -5 })]).flows[0]?.flows).toBe(3)
  })

  test('T20: sampling and lost events are noted, so that nobody takes silence for absence', () => {
    const { coverage } = read([
      { lost_events: { source: 'HUBBLE_RING_BUFFER', num_events_lost: '17' }, node_name: 'default/node-1', time: '2026-01-02T03:04:05Z' },
      { node_status: { state_change: 'NODE_UNAVAILABLE', node_names: ['node-2'] }, time: '2026-01-02T03:04:05Z' },
      netobserv({ Sampling: 50 }),
    ])
    expect(coverage.map((c) => `${c.type} ${c.node} ${c.lost}`)).toEqual(['lost-events node-1 17', 'node-status node-2 0', expect.stringMatching(/^sampling .* 0$/)])
    expect(coverage.find((c) => c.type === 'sampling')?.detail).toContain('50')
  })

  test('T21: ICMP has no port and makes no edge, also where an omitted type leaves an empty object', () => {
    expect(read([hubble({ l4: { ICMPv4: {} } }), hubble({ l4: { ICMPv6: { type: 129 } } }), calico({ proto: 'icmp', dest_port: null }), netobserv({ Proto: 1, SrcPort: undefined, DstPort: undefined, IcmpType: 3 }), netobserv({ Proto: 58 })]).kinds)
      .toEqual(Array<string>(5).fill('ignored icmp'))
  })

  test('T22: multicast, broadcast, unspecified and IPv6 link-local traffic is noise; a mapped address is the IPv4 one', () => {
    const to = (destination: string): Json => hubble({ IP: { source: IP.web, destination }, destination: WORLD, l4: udp(40_000, 5353) })
    const noise = ['224.0.0.251', '239.255.255.250', '255.255.255.255', '0.0.0.0', 'ff02::fb', 'fe80::1', '::']
    expect(read(noise.map(to)).kinds).toEqual(noise.map(() => 'ignored multicast-or-link-local'))
    expect(read([hubble({ l4: { VRRP: { type: 1 } } }), hubble({ l4: { IGMP: {} } }), calico({ proto: 112 })]).kinds).toEqual(Array<string>(3).fill('ignored other-protocol'))
    expect(read([to('::ffff:198.51.100.7'), to('198.51.100.7')]).observed.edges[0]?.externals.map((e) => e.ip)).toEqual(['198.51.100.7'])
    expect(read([hubble({ l4: { SCTP: { source_port: 40_000, destination_port: 3868 } } })]).edges).toEqual(['web -> db:3868/SCTP is-reply'])
  })

  test('T23: staged policies of a Calico row are hypothetical, and a profile hit means that no policy applied', () => {
    const staged = calico({ policies: { all_policies: ['1|tier|shop/staged:tier.deny-all|deny|0', '0|__PROFILE__|__PROFILE__.kns.shop|allow|0'], enforced_policies: ['0|__PROFILE__|__PROFILE__.kns.shop|allow|0'], pending_policies: ['0|tier|shop/snp:tier.deny-all|deny|-1'] } })
    const old = calico({ policies: { all_policies: ['1|tier|shop/staged:tier.deny-all|deny', '0|__PROFILE__|__PROFILE__.kns.shop|allow'] } })
    for (const row of [staged, old]) expect(read([row]).flows[0]?.observedVerdict).toBe('allowed')
    for (const row of [staged, old]) expect(rulesOf(read([row]).document)).toEqual(WEB_TO_DB)
  })

  test('T24: log lines of agents and tools between the records are skipped and counted, each record survives', () => {
    const contaminated = read([
      'level=info msg="Initializing Hubble" subsys=hubble', 'time="2026-01-02T03:04:05Z" level=warning msg="something"', '{"level":"info","ts":"2026-01-02T03:04:05Z","msg":"Starting up"}',
      hubble(), { debug_event: { type: 'DBG_CT_LOOKUP' }, time: '2026-01-02T03:04:05Z' }, { agent_event: { type: 'AGENT_STARTED' }, time: '2026-01-02T03:04:05Z' }, 'Defaulted container "cilium-agent" out of: cilium-agent, config (init)', '',
    ])
    expect(contaminated.kinds).toEqual(['ignored foreign-log', 'ignored foreign-log', 'ignored foreign-log', 'flow', 'ignored control', 'ignored control', expect.stringMatching(/foreign-log|malformed/), 'ignored blank'])
  })

  test('T25: traffic between the own collectors can be left out, and only between them', () => {
    const own = { ownWorkloads: ['shop/web', 'shop/db'] }
    expect(read([hubble()], own).kinds).toEqual(['ignored self'])
    expect(read([hubble({ destination: pod('api') })], own).kinds).toEqual(['flow'])
    expect(read([hubble()]).kinds).toEqual(['flow'])
  })
})
