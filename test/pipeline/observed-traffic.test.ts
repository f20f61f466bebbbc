import { expect, test } from '@jest/globals'
import { buildSnapshot } from '../../src/core/cluster/build-snapshot.ts'
import { createIdentity } from '../../src/core/flow/identity.ts'
import { viewTraffic } from '../../src/pipeline/observed-traffic.ts'
import { edge, pod } from '../support/observed-edges.ts'

const web = pod('shop/web', { app: 'web' })
const db = pod('shop/db:StatefulSet', { app: 'db' })
const { snapshot } = buildSnapshot([{
  kind: 'Pod', metadata: { name: 'db-0', namespace: 'shop', labels: { app: 'db' }, ownerReferences: [{ kind: 'StatefulSet', name: 'db', controller: true }] },
  spec: { containers: [{ name: 'c', ports: [{ containerPort: 50_051 }] }] },
}, {
  kind: 'Pod', metadata: { name: 'api-0', namespace: 'shop', labels: { app: 'api' }, ownerReferences: [{ kind: 'StatefulSet', name: 'api', controller: true }] }, spec: { containers: [{ name: 'c' }] },
}, {
  kind: 'Service', metadata: { name: 'api', namespace: 'shop' }, spec: { selector: { app: 'api' }, ports: [{ port: 80, targetPort: 50_051 }] },
}])

/** How the edge web -> db, ports 40000 and 50051, was oriented. */
function orientationTo(server: typeof db): string[] {
  const edges = [edge(web, server, '50051/TCP', { fromPort: 40_000 })]
  return viewTraffic({ edges, podNetworks: [], sinceUs: null, untilUs: null }, 'default', snapshot).traffic.map((t) => t.orientation)
}

test('a declared container port tells which end is the server', () => {
  expect(orientationTo(db)).toEqual(['listener'])
})

test('the target port of a Service tells which end is the server', () => {
  expect(orientationTo(pod('shop/api:StatefulSet', { app: 'api' }))).toEqual(['listener'])
  expect(orientationTo(pod('shop/other:StatefulSet', { app: 'other' }))).toEqual(['unoriented'])
})

test('cluster state says nothing about a workload of the same name in another cluster', () => {
  expect(orientationTo(createIdentity({ ...db, cluster: 'other' }))).toEqual(['unoriented'])
})
