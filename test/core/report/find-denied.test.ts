import { describe, expect, test } from '@jest/globals'
import { buildSnapshot } from '../../../src/core/cluster/build-snapshot.ts'
import type { ObservedEdge } from '../../../src/core/flow/edge.ts'
import type { CheckInput } from '../../../src/pipeline/check.ts'
import { check } from '../../../src/pipeline/check.ts'
import { policies } from '../../support/ends.ts'
import { classEnd, edge, pod } from '../../support/observed-edges.ts'

const web = pod('shop/web', { app: 'web' }, 'identity-subset')
const db = pod('shop/db', { app: 'db' }, 'identity-subset')

/** `verdict from->to:port code [missing]` of every finding. */
function findingsOf(edges: readonly ObservedEdge[], yaml: string, options: Partial<CheckInput> & { podNetworks?: readonly string[] } = {}): string[] {
  const { podNetworks = [], ...input } = options
  const document = check({ edges, podNetworks, sinceUs: 0, untilUs: 1 }, { cluster: 'default', policies: policies(yaml), ...input })
  const { evaluated, allowed, denied, uncertain } = document.totals
  expect(evaluated).toBe(allowed + denied + uncertain)
  expect(document.findings).toHaveLength(denied + uncertain)
  return document.findings.map((f) => {
    const name = (end: typeof f.from): string => end.workload?.name ?? end.cidr ?? end.kind
    return `${f.verdict} ${name(f.from)}->${name(f.to)}:${f.port ?? '?'} ${f.reason.code}${f.missing.length > 0 ? ` [${f.missing.join('; ')}]` : ''}`
  })
}

function policy(name: string, spec: string): string {
  return `---\n{name: shop/${name}, ${spec.slice(1)}\n`
}

const denyDb = policy('deny-db', '{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}')

describe('what policies would deny', () => {
  test('a policy on one end only is enough', () => {
    expect(findingsOf([edge(web, db, '5432/TCP')], denyDb)).toEqual(['denied web->db:5432 ingress-denied'])
  })

  test('policies are judged together: another one may allow it', () => {
    const allow = policy('allow', '{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}')
    expect(findingsOf([edge(web, db, '5432/TCP')], denyDb + allow)).toEqual([])
  })

  test('denied at both ends says both', () => {
    const denyWeb = policy('deny-web', '{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}')
    expect(findingsOf([edge(web, db, '5432/TCP')], denyDb + denyWeb)).toEqual(['denied web->db:5432 both-denied'])
  })

  test('between ends that nobody named everything is uncertain, never clean', () => {
    const nobody = classEnd('unknown')
    expect(findingsOf([edge(nobody, { ...nobody, key: 'unknown-2' }, '5432/TCP')], denyDb)).toEqual([expect.stringMatching(/^uncertain unknown->unknown:5432 /)])
  })

  test('without policies nothing is denied', () => {
    expect(findingsOf([edge(web, db, '5432/TCP')], '')).toEqual([])
  })

  test('connections that were denied when observed are judged only on request', () => {
    const edges = [edge(web, db, '5432/TCP', { seen: 'client:allowed server:denied' })]
    expect(findingsOf(edges, denyDb)).toEqual([])
    expect(findingsOf(edges, denyDb, { includeDenied: true })).toEqual(['denied web->db:5432 ingress-denied'])
  })

  test('a connection that was denied once and worked otherwise is judged', () => {
    expect(findingsOf([edge(web, db, '5432/TCP', { seen: 'client:allowed server:allowed server:denied' })], denyDb)).toEqual(['denied web->db:5432 ingress-denied'])
    const canary = pod('shop/db', { app: 'db', 'app.kubernetes.io/version': '2' }, 'identity-subset')
    expect(findingsOf([edge(web, db, '5432/TCP'), edge(web, canary, '5432/TCP', { seen: 'server:denied' })], denyDb)).toEqual(['denied web->db:5432 ingress-denied'])
  })

  test('only what was seen together is judged together', () => {
    const v = (version: string): ReturnType<typeof pod> => pod('shop/web', { app: 'web', 'app.kubernetes.io/version': version }, 'full')
    const to = (version: string, ip: string): string => policy(`v${version}`, `{podSelector: {matchLabels: {app.kubernetes.io/version: "${version}"}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: ${ip}/32}}]}]}`)
    const edges = [edge(v('1'), classEnd('external'), '443/TCP', { ips: ['203.0.113.1'] }), edge(v('2'), classEnd('external'), '443/TCP', { ips: ['203.0.113.2'] })]
    expect(findingsOf(edges, to('1', '203.0.113.1') + to('2', '203.0.113.2'))).toEqual([])
  })

  test('outside traffic whose address the log left out is judged too', () => {
    const toOne = policy('egress', '{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/29}}]}]}')
    expect(findingsOf([edge(web, classEnd('external'), '443/TCP')], toOne)[0]).toMatch(/^uncertain web->external:443/)
  })

  test('every raw label set is judged: the worst one counts', () => {
    const canary = pod('shop/db', { app: 'db', 'app.kubernetes.io/version': '2' }, 'full')
    const onVersion = policy('v2', '{podSelector: {matchLabels: {app.kubernetes.io/version: "2"}}, policyTypes: [Ingress]}')
    expect(findingsOf([edge(web, pod('shop/db', { app: 'db' }, 'full'), '5432/TCP'), edge(web, canary, '5432/TCP')], onVersion)).toEqual(['denied web->db:5432 ingress-denied'])
  })

  test('one finding per outside address', () => {
    const outside = edge(web, classEnd('external'), '443/TCP', { ips: ['203.0.113.1', '203.0.113.9'] })
    const toOne = policy('egress', '{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/29}}]}]}')
    expect(findingsOf([outside], toOne)).toEqual(['denied web->203.0.113.9/32:443 egress-denied'])
  })
})

describe('what is not certain', () => {
  test('an absent label that the log may have left out', () => {
    const onRole = policy('role', '{podSelector: {matchLabels: {role: store}}, policyTypes: [Ingress]}')
    expect(findingsOf([edge(web, db, '5432/TCP')], onRole)).toEqual(['uncertain web->db:5432 uncertain [label "role" of shop/db (Deployment)]'])
  })

  test('an absent label is certain where the cluster\'s other identities show that the log carries the key', () => {
    const store = pod('shop/cache', { app: 'cache', role: 'cache' }, 'identity-subset')
    const onRole = policy('role', '{podSelector: {matchLabels: {role: store}}, policyTypes: [Ingress]}')
    expect(findingsOf([edge(web, db, '5432/TCP'), edge(web, store, '6379/TCP')], onRole)).toEqual([])
  })

  test('pods whose addresses the log named are certain against an ipBlock that holds all pod networks', () => {
    const everywhere = policy('any', '{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}')
    expect(findingsOf([edge(web, db, '5432/TCP')], everywhere, { podNetworks: ['10.244.1.0/24'] })).toEqual([])
    expect(findingsOf([edge(web, db, '5432/TCP')], everywhere)[0]).toMatch(/^uncertain/)
  })

  test('an address where pods live may be a pod that nobody could name', () => {
    const stray = edge(classEnd('external'), db, '5432/TCP', { ips: ['10.244.1.9'] })
    const fromWeb = policy('from-web', '{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}')
    expect(findingsOf([stray], fromWeb, { podNetworks: ['10.244.1.0/24'] })[0]).toMatch(/^uncertain 10.244.1.9\/32->db:5432/)
  })

  test('an unoriented connection is never reported as certainly denied', () => {
    const open = edge(web, db, '51000/TCP', { fromPort: 40000 })
    const both = policy('all', '{podSelector: {}, policyTypes: [Ingress, Egress]}')
    expect(findingsOf([open], both)[0]).toMatch(/^uncertain .*which end opened the connection/)
    const onlyForward = policy('db', '{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress]}')
    expect(findingsOf([open], onlyForward)[0]).toMatch(/^uncertain .*which end opened the connection/)
  })
})

describe('the pod\'s own node', () => {
  const denyAll = policy('all', '{podSelector: {}, policyTypes: [Ingress, Egress]}')

  test('is never reported', () => {
    expect(findingsOf([edge(classEnd('host'), db, '8080/TCP')], denyAll)).toEqual([])
  })

  test('another node is', () => {
    expect(findingsOf([edge(classEnd('node'), db, '8080/TCP')], denyAll)).toEqual(['denied node->db:8080 ingress-denied'])
  })

  test('a node known only by its address may be the own one: uncertain', () => {
    const { snapshot } = buildSnapshot([{ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' }, status: { addresses: [{ type: 'InternalIP', address: '172.18.0.2' }] } }])
    const probe = edge(classEnd('external'), db, '8080/TCP', { ips: ['172.18.0.2'] })
    expect(findingsOf([probe], denyAll, { snapshot })).toEqual(['uncertain 172.18.0.2/32->db:8080 uncertain [whether the address is the pod\'s own node]'])
  })
})
