import { describe, expect, test } from '@jest/globals'
import { disjointCells } from '../../../src/core/evaluate/address-cells.ts'
import type { AddressCell } from '../../../src/core/evaluate/address-cells.ts'
import { parseCidr, AddressSet } from '../../../src/core/sets/cidr.ts'
import type { Cidr } from '../../../src/core/sets/cidr.ts'
import { PortSet } from '../../../src/core/sets/port-set.ts'
import { createRandom, rounds } from '../../support/random.ts'
import { ip } from '../../support/ends.ts'

function part(cidrs: string, ...ports: number[]): AddressCell {
  const addresses = cidrs === '' ? [] : cidrs.split(',').map((text) => parseCidr(text) as Cidr)
  return { addresses: AddressSet.fromCidrs(addresses), ports: PortSet.from(ports.map((p) => ({ start: p, end: p }))) }
}

const texts = (cells: readonly AddressCell[]): string[] => cells.map((c) => `${c.addresses.toString()} on ${c.ports.toString()}`)

describe('disjoint cells', () => {
  test('a block inside a block, the last addresses of both families, empty parts', () => {
    const cells = disjointCells([part('255.255.255.252/30,::/0', 443), part('255.255.255.255/32', 80), part('8000::/1', 443, 80), part('', 1), part('10.0.0.0/8')])
    expect(texts(cells)).toEqual(['255.255.255.252/31,255.255.255.254/32,::/1 on 443', '255.255.255.255/32,8000::/1 on 80,443'])
  })

  test('neighbours of equal ports are one cell, also where different parts make them up', () => {
    expect(texts(disjointCells([part('10.0.0.0/25', 1, 2), part('10.0.0.128/25', 1), part('10.0.0.128/25', 2)]))).toEqual(['10.0.0.0/24 on 1-2'])
  })

  test('on random parts: each address has the ports of all parts that hold it, in one cell', () => {
    for (let seed = 1; seed <= rounds({ small: 200, full: 5_000 }); seed++) {
      const random = createRandom(seed + 12_000_000)
      const parts = Array.from({ length: random.int(6) }, () =>
        part(Array.from({ length: random.int(4) }, () => (random.chance(0.5) ? `10.0.0.${random.int(16)}/${28 + random.int(5)}` : `fd00::${random.int(9)}/${124 + random.int(5)}`)).join(), ...Array.from({ length: random.int(3) }, () => 1 + random.int(3))))
      const cells = disjointCells(parts)
      const context = { seed, parts: texts(parts), cells: texts(cells) }
      expect({ ...context, distinct: new Set(cells.map((c) => c.ports.toString())).size, empty: cells.some((c) => c.ports.isEmpty || c.addresses.isEmpty) })
        .toEqual({ ...context, distinct: cells.length, empty: false })
      for (const address of [...Array.from({ length: 18 }, (_, i) => ip(`10.0.0.${i}`)), ...Array.from({ length: 17 }, (_, i) => ip(`fd00::${i.toString(16)}`))]) {
        const want = parts.filter((p) => p.addresses.has(address)).reduce((all, p) => all.union(p.ports), PortSet.empty)
        const here = cells.filter((c) => c.addresses.has(address))
        expect({ ...context, address: address.text, ports: here.map((c) => c.ports.toString()) })
          .toEqual({ ...context, address: address.text, ports: want.isEmpty ? [] : [want.toString()] })
      }
    }
  })
})
