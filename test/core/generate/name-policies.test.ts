import { expect, test } from '@jest/globals'
import { compileLabelRules } from '../../../src/core/flow/label-rules.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import type { Identity } from '../../../src/core/flow/identity.ts'
import { namePolicies } from '../../../src/core/generate/name-policies.ts'
import { pod } from '../../support/observed-edges.ts'

function names(...identities: Identity[]): string[] {
  return [...namePolicies(groupWorkloads(identities, compileLabelRules([])).workloads).values()].sort()
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
