import { expect, test } from '@jest/globals'
import { buildSnapshot } from '../../../src/core/cluster/build-snapshot.ts'
import { snapshotIdentities } from '../../../src/core/cluster/snapshot-identities.ts'

/** `workload kind quality labels` of every identity. */
function identitiesOf(...objects: unknown[]): string[] {
  const { snapshot, problems } = buildSnapshot(objects)
  expect(problems).toEqual([])
  return snapshotIdentities(snapshot, 'default').map((i) => `${i.workload?.name ?? i.name} ${i.workload?.kind ?? ''} ${i.labelQuality} ${JSON.stringify(i.labels)}`)
}

function controller(kind: string, name: string, owner?: { kind: string; name: string }): unknown {
  const ownerReferences = owner === undefined ? [] : [{ ...owner, controller: true }]
  return { kind, metadata: { name, namespace: 'shop', ownerReferences }, spec: { template: { metadata: { labels: { app: name } }, spec: { containers: [] } } } }
}

function podObject(name: string, spec: object, owner?: { kind: string; name: string }): unknown {
  return { kind: 'Pod', metadata: { name, namespace: 'shop', labels: { app: name }, ownerReferences: owner === undefined ? [] : [{ ...owner, controller: true }] }, spec }
}

test('pods count with all their labels, templates with what all their pods will share', () => {
  expect(identitiesOf(podObject('solo', {}), controller('Deployment', 'web'))).toEqual(['  full {"app":"solo"}', 'web Deployment intersection {"app":"web"}'])
})

test('ReplicaSets and Jobs that nothing owns are workloads, those of a Deployment or CronJob are not', () => {
  expect(identitiesOf(
    controller('ReplicaSet', 'bare-set'), controller('Job', 'migrate'),
    controller('ReplicaSet', 'web-6b687c8dcb', { kind: 'Deployment', name: 'web' }), controller('Job', 'nightly-28957440', { kind: 'CronJob', name: 'nightly' }),
  )).toEqual(['bare-set ReplicaSet intersection {"app":"bare-set"}', 'migrate Job intersection {"app":"migrate"}'])
})

test('pods on the host\'s network and their controllers are not: no policy selects them', () => {
  expect(identitiesOf(podObject('agent', { hostNetwork: true }, { kind: 'DaemonSet', name: 'agent' }), controller('DaemonSet', 'agent'))).toEqual([])
})
