import { describe, expect, test } from '@jest/globals'
import { admittedAddresses, admittedPorts } from '../../../src/core/evaluate/admitted.ts'
import type { AdmittedCell, PortsByProtocol } from '../../../src/core/evaluate/admitted.ts'
import { AdmittedUniverse } from '../../../src/core/evaluate/admitted-universe.ts'
import { compilePolicies } from '../../../src/core/evaluate/compile.ts'
import type { EvalEnd, NamedPort } from '../../../src/core/evaluate/eval-end.ts'
import type { EndKind, Labels } from '../../../src/core/flow/end.ts'
import type { Protocol } from '../../../src/core/flow/flow-record.ts'
import { AddressSet } from '../../../src/core/sets/cidr.ts'
import { compiled, endOf, ip, pod, policyOf } from '../../support/ends.ts'
import { createRandom, rounds } from '../../support/random.ts'
import type { Random } from '../../support/random.ts'
import { ADDRESSES, randomWorld } from '../../oracle/random-world.ts'
import type { OracleEnd } from '../../oracle/evaluate-oracle.ts'

const portsText = (p: PortsByProtocol): string => `${p.TCP.toString()} ${p.UDP.toString()} ${p.SCTP.toString()}`
const cellsText = (cells: readonly AdmittedCell[]): string => cells.map((c) => `${c.protocol} ${c.ports.toString()} ${c.addresses.toString()}`).join('\n')

/** A known end, of which some facts are taken away again. */
function endFrom(random: Random, end: OracleEnd): EvalEnd {
  const namedPorts = end.namedPorts.map((n): NamedPort => ({ ...n, protocol: n.protocol as Protocol }))
  const ips = random.shuffle(ADDRESSES).slice(0, random.int(3)).map(ip)
  const isComplete = random.chance(0.8)
  return {
    ...end, kind: end.kind as EndKind, labelsComplete: () => isComplete, namespaceLabelsComplete: random.chance(0.8),
    ips, ...(random.chance(0.2) ? { possibleAddresses: AddressSet.fromAddresses([ip(random.pick(ADDRESSES))]) } : {}),
    namedPorts: random.chance(0.1) ? undefined : namedPorts, hostNetwork: random.chance(0.1), display: `${end.namespace}/pod`,
  }
}

/** The ends of several worlds, twins of them with other namespace labels, and one of each other kind. */
function randomEnds(random: Random): EvalEnd[] {
  const ends = Array.from({ length: 2 }, () => randomWorld(random).ends).flat().map((end) => endFrom(random, end))
  const twins = ends.filter(() => random.chance(0.2)).map((end): EvalEnd => {
    const namespaceLabels: Labels = { ...end.namespaceLabels, a: random.pick(['x', 'y', '']), ...(random.chance(0.3) ? { 'kubernetes.io/metadata.name': 'n2' } : {}) }
    return { ...end, namespaceLabels }
  })
  return random.shuffle([...ends, ...twins, endOf('unknown'), { ...endOf('unknown', '10.0.0.4'), namespace: 'n1' }, endOf('external'), endOf('kube-apiserver', '192.0.2.9')])
}

describe('the universe answers what single pairs do', () => {
  test('on random policies and ends: isolation, selecting policies, ports of every pair, outside addresses', () => {
    let pairs = 0
    let admitting = 0
    let restricted = 0
    for (let seed = 1; seed <= rounds({ small: 80, full: 800 }); seed++) {
      const random = createRandom(seed + 11_000_000)
      const policies = Array.from({ length: 3 }, () => randomWorld(random).policies).flat()
        .map((p, i) => ({ ...(p as object), metadata: { ...(p as { metadata: object }).metadata, name: `p${i}` } }))
      const ends = randomEnds(random)
      const ipBlockMatchesPods = random.chance(0.5)
      const single = compilePolicies(policies.map(policyOf), { ipBlockMatchesPods })
      const universe = new AdmittedUniverse(compilePolicies(policies.map(policyOf), { ipBlockMatchesPods }), ends)
      for (const [s, subject] of ends.entries()) {
        for (const direction of ['ingress', 'egress'] as const) {
          const got = universe.admittedPeers(s, direction)
          const outside = [cellsText(universe.admittedAddresses(s, direction)), cellsText(admittedAddresses(single, { subject, direction }))]
          const fail = (what: string): never => {
            throw new Error(`seed ${seed} ${direction} ${what}\nipBlockMatchesPods = ${ipBlockMatchesPods}\nsubject = ${JSON.stringify(subject, asText)}\npolicies = ${JSON.stringify(policies)}`)
          }
          if (outside[0] !== outside[1]) fail(`outside: ${outside.join(' but single: ')}`)
          for (const [p, peer] of ends.entries()) {
            const want = admittedPorts(single, { subject, direction, peer })
            const have = got.isIsolated ? got.ports.get(p) : want.ports
            const haveText = have === undefined ? '- - -' : portsText(have)
            const isEqual = got.isIsolated === want.isIsolated && got.selectedBy.join() === want.selectedBy.join() && haveText === portsText(want.ports)
            if (!isEqual) fail(`peer ${JSON.stringify(peer, asText)}\nwant ${portsText(want.ports)} by ${want.selectedBy.join()}\ngot ${haveText} by ${got.selectedBy.join()}`)
            pairs++
            if (want.isIsolated && haveText === '- - -') restricted++
            else if (want.isIsolated) admitting++
          }
        }
      }
    }
    expect(pairs).toBeGreaterThan(50_000)
    expect(Math.min(admitting, restricted)).toBeGreaterThan(5_000)
  }, 600_000)

  test('only ends that a rule matches are in the answer', () => {
    const ends = [pod('shop/db', { app: 'db' }), pod('shop/web', { app: 'web' }), pod('other/web', { app: 'web' }), endOf('external', '203.0.113.7')]
    const universe = new AdmittedUniverse(compiled(`
name: shop/a
podSelector: {matchLabels: {app: db}}
ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, web, cache]}]}}, {ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 5432}]}]
`, { ipBlockMatchesPods: false }), ends)
    const { isIsolated, ports } = universe.admittedPeers(0, 'ingress')
    expect([isIsolated, [...ports].map(([i, p]) => `${i}: ${portsText(p)}`)]).toEqual([true, ['1: 5432 - -', '3: 5432 - -']])
    expect(universe.admittedPeers(0, 'egress')).toEqual({ isIsolated: false, ports: new Map(), selectedBy: [] })
    expect(universe.admittedPeers(1, 'ingress').isIsolated).toBe(false)
  })
})

/** Addresses hold bigints. */
function asText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
