import { describe, expect, test } from '@jest/globals'
import { buildIdentityMap } from '../../../src/core/flow/identity-map.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import type { Identity } from '../../../src/core/flow/identity.ts'
import type { Labels } from '../../../src/core/flow/end.ts'
import { isLabelKey, isLabelValue, selectWorkloads } from '../../../src/core/generate/select-workload.ts'
import { pod } from '../../support/observed-edges.ts'
import { createRandom, rounds } from '../../support/random.ts'

/** The selector of the first identity's workload among the others, as text. */
function selectorOf(first: Identity, ...others: Identity[]): string {
  const index = groupWorkloads([first, ...others], buildIdentityMap([first, ...others]))
  const workload = index.of(first)
  if (workload === undefined) return 'none'
  const selector = selectWorkloads(index.workloads).get(workload.key)
  if (selector === undefined) return 'none'
  return [...Object.entries(selector.matchLabels).map(([k, v]) => `${k}=${v}`), ...selector.matchIn.map((t) => `${t.key} in (${t.values.join(',')})`)].join(' ')
}

describe('choosing a selector', () => {
  test('one preferred key is enough where it is unique', () => {
    expect(selectorOf(pod('shop/web', { tier: 'front', app: 'web', team: 'a' }), pod('shop/api', { tier: 'front', app: 'api' }))).toBe('app=web')
  })

  test('two releases of one chart are told apart by instance, never by chart or version', () => {
    const labels = (instance: string): Labels => ({ 'app.kubernetes.io/name': 'redis', 'app.kubernetes.io/instance': instance, 'helm.sh/chart': 'redis-1' })
    expect(selectorOf(pod('shop/one', labels('one')), pod('shop/two', labels('two')))).toBe('app.kubernetes.io/instance=one')
  })

  test('as few keys as select exactly: two where no single one does', () => {
    expect(selectorOf(pod('s/a', { app: 'x', tier: 'db' }), pod('s/b', { app: 'x', tier: 'web' }), pod('s/c', { app: 'y', tier: 'db' }))).toBe('app=x tier=db')
  })

  test('differing label sets of one workload need `In`', () => {
    expect(selectorOf(pod('s/a', { app: 'x', track: 'stable' }), pod('s/a', { app: 'x', track: 'canary' }), pod('s/b', { app: 'x', track: 'batch' })))
      .toBe('app=x track in (canary,stable)')
  })

  test('a qualifying key never stands alone where a naming key exists', () => {
    expect(selectorOf(pod('s/a', { app: 'reviews', version: 'v2' }), pod('s/b', { app: 'reviews', version: 'v1' }))).toBe('app=reviews version=v2')
  })

  test('labels that are a subset of another workload\'s select too much and are refused', () => {
    expect(selectorOf(pod('s/a', { app: 'x' }), pod('s/b', { app: 'x', tier: 'web' }))).toBe('none')
  })

  test('an unlabelled pod is never selected by an empty selector', () => {
    expect(selectorOf(pod('s/a', {}))).toBe('none')
    expect(selectorOf(pod('s/a', { 'pod-template-hash': '6b687c8dcb' }))).toBe('none')
  })

  test('labels that Kubernetes would refuse are not used', () => {
    expect(selectorOf(pod('s/a', { 'app name': 'x', app: 'a b', ok: 'yes' }))).toBe('ok=yes')
    expect([isLabelKey('a/b/c'), isLabelKey('-a'), isLabelKey(`a/${'x'.repeat(64)}`), isLabelKey('example.com/app')]).toEqual([false, false, false, true])
    expect([isLabelValue(''), isLabelValue('x'.repeat(64)), isLabelValue('a_b.c-d')]).toEqual([true, false, true])
  })

  test('law: a chosen selector matches every label set of the workload and none of the others', () => {
    for (let seed = 1; seed <= rounds({ small: 300, full: 10_000 }); seed++) {
      const random = createRandom(seed)
      const identities = Array.from({ length: 2 + random.int(6) }, (_, i) =>
        pod(`s/w${Math.floor(i / 2)}`, Object.fromEntries(['app', 'tier', 'zone', 'x'].filter(() => random.chance(0.7)).map((k) => [k, `v${random.int(3)}`]))))
      const index = groupWorkloads(identities, buildIdentityMap([]))
      const selectors = selectWorkloads(index.workloads)
      for (const workload of index.workloads) {
        const others = index.workloads.filter((w) => w !== workload).flatMap((w) => w.labelSets)
        const selector = selectors.get(workload.key)
        if (selector === undefined) continue
        const matches = (labels: Labels): boolean =>
          Object.entries(selector.matchLabels).every(([k, v]) => labels[k] === v) && selector.matchIn.every((t) => t.values.includes(labels[t.key] ?? ''))
        const wrong = { seed, workload: workload.labelSets, others, selector }
        expect({ ...wrong, own: workload.labelSets.every(matches), foreign: others.some(matches) }).toEqual({ ...wrong, own: true, foreign: false })
        expect(Object.keys(selector.matchLabels).length + selector.matchIn.length).toBeGreaterThan(0)
      }
    }
  })
})
