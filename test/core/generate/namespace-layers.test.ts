import { describe, expect, test } from '@jest/globals'
import type { RecommendationDocument } from '../../../src/core/generate/recommendation.ts'
import { edge, pod } from '../../support/observed-edges.ts'
import { recommendFrom } from '../../support/recommend.ts'

const web = pod('shop/web', { app: 'web' })
const api = pod('shop/api', { app: 'api' })
const dns = pod('kube-system/coredns', { 'k8s-app': 'kube-dns' })

/** `ns/name` of the layers, with the apps or DNS pods that an allow-dns names. */
function layersOf(document: RecommendationDocument): string[] {
  const policies = document.policies as unknown as { metadata: { namespace: string; name: string; annotations?: Record<string, string> }; spec: { egress?: { to: { podSelector: { matchLabels: Record<string, string> } }[] }[] } }[]
  return policies.filter((p) => p.metadata.annotations?.['flowfence.dev/layer'] !== undefined).map((p) => {
    const peers = (p.spec.egress ?? []).flatMap((rule) => rule.to.flatMap((peer) => Object.values(peer.podSelector.matchLabels)))
    return [`${p.metadata.namespace}/${p.metadata.name}`, ...peers].join(' ')
  })
}

describe('DNS for everybody', () => {
  const own = pod('shop/resolver', { app: 'resolver' })
  const rogue = pod('evil/tunnel', { app: 'tunnel' })

  test('names the cluster\'s DNS although only one workload was seen asking it', () => {
    expect(layersOf(recommendFrom([edge(web, dns, '53/UDP'), edge(api, web, '80/TCP')]))).toEqual(['shop/allow-dns kube-dns', 'shop/default-deny-egress'])
  })

  test('leaves out a server that only some workloads ask: one of them would open it to all', () => {
    expect(layersOf(recommendFrom([edge(web, rogue, '53/UDP'), edge(api, dns, '53/UDP')]))).toEqual(['evil/default-deny-ingress', 'shop/allow-dns kube-dns', 'shop/default-deny-egress'])
    expect(layersOf(recommendFrom([edge(web, rogue, '53/UDP'), edge(api, own, '53/UDP'), edge(own, api, '1/TCP')], { namespace: 'shop' }))).toEqual(['shop/default-deny-egress'])
  })

  test('names another server that all of them ask', () => {
    const edges = [edge(web, own, '53/UDP'), edge(api, own, '53/UDP'), edge(own, api, '1/TCP')]
    expect(layersOf(recommendFrom(edges))).toEqual(['shop/allow-dns resolver', 'shop/default-deny-egress'])
  })
})

describe('layers of kube-system', () => {
  const edges = [edge(web, dns, '53/UDP')]

  test('are never suggested unasked: what runs there without traffic is not known', () => {
    expect(layersOf(recommendFrom(edges)).filter((l) => l.startsWith('kube-system'))).toEqual([])
  })

  test('come when kube-system is asked for', () => {
    expect(layersOf(recommendFrom(edges, { namespace: 'kube-system' }))).toEqual(['kube-system/default-deny-ingress'])
  })
})
