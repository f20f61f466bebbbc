import { describe, expect, test } from '@jest/globals'
import { admittedAddresses, admittedPorts } from '../../../src/core/evaluate/admitted.ts'
import type { AdmittedCell } from '../../../src/core/evaluate/admitted.ts'
import { evaluateConnection } from '../../../src/core/evaluate/evaluate-connection.ts'
import { compilePolicies } from '../../../src/core/evaluate/compile.ts'
import { addressOf } from '../../../src/core/sets/address.ts'
import { compiled, ip, outside, pod, policyOf } from '../../support/ends.ts'
import { createRandom, rounds } from '../../support/random.ts'
import { ADDRESSES, randomWorld } from '../../oracle/random-world.ts'

const WEB = pod('shop/web', { app: 'web' })
const DB = pod('shop/db', { app: 'db' })

function cells(found: readonly AdmittedCell[]): string[] {
  return found.map((c) => `${c.protocol} ${c.ports.toString()} ${c.addresses.toString()}`)
}

describe('admitted ports', () => {
  test('the union over rules and policies; labels count as complete', () => {
    const p = compiled(`
{name: shop/a, podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}, {protocol: UDP, port: 53, endPort: 55}]}]}
---
{name: shop/b, podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 81}]}]}
`)
    const { isIsolated, ports, selectedBy } = admittedPorts(p, { subject: DB, direction: 'ingress', peer: pod('shop/web', { app: 'web' }, { completeKeys: [] }) })
    expect([isIsolated, ports.TCP.toString(), ports.UDP.toString(), ports.SCTP.toString(), selectedBy]).toEqual([true, '80-81', '53-55', '-', ['shop/a', 'shop/b']])
  })

  test('everything when not isolated', () => {
    const { isIsolated, ports } = admittedPorts(compiled('{name: shop/a, podSelector: {}}'), { subject: DB, direction: 'egress', peer: WEB })
    expect([isIsolated, ports.TCP.isAll, ports.UDP.isAll, ports.SCTP.isAll]).toEqual([false, true, true, true])
  })

  test('named ports are those that the destination declares', () => {
    const p = compiled('{name: shop/a, podSelector: {}, ingress: [{ports: [{port: http}, {port: 9}]}]}')
    const subject = pod('shop/x', {}, { namedPorts: [{ name: 'http', port: 8080, protocol: 'TCP' }, { name: 'http', port: 53, protocol: 'UDP' }] })
    expect(admittedPorts(p, { subject, direction: 'ingress', peer: WEB }).ports.TCP.toString()).toBe('9,8080')
    expect(admittedPorts(p, { subject: DB, direction: 'ingress', peer: WEB }).ports.TCP.toString()).toBe('9')
  })
})

describe('admitted addresses', () => {
  test('cells of equal ports are one, overlaps carry the union of ports', () => {
    const p = compiled(`
name: shop/a
podSelector: {}
policyTypes: [Egress]
egress:
- {to: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 443}]}
- {to: [{ipBlock: {cidr: 203.0.113.0/25}}], ports: [{port: 80}]}
- {to: [{ipBlock: {cidr: 198.51.100.0/24}}], ports: [{port: 443}]}
- {to: [{podSelector: {}}]}
`)
    expect(cells(admittedAddresses(p, { subject: DB, direction: 'egress' }))).toEqual([
      'TCP 443 198.51.100.0/24,203.0.113.128/25', 'TCP 80,443 203.0.113.0/25',
    ])
  })

  test('a rule without peers admits every address of both families', () => {
    const p = compiled('{name: shop/a, podSelector: {}, ingress: [{ports: [{port: 443}]}]}')
    expect(cells(admittedAddresses(p, { subject: DB, direction: 'ingress' }))).toEqual(['TCP 443 0.0.0.0/0,::/0'])
  })

  test('nothing when isolated without address rules, everything when not isolated', () => {
    const p = compiled('{name: shop/a, podSelector: {}}')
    expect(cells(admittedAddresses(p, { subject: DB, direction: 'ingress' }))).toEqual([])
    expect(cells(admittedAddresses(p, { subject: DB, direction: 'egress' }))).toEqual(['TCP 1-65535 0.0.0.0/0,::/0', 'UDP 1-65535 0.0.0.0/0,::/0', 'SCTP 1-65535 0.0.0.0/0,::/0'])
  })

  test('agree with the verdicts of single outside addresses, and are disjoint', () => {
    for (let seed = 1; seed <= rounds({ small: 40, full: 1_000 }); seed++) {
      const random = createRandom(seed + 9_000_000)
      const world = randomWorld(random)
      const p = compilePolicies(world.policies.map(policyOf))
      const subject = pod('n1/x', { a: random.pick(['x', 'y', '']) }, { namedPorts: [{ name: 'http', port: 80, protocol: 'TCP' }] })
      for (const direction of ['ingress', 'egress'] as const) {
        const found = admittedAddresses(p, { subject, direction })
        for (const address of [...ADDRESSES.map(ip), addressOf(4, 0n), addressOf(6, 0n)]) {
          for (const protocol of ['TCP', 'UDP', 'SCTP'] as const) {
            const here = found.filter((c) => c.protocol === protocol && c.addresses.has(address))
            expect(here.length).toBeLessThanOrEqual(1)
            for (const port of [1, 53, 80, 82, 8080, 65_535]) {
              const [from, to] = direction === 'ingress' ? [outside(address.text), subject] : [subject, outside(address.text)]
              const side = evaluateConnection(p, { from, to, protocol, port })[direction].verdict
              const isAdmitted = here[0]?.ports.has(port) ?? false
              if (isAdmitted !== (side !== 'denied')) throw new Error(`seed ${seed} ${direction} ${address.text} ${protocol} ${port}: ${side}\n${JSON.stringify(world.policies)}`)
            }
          }
        }
      }
    }
  }, 120_000)
})
