import { describe, expect, test } from '@jest/globals'
import { compileLabelRules, looksGenerated } from '../../../src/core/flow/label-rules.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import type { Identity } from '../../../src/core/flow/identity.ts'
import { createIdentity } from '../../../src/core/flow/identity.ts'
import { classEnd, pod } from '../../support/observed-edges.ts'
import { createRandom } from '../../support/random.ts'

function group(identities: readonly Identity[]): string[] {
  const index = groupWorkloads(identities, compileLabelRules(identities))
  return index.workloads.map((w) => `${w.display} ${JSON.stringify(w.labelSets)}`)
}

function byPodName(identity: Identity): Identity {
  return createIdentity({ ...identity, workloadEvidence: 'pod-name' })
}

describe('label rules', () => {
  test('per-instance and per-release labels are not identity; instance and release are', () => {
    const rules = compileLabelRules([])
    const all = {
      app: 'web', 'pod-template-hash': '6b687c8dcb', 'controller-revision-hash': 'x', 'helm.sh/chart': 'web-1.2', 'app.kubernetes.io/version': '1',
      'statefulset.kubernetes.io/pod-name': 'db-0', 'batch.kubernetes.io/job-completion-index': '0', 'failure-domain.beta.kubernetes.io/zone': 'a',
      'workflows.argoproj.io/workflow': 'w', 'io.cilium.k8s.policy.cluster': 'c', 'app.kubernetes.io/instance': 'one', release: 'r',
    }
    expect(rules.identityLabels(all)).toEqual({ app: 'web', 'app.kubernetes.io/instance': 'one', release: 'r' })
  })

  test('values that look generated are never identity, plain values of the same key are', () => {
    const rules = compileLabelRules([pod('shop/web', { build: '6b687c8dcb' }), pod('shop/api', { build: 'stable' })])
    expect(rules.identityLabels({ app: 'web', build: '6b687c8dcb' })).toEqual({ app: 'web' })
    expect(rules.identityLabels({ app: 'api', build: 'stable' })).toEqual({ app: 'api', build: 'stable' })
  })

  test('a label that names the application is identity whatever it looks like', () => {
    expect(compileLabelRules([pod('shop/web', { app: '12345678' })]).identityLabels({ app: '12345678', k8s: '12345678' })).toEqual({ app: '12345678' })
  })

  test('a key counts as one that tells workloads apart unless a generated value of it was seen', () => {
    const rules = compileLabelRules([pod('shop/web', { app: '12345678', build: '6b687c8dcb', tier: 'a' }), pod('shop/api', { build: 'stable' })])
    expect(['app', 'build', 'tier', 'unseen', 'helm.sh/chart'].map((key) => rules.isIdentityKey(key))).toEqual([true, false, true, true, false])
  })

  test.each([
    ['6b687c8dcb', true], ['755cdc7957', true], ['0b0c3a52-8f3f-4b2e-9d53-1f0f6f0f6f0f', true], ['28391234', true], ['catalogue', false],
    ['mysql', false], ['v1', false], ['3f2a9c81d4e0b7aa', true], ['redis-cart', false],
  ])('%s looks generated: %s', (value, expected) => {
    expect(looksGenerated(value)).toBe(expected)
  })
})

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
    expect(group([bare({ app: 'db', zone: 'a' }), bare({ app: 'db', zone: 'b' })])).toEqual(['shop/node (StatefulSet) [{"app":"db","zone":"a"},{"app":"db","zone":"b"}]'])
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
    const { workloads } = groupWorkloads([bare('a'), bare('b')], compileLabelRules([]))
    expect(new Set(workloads.map((w) => w.key)).size).toBe(2)
    expect(workloads.map((w) => w.display)).toEqual(['shop/a', 'shop/b'])
  })

  test('a label set is as well described as the best of its pods', () => {
    const identities = [pod('shop/web', { app: 'web' }, 'intersection'), pod('shop/web', { app: 'web', 'pod-template-hash': 'x' }), pod('shop/web', { app: 'web', tier: 'a' }, 'intersection')]
    expect(groupWorkloads(identities, compileLabelRules([])).workloads.map((w) => w.setQualities)).toEqual([['full', 'intersection']])
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
