import { describe, expect, test } from '@jest/globals'
import { evaluateConnection } from '../../../src/core/evaluate/evaluate-connection.ts'
import type { CompiledPolicies } from '../../../src/core/evaluate/compile.ts'
import type { Connection, EvalEnd } from '../../../src/core/evaluate/eval-end.ts'
import { buildSnapshot } from '../../../src/core/cluster/build-snapshot.ts'
import { compiled, endOf, outside, pod } from '../../support/ends.ts'

/** Rows of the trap checklist (shared/semantics/SEMANTICS.md §8) that concern NetworkPolicy; the row number opens each name. */

function verdict(policies: CompiledPolicies, from: EvalEnd, to: EvalEnd, rest: Partial<Connection> = {}): string {
  return evaluateConnection(policies, { from, to, protocol: 'TCP', port: 80, ...rest }).verdict
}

const WEB = pod('shop/web', { app: 'web' }, { ips: ['10.0.0.1'] })
const DB = pod('shop/db', { app: 'db' }, { ips: ['10.0.0.2'] })
const CRON = pod('ops/cron', { app: 'cron' }, { ips: ['10.0.1.1'], namespaceLabels: { team: 'ops' } })
const WORLD = outside('203.0.113.7')

describe('defaults', () => {
  test('1: egress rules without policyTypes isolate ingress too, with nothing admitted', () => {
    const p = compiled('{name: shop/p, podSelector: {}, egress: [{}]}')
    expect(verdict(p, DB, WORLD)).toBe('allowed')
    expect(verdict(p, CRON, DB)).toBe('denied')
  })

  test('2: an empty egress list without policyTypes leaves egress open, with the type Egress it denies all', () => {
    expect(verdict(compiled('{name: shop/p, podSelector: {}, egress: []}'), DB, WORLD)).toBe('allowed')
    expect(verdict(compiled('{name: shop/p, podSelector: {}, egress: [], policyTypes: [Egress]}'), DB, WORLD)).toBe('denied')
  })

  test('3: one empty rule admits everybody on every port, an empty list nobody', () => {
    const open = compiled('{name: shop/p, podSelector: {}, ingress: [{}]}')
    expect([verdict(open, WORLD, DB), verdict(open, CRON, DB, { protocol: 'SCTP', port: 9 })]).toEqual(['allowed', 'allowed'])
    expect(verdict(compiled('{name: shop/p, podSelector: {}, ingress: []}'), CRON, DB)).toBe('denied')
  })

  test('empty and absent peers or ports mean all of them', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [], ports: []}]}')
    expect(verdict(p, WORLD, DB, { protocol: 'UDP', port: 53 })).toBe('allowed')
  })
})

describe('peers and selectors', () => {
  test('5: both selectors in one peer must hold, in two peers either is enough', () => {
    const and = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: web}}}]}]}')
    const or = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}, {podSelector: {matchLabels: {app: web}}}]}]}')
    expect([verdict(and, CRON, DB), verdict(and, WEB, DB)]).toEqual(['denied', 'denied'])
    expect([verdict(or, CRON, DB), verdict(or, WEB, DB)]).toEqual(['allowed', 'allowed'])
  })

  test('6: the empty podSelector means the pods of the policy\'s namespace and nobody outside', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}')
    expect([verdict(p, WEB, DB), verdict(p, CRON, DB), verdict(p, WORLD, DB)]).toEqual(['allowed', 'denied', 'denied'])
  })

  test('the empty namespaceSelector means every pod, but no address outside', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}')
    expect([verdict(p, CRON, DB), verdict(p, WORLD, DB), verdict(p, endOf('node', '10.9.0.1'), DB)]).toEqual(['allowed', 'denied', 'denied'])
  })

  test('7: NotIn and DoesNotExist match a pod without the key', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [x]}]}}]}]}')
    expect([verdict(p, WEB, DB), verdict(p, pod('shop/x', { tier: 'x' }), DB), verdict(p, pod('shop/bare'), DB)]).toEqual(['allowed', 'denied', 'allowed'])
  })

  test('8: an empty value is not a missing key', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: ""}}}]}]}')
    expect([verdict(p, pod('shop/x', { app: '' }), DB), verdict(p, pod('shop/x', {}), DB)]).toEqual(['allowed', 'denied'])
  })

  test('a label named like a member of every object is only a label', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: constructor, operator: Exists}]}}]}]}')
    expect(verdict(p, WEB, DB)).toBe('denied')
  })

  test('28: the namespace name label is injected and overrides a contradicting value', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}]}]}')
    expect(verdict(p, CRON, DB)).toBe('allowed')
    expect(verdict(p, pod('web/x', {}, { namespaceLabels: { 'kubernetes.io/metadata.name': 'ops' } }), DB)).toBe('denied')
  })

  test('27: a namespace that is not in the input is uncertain under another label, and the label is named', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}]}]}')
    const result = evaluateConnection(p, { from: pod('lost/x', {}, { namespaceLabelsComplete: false }), to: DB, protocol: 'TCP', port: 80 })
    expect(result.verdict).toBe('uncertain')
    expect(result.missing).toEqual(['label "team" of namespace lost'])
  })
})

describe('ports', () => {
  test('9: one empty ports entry means all of TCP and nothing else', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{ports: [{}]}]}')
    expect([verdict(p, WEB, DB, { port: 65_535 }), verdict(p, WEB, DB, { protocol: 'UDP' })]).toEqual(['allowed', 'denied'])
  })

  test('10: a protocol without port means all ports of that protocol', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{ports: [{protocol: SCTP}]}]}')
    expect([verdict(p, WEB, DB, { protocol: 'SCTP', port: 7 }), verdict(p, WEB, DB)]).toEqual(['allowed', 'denied'])
  })

  test('11: a named port resolves on the destination pod, by name and protocol, for both directions', () => {
    const ingress = compiled('{name: shop/p, podSelector: {}, ingress: [{ports: [{port: http}]}]}')
    const at8080 = pod('shop/a', {}, { namedPorts: [{ name: 'http', port: 8080, protocol: 'TCP' }] })
    const at9090 = pod('shop/b', {}, { namedPorts: [{ name: 'http', port: 9090, protocol: 'TCP' }] })
    const udp = pod('shop/c', {}, { namedPorts: [{ name: 'http', port: 8080, protocol: 'UDP' }] })
    expect([at8080, at9090, udp, DB].map((to) => verdict(ingress, CRON, to, { port: 8080 }))).toEqual(['allowed', 'denied', 'denied', 'denied'])
    const egress = compiled('{name: ops/p, podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}')
    expect([at8080, at9090].map((to) => verdict(egress, CRON, to, { port: 9090 }))).toEqual(['denied', 'allowed'])
    expect(verdict(egress, CRON, WORLD, { port: 8080 })).toBe('denied')
  })

  test('11: unknown named ports are uncertain, and only where they can change the result', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{ports: [{port: http}, {port: 443}]}]}')
    const unknown = pod('shop/x', {}, { namedPorts: undefined })
    const result = evaluateConnection(p, { from: CRON, to: unknown, protocol: 'TCP', port: 8080 })
    expect([result.verdict, result.missing]).toEqual(['uncertain', ['named ports of shop/x']])
    expect(verdict(p, CRON, unknown, { port: 443 })).toBe('allowed')
    expect(verdict(p, CRON, unknown, { protocol: 'UDP', port: 8080 })).toBe('denied')
  })

  test('12: endPort includes both ends', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{ports: [{port: 100, endPort: 200}]}]}')
    expect([99, 100, 200, 201].map((port) => verdict(p, WEB, DB, { port }))).toEqual(['denied', 'allowed', 'allowed', 'denied'])
  })

  test('an unknown port is uncertain unless every port of the protocol, or none, is admitted', () => {
    const some = compiled('{name: shop/p, podSelector: {}, ingress: [{ports: [{port: 80}]}]}')
    const result = evaluateConnection(some, { from: WEB, to: DB, protocol: 'TCP', port: 0 })
    expect([result.verdict, result.missing]).toEqual(['uncertain', ['port of the connection']])
    expect(verdict(some, WEB, DB, { protocol: 'UDP', port: 0 })).toBe('denied')
    const all = compiled('{name: shop/p, podSelector: {}, ingress: [{ports: [{port: 1, endPort: 100}]}, {ports: [{port: 101, endPort: 65535}]}]}')
    expect(verdict(all, WEB, DB, { port: 0 })).toBe('allowed')
  })
})

describe('addresses', () => {
  const exceptOffice = `
name: shop/p
podSelector: {}
policyTypes: [Egress]
egress:
- to: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.0/28]}}]
`

  test('13: an exception subtracts only inside its own peer; another rule may admit it again', () => {
    expect(verdict(compiled(exceptOffice), DB, outside('203.0.113.7'))).toBe('denied')
    expect(verdict(compiled(exceptOffice), DB, outside('203.0.113.77'))).toBe('allowed')
    expect(verdict(compiled(`${exceptOffice}- to: [{ipBlock: {cidr: 203.0.113.7/32}}]`), DB, outside('203.0.113.7'))).toBe('allowed')
  })

  test('14: whether a block matches pods is an option', () => {
    const yaml = '{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.1.0/24}}]}]}'
    expect(verdict(compiled(yaml), CRON, DB)).toBe('allowed')
    expect(verdict(compiled(yaml, { ipBlockMatchesPods: false }), CRON, DB)).toBe('denied')
  })

  test('15: 0.0.0.0/0 does not cover IPv6, nor ::/0 IPv4', () => {
    const v4 = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}')
    const v6 = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: "::/0"}}]}]}')
    const [four, six] = [outside('203.0.113.7'), outside('2001:db8::7')]
    expect([verdict(v4, four, DB), verdict(v4, six, DB), verdict(v6, four, DB), verdict(v6, six, DB)]).toEqual(['allowed', 'denied', 'denied', 'allowed'])
  })

  test('35: host bits of a block are masked', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.10.1.12/24}}]}]}')
    expect([verdict(p, outside('10.10.1.200'), DB), verdict(p, outside('10.10.2.12'), DB)]).toEqual(['allowed', 'denied'])
  })

  test('an unknown outside address is uncertain under a block, unless the blocks cover both families', () => {
    const one = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}')
    const result = evaluateConnection(one, { from: outside(), to: DB, protocol: 'TCP', port: 80 })
    expect([result.verdict, result.missing]).toEqual(['allowed', []])
    const hidden = pod('shop/db', { app: 'db' })
    const open = evaluateConnection(one, { from: outside(), to: hidden, protocol: 'TCP', port: 80 })
    expect([open.verdict, open.missing]).toEqual(['uncertain', ['address of external']])
    const both = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: "::/0"}}]}]}')
    expect(verdict(both, outside(), hidden)).toBe('allowed')
    const twoRules = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}, {from: [{ipBlock: {cidr: "::/0"}}]}]}')
    expect(verdict(twoRules, outside(), hidden)).toBe('allowed')
  })

  test('a dual-stack pod matches by the family that the connection uses', () => {
    const p = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}')
    const dual = pod('ops/dual', {}, { ips: ['10.0.1.7', 'fd00::7'] })
    expect(verdict(p, dual, pod('shop/four', {}, { ips: ['10.0.0.9'] }))).toBe('allowed')
    expect(verdict(p, dual, pod('shop/six', {}, { ips: ['fd00::9'] }))).toBe('denied')
    const result = evaluateConnection(p, { from: dual, to: pod('shop/both', {}, { ips: ['10.0.0.9', 'fd00::9'] }), protocol: 'TCP', port: 80 })
    expect([result.verdict, result.missing]).toEqual(['uncertain', ['which address of ops/dual']])
  })
})

describe('special ends', () => {
  const denyAll = compiled('{name: shop/deny, podSelector: {}, policyTypes: [Ingress, Egress]}')

  test('16: both sides are judged and reported apart', () => {
    const p = compiled('{name: shop/in, podSelector: {matchLabels: {app: db}}}\n---\n{name: ops/out, podSelector: {}, policyTypes: [Egress]}')
    const result = evaluateConnection(p, { from: CRON, to: DB, protocol: 'TCP', port: 80 })
    expect([result.egress.verdict, result.egress.selectedBy, result.ingress.verdict, result.ingress.selectedBy]).toEqual(['denied', ['ops/out'], 'denied', ['shop/in']])
  })

  test('21: pods on the host network are never selected, and matched only by their address', () => {
    const onHost = pod('shop/agent', { app: 'web' }, { ips: ['192.168.0.4'], hostNetwork: true })
    expect(verdict(denyAll, CRON, onHost)).toBe('allowed')
    const selecting = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}')
    const byAddress = compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.168.0.0/24}}]}]}', { ipBlockMatchesPods: false })
    expect([verdict(selecting, onHost, DB), verdict(byAddress, onHost, DB)]).toEqual(['denied', 'allowed'])
  })

  test('22: probes from the pod\'s own node are always admitted; another node is an address like any other', () => {
    expect(verdict(denyAll, endOf('host'), DB)).toBe('allowed')
    expect(verdict(denyAll, endOf('node', '192.168.0.5'), DB)).toBe('denied')
    expect(verdict(denyAll, endOf('host', '192.168.0.5'), DB, { isOwnNode: false })).toBe('denied')
    expect(evaluateConnection(denyAll, { from: endOf('host'), to: DB, protocol: 'TCP', port: 80 }).ingress.exempt).toBe('own-node')
  })

  test('23: a terminated pod is not part of the cluster, so its address may be another pod\'s', () => {
    const podObject = (name: string, phase: string): unknown => ({ kind: 'Pod', metadata: { name, namespace: 'shop' }, status: { phase, podIP: '10.0.0.9' } })
    const { snapshot } = buildSnapshot([podObject('done', 'Succeeded'), podObject('crashed', 'Failed'), podObject('fresh', 'Running')])
    expect(snapshot.pods.map((p) => p.name)).toEqual(['fresh'])
  })

  test('24: a pod cannot block access to itself, though it can to its siblings', () => {
    expect(verdict(denyAll, DB, DB, { isSameEndpoint: true })).toBe('allowed')
    expect(verdict(denyAll, DB, DB)).toBe('denied')
  })

  test('29: ports of sidecars, which are restartable init containers, count as named ports', () => {
    const { snapshot } = buildSnapshot([{
      kind: 'Pod',
      metadata: { name: 'p', namespace: 'shop' },
      spec: {
        initContainers: [{ restartPolicy: 'Always', ports: [{ name: 'mesh', containerPort: 15_020 }] }, { ports: [{ name: 'setup', containerPort: 1 }] }],
        containers: [{ ports: [{ containerPort: 53, protocol: 'UDP' }] }],
      },
    }])
    expect(snapshot.pods[0]?.ports).toEqual([{ containerPort: 53, protocol: 'UDP' }, { name: 'mesh', containerPort: 15_020, protocol: 'TCP' }])
  })

  test('an unnamed pod is uncertain wherever a policy could select or admit it', () => {
    const unknown: EvalEnd = { ...endOf('unknown'), display: 'unknown workload' }
    const result = evaluateConnection(denyAll, { from: unknown, to: CRON, protocol: 'TCP', port: 80 })
    expect([result.verdict, result.missing]).toEqual(['uncertain', ['identity of unknown workload']])
    expect(verdict(denyAll, unknown, DB)).toBe('denied')
    expect(verdict(compiled('{name: shop/p, podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}'), unknown, DB)).toBe('uncertain')
    expect(verdict(compiled('{name: shop/p, podSelector: {}, ingress: [{ports: [{port: 80}]}]}'), unknown, DB)).toBe('allowed')
  })
})
