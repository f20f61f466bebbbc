import { describe, expect, test } from '@jest/globals'
import { buildIdentityMap } from '../../../src/core/flow/identity-map.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import type { Identity } from '../../../src/core/flow/identity.ts'
import { createIdentity } from '../../../src/core/flow/identity.ts'
import { classEnd, pod } from '../../support/observed-edges.ts'
import { createRandom } from '../../support/random.ts'

function group(identities: readonly Identity[]): string[] {
  const index = groupWorkloads(identities, buildIdentityMap(identities))
  return index.workloads.map((w) => `${w.display} ${JSON.stringify(w.labelSets)}`)
}

function byPodName(identity: Identity): Identity {
  return createIdentity({ ...identity, workloadEvidence: 'pod-name' })
}

describe('grouping identities into workloads', () => {
  test('two rollouts of one Deployment are one workload', () => {
    expect(group([pod('shop/web', { app: 'web', 'pod-template-hash': '6b687c8dcb' }), pod('shop/web', { app: 'web', 'pod-template-hash': '86c57db685' })]))
      .toEqual(['shop/web (Deployment) [{"app":"web"}]'])
  })

  test('the same labels in two namespaces are two workloads', () => {
    expect(group([pod('a/web', { app: 'web' }), pod('b/web', { app: 'web' })])).toHaveLength(2)
  })

  test('two Deployments that no selector can tell apart are one workload', () => {
    expect(group([pod('shop/blue', { app: 'web' }), pod('shop/green', { app: 'web' })])).toEqual(['shop/blue (Deployment) [{"app":"web"}]'])
  })

  test('a Deployment and a StatefulSet of one name stay apart', () => {
    expect(group([pod('shop/db', { app: 'db' }), pod('shop/db:StatefulSet', { app: 'store' })])).toEqual([
      'shop/db (Deployment) [{"app":"db"}]', 'shop/db (StatefulSet) [{"app":"store"}]',
    ])
  })

  test('two releases of one chart stay apart by instance', () => {
    const labels = (instance: string): Record<string, string> => ({ 'app.kubernetes.io/name': 'redis', 'app.kubernetes.io/instance': instance })
    expect(group([pod('shop/one-redis', labels('one')), pod('shop/two-redis', labels('two'))])).toHaveLength(2)
  })

  test('pods whose labels the log left out join the workload of their name', () => {
    expect(group([pod('shop/web', { app: 'web' }), pod('shop/web', {}, 'none')])).toEqual(['shop/web (Deployment) [{"app":"web"}]'])
  })

  test('unlabelled pods of different workloads are never thrown together', () => {
    expect(group([pod('shop/a', {}), pod('shop/b', {})])).toEqual(['shop/a (Deployment) [{}]', 'shop/b (Deployment) [{}]'])
  })

  test('an empty Calico intersection tells nothing about labels', () => {
    expect(group([pod('shop/a', {}, 'intersection')])).toEqual(['shop/a (Deployment) []'])
  })

  test('a controller named by the log wins over one derived from a pod name', () => {
    const derived = byPodName(pod('shop/aaa', { app: 'web' }, 'identity-subset'))
    expect(group([derived, pod('shop/web', { app: 'web' })])).toEqual(['shop/web (Deployment) [{"app":"web"}]'])
  })

  test('a label that changes with every commit does not split a workload, even where another pod has a plain value', () => {
    const other = pod('shop/api', { app: 'api', commit: 'dev' })
    const web = ['abc123def456', '123abc456def'].map((commit) => pod('shop/', { app: 'web', commit }))
    expect(group([...web, other])).toEqual(['shop/{app=web} [{"app":"web"}]', 'shop/api (Deployment) [{"app":"api","commit":"dev"}]'])
  })

  test('bare pods that only share the shape of a StatefulSet\'s pod names stay apart', () => {
    const bare = (labels: Record<string, string>): Identity => byPodName(pod('shop/node:StatefulSet', labels, 'identity-subset'))
    expect(group([bare({ app: 'frontend' }), bare({ app: 'payments' })])).toHaveLength(2)
    expect(group([bare({ role: 'frontend' }), bare({ role: 'payments' })])).toHaveLength(2)
    expect(group([bare({ app: 'db', zone: 'a' }), bare({ app: 'db', zone: 'b' })])).toEqual(['shop/node (StatefulSet) [{"app":"db"}]'])
  })

  test('a controller that the log names joins its pods whatever their labels, pods known by name only with equal naming labels', () => {
    const named = [pod('shop/web', { app: 'web' }), pod('shop/web', { app: 'web', 'app.kubernetes.io/name': 'web' })]
    expect(group(named)).toHaveLength(1)
    expect(group([...named, byPodName(pod('shop/web', { app: 'web', track: 'canary' }))])).toHaveLength(1)
    expect(group([...named, byPodName(pod('shop/web', { app: 'other' }))])).toHaveLength(2)
  })

  test('pods without labels in the log are a workload of their own where two have their name', () => {
    const bare = (labels: Record<string, string>): Identity => byPodName(pod('shop/node:StatefulSet', labels))
    const silent = [byPodName(pod('shop/node:StatefulSet', {}, 'none')), pod('shop/node:StatefulSet', {}, 'none')]
    expect(group([bare({ app: 'frontend' }), bare({ app: 'payments' }), ...silent])).toEqual([
      'shop/node (StatefulSet) []', 'shop/node (StatefulSet) [{"app":"frontend"}]', 'shop/node (StatefulSet) [{"app":"payments"}]',
    ])
  })

  test('unlabelled pods that nothing names are workloads of their own, each with its key', () => {
    const bare = (name: string): Identity => createIdentity({ ...pod('shop/', {}), name })
    const { workloads } = groupWorkloads([bare('a'), bare('b')], buildIdentityMap([]))
    expect(new Set(workloads.map((w) => w.key)).size).toBe(2)
    expect(workloads.map((w) => w.display)).toEqual(['shop/a', 'shop/b'])
  })

  test('a label set is as well described as the best of its pods', () => {
    const identities = [pod('shop/web', { app: 'web' }, 'intersection'), pod('shop/web', { app: 'web', 'pod-template-hash': 'x' }), pod('shop/web', { app: 'web', tier: 'a' }, 'intersection')]
    expect(groupWorkloads(identities, buildIdentityMap([])).workloads.map((w) => w.setQualities)).toEqual([['full', 'intersection']])
  })

  test('the result does not depend on the order of identities', () => {
    const random = createRandom(7)
    const identities = Array.from({ length: 60 }, () =>
      pod(`ns${random.int(2)}/w${random.int(6)}${random.chance(0.3) ? ':StatefulSet' : ''}`, random.chance(0.2) ? {} : { app: `a${random.int(5)}`, tier: `t${random.int(3)}` }, random.pick(['full', 'identity-subset', 'none'] as const)))
      .map((identity) => (random.chance(0.4) ? byPodName(identity) : identity))
    const expected = group([...identities, classEnd('external')])
    for (let i = 0; i < 20; i++) expect(group(random.shuffle(identities))).toEqual(expected)
  })
})

describe('one workload seen with different label quality', () => {
  const full = pod('shop/web', { app: 'web', tier: 'front', team: 'a' })
  const subset = pod('shop/web', { app: 'web', tier: 'front' }, 'identity-subset')
  const shared = byPodName(pod('shop/web', { tier: 'front' }, 'intersection'))
  const silent = byPodName(pod('shop/web', {}, 'none'))

  test('the same pods from up to four sources are the workload that the best source tells alone', () => {
    const random = createRandom(11)
    const best = ['shop/web (Deployment) [{"app":"web","team":"a","tier":"front"}]']
    for (let i = 0; i < 30; i++) expect(group(random.shuffle([full, ...[subset, shared, silent].filter(() => random.chance(0.6))]))).toEqual(best)
  })

  test('a poorer view joins by the name of its controller although it lacks the labels that name the application', () => {
    expect(group([full, shared])).toHaveLength(1)
    expect(group([full, byPodName(pod('shop/api', { tier: 'front' }, 'intersection'))])).toHaveLength(2)
  })

  test('a set that lacks a label which Cilium would have shown is other pods of the controller', () => {
    const before = pod('shop/web', { app: 'web' }, 'identity-subset')
    expect(group([full, subset, before])).toEqual(['shop/web (Deployment) [{"app":"web"},{"app":"web","team":"a","tier":"front"}]'])
  })

  test('a set of an unnamed pod joins the one controller whose labels it shows, and no other', () => {
    const unnamed = pod('shop/', { app: 'web' }, 'intersection')
    expect(group([full, unnamed])).toHaveLength(1)
    expect(group([pod('shop/', { app: 'web', tier: 'x' }), unnamed])).toHaveLength(2)
    expect(group([pod('shop/web', { tier: 'front', app: 'web' }), pod('shop/', { tier: 'front' }, 'intersection')])).toHaveLength(2)
  })

  test('a set that fits two controllers stays a workload of its own and says whose it may be', () => {
    const other = pod('shop/web-admin', { app: 'web', tier: 'admin' })
    const index = groupWorkloads([full, other, pod('shop/', { app: 'web' }, 'intersection')], buildIdentityMap([]))
    expect(index.workloads.map((w) => [w.display, w.mayBelongTo])).toEqual([
      ['shop/{app=web}', ['shop/web (Deployment)', 'shop/web-admin (Deployment)']], ['shop/web (Deployment)', undefined], ['shop/web-admin (Deployment)', undefined],
    ])
  })

  test('poorer views of two workloads that look the same each join their own', () => {
    const other = pod('shop/admin', { app: 'web', tier: 'admin' })
    const views = ['web', 'admin'].map((name) => pod(`shop/${name}`, { app: 'web' }, 'intersection'))
    expect(group([full, other, ...views, ...views.map(byPodName)])).toEqual([
      'shop/admin (Deployment) [{"app":"web","tier":"admin"}]', 'shop/web (Deployment) [{"app":"web","team":"a","tier":"front"}]',
    ])
  })

  test('what fits several joins when those turn out to be one workload', () => {
    const half = byPodName(pod('shop/web', { 'k8s-app': 'web', tier: 'front' }, 'identity-subset'))
    const whole = pod('shop/web', { app: 'web', 'k8s-app': 'web', tier: 'front' })
    expect(group([whole, half, shared])).toHaveLength(1)
  })

  test('a DaemonSet that its pods\' names only hint at is the one that another source names', () => {
    const named = pod('shop/agent:DaemonSet', { app: 'agent', role: 'node' })
    const hinted = byPodName(pod('shop/agent:Workload', { app: 'agent' }, 'intersection'))
    const bare = byPodName(pod('shop/agent:Workload', {}, 'none'))
    expect(group([named, hinted, bare])).toEqual(['shop/agent (DaemonSet) [{"app":"agent","role":"node"}]'])
    expect(group([named, pod('shop/agent:Job', { app: 'import', role: 'node' }), bare])).toHaveLength(3)
  })

  test('equal names in two clusters and equal labels in two namespaces stay apart', () => {
    const elsewhere = createIdentity({ ...shared, cluster: 'other' })
    expect(group([full, elsewhere])).toHaveLength(2)
    expect(group([full, pod('store/web', { tier: 'front' }, 'intersection'), pod('store/', { app: 'web' }, 'intersection')])).toHaveLength(3)
  })

  test('a Deployment and a StatefulSet of one name are not joined by a set that fits both', () => {
    const set = pod('shop/web:StatefulSet', { app: 'web', tier: 'front', disk: 'x' })
    expect(group([full, set, pod('shop/', { app: 'web', tier: 'front' }, 'intersection')])).toHaveLength(3)
  })

  test('a namespace\'s labels are what its identities agree on', () => {
    const at = (namespaceLabels: Record<string, string>): Identity => createIdentity({ ...full, namespaceLabels })
    const { workloads } = groupWorkloads([at({ team: 'a', env: 'prod' }), at({ team: 'b' }), shared, pod('shop/api', { app: 'api' })], buildIdentityMap([]))
    expect(workloads.map((w) => w.namespaceLabels)).toEqual([{ env: 'prod' }, { env: 'prod' }])
  })

  test('a crowded namespace of poorly described pods costs no more than its size', () => {
    const many = Array.from({ length: 20_000 }, (_, i) => pod('shop/', { app: 'web', shard: `${i}` }, i % 2 === 0 ? 'intersection' : 'full'))
    const start = performance.now()
    expect(group(many)).toHaveLength(20_000)
    expect(performance.now() - start).toBeLessThan(20_000)
  })
})
