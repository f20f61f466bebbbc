import { describe, expect, test } from '@jest/globals'
import { compilePolicies } from '../../../src/core/evaluate/compile.ts'
import type { EvalEnd } from '../../../src/core/evaluate/eval-end.ts'
import { evaluateConnection } from '../../../src/core/evaluate/evaluate-connection.ts'
import { explainSide, explainText } from '../../../src/core/evaluate/explain.ts'
import type { ConnectionVerdict } from '../../../src/core/evaluate/verdict.ts'
import { canonicalPolicy } from '../../../src/core/policy/print-network-policy.ts'
import { AddressSet, parseCidr } from '../../../src/core/sets/cidr.ts'
import type { Cidr } from '../../../src/core/sets/cidr.ts'
import { compiled, endOf, outside, pod, policies } from '../../support/ends.ts'
import { createRandom } from '../../support/random.ts'

const WEB = pod('shop/web', { app: 'web' }, { ips: ['10.0.0.1'] })
const DB = pod('shop/db', { app: 'db' }, { ips: ['10.0.0.2'] })
const CRON = pod('ops/cron', { app: 'cron' }, { ips: ['10.0.1.1'] })

function judge(yaml: string, from: EvalEnd, to: EvalEnd, port = 5432): ConnectionVerdict {
  return evaluateConnection(compiled(yaml), { from, to, protocol: 'TCP', port })
}

const DB_FROM_WEB = '{name: shop/db, podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}'

describe('union of policies', () => {
  test('policies are judged together: what one denies another may admit', () => {
    const yaml = `{name: shop/a-deny, podSelector: {}}\n---\n${DB_FROM_WEB}`
    const result = judge(yaml, WEB, DB)
    expect(result.verdict).toBe('allowed')
    expect(result.ingress).toEqual({ verdict: 'allowed', selectedBy: ['shop/a-deny', 'shop/db'], maybeSelectedBy: [], rule: { policy: 'shop/db', index: 0 }, missing: [] })
  })

  test('the order of policies changes nothing', () => {
    const all = policies(`{name: shop/b, podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}\n---\n${DB_FROM_WEB}\n---\n{name: shop/a, podSelector: {}}`)
    const random = createRandom(7)
    const first = evaluateConnection(compilePolicies(all), { from: WEB, to: DB, protocol: 'TCP', port: 5432 })
    for (let i = 0; i < 10; i++) expect(evaluateConnection(compilePolicies(random.shuffle(all)), { from: WEB, to: DB, protocol: 'TCP', port: 5432 })).toEqual(first)
  })

  test('a policy in canonical form means the same', () => {
    const [policy] = policies(DB_FROM_WEB)
    const result = evaluateConnection(compilePolicies(policy === undefined ? [] : [canonicalPolicy(policy)]), { from: WEB, to: DB, protocol: 'TCP', port: 5432 })
    expect(result.verdict).toBe('allowed')
  })

  test('a policy on one end only leaves the other side open', () => {
    const onlyServer = judge(DB_FROM_WEB, CRON, DB)
    expect([onlyServer.egress.verdict, onlyServer.ingress.verdict, onlyServer.verdict]).toEqual(['not-isolated', 'denied', 'denied'])
    const onlyClient = judge('{name: ops/out, podSelector: {}, policyTypes: [Egress]}', CRON, DB)
    expect([onlyClient.egress.verdict, onlyClient.ingress.verdict, onlyClient.verdict]).toEqual(['denied', 'not-isolated', 'denied'])
  })

  test('policies of other namespaces select nothing here', () => {
    expect(judge('{name: ops/deny, podSelector: {}}', WEB, DB).verdict).toBe('allowed')
  })
})

describe('explanation', () => {
  test('the nearest rule says what differs', () => {
    const differs = (from: EvalEnd, port: number, protocol: 'TCP' | 'UDP' = 'TCP'): string | undefined =>
      evaluateConnection(compiled(DB_FROM_WEB), { from, to: DB, protocol, port }).ingress.nearest?.differs
    expect(differs(WEB, 80)).toBe('port')
    expect(differs(WEB, 53, 'UDP')).toBe('protocol')
    expect(differs(CRON, 5432)).toBe('peer')
    expect(differs(CRON, 80)).toBe('peer and port')
    expect(differs(pod('ops/web', { app: 'web' }), 5432)).toBe('namespace')
    expect(judge('{name: shop/deny, podSelector: {}}', WEB, DB).ingress.nearest).toEqual({ policy: 'shop/deny', index: -1, differs: 'no rules' })
  })

  test('of several rules the one with the smallest difference is named', () => {
    const result = judge(`${DB_FROM_WEB}\n---\n{name: shop/a, podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: x}}}]}, {ports: [{port: 1}]}]}`, CRON, DB)
    expect(result.ingress.nearest).toEqual({ policy: 'shop/a', index: 1, differs: 'port' })
  })

  test('texts name the ends, the policies and the rule', () => {
    expect(explainText(judge(DB_FROM_WEB, CRON, DB))).toBe(
      'ops/cron -> shop/db TCP 5432: denied. Egress is allowed: no policy isolates it. '
      + 'Ingress is denied: selected by shop/db; no rule admits it, the nearest is shop/db ingress[0], which differs in peer.')
    expect(explainText(judge(DB_FROM_WEB, WEB, DB))).toBe(
      'shop/web -> shop/db TCP 5432: allowed. Egress is allowed: no policy isolates it. Ingress is allowed by shop/db ingress[0].')
    expect(explainSide('ingress', judge('{name: shop/deny, podSelector: {}}', WEB, DB).ingress)).toBe('Ingress is denied: selected by shop/deny; shop/deny has no ingress rules.')
    expect(explainSide('ingress', judge('{name: shop/deny, podSelector: {}}', endOf('host'), DB).ingress)).toBe('Ingress is allowed: traffic from a pod\'s own node is always allowed.')
  })

  test('an uncertain verdict says what is missing', () => {
    const part = pod('shop/part', { app: 'db' }, { completeKeys: [] })
    const result = judge('{name: shop/p, podSelector: {matchLabels: {role: x}}, policyTypes: [Ingress]}', WEB, part)
    expect(result.missing).toEqual(['label "role" of shop/part'])
    expect(explainText(result)).toBe(
      'shop/web -> shop/part TCP 5432: uncertain. Egress is allowed: no policy isolates it. '
      + 'Ingress is uncertain: maybe selected by shop/p; not known: label "role" of shop/part. Missing: label "role" of shop/part.')
  })
})

describe('uncertain only where what is missing can change the result', () => {
  const part = pod('shop/part', { app: 'web' }, { completeKeys: ['tier'] })

  test('labels that are known decide: a satisfied matchLabels, In or Exists is certain', () => {
    expect(judge(DB_FROM_WEB, part, DB).verdict).toBe('allowed')
    expect(judge('{name: shop/p, podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}], policyTypes: [Ingress]}', part, DB).verdict).toBe('denied')
  })

  test('a key whose absence is certain is no reason for doubt', () => {
    const byTier = (operator: string): string => judge(`{name: shop/p, podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchExpressions: [{key: tier, operator: ${operator}}]}}]}]}`, part, DB).verdict
    expect([byTier('Exists'), byTier('DoesNotExist')]).toEqual(['denied', 'allowed'])
  })

  test('rules that together take every value leave no doubt', () => {
    const yaml = `
name: shop/p
podSelector: {matchLabels: {app: db}}
ingress:
- from: [{podSelector: {matchExpressions: [{key: role, operator: In, values: [a]}]}}]
- from: [{podSelector: {matchExpressions: [{key: role, operator: NotIn, values: [a]}]}}]
`
    const result = judge(yaml, part, DB)
    expect([result.verdict, result.missing, result.ingress.rule?.policy]).toEqual(['allowed', [], 'shop/p'])
  })

  test('requirements that contradict each other match nothing, known or not', () => {
    const yaml = '{name: shop/p, podSelector: {matchExpressions: [{key: role, operator: Exists}, {key: role, operator: DoesNotExist}]}, policyTypes: [Ingress]}'
    expect(judge(yaml, WEB, pod('shop/x', {}, { completeKeys: [] })).ingress.verdict).toBe('not-isolated')
  })

  test('only what decides is named', () => {
    const both = '{name: shop/p, podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {role: a, zone: z}}}]}, {from: [{podSelector: {matchLabels: {role: a}}}]}]}'
    expect(judge(both, part, DB).missing).toEqual(['label "role" of shop/part'])
  })

  test('a denial on one side is certain whatever the other side is', () => {
    const yaml = '{name: shop/p, podSelector: {matchLabels: {role: x}}, policyTypes: [Egress]}\n---\n{name: ops/deny, podSelector: {}, policyTypes: [Ingress]}'
    const result = judge(yaml, part, CRON)
    expect([result.verdict, result.egress.verdict, result.missing]).toEqual(['denied', 'uncertain', []])
  })

  test('an address that is known to lie in some networks is certain outside them', () => {
    const yaml = '{name: shop/p, podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]}'
    const networks = AddressSet.fromCidr(parseCidr('10.0.0.0/16') as Cidr)
    expect(judge(yaml, DB, pod('ops/x', {})).verdict).toBe('uncertain')
    expect(judge(yaml, DB, { ...pod('ops/x', {}), possibleAddresses: networks }).verdict).toBe('denied')
  })

  test('kinds without addresses are matched by rules without peers, and by blocks only maybe', () => {
    const block = '{name: shop/p, podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}'
    expect(judge(block, DB, endOf('kube-apiserver')).missing).toEqual(['address of kube-apiserver'])
    expect(judge('{name: shop/p, podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}', DB, endOf('kube-apiserver')).verdict).toBe('denied')
    expect(judge('{name: shop/p, podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 5432}]}]}', DB, endOf('ingress')).verdict).toBe('allowed')
    expect(judge(block, DB, outside('10.1.1.1')).verdict).toBe('allowed')
  })

  test('too much that is not known stays uncertain instead of taking for ever', () => {
    const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
    const rules = keys.map((k) => `{from: [{podSelector: {matchExpressions: [{key: ${k}, operator: In, values: [a, b, c]}]}}]}`).join(', ')
    const result = judge(`{name: shop/p, podSelector: {matchLabels: {app: db}}, ingress: [${rules}]}`, part, DB)
    expect([result.verdict, result.missing.length]).toEqual(['uncertain', 12])
  })
})
