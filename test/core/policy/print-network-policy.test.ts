import { describe, expect, test } from '@jest/globals'
import { parseNetworkPolicy } from '../../../src/core/policy/parse-network-policy.ts'
import { canonicalPolicy, policyToObject } from '../../../src/core/policy/print-network-policy.ts'
import { parseYaml } from '../../../src/manifests/parse-documents.ts'
import { printYaml } from '../../../src/manifests/print-manifests.ts'
import { randomWorld } from '../../oracle/random-world.ts'
import { policies, policyOf } from '../../support/ends.ts'
import { createRandom, rounds } from '../../support/random.ts'

describe('printing a policy', () => {
  test('is the inverse of parsing, through plain objects and through YAML', () => {
    for (let seed = 1; seed <= rounds({ small: 100, full: 3_000 }); seed++) {
      for (const object of randomWorld(createRandom(seed)).policies) {
        const policy = policyOf(object)
        const printed = policyToObject(policy)
        expect([seed, parseNetworkPolicy(printed)]).toEqual([seed, { policy }])
        expect([seed, parseYaml(printYaml([printed])).map(policyOf)]).toEqual([seed, [policy]])
      }
    }
  })

  test('has a fixed order of keys, states what is defaulted and keeps what means something though it is empty', () => {
    const [policy] = policies(`
name: shop/p
egress: [{ports: [{}], to: []}, {}]
ingress: [{from: [{podSelector: {}, namespaceSelector: {}}, {ipBlock: {except: [10.1.0.0/16], cidr: 10.0.0.0/8}}]}]
podSelector: {}
`)
    expect(JSON.stringify(policyToObject(policy ?? policyOf(undefined)))).toBe(JSON.stringify({
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'p', namespace: 'shop' },
      spec: {
        podSelector: {},
        policyTypes: ['Ingress', 'Egress'],
        ingress: [{ from: [{ namespaceSelector: {}, podSelector: {} }, { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }] }],
        egress: [{ ports: [{ protocol: 'TCP' }] }, {}],
      },
    }))
  })

  test('sorts labels and annotations', () => {
    const object = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'p', labels: { b: '1', a: '2' }, annotations: { z: '1', y: '2' } }, spec: { podSelector: { matchLabels: { b: '1', a: '2' } } } }
    expect(JSON.stringify(policyToObject(policyOf(object)))).toContain('"labels":{"a":"2","b":"1"},"annotations":{"y":"2","z":"1"}')
    expect(JSON.stringify(policyToObject(policyOf(object)))).toContain('"matchLabels":{"a":"2","b":"1"}')
  })
})

describe('the canonical policy', () => {
  test('is one for policies that differ only in order and repetition', () => {
    const [a, b] = policies(`
name: shop/p
podSelector: {matchExpressions: [{key: a, operator: In, values: [x, y, x]}, {key: b, operator: Exists}]}
ingress:
- {from: [{podSelector: {}}, {namespaceSelector: {}}], ports: [{port: 443}, {port: 80}, {port: dns, protocol: UDP}]}
- {from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.2.0.0/16, 10.1.0.0/16]}}]}
---
name: shop/p
podSelector: {matchExpressions: [{key: b, operator: Exists}, {key: a, operator: In, values: [y, x]}]}
ingress:
- {from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16]}}]}
- {from: [{namespaceSelector: {}}, {podSelector: {}}, {podSelector: {}}], ports: [{port: 80}, {port: dns, protocol: UDP}, {port: 443}]}
- {from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16]}}]}
`)
    if (a === undefined || b === undefined) throw new Error('two policies')
    expect(canonicalPolicy(a)).toEqual(canonicalPolicy(b))
    expect(canonicalPolicy(canonicalPolicy(a))).toEqual(canonicalPolicy(a))
    expect(canonicalPolicy(a).ingress[1]?.ports.map((p) => p.port)).toEqual([80, 443, 'dns'])
  })
})
