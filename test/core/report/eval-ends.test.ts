import { describe, expect, test } from '@jest/globals'
import { buildSnapshot } from '../../../src/core/cluster/build-snapshot.ts'
import type { ClusterSnapshot } from '../../../src/core/cluster/snapshot.ts'
import type { ObservedEdge } from '../../../src/core/flow/edge.ts'
import { check } from '../../../src/pipeline/check.ts'
import { policies } from '../../support/ends.ts'
import { edge, pod } from '../../support/observed-edges.ts'

const web = pod('shop/web', { app: 'web' })
const db = pod('shop/db:StatefulSet', { app: 'db' }, 'identity-subset')

/** `verdict from->to:port [missing]` of every finding. */
function findingsOf(edges: readonly ObservedEdge[], yaml: string, snapshot?: ClusterSnapshot): string[] {
  const document = check({ edges, podNetworks: [], sinceUs: 0, untilUs: 1 }, { cluster: 'default', policies: policies(yaml), ...(snapshot === undefined ? {} : { snapshot }) })
  return document.findings.map((f) => `${f.verdict} ${f.from.workload?.name ?? '?'}->${f.to.workload?.name ?? '?'}:${f.port ?? '?'} [${f.missing.join('; ')}]`)
}

interface PodObject {
  readonly name: string
  readonly owner?: { readonly kind: string; readonly name: string }
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
}

function podObject(labels: Record<string, string>, { name, owner, ports = [] }: PodObject): unknown {
  const ownerReferences = owner === undefined ? [] : [{ ...owner, controller: true }]
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop', labels, ownerReferences },
    spec: { containers: [{ name: 'c', ports }] }, status: { phase: 'Running', podIP: '10.244.0.9' },
  }
}

function snapshotOf(...objects: unknown[]): ClusterSnapshot {
  const { snapshot, problems } = buildSnapshot(objects)
  expect(problems).toEqual([])
  return snapshot
}

describe('labels that a better described pod of the workload speaks for', () => {
  const owner = { kind: 'StatefulSet', name: 'db' }
  const onPodName = (name: string): string => `{name: shop/lock, podSelector: {matchLabels: {statefulset.kubernetes.io/pod-name: ${name}}}, policyTypes: [Ingress]}`
  const onKey = (key: string): string => `{name: shop/lock, podSelector: {matchLabels: {${key}: x}}, policyTypes: [Ingress]}`
  const inter = pod('shop/db:StatefulSet', { app: 'db' }, 'intersection')

  test('are certainly absent where it carries all its labels and not this one', () => {
    expect(findingsOf([edge(web, inter, '5432/TCP')], onKey('role'))).toEqual(['uncertain web->db:5432 [label "role" of shop/db (StatefulSet)]'])
    expect(findingsOf([edge(web, inter, '5432/TCP'), edge(web, pod('shop/db:StatefulSet', { app: 'db' }), '1/TCP')], onKey('role'))).toEqual([])
  })

  test('never where pods of one workload differ in the label: pod name, version, hash', () => {
    const snapshot = snapshotOf(podObject({ app: 'db', 'statefulset.kubernetes.io/pod-name': 'db-0', build: '6b687c8dcb' }, { name: 'db-0', owner }))
    for (const policy of [onPodName('db-0'), onPodName('db-1'), onKey('app.kubernetes.io/version'), onKey('build')]) {
      expect(findingsOf([edge(web, db, '5432/TCP')], policy, snapshot)[0]).toMatch(/^uncertain web->db:5432/)
    }
    const full = pod('shop/db:StatefulSet', { app: 'db', 'app.kubernetes.io/version': '1' })
    expect(findingsOf([edge(web, inter, '5432/TCP'), edge(full, web, '80/TCP')], onKey('app.kubernetes.io/version'))[0]).toMatch(/^uncertain web->db:5432/)
  })

  test('not by a pod template, to which controllers and webhooks add', () => {
    const template = { metadata: { labels: { app: 'db' } }, spec: { containers: [] } }
    const snapshot = snapshotOf({ kind: 'StatefulSet', metadata: { name: 'db', namespace: 'shop' }, spec: { selector: { matchLabels: { app: 'db' } }, template } })
    expect(findingsOf([edge(web, inter, '5432/TCP')], onKey('role'), snapshot)[0]).toMatch(/^uncertain/)
    expect(findingsOf([edge(web, db, '5432/TCP')], onKey('role'), snapshot)[0]).toMatch(/^uncertain/)
  })

  test('a record with all labels speaks for itself, also for ignored ones', () => {
    expect(findingsOf([edge(web, pod('shop/db:StatefulSet', { app: 'db' }), '5432/TCP')], onPodName('db-0'))).toEqual([])
  })
})

describe('a pod whose labels the log left out', () => {
  const silent = pod('shop/web', {}, 'none')
  const releases = ['1', '2'].map((v) => edge(pod('shop/web', { app: 'web', v }), web, '80/TCP'))
  const from = (v: string): string => `{name: shop/p, podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {${v}}}}]}]}`

  test('is one of its workload\'s label sets: uncertain where they differ in verdict', () => {
    expect(findingsOf([...releases, edge(silent, db, '5432/TCP')], from('v: "1"'))).toEqual(['uncertain web->db:5432 [labels of shop/web (Deployment)]'])
  })

  test('is certain where all of them get one verdict', () => {
    expect(findingsOf([...releases, edge(silent, db, '5432/TCP')], from('app: web'))).toEqual([])
    expect(findingsOf([...releases, edge(silent, db, '5432/TCP')], from('v: "3"'))).toEqual(['denied web->db:5432 []'])
  })
})

describe('named ports', () => {
  const named = '{name: shop/p, podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: sql}]}]}'
  const withPort = (...ports: number[]): ClusterSnapshot => snapshotOf(...ports.map((containerPort, i) =>
    podObject({ app: 'db' }, { name: `db-${i}`, ports: containerPort === 0 ? [] : [{ name: 'sql', containerPort }] })))

  test('are those of the pods that carry the labels', () => {
    expect(findingsOf([edge(web, db, '5432/TCP')], named, withPort(5432, 5432))).toEqual([])
    expect(findingsOf([edge(web, db, '5432/TCP')], named, withPort(6432))).toEqual(['denied web->db:5432 []'])
  })

  test('are not known where those pods disagree', () => {
    for (const snapshot of [withPort(5432, 6432), withPort(5432, 0)]) {
      expect(findingsOf([edge(web, db, '5432/TCP')], named, snapshot)).toEqual(['uncertain web->db:5432 [named ports of shop/db (StatefulSet)]'])
    }
  })
})
