import { describe, expect, test } from '@jest/globals'
import { compilePolicies } from '../../../src/core/evaluate/compile.ts'
import { buildIdentityMap } from '../../../src/core/flow/identity-map.ts'
import { buildTraffic } from '../../../src/core/flow/traffic.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import { acceptTraffic } from '../../../src/core/generate/accept.ts'
import { coverCells } from '../../../src/core/generate/cover-cells.ts'
import { verifyPolicies } from '../../../src/core/generate/verify.ts'
import type { Direction, NetworkPolicy } from '../../../src/core/policy/network-policy.ts'
import { parseNetworkPolicy } from '../../../src/core/policy/parse-network-policy.ts'
import { classEnd, edge, pod } from '../../support/observed-edges.ts'

const web = pod('shop/web', { app: 'web' })
const api = pod('shop/api', { app: 'api' })
const db = pod('shop/db', { app: 'db' })
const edges = [edge(web, db, '5432/TCP'), edge(classEnd('external'), db, '5432/TCP', { ips: ['203.0.113.7'] }), edge(api, web, '80/TCP')]

function policy(spec: Record<string, unknown>): NetworkPolicy {
  const result = parseNetworkPolicy({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p', namespace: 'shop' }, spec })
  if (!('policy' in result)) throw new Error(JSON.stringify(result))
  return result.policy
}

/** Failures of one policy on db, whose accepted ingress is web and 203.0.113.7 on TCP 5432. */
function failuresOf(spec: Record<string, unknown>): string[] {
  const identities = edges.flatMap((e) => [e.from, e.to])
  const index = groupWorkloads(identities, buildIdentityMap([]))
  const { accepted } = acceptTraffic(buildTraffic(edges, index), { cluster: 'default', addressProblem: () => undefined })
  const expectations = index.workloads.map((workload) => {
    const cells = accepted.filter((e) => e.subject === workload && e.direction === 'ingress')
    const cover = coverCells(cells, (w) => ({ matchLabels: w.labelSets[0] ?? {}, matchIn: [] }))
    const covers = new Map<Direction, typeof cover>(workload.ref?.name === 'db' ? [['ingress', cover]] : [])
    return { workload, covers, dnsServers: new Set<string>() }
  })
  return verifyPolicies(compilePolicies([policy(spec)], { ipBlockMatchesPods: false }), expectations, index.workloads).failures.map((f) => `${f.kind}: ${f.text}`)
}

const db5432 = { ports: [{ protocol: 'TCP', port: 5432 }] }
const fromWeb = { podSelector: { matchLabels: { app: 'web' } } }
const fromOutside = { ipBlock: { cidr: '203.0.113.7/32' } }
const onDb = { podSelector: { matchLabels: { app: 'db' } }, policyTypes: ['Ingress'] }

describe('verification of a policy for db', () => {
  test('the exact policy passes', () => {
    expect(failuresOf({ ...onDb, ingress: [{ from: [fromWeb, fromOutside], ...db5432 }] })).toEqual([])
  })

  test.each([
    ['another peer', { ...onDb, ingress: [{ from: [fromWeb, fromOutside, { podSelector: { matchLabels: { app: 'api' } } }], ...db5432 }] }, 'not-tight: shop/db (Deployment) ingress, shop/api (Deployment): TCP 5432 is admitted but was not accepted'],
    ['another port', { ...onDb, ingress: [{ from: [fromWeb, fromOutside], ports: [{ protocol: 'TCP', port: 5432, endPort: 5433 }] }] }, 'not-tight: shop/db (Deployment) ingress, shop/web (Deployment): TCP 5433 is admitted but was not accepted'],
    ['every pod of every namespace', { ...onDb, ingress: [{ from: [{ namespaceSelector: {} }, fromOutside], ...db5432 }] }, 'not-tight: shop/db (Deployment) ingress, shop/api (Deployment): TCP 5432 is admitted but was not accepted'],
    ['pods that nobody has seen yet', { ...onDb, ingress: [{ from: [fromWeb, fromOutside, { namespaceSelector: { matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['shop'] }] } }], ...db5432 }] }, 'not-tight: shop/db (Deployment) ingress, an unknown pod of flowfence-unknown-namespace: TCP 5432 is admitted but was not accepted'],
    ['more of the outside', { ...onDb, ingress: [{ from: [fromWeb, { ipBlock: { cidr: '203.0.113.6/31' } }], ...db5432 }] }, 'not-tight: shop/db (Deployment) ingress, outside addresses on TCP 5432 differ from the accepted ones'],
    ['everything (a rule without from)', { ...onDb, ingress: [db5432] }, 'not-tight: shop/db (Deployment) ingress, shop/api (Deployment): TCP 5432 is admitted but was not accepted'],
  ])('an over-broad policy fails: %s', (_name, spec, failure) => {
    expect(failuresOf(spec)).toEqual([failure])
  })

  test.each([
    ['a forgotten peer', { ...onDb, ingress: [{ from: [fromOutside], ...db5432 }] }, 'unsound: shop/db (Deployment) ingress, shop/web (Deployment): TCP 5432 was accepted but is not admitted'],
    ['the wrong protocol', { ...onDb, ingress: [{ from: [fromWeb, fromOutside], ports: [{ protocol: 'UDP', port: 5432 }] }] }, 'unsound: shop/db (Deployment) ingress, shop/web (Deployment): TCP 5432 was accepted but is not admitted'],
    ['a forgotten address', { ...onDb, ingress: [{ from: [fromWeb], ...db5432 }] }, 'unsound: shop/db (Deployment) ingress, outside addresses on TCP 5432 differ from the accepted ones'],
  ])('an unsound policy fails: %s', (_name, spec, failure) => {
    expect(failuresOf(spec)).toEqual([failure])
  })

  test('a policy that takes in a workload without evidence fails', () => {
    expect(failuresOf({ podSelector: {}, policyTypes: ['Ingress'], ingress: [{ from: [fromWeb, fromOutside], ...db5432 }] }))
      .toEqual(['unsound: shop/api (Deployment) has no accepted ingress but shop/p isolates it', 'unsound: shop/web (Deployment) has no accepted ingress but shop/p isolates it'])
  })
})
