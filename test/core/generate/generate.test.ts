import { describe, expect, test } from '@jest/globals'
import { buildSnapshot } from '../../../src/core/cluster/build-snapshot.ts'
import type { ObservedEdge } from '../../../src/core/flow/edge.ts'
import { classEnd, edge, pod } from '../../support/observed-edges.ts'
import { createRandom } from '../../support/random.ts'
import { recommendFrom, reviewOf, specsOf } from '../../support/recommend.ts'

const web = pod('shop/web', { app: 'web' })
const api = pod('shop/api', { app: 'api' })
const db = pod('shop/db:StatefulSet', { app: 'db' })
const dns = pod('kube-system/coredns', { 'k8s-app': 'kube-dns' })
const world = classEnd('external')
const NO_EVIDENCE = /^no-evidence/

const select = (labels: Record<string, string>): unknown => ({ matchLabels: labels })

describe('rules', () => {
  test('ingress selects the responder, egress the initiator', () => {
    const specs = specsOf(recommendFrom([edge(web, db, '5432/TCP')]))
    expect(specs).toEqual({
      'shop/db-statefulset': { podSelector: select({ app: 'db' }), ingress: [{ from: [{ podSelector: select({ app: 'web' }) }], ports: [{ protocol: 'TCP', port: 5432 }] }], policyTypes: ['Ingress'] },
      'shop/web-deployment': { podSelector: select({ app: 'web' }), egress: [{ to: [{ podSelector: select({ app: 'db' }) }], ports: [{ protocol: 'TCP', port: 5432 }] }], policyTypes: ['Egress'] },
    })
  })

  test('two ports between one pair both survive', () => {
    expect(specsOf(recommendFrom([edge(web, db, '5432/TCP'), edge(web, db, '9187/TCP')]))['shop/db-statefulset']?.ingress)
      .toEqual([{ from: [{ podSelector: select({ app: 'web' }) }], ports: [{ protocol: 'TCP', port: 5432 }, { protocol: 'TCP', port: 9187 }] }])
  })

  test('merging adds no (peer, port) cell that was not observed', () => {
    const document = recommendFrom([edge(web, db, '5432/TCP'), edge(api, db, '5432/TCP'), edge(api, db, '9187/TCP')])
    expect(specsOf(document)['shop/db-statefulset']?.ingress).toEqual([
      { from: [{ podSelector: select({ app: 'api' }) }], ports: [{ protocol: 'TCP', port: 5432 }, { protocol: 'TCP', port: 9187 }] },
      { from: [{ podSelector: select({ app: 'web' }) }], ports: [{ protocol: 'TCP', port: 5432 }] },
    ])
    expect(document.certificate).toMatchObject({ sound: true, tight: true, irredundant: true, rules: { proven: true } })
  })

  test('contiguous ports become one range; UDP, SCTP and high ports are learnt', () => {
    const edges = [7000, 7001, 7002].map((p) => edge(web, db, `${p}/UDP`))
    expect(specsOf(recommendFrom([...edges, edge(web, db, '38412/SCTP')]))['shop/db-statefulset']?.ingress).toEqual([
      { from: [{ podSelector: select({ app: 'web' }) }], ports: [{ protocol: 'UDP', port: 7000, endPort: 7002 }, { protocol: 'SCTP', port: 38412 }] },
    ])
  })

  test('a cross-namespace peer has a namespaceSelector by the immutable name label', () => {
    const other = pod('billing/web', { app: 'web' })
    expect(specsOf(recommendFrom([edge(web, db, '5432/TCP'), edge(other, db, '5432/TCP')]))['shop/db-statefulset']?.ingress).toEqual([{
      from: [
        { namespaceSelector: select({ 'kubernetes.io/metadata.name': 'billing' }), podSelector: select({ app: 'web' }) },
        { podSelector: select({ app: 'web' }) },
      ],
      ports: [{ protocol: 'TCP', port: 5432 }],
    }])
  })

  test('replicas that talk among themselves get a rule to themselves', () => {
    expect(specsOf(recommendFrom([edge(db, db, '7946/TCP')]))['shop/db-statefulset']?.policyTypes).toEqual(['Ingress', 'Egress'])
  })

  test('DNS over UDP brings TCP with it, declared as a widening', () => {
    const document = recommendFrom([edge(web, dns, '53/UDP')])
    expect(specsOf(document)['shop/web-deployment']?.egress).toEqual([{
      to: [{ namespaceSelector: select({ 'kubernetes.io/metadata.name': 'kube-system' }), podSelector: select({ 'k8s-app': 'kube-dns' }) }],
      ports: [{ protocol: 'TCP', port: 53 }, { protocol: 'UDP', port: 53 }],
    }])
    expect(document.certificate.widenings.map((w) => `${w.policy} ${w.reason}`)).toEqual([
      'kube-system/coredns-deployment dns-both-protocols', 'shop/allow-dns namespace-dns', 'shop/web-deployment dns-both-protocols',
    ])
  })
})

test('DNS is not widened to a protocol that was denied', () => {
  const document = recommendFrom([edge(web, dns, '53/UDP'), edge(web, dns, '53/TCP', { seen: 'client:allowed server:denied' })])
  expect(specsOf(document)['shop/web-deployment']?.egress).toMatchObject([{ ports: [{ protocol: 'UDP', port: 53 }] }])
  expect(JSON.stringify(specsOf(document)['shop/web-deployment']?.egress)).not.toContain('TCP')
  expect(reviewOf(document)).toContain('only-denied web->coredns:53')
})

describe('outside addresses', () => {
  test('all addresses of one source are kept, covered exactly', () => {
    const document = recommendFrom([edge(web, world, '443/TCP', { ips: ['203.0.113.4', '203.0.113.5', '203.0.113.9', '2001:db8::1'] })])
    expect(specsOf(document)['shop/web-deployment']?.egress).toEqual([{
      to: ['203.0.113.4/31', '203.0.113.9/32', '2001:db8::1/128'].map((cidr) => ({ ipBlock: { cidr } })), ports: [{ protocol: 'TCP', port: 443 }],
    }])
    expect(document.certificate).toMatchObject({ sound: true, tight: true })
  })

  test('an address inside a network where pods live is never an ipBlock', () => {
    const document = recommendFrom([edge(web, world, '443/TCP', { ips: ['10.244.1.77'] })], { podNetworks: ['10.244.1.0/24'] })
    expect(document.policies).toEqual([])
    expect(reviewOf(document)).toContain('may-be-pod web->10.244.1.77/32:443')
  })

  test('traffic between ends that nobody named is told in review, of whatever namespace: it may be anybody\'s', () => {
    const nobody = classEnd('unknown')
    for (const options of [{}, { namespace: 'shop' }]) {
      const document = recommendFrom([edge(nobody, { ...nobody, key: 'unknown-2' }, '5432/TCP'), edge(world, nobody, '443/TCP', { ips: ['203.0.113.7'] })], options)
      expect(document.policies).toEqual([])
      expect(document.review.map((r) => `${r.reason.code} ${r.edge?.port ?? ''}`)).toEqual(['unknown-workload 443', 'unknown-workload 5432'])
    }
  })

  test('addresses of services and nodes, known from cluster state, are never an ipBlock', () => {
    const { snapshot } = buildSnapshot([
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'x', namespace: 'shop' }, spec: { clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.9'], ports: [{ port: 80 }] } },
      { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, status: { addresses: [{ type: 'InternalIP', address: '172.18.0.2' }] } },
    ])
    const document = recommendFrom([edge(web, world, '443/TCP', { ips: ['10.96.0.9', '172.18.0.2'] })], { snapshot })
    expect(document.policies).toEqual([])
    expect(reviewOf(document).filter((r) => !NO_EVIDENCE.test(r))).toEqual(['needs-node-cidr web->172.18.0.2/32:443', 'unknown-workload web->10.96.0.9/32:443'])
  })
})

describe('well-known outside addresses', () => {
  const nodeLocalDns = { ...world, name: 'node-local-dns', key: 'external-node-local-dns' }
  const metadata = { ...world, name: 'metadata', key: 'external-metadata' }

  test('node-local DNS becomes exactly its address, and is shown by name', () => {
    const document = recommendFrom([edge(web, nodeLocalDns, '53/UDP', { ips: ['169.254.20.10'] })])
    expect(specsOf(document)['shop/web-deployment']?.egress).toMatchObject([{ to: [{ ipBlock: { cidr: '169.254.20.10/32' } }] }])
    expect(JSON.stringify(document.evidence)).toContain('"name":"node-local-dns"')
  })

  test.each(['169.254.169.254', 'fd00:ec2::254'])('instance metadata at %s waits for a person, also where the log calls it just an outside address', (ip) => {
    for (const end of [metadata, world]) {
      const document = recommendFrom([edge(web, end, '80/TCP', { ips: [ip, '198.51.100.7'] })])
      expect(reviewOf(document)).toContain(`metadata-address web->${ip}/${ip.includes(':') ? 128 : 32}:80`)
      expect(specsOf(document)['shop/web-deployment']?.egress).toEqual([{ to: [{ ipBlock: { cidr: '198.51.100.7/32' } }], ports: [{ protocol: 'TCP', port: 80 }] }])
    }
    expect(recommendFrom([edge(web, metadata, '80/TCP', { ips: [ip] })]).review.some((r) => r.edge?.to.name === 'metadata')).toBe(true)
  })
})

describe('private addresses in a log that cannot tell nodes from the outside', () => {
  const unverified = { ...world, name: 'pvt', key: 'external-pvt' }
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, status: { addresses: [{ type: 'InternalIP', address: '172.18.0.2' }] } }
  const probe = [edge(unverified, web, '8080/TCP', { ips: ['172.18.0.2', '10.20.0.9'] })]

  test('wait in review while no node is known', () => {
    expect(reviewOf(recommendFrom(probe)).filter((r) => !NO_EVIDENCE.test(r))).toEqual(['may-be-node 10.20.0.9/32->web:8080', 'may-be-node 172.18.0.2/32->web:8080'])
  })

  test('become rules once cluster state tells which are nodes', () => {
    const document = recommendFrom(probe, { snapshot: buildSnapshot([node]).snapshot })
    expect(specsOf(document)['shop/web-deployment']?.ingress).toEqual([{ from: [{ ipBlock: { cidr: '10.20.0.9/32' } }], ports: [{ protocol: 'TCP', port: 8080 }] }])
    expect(reviewOf(document)).toContain('needs-node-cidr 172.18.0.2/32->web:8080')
  })
})

describe('what never becomes a rule', () => {
  test.each([
    ['a node', classEnd('node'), 'needs-node-cidr'], ['the API server', classEnd('kube-apiserver'), 'needs-apiserver-cidr'],
    ['an unknown pod', classEnd('unknown'), 'unknown-workload'], ['a network set', classEnd('networkset'), 'needs-network-set'],
    ['the CNI proxy', classEnd('ingress'), 'needs-node-cidr'],
  ])('%s as only peer: no policy, never an empty from or to', (_name, peer, code) => {
    const document = recommendFrom([edge(peer, web, '8080/TCP'), edge(web, peer, '6443/TCP')])
    expect(document.policies).toEqual([])
    expect(reviewOf(document).filter((r) => r.startsWith(code))).toHaveLength(2)
  })

  test('traffic from the pod\'s own node needs no rule and no review', () => {
    expect(reviewOf(recommendFrom([edge(classEnd('host'), web, '8080/TCP')])).filter((r) => !NO_EVIDENCE.test(r))).toEqual([])
  })

  test.each([
    ['denied at the server though the client saw it forwarded', 'client:allowed server:denied', 'only-denied'],
    ['denied at the client', 'client:denied', 'only-denied'],
    ['dropped for another reason than policy', 'client:error', 'only-errors'],
  ])('%s', (_name, seen, code) => {
    const document = recommendFrom([edge(web, db, '5432/TCP', { seen })])
    expect(document.policies).toEqual([])
    expect(reviewOf(document)).toContain(`${code} web->db:5432`)
  })

  test('audit counts as wanted', () => {
    expect(Object.keys(specsOf(recommendFrom([edge(web, db, '5432/TCP', { seen: 'server:audit' })])))).toEqual(['shop/db-statefulset', 'shop/web-deployment'])
  })

  test('an unproven ephemeral port', () => {
    const document = recommendFrom([edge(web, db, '51000/TCP', { fromPort: 40000 })])
    expect(document.policies).toEqual([])
    expect(reviewOf(document)).toContain('unoriented web->db:51000')
  })

  test('a reply that lost its port in translation adds nothing beside the forward edge', () => {
    const document = recommendFrom([edge(web, db, '5432/TCP'), edge(web, db, '0/TCP', { orientation: 'is-reply' })])
    expect(reviewOf(document).filter((r) => r.startsWith('no-port'))).toEqual([])
    expect(Object.keys(specsOf(document))).toHaveLength(2)
  })

  test('an unlabelled workload is refused with the reason; as a peer it goes to review', () => {
    const bare = pod('shop/bare', {})
    const document = recommendFrom([edge(bare, db, '5432/TCP'), edge(web, bare, '80/TCP')])
    expect(document.refused).toMatchObject([{ workload: 'shop/bare (Deployment)', reason: { code: 'no-labels' } }])
    expect(document.policies).toEqual([])
    expect(reviewOf(document).filter((r) => r.startsWith('peer'))).toEqual(['peer-not-selectable web->bare:80', 'peer-not-selectable bare->db:5432'])
  })

  test('a selector that would take in a pod outside the evidence is refused', () => {
    const { snapshot } = buildSnapshot([
      { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'quiet-1', namespace: 'shop', labels: { app: 'web', tier: 'silent' } }, spec: { containers: [{ name: 'c' }] }, status: { phase: 'Running', podIP: '10.244.0.9' } },
    ])
    const document = recommendFrom([edge(web, db, '5432/TCP')], { snapshot })
    expect(document.refused).toMatchObject([{ workload: 'shop/web (Deployment)', reason: { code: 'not-selectable' } }])
    expect(Object.keys(specsOf(document))).toEqual([])
  })

  test('a pod of another cluster cannot be selected', () => {
    const foreign = { ...pod('shop/web', { app: 'web' }), cluster: 'other', key: 'other-web' }
    expect(reviewOf(recommendFrom([edge(foreign, db, '5432/TCP')]))).toContain('foreign-cluster web->db:5432')
  })
})

describe('what one sighting must not hide', () => {
  const unaddressed = (): ObservedEdge => edge(web, world, '443/TCP')

  test('outside traffic whose address the log left out goes to review', () => {
    expect(reviewOf(recommendFrom([unaddressed(), edge(web, db, '5432/TCP')]))).toContain('needs-address web->external:443')
  })

  test('also where other flows of the edge named theirs', () => {
    const some = edge(web, world, '443/TCP', { ips: ['203.0.113.1'] })
    const mixed = { ...some, sightings: some.sightings.map((s) => ({ ...s, flows: 5 })) }
    const document = recommendFrom([mixed])
    expect(reviewOf(document)).toContain('needs-address web->external:443')
    expect(specsOf(document)['shop/web-deployment']?.egress).toEqual([{ to: [{ ipBlock: { cidr: '203.0.113.1/32' } }], ports: [{ protocol: 'TCP', port: 443 }] }])
  })

  test('traffic without a port stays in review unless it only echoes a connection that names it', () => {
    const named = edge(web, world, '443/TCP', { ips: ['203.0.113.1'] })
    const echo = (ips: readonly string[], orientation: 'is-reply' | 'tcp-flags' | 'conntrack' = 'is-reply'): ObservedEdge => edge(web, world, '0/TCP', { ips, orientation })
    const waiting = (other: ObservedEdge): string[] => reviewOf(recommendFrom([named, other])).filter((r) => r.startsWith('no-port'))
    expect(waiting(echo(['203.0.113.1']))).toEqual([])
    expect(waiting(echo(['203.0.113.1'], 'tcp-flags'))).toEqual([])
    expect(waiting(echo(['203.0.113.2']))).toEqual(['no-port web->203.0.113.2/32:?'])
    expect(waiting(echo(['203.0.113.1'], 'conntrack'))).toEqual(['no-port web->203.0.113.1/32:?'])
    const denied = edge(web, db, '80/TCP', { seen: 'server:denied' })
    expect(reviewOf(recommendFrom([denied, edge(web, db, '0/TCP', { orientation: 'is-reply' })]))).toContain('no-port web->db:?')
  })

  test('a denial of one rollout is told although another rollout of the workload gets through', () => {
    const next = pod('shop/web', { app: 'web', 'pod-template-hash': '86c57db685' })
    const document = recommendFrom([edge(web, db, '5432/TCP'), edge(next, db, '5432/TCP', { seen: 'client:allowed server:denied' })])
    expect(reviewOf(document)).toContain('only-denied web->db:5432')
    expect(Object.keys(specsOf(document))).toEqual(['shop/db-statefulset', 'shop/web-deployment'])
  })

  test('both reporters of one connection are put together although they know the controllers unequally well', () => {
    const guessed = (place: string, labels: Record<string, string>): ReturnType<typeof pod> => ({ ...pod(place, labels), workloadEvidence: 'pod-name', key: `${place} guessed` })
    const client = edge(web, guessed('shop/db:StatefulSet', { app: 'db' }), '5432/TCP', { seen: 'client:allowed' })
    const server = edge(guessed('shop/web', { app: 'web' }), db, '5432/TCP', { seen: 'server:denied' })
    expect(recommendFrom([client, server]).policies).toEqual([])
  })
})

describe('silence', () => {
  test('a workload without observed ingress is flagged and left open, not silently denied', () => {
    const document = recommendFrom([edge(web, db, '5432/TCP')])
    expect(specsOf(document)['shop/web-deployment']?.policyTypes).toEqual(['Egress'])
    expect(reviewOf(document)).toEqual(['no-evidence shop/db (StatefulSet) egress', 'no-evidence shop/web (Deployment) ingress'])
  })

  test('a namespace layer is emitted only where every known workload has evidence', () => {
    const ring = [edge(web, api, '80/TCP'), edge(api, web, '81/TCP'), edge(web, dns, '53/UDP'), edge(api, dns, '53/UDP')]
    const names = (edges: readonly ObservedEdge[]): string[] => recommendFrom(edges, { namespace: 'shop' }).policies.map((p) => (p.metadata as { name: string }).name)
    expect(names(ring)).toEqual(['allow-dns', 'api-deployment', 'default-deny-egress', 'default-deny-ingress', 'web-deployment'])
    expect(names([...ring, edge(db, world, '443/TCP', { ips: ['203.0.113.1'] })])).toEqual(['allow-dns', 'api-deployment', 'db-statefulset', 'default-deny-egress', 'web-deployment'])
    expect(recommendFrom(ring, { namespace: 'shop' }).certificate).toMatchObject({ sound: true, tight: true })
  })
})

describe('stability', () => {
  test('the same edges in any order give the same bytes', () => {
    const random = createRandom(11)
    const edges = [edge(web, db, '5432/TCP'), edge(api, db, '5432/TCP'), edge(web, dns, '53/UDP'), edge(web, api, '8080/TCP'), edge(web, world, '443/TCP', { ips: ['203.0.113.1', '203.0.113.7'] })]
    const expected = JSON.stringify(recommendFrom(edges))
    for (let i = 0; i < 20; i++) expect(JSON.stringify(recommendFrom(random.shuffle(edges)))).toBe(expected)
  })

  test('a new edge changes at most the initiator\'s and the responder\'s policy', () => {
    const before = specsOf(recommendFrom([edge(web, db, '5432/TCP'), edge(api, db, '5432/TCP'), edge(web, api, '8080/TCP')]))
    const after = specsOf(recommendFrom([edge(web, db, '5432/TCP'), edge(api, db, '5432/TCP'), edge(web, api, '8080/TCP'), edge(api, web, '9000/TCP')]))
    expect(Object.keys(after).filter((name) => JSON.stringify(after[name]) !== JSON.stringify(before[name]))).toEqual(['shop/api-deployment', 'shop/web-deployment'])
    expect(after['shop/db-statefulset']).toEqual(before['shop/db-statefulset'])
  })

  test('every rule names the edges that justify it', () => {
    const document = recommendFrom([edge(web, db, '5432/TCP')])
    expect(document.evidence['shop/db-statefulset']?.['ingress[0]']).toMatchObject([
      { from: { kind: 'pod', namespace: 'shop', workload: { name: 'web' } }, to: { workload: { name: 'db' } }, protocol: 'TCP', port: 5432, orientation: 'verdict-event', sides: ['client', 'server'] },
    ])
  })
})

describe('releases and changes', () => {
  test('a rollout, a scale-out and a job run change no byte', () => {
    const at = (labels: Record<string, string>): ObservedEdge[] => [
      edge(pod('shop/web', { app: 'web', ...labels }), pod('shop/db:StatefulSet', { app: 'db', 'statefulset.kubernetes.io/pod-name': `db-${labels.n ?? ''}`, 'apps.kubernetes.io/pod-index': labels.n ?? '' }), '5432/TCP'),
      edge(pod('shop/backup:CronJob', { app: 'backup', 'job-name': `backup-${labels.n ?? ''}`, 'batch.kubernetes.io/controller-uid': labels.n ?? '' }), db, '5432/TCP'),
    ]
    const policies = (edges: readonly ObservedEdge[]): string => JSON.stringify(recommendFrom(edges).policies)
    const first = at({ 'pod-template-hash': '6b687c8dcb', 'app.kubernetes.io/version': '1' })
    const second = at({ 'pod-template-hash': '86c57db685', 'app.kubernetes.io/version': '2' })
    expect(policies(second)).toBe(policies(first))
    expect(policies([...first, ...second])).toBe(policies(first))
  })

  test('a port-only change shows in the policies of both ends, as that port and nothing else', () => {
    const before = recommendFrom([edge(web, db, '5432/TCP')])
    const after = recommendFrom([edge(web, db, '5433/TCP')])
    expect(JSON.stringify(after.policies)).not.toBe(JSON.stringify(before.policies))
    expect(JSON.stringify(after.policies).replaceAll('5433', '5432')).toBe(JSON.stringify(before.policies))
  })
})
