import { expect, test } from '@jest/globals'
import type { IdentityFields } from '../../../src/core/flow/identity.ts'
import { IdentityCache } from '../../../src/core/normalize/identity-cache.ts'

function fields(name: string, label = 'x'): IdentityFields {
  return { kind: 'pod', cluster: 'c1', namespace: 'shop', labels: { app: name, label }, namespaceLabels: {}, labelQuality: 'full', workload: null, workloadEvidence: 'none', name: '' }
}

test('equal identities are one object', () => {
  const cache = new IdentityCache('c1')
  expect(cache.intern(fields('web'))).toBe(cache.intern(fields('web')))
  expect(cache.intern(fields('web'))).not.toBe(cache.intern(fields('db')))
})

test('those in use stay the same through any number of others, and memory holds two generations at most', () => {
  const cache = new IdentityCache('c1', { identities: 100, characters: 1e9 })
  const web = cache.intern(fields('web'))
  for (let i = 0; i < 10_000; i++) {
    cache.intern(fields(`other-${i}`))
    if (i % 50 === 0) expect(cache.intern(fields('web'))).toBe(web)
  }
  expect(cache.size).toBeLessThanOrEqual(200)
})

test('huge label sets are bounded by their size, not by their number', () => {
  const cache = new IdentityCache('c1', { identities: 100_000, characters: 1_000_000 })
  for (let i = 0; i < 1000; i++) cache.intern(fields(`other-${i}`, 'x'.repeat(50_000)))
  expect(cache.size).toBeLessThanOrEqual(40)
  expect(cache.intern(fields('web'))).toBe(cache.intern(fields('web')))
})

test('a key longer than a generation is taken all the same', () => {
  const cache = new IdentityCache('c1', { identities: 10, characters: 100 })
  expect(cache.intern(fields('web', 'x'.repeat(500))).labels.label).toHaveLength(500)
})
