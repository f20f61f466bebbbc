import { compareText, sortedBy } from '../base/order.ts'
import { AddressSet } from '../sets/cidr.ts'
import { PortSet } from '../sets/port-set.ts'

/** Addresses x ports. */
export interface AddressCell {
  readonly addresses: AddressSet
  readonly ports: PortSet
}

/**
 * The union of products as cells: addresses disjoint, ports distinct, none empty; sorted by addresses.
 * One sweep over the bounds of each family. Cost: O(n log n) in the intervals, times the number of parts that overlap.
 */
export function disjointCells(parts: readonly AddressCell[]): AddressCell[] {
  const merged = mergeByPorts(parts)
  const v4 = sweep(merged, 'v4')
  const v6 = sweep(merged, 'v6')
  const cells = [...new Map([...v4, ...v6])].map(([text, { ports }]) => ({
    ports, addresses: AddressSet.fromIntervals(v4.get(text)?.intervals ?? [], v6.get(text)?.intervals ?? []),
  }))
  return sortedBy(cells, (cell) => cell.addresses.toString())
}

/** Addresses of equal ports together; nothing empty. */
function mergeByPorts(parts: readonly AddressCell[]): AddressCell[] {
  const byPorts = new Map<string, AddressCell[]>()
  for (const part of parts) {
    if (part.addresses.isEmpty || part.ports.isEmpty) continue
    const key = part.ports.toString()
    const known = byPorts.get(key)
    if (known === undefined) byPorts.set(key, [part])
    else known.push(part)
  }
  return [...byPorts].sort((a, b) => compareText(a[0], b[0])).map(([, group]) => ({
    ports: (group[0] as AddressCell).ports,
    addresses: AddressSet.fromIntervals(group.flatMap((p) => p.addresses.v4), group.flatMap((p) => p.addresses.v6)),
  }))
}

interface Stretches {
  readonly ports: PortSet
  readonly intervals: { start: bigint; end: bigint }[]
}

/** The stretches of one family by the text of the ports that hold all along them. */
function sweep(parts: readonly AddressCell[], family: 'v4' | 'v6'): Map<string, Stretches> {
  const bounds = parts.flatMap(({ addresses }, part) => addresses[family].flatMap(({ start, end }) => [{ at: start, part }, { at: end + 1n, part }]))
    .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
  const byPorts = new Map<string, Stretches>()
  const byActive = new Map<string, Stretches>()
  const active = new Set<number>()
  const current = (): Stretches => {
    const key = [...active].sort((a, b) => a - b).join()
    let stretches = byActive.get(key)
    if (stretches === undefined) {
      const ports = unionPorts([...active].map((i) => (parts[i] as AddressCell).ports))
      stretches = byPorts.get(ports.toString()) ?? { ports, intervals: [] }
      byPorts.set(ports.toString(), stretches)
      byActive.set(key, stretches)
    }
    return stretches
  }
  let from = 0n
  for (const { at, part } of bounds) {
    if (at > from && active.size > 0) current().intervals.push({ start: from, end: at - 1n })
    from = at
    // The intervals of one part are apart: its bounds begin and end it in turn.
    if (!active.delete(part)) active.add(part)
  }
  return byPorts
}

function unionPorts(sets: readonly PortSet[]): PortSet {
  return sets.length === 1 ? sets[0] as PortSet : PortSet.from(sets.flatMap((s) => s.intervals))
}
