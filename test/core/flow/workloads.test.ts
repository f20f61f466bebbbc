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

  test('a key whose every value looks generated is not identity; one plain value keeps it', () => {
    const hashed = pod('shop/web', { app: 'web', build: '6b687c8dcb' })
    expect(compileLabelRules([hashed]).isIdentityKey('build')).toBe(false)
    expect(compileLabelRules([hashed, pod('shop/api', { build: 'stable' })]).isIdentityKey('build')).toBe(true)
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
    const derived = createIdentity({ ...pod('shop/aaa', { app: 'web' }, 'identity-subset'), workloadEvidence: 'pod-name' })
    expect(group([derived, pod('shop/web', { app: 'web' })])).toEqual(['shop/web (Deployment) [{"app":"web"}]'])
  })

  test('the result does not depend on the order of identities', () => {
    const random = createRandom(7)
    const identities = Array.from({ length: 60 }, () =>
      pod(`ns${random.int(2)}/w${random.int(6)}${random.chance(0.3) ? ':StatefulSet' : ''}`, random.chance(0.2) ? {} : { app: `a${random.int(5)}`, tier: `t${random.int(3)}` }, random.pick(['full', 'identity-subset', 'none'] as const)))
    const expected = group([...identities, classEnd('external')])
    for (let i = 0; i < 20; i++) expect(group(random.shuffle(identities))).toEqual(expected)
  })
})
