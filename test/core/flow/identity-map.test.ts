import { describe, expect, test } from '@jest/globals'
import { buildIdentityMap } from '../../../src/core/flow/identity-map.ts'
import { createIdentity } from '../../../src/core/flow/identity.ts'
import type { Identity } from '../../../src/core/flow/identity.ts'
import { DEFAULT_LABEL_RULES } from '../../../src/core/flow/label-rules.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import { pod } from '../../support/observed-edges.ts'
import { createRandom, rounds } from '../../support/random.ts'

function reasons(identities: readonly Identity[], config = DEFAULT_LABEL_RULES): string[] {
  return buildIdentityMap(identities, config).ignored.map((i) => `${i.namespace} ${i.key}: ${i.reason}`)
}

function group(identities: readonly Identity[]): string[] {
  return groupWorkloads(identities, buildIdentityMap(identities)).workloads.map((w) => `${w.display} ${JSON.stringify(w.labelSets)}`)
}

/** Pods of one controller that differ in one label. */
function each(name: string, labels: Record<string, string>, key: string, values: readonly string[]): Identity[] {
  return values.map((value) => pod(name, { ...labels, [key]: value }))
}

describe('values that look generated', () => {
  test('are never identity; plain values of the same key are', () => {
    const identities = [pod('shop/web', { app: 'web', build: '6b687c8dcb' }), pod('shop/api', { app: 'api', build: 'stable' })]
    const map = buildIdentityMap(identities)
    expect(identities.map((i) => map.identityLabels(i))).toEqual([{ app: 'web' }, { app: 'api', build: 'stable' }])
    expect(reasons(identities)).toEqual(['shop build: values look generated: 6b687c8dcb'])
  })

  test('stay where a label names the application', () => {
    const map = buildIdentityMap([])
    expect(map.identityLabels(pod('shop/web', { app: '12345678', k8s: '12345678' }))).toEqual({ app: '12345678' })
  })

  test('a key counts as one that tells workloads apart unless a generated value of it was seen in the namespace', () => {
    const web = pod('shop/web', { app: '12345678', build: '6b687c8dcb', tier: 'a' })
    const map = buildIdentityMap([web, pod('shop/api', { build: 'stable' })])
    expect(['app', 'build', 'tier', 'unseen', 'helm.sh/chart'].map((key) => map.isIdentityKey(web, key))).toEqual([true, false, true, true, false])
    expect(map.isIdentityKey(pod('store/web', {}), 'build')).toBe(true)
  })

  test('stay where only they tell known controllers apart: tenants named by UID', () => {
    const tenants = ['0b0c3a52-8f3f-4b2e-9d53-1f0f6f0f6f0f', '1c0c3a52-8f3f-4b2e-9d53-1f0f6f0f6f0f'].flatMap((tenant, i) =>
      each(`shop/worker-${i}`, { app: 'worker', tenant }, 'commit', [`${i}1a2b3c4d5e6f`, `${i}2a2b3c4d5e6f`]))
    expect(group(tenants)).toEqual([
      'shop/worker-0 (Deployment) [{"app":"worker","tenant":"0b0c3a52-8f3f-4b2e-9d53-1f0f6f0f6f0f"}]',
      'shop/worker-1 (Deployment) [{"app":"worker","tenant":"1c0c3a52-8f3f-4b2e-9d53-1f0f6f0f6f0f"}]',
    ])
    expect(reasons(tenants)).toEqual([
      'shop commit: values look generated: 01a2b3c4d5e6f',
      'shop tenant: values look generated: 0b0c3a52-8f3f-4b2e-9d53-1f0f6f0f6f0f; kept for controllers that only it tells apart',
    ])
  })
})

describe('keys in which one workload differs', () => {
  test.each([
    ['shard', ['1', '2', '3']], ['node', ['worker-1', 'worker-2']], ['git-sha', ['a1b2c3d', 'd4e5f6a']], ['version', ['v1', 'v2']],
    ['role', ['primary', 'replica']], ['instance-id', ['i-aa1', 'i-bb2']],
  ])('%s is not identity', (key, values) => {
    const identities = each('shop/db:StatefulSet', { app: 'db' }, key, values)
    expect(group(identities)).toEqual(['shop/db (StatefulSet) [{"app":"db"}]'])
    expect(reasons(identities)).toEqual([`shop ${key}: ${values.length} values within one workload: StatefulSet db`])
  })

  test('a naming key stays, and so does one that configuration keeps, or all of them when detection is off', () => {
    const shards = each('shop/db:StatefulSet', { app: 'db' }, 'shard', ['1', '2'])
    expect(reasons(each('shop/db:StatefulSet', { tier: 'x' }, 'name', ['db-0', 'db-1']))).toEqual([])
    expect(reasons(shards, { ...DEFAULT_LABEL_RULES, namespaces: { shop: { ignore: [], keep: ['sh*'] } } })).toEqual([])
    expect(reasons(shards, { ...DEFAULT_LABEL_RULES, detect: false })).toEqual([])
    expect(reasons(shards, { ...DEFAULT_LABEL_RULES, ignore: ['shard'] })).toEqual(['shop shard: configured'])
  })

  test('pods that only share labels are not proven to be one workload', () => {
    expect(reasons(each('shop/', { app: 'db' }, 'shard', ['1', '2', '3', '4']))).toEqual([])
    const hinted = each('shop/db:StatefulSet', { tier: 'x' }, 'shard', ['1', '2']).map((i) => createIdentity({ ...i, workloadEvidence: 'pod-name' }))
    expect(reasons(hinted)).toEqual([])
  })

  test('two releases of one chart stay apart although a third workload differs in the key', () => {
    const releases = ['one', 'two'].map((release) => pod(`shop/${release}-redis`, { chartname: 'redis', release }))
    const api = each('shop/api', { app: 'api' }, 'release', ['r1', 'r2'])
    expect(group([...releases, ...api]).slice(1)).toEqual([
      'shop/one-redis (Deployment) [{"chartname":"redis","release":"one"}]', 'shop/two-redis (Deployment) [{"chartname":"redis","release":"two"}]',
    ])
    expect(reasons([...releases, ...api])).toEqual([])
  })

  test('canary and stable tracks of two Deployments stay apart', () => {
    const tracks = ['canary', 'stable'].map((track) => pod(`shop/web-${track}`, { app: 'web', track }))
    expect(group(tracks)).toHaveLength(2)
    expect(group([...tracks, ...each('shop/api', { app: 'api' }, 'track', ['canary', 'stable'])])).toHaveLength(3)
  })

  test('a role that tells another workload apart stays: the operator moves it, but policies speak of it', () => {
    const db = each('shop/db:StatefulSet', { app: 'db' }, 'role', ['primary', 'replica'])
    expect(group([...db, pod('shop/dump', { app: 'db', role: 'backup' })])).toEqual([
      'shop/db (StatefulSet) [{"app":"db","role":"primary"},{"app":"db","role":"replica"}]', 'shop/dump (Deployment) [{"app":"db","role":"backup"}]',
    ])
  })

  test('a key stays where leaving it out would join pods that nothing proves to be of the controller, or leave no label', () => {
    const shards = each('shop/db:StatefulSet', { app: 'db' }, 'shard', ['1', '2'])
    expect(reasons([...shards, pod('shop/', { app: 'db', shard: '3' })])).toEqual([])
    expect(reasons([...shards, pod('shop/dump', { app: 'db', shard: '3' })])).toEqual([])
    expect(reasons(each('shop/db:StatefulSet', {}, 'shard', ['1', '2']))).toEqual([])
  })

  test('of two keys that tell controllers apart together one stays', () => {
    const mixed = [...each('shop/a', { app: 'x', zone: 'z1' }, 'shard', ['1', '2', '3']), ...each('shop/b', { app: 'x', zone: 'z9' }, 'shard', ['7', '8', '9']),
      pod('shop/a', { app: 'x', zone: 'z2', shard: '1' })]
    expect(reasons(mixed)).toEqual(['shop shard: 3 values within one workload: Deployment a'])
    expect(group(mixed)).toHaveLength(2)
  })

  test('a namespace is judged by itself, and a cluster too', () => {
    const shards = each('shop/db:StatefulSet', { app: 'db' }, 'shard', ['1', '2'])
    const map = buildIdentityMap(shards)
    expect(map.identityLabels(pod('store/db', { app: 'db', shard: '1' }))).toEqual({ app: 'db', shard: '1' })
    expect(map.identityLabels(createIdentity({ ...(shards[0] as Identity), cluster: 'other' }))).toEqual({ app: 'db', shard: '1' })
  })
})

test('short commit hashes of unnamed pods are left out where that joins nothing', () => {
  expect(reasons([pod('shop/', { app: 'a', sha: 'a1b2c3d' }), pod('shop/', { app: 'b', sha: 'd4e5f6a' })])).toEqual(['shop sha: values look like commit hashes: a1b2c3d'])
  expect(reasons([pod('shop/', { app: 'a', sha: 'a1b2c3d' }), pod('shop/', { app: 'a', sha: 'd4e5f6a' })])).toEqual([])
})

test('law: the map is a function of the set, and never joins two known controllers that their labels told apart', () => {
  for (let seed = 1; seed <= rounds({ small: 150, full: 4000 }); seed++) {
    const random = createRandom(seed)
    const values = ['1', '2', 'v7', 'blue', 'green', 'a1b2c3d', '6b687c8dcb', '755cdc7957', '10.0.0.7']
    const identities = Array.from({ length: 3 + random.int(14) }, () => {
      const labels = Object.fromEntries(['app', 'shard', 'track', 'sha'].filter(() => random.chance(0.7)).map((key) => [key, key === 'app' ? random.pick(['x', 'y']) : random.pick(values)]))
      return pod(`n${random.int(2)}/w${random.int(3)}${random.chance(0.3) ? ':StatefulSet' : ''}`, labels)
    })
    const map = buildIdentityMap(identities)
    const shuffled = buildIdentityMap(random.shuffle([...identities, ...identities]))
    expect({ seed, ignored: shuffled.ignored }).toEqual({ seed, ignored: map.ignored })
    for (const a of identities) {
      for (const b of identities) {
        if (a.namespace !== b.namespace || (a.workload?.kind === b.workload?.kind && a.workload?.name === b.workload?.name)) continue
        const left = map.identityLabels(a)
        if (JSON.stringify(a.labels) === JSON.stringify(b.labels) || Object.keys(left).length === 0) continue
        const isJoined = JSON.stringify(left) === JSON.stringify(map.identityLabels(b))
        expect({ seed, a: a.key, b: b.key, isJoined: isJoined && !isToldElsewhere(a, b, identities) }).toEqual({ seed, a: a.key, b: b.key, isJoined: false })
      }
    }
  }
})

/** Some pods of the two controllers already have equal labels: no map can tell those controllers apart. */
function isToldElsewhere(a: Identity, b: Identity, identities: readonly Identity[]): boolean {
  const of = (one: Identity): Set<string> => new Set(identities.filter((i) => i.namespace === one.namespace && i.workload?.name === one.workload?.name && i.workload?.kind === one.workload?.kind).map((i) => JSON.stringify(i.labels)))
  const theirs = of(b)
  return [...of(a)].some((labels) => theirs.has(labels))
}
