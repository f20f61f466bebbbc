import { describe, expect, test } from '@jest/globals'
import { buildSnapshot } from '../../../src/core/cluster/build-snapshot.ts'
import type { ObservedEdge } from '../../../src/core/flow/edge.ts'
import { renderCertificate } from '../../../src/deliver/render/certificate-text.ts'
import { edge, pod } from '../../support/observed-edges.ts'
import { recommendFrom, specsOf } from '../../support/recommend.ts'

const db = pod('data/db', { app: 'db' })
const shared = pod('shop/a', { app: 'shared', role: 'a' })

/** The policies and workloads that the certificate's exactness rests on. */
function assumptionsOf(edges: readonly ObservedEdge[], options: Parameters<typeof recommendFrom>[1] = {}): unknown {
  const { assumedAbsent, withoutLabels } = recommendFrom(edges, options).certificate.universe
  return [assumedAbsent, withoutLabels]
}

describe('what selectors rest on', () => {
  test('the poorest label quality among the label sets that a policy picks, with what it means', () => {
    const subset = pod('shop/web', { app: 'web' }, 'identity-subset')
    const grouped = pod('shop/api', { app: 'api' }, 'intersection')
    const { selectorQuality, notes } = recommendFrom([edge(shared, db, '5432/TCP'), edge(subset, grouped, '80/TCP')]).certificate.universe
    expect(selectorQuality).toEqual({ 'data/db-deployment': 'full', 'shop/a-deployment': 'full', 'shop/api-deployment': 'intersection', 'shop/web-deployment': 'intersection' })
    expect(Object.keys(notes)).toEqual(['full', 'intersection'])
  })

  test('a better source of the same pods counts, and gives the policies that it gives alone', () => {
    const full = pod('shop/web', { app: 'web', tier: 'front' })
    const other = pod('shop/admin', { app: 'web', tier: 'admin' })
    const views = [pod('shop/web', { app: 'web', tier: 'front' }, 'identity-subset'), pod('shop/web', { tier: 'front' }, 'intersection'), pod('shop/web', {}, 'none')]
    const alone = recommendFrom([edge(full, db, '5432/TCP'), edge(other, db, '5432/TCP')])
    for (const view of views) {
      const together = recommendFrom([edge(full, db, '5432/TCP'), edge(other, db, '5432/TCP'), edge(view, db, '5432/TCP')])
      expect(together.policies).toEqual(alone.policies)
      expect(together.certificate.universe.selectorQuality).toEqual(alone.certificate.universe.selectorQuality)
    }
  })
})

describe('what the certificate assumes', () => {
  test('nothing where every label set is known', () => {
    expect(assumptionsOf([edge(shared, db, '5432/TCP'), edge(pod('shop/b', { role: 'b' }), db, '5432/TCP')])).toEqual([[], []])
  })

  test('that labels missing from a Calico intersection are absent: every policy with such a selector is named', () => {
    const edges = [edge(pod('shop/a', { app: 'shared' }), db, '5432/TCP'), edge(pod('shop/b', { role: 'b' }, 'intersection'), db, '80/TCP')]
    expect(assumptionsOf(edges)).toEqual([['data/db-deployment', 'shop/a-deployment'], []])
  })

  test('not where another label tells them apart for certain, which is then selected', () => {
    const edges = [edge(shared, db, '5432/TCP'), edge(pod('shop/b', { role: 'b' }, 'intersection'), db, '80/TCP')]
    expect(specsOf(recommendFrom(edges))['shop/a-deployment']?.podSelector).toEqual({ matchLabels: { app: 'shared', role: 'a' } })
    expect(assumptionsOf(edges)).toEqual([[], []])
  })

  test('not for Cilium\'s identity labels where the key is one in this cluster', () => {
    const subset = (place: string, labels: Record<string, string>): ReturnType<typeof pod> => pod(place, labels, 'identity-subset')
    expect(assumptionsOf([edge(subset('shop/a', { app: 'x' }), db, '1/TCP'), edge(subset('shop/b', { role: 'b' }), db, '1/TCP')])).toEqual([[], []])
  })

  test('workloads whose labels the log left out are named where a selector picks from their namespace', () => {
    const silent = [edge(pod('shop/x', {}, 'none'), db, '80/TCP'), edge(pod('other/y', {}, 'none'), db, '80/TCP')]
    expect(assumptionsOf([edge(shared, db, '5432/TCP'), ...silent])).toEqual([[], ['shop/x (Deployment)']])
  })

  test('templates of silent workloads count as what their pods share', () => {
    const { snapshot } = buildSnapshot([{ kind: 'CronJob', metadata: { name: 'nightly', namespace: 'shop' }, spec: { jobTemplate: { spec: { template: { metadata: { labels: { job: 'x' } }, spec: {} } } } } }])
    expect(assumptionsOf([edge(pod('shop/a', { app: 'x' }), db, '1/TCP')], { snapshot })).toEqual([['data/db-deployment', 'shop/a-deployment'], []])
  })

  test('is said in one line each', () => {
    const edges = [edge(pod('shop/a', { app: 'shared' }), db, '5432/TCP'), edge(pod('shop/b', { role: 'b' }, 'intersection'), db, '80/TCP'), edge(pod('shop/x', {}, 'none'), db, '80/TCP')]
    const text = renderCertificate(recommendFrom(edges).certificate).replace(/\n {6}/g, ' ')
    expect(text).toContain('  assumed in data/db-deployment, shop/a-deployment: labels that the pods of a group do not share are absent from all of them\n')
    expect(text).toContain('  labels not in the logs of shop/x (Deployment): a selector of the namespace may pick them as well\n')
  })
})

test('a hostile name never takes that of a layer or of another policy', () => {
  const x = pod('shop/default-deny:Egress', { app: 'x' })
  const names = recommendFrom([edge(x, x, '80/TCP')]).policies.map((p) => (p.metadata as { name: string }).name)
  expect(names).toEqual(['default-deny-egress', expect.stringMatching(/^default-deny-egress-[0-9a-f]{8}$/), 'default-deny-ingress'])
})
