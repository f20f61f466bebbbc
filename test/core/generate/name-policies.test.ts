import { expect, test } from '@jest/globals'
import { buildIdentityMap } from '../../../src/core/flow/identity-map.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import { createIdentity } from '../../../src/core/flow/identity.ts'
import type { Identity } from '../../../src/core/flow/identity.ts'
import { namePolicies } from '../../../src/core/generate/name-policies.ts'
import { LAYER_NAMES } from '../../../src/core/generate/namespace-layers.ts'
import { subdomainProblem } from '../../../src/core/policy/label-syntax.ts'
import { pod } from '../../support/observed-edges.ts'
import { createRandom, rounds } from '../../support/random.ts'

function names(...identities: Identity[]): string[] {
  return [...namePolicies(groupWorkloads(identities, buildIdentityMap([])).workloads).values()].sort()
}

test('a Deployment and a StatefulSet of one name get different names', () => {
  expect(names(pod('s/db', { a: '1' }), pod('s/db:StatefulSet', { a: '2' }))).toEqual(['db-deployment', 'db-statefulset'])
})

test('the same name in two namespaces needs no suffix', () => {
  expect(names(pod('a/web', { a: '1' }), pod('b/web', { a: '1' }))).toEqual(['web-deployment', 'web-deployment'])
})

test('names from hostile logs become DNS names with a suffix that keeps them apart', () => {
  const [first, second] = names(pod('s/We_b\u001b[31m', { a: '1' }), pod('s/we-b [31m', { a: '2' }))
  expect(first).toMatch(/^we-b-31m-deployment-[0-9a-f]{8}$/)
  expect(second).toMatch(/^we-b-31m-deployment-[0-9a-f]{8}$/)
  expect(first).not.toBe(second)
})

test('over-long names are cut to what Kubernetes takes', () => {
  const [name = ''] = names(pod(`s/${'x'.repeat(300)}`, { a: '1' }))
  expect(name.length).toBeLessThanOrEqual(253)
  expect(name).toMatch(/^x+-[0-9a-f]{8}$/)
})

test('the names of namespace layers are never given to a workload', () => {
  const [name] = names(pod('s/default-deny:Egress', { a: '1' }))
  expect(name).toMatch(/^default-deny-egress-[0-9a-f]{8}$/)
})

test('an altered name does not take a suffix away from, or give one to, the name it looks like', () => {
  expect(names(pod('s/we-b', { a: '1' }), pod('s/we_b', { a: '2' }))).toEqual(['we-b-deployment', expect.stringMatching(/^we-b-deployment-[0-9a-f]{8}$/)])
})

test('a new label set renames nothing', () => {
  const first = pod('s/My_App', { app: 'a' })
  expect(names(first, pod('s/My_App', { app: 'a', v: '2' }))).toEqual(names(first))
})

test('workloads of one kind and name, told apart by labels only, get different names', () => {
  const bare = (app: string): Identity => createIdentity({ ...pod('s/node:StatefulSet', { app }), workloadEvidence: 'pod-name' })
  const given = names(bare('a'), bare('b'))
  expect(new Set(given).size).toBe(2)
  for (const name of given) expect(name).toMatch(/^node-statefulset-[0-9a-f]{8}$/)
})

test('law: names are unique in a namespace and valid, whatever the log says', () => {
  for (let seed = 1; seed <= rounds({ small: 200, full: 5000 }); seed++) {
    const random = createRandom(seed)
    const part = (): string => Array.from({ length: 1 + random.int(3) }, () => random.pick(['a', '-', '.', 'Z', '_', 'é', '0', 'allow', 'dns', 'default-deny'])).join('')
    const identities = Array.from({ length: 2 + random.int(12) }, (_, i) =>
      createIdentity({ ...pod(`s/${part()}:${random.pick(['Deployment', 'Egress', 'dns', 'StatefulSet'])}`, { app: `a${i % 4}` }), workloadEvidence: random.pick(['record', 'pod-name']) }))
    const { workloads } = groupWorkloads(identities, buildIdentityMap([]))
    const given = [...namePolicies(workloads).values()]
    const problems = given.filter((name) => subdomainProblem(name) !== undefined || LAYER_NAMES.has(name))
    expect({ seed, count: new Set(given).size, problems }).toEqual({ seed, count: workloads.length, problems: [] })
    expect(namePolicies([...workloads].reverse())).toEqual(namePolicies(workloads))
  }
})
