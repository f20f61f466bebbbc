import { describe, expect, test } from '@jest/globals'
import { edgeView } from '../../../src/core/flow/edge-view.ts'
import type { AcceptedEdge } from '../../../src/core/generate/accept.ts'
import { coverCells } from '../../../src/core/generate/cover-cells.ts'
import type { Cover } from '../../../src/core/generate/cover-cells.ts'
import { buildIdentityMap } from '../../../src/core/flow/identity-map.ts'
import { groupWorkloads } from '../../../src/core/flow/workloads.ts'
import type { Workload } from '../../../src/core/flow/workloads.ts'
import { classEnd, edge, pod } from '../../support/observed-edges.ts'
import { createRandom, rounds } from '../../support/random.ts'

const db = pod('shop/db', { app: 'db' })
const subject = groupWorkloads([db], buildIdentityMap([])).workloads[0] as Workload

/** A cover of what each outside address, `203.0.113.<i>`, is accepted on: `80/TCP`. */
function coverOf(portsOfPeers: readonly (readonly string[])[]): Cover {
  const accepted = portsOfPeers.flatMap((ports, i) => ports.map((text): AcceptedEdge => {
    const observed = edge(classEnd('external'), db, text, { ips: [`203.0.113.${i}`] })
    return { subject, direction: 'ingress', peer: { kind: 'address', ip: `203.0.113.${i}` }, protocol: observed.protocol, port: observed.port, edge: edgeView(observed), isDnsDenied: false }
  }))
  return coverCells(accepted, () => ({ matchLabels: {}, matchIn: [] }))
}

/** The greedy fooling set by its definition, cell by cell. */
function lowerBoundByDefinition(portsOfPeers: readonly (readonly string[])[]): number {
  const order = (cell: string): number => (cell.endsWith('TCP') ? 0 : 100_000) + parseInt(cell)
  const sets = new Map(portsOfPeers.map((ports) => [...new Set(ports)].sort((a, b) => order(a) - order(b))).map((ports) => [ports.join(), ports]))
  const groups = [...sets.values()].sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1)).sort((a, b) => a.length - b.length)
  const chosen: { cell: string; ports: readonly string[] }[] = []
  for (const ports of groups) {
    const cell = ports.find((c) => chosen.every((other) => !ports.includes(other.cell) || !other.ports.includes(c)))
    if (cell !== undefined) chosen.push({ cell, ports })
  }
  return chosen.length
}

/** The order of rules of equal size: ports as canonical text, TCP then UDP. */
function textOf(cells: readonly string[]): string {
  const rangeText = (protocol: string): string => {
    const ranges: [number, number][] = []
    for (const port of cells.filter((c) => c.endsWith(protocol)).map((c) => parseInt(c))) {
      const last = ranges.at(-1)
      if (last !== undefined && last[1] === port - 1) last[1] = port
      else ranges.push([port, port])
    }
    return ranges.map(([a, b]) => (a === b ? String(a) : `${a}-${b}`)).join()
  }
  return `${rangeText('TCP')}|${rangeText('UDP')}|`
}

describe('covering accepted cells', () => {
  test('one rule for each distinct port set, with exactly its ports', () => {
    const cover = coverOf([['80/TCP', '82/TCP', '81/TCP', '80/TCP', '9/UDP'], ['443/TCP'], ['9/UDP', '80/TCP', '81/TCP', '82/TCP']])
    expect(cover.rules.map((r) => [r.peers.map((p) => (p.kind === 'cidr' ? p.cidr : '')), [...r.ports].map(([protocol, ports]) => `${protocol} ${ports.toString()}`), r.evidence.length])).toEqual([
      [['203.0.113.0/32', '203.0.113.2/32'], ['TCP 80-82', 'UDP 9'], 9], [['203.0.113.1/32'], ['TCP 443'], 1],
    ])
  })

  test('the lower bound is the greedy fooling set, on random port sets', () => {
    let isBelow = 0
    for (let seed = 1; seed <= rounds({ small: 300, full: 10_000 }); seed++) {
      const random = createRandom(seed + 13_000_000)
      const most = 1 + random.int(8)
      const peers = Array.from({ length: 1 + random.int(14) }, () => Array.from({ length: 1 + random.int(most) }, () => `${101 + random.int(6)}/${random.pick(['TCP', 'UDP'])}`))
      const { lowerBound, rules } = coverOf(peers)
      expect({ seed, peers, lowerBound }).toEqual({ seed, peers, lowerBound: lowerBoundByDefinition(peers) })
      if (lowerBound < rules.length) isBelow++
    }
    expect(isBelow).toBeGreaterThan(20)
  })
})
