import { readFileSync, readdirSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { canonicalJson } from '../../src/core/base/order.ts'
import type { EdgeView } from '../../src/core/flow/edge-view.ts'
import { DEFAULT_IGNORED_LABELS } from '../../src/core/flow/label-rules.ts'
import { EPHEMERAL_PORT_START } from '../../src/core/flow/orient.ts'
import { parseNetworkPolicy } from '../../src/core/policy/parse-network-policy.ts'
import type { RecommendationDocument } from '../../src/core/generate/recommendation.ts'
import { check } from '../../src/pipeline/check.ts'
import type { ObservedTraffic } from '../../src/pipeline/observed-traffic.ts'
import { recommend } from '../../src/pipeline/recommend.ts'
import { observeLines } from '../support/observe.ts'
import { describeShared, sharedPath } from '../support/shared.ts'
import { specsOf } from '../support/recommend.ts'

function captures(): ObservedTraffic {
  const folder = sharedPath('formats/samples/hubble') ?? ''
  const files = readdirSync(folder).filter((f) => f.startsWith('basic-sample-')).sort()
  return observeLines(files.flatMap((f) => readFileSync(`${folder}/${f}`, 'utf8').split('\n').filter((l) => l !== '')))
}

const ends = (e: EdgeView): string => canonicalJson([e.from, e.to, e.protocol, e.port])

function objectsIn(value: unknown): Record<string, unknown>[] {
  if (value === null || typeof value !== 'object') return []
  return [value as Record<string, unknown>, ...Object.values(value).flatMap(objectsIn)]
}

describeShared('real Hubble captures of bookinfo', () => {
  const state: { observed?: ObservedTraffic; document?: RecommendationDocument } = {}
  const run = (): { observed: ObservedTraffic; document: RecommendationDocument } => {
    state.observed ??= captures()
    state.document ??= recommend(state.observed, { cluster: 'default', namespace: 'bookinfo' })
    return { observed: state.observed, document: state.document }
  }

  test('every workload of bookinfo gets a policy; they are sound and tight', () => {
    const { document } = run()
    expect(Object.keys(specsOf(document))).toEqual(['details-v1', 'productpage-v1', 'ratings-v1', 'reviews-v1', 'reviews-v2', 'reviews-v3'].map((n) => `bookinfo/${n}-deployment`))
    expect(document.certificate).toMatchObject({ sound: true, tight: true, irredundant: true })
    expect(specsOf(document)['bookinfo/details-v1-deployment']?.ingress).toEqual([
      { from: [{ podSelector: { matchLabels: { app: 'productpage' } } }], ports: [{ protocol: 'TCP', port: 9080 }] },
    ])
  })

  test('checked against the same captures they deny nothing outside review', () => {
    const { observed, document } = run()
    const policies = document.policies.flatMap((p) => {
      const result = parseNetworkPolicy(p)
      return 'policy' in result ? [result.policy] : []
    })
    expect(policies).toHaveLength(document.policies.length)
    const checked = check(observed, { cluster: 'default', policies })
    const review = new Set(document.review.flatMap((r) => (r.edge === undefined ? [] : [ends(r.edge)])))
    expect(checked.findings.filter((f) => f.verdict === 'denied').filter((f) => !review.has(ends(f))).map(ends)).toEqual([])
    expect(checked.totals.allowed).toBeGreaterThan(15)
  })

  test('no policy names an ephemeral port, a CNI label or a label that is no identity', () => {
    const nodes = run().document.policies.flatMap((p) => objectsIn(p.spec))
    const ports = nodes.flatMap((o) => (typeof o.port === 'number' ? [o.port] : []))
    expect(ports.length).toBeGreaterThan(5)
    expect(ports.filter((p) => p >= EPHEMERAL_PORT_START)).toEqual([])
    const keys = nodes.flatMap((o) => (o.matchLabels === undefined ? [] : Object.keys(o.matchLabels as object)))
    expect(keys.length).toBeGreaterThan(5)
    const ignored = DEFAULT_IGNORED_LABELS.map((p) => new RegExp(`^${p.replace(/[.]/g, '\\.').replace(/\*/g, '.*')}$`))
    expect(keys.filter((k) => k.startsWith('k8s:') || k.startsWith('io.cilium') || ignored.some((re) => re.test(k)))).toEqual([])
  })

  test('checked alone, a policy that forgets DNS is found out', () => {
    const { observed } = run()
    const result = parseNetworkPolicy({
      apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'no-dns', namespace: 'bookinfo' },
      spec: { podSelector: { matchLabels: { app: 'productpage' } }, policyTypes: ['Egress'], egress: [{ ports: [{ port: 9080 }] }] },
    })
    const checked = check(observed, { cluster: 'default', policies: 'policy' in result ? [result.policy] : [] })
    expect(checked.findings.map((f) => `${f.verdict} ${f.from.workload?.name ?? ''}->${f.to.namespace ?? ''}:${f.port ?? 0} ${f.reason.code}`)).toEqual([
      'denied productpage-v1->kube-system:53 egress-denied',
    ])
  })
})
