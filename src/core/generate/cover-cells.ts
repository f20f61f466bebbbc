/**
 * Covers the accepted cells of one (subject, direction) with rules.
 *
 * In: accepted edges. Out: rules whose products peers x ports are exactly the accepted cells plus the declared DNS
 * widening: one rule for each distinct port set, so every cell lies in exactly one rule and nothing can be dropped. A lower bound on
 * the number of rules that any exact cover needs comes with it. Cost: O(cells log cells); the bound at worst O(distinct port sets squared).
 */
import { compareText, sortedBy } from '../base/order.ts'
import type { EdgeView } from '../flow/edge-view.ts'
import { sortEdgeViews } from '../flow/edge-view.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import { parseAddress } from '../sets/address.ts'
import { AddressSet } from '../sets/cidr.ts'
import { PortSet } from '../sets/port-set.ts'
import { DNS_PORT } from './accept.ts'
import type { AcceptedEdge } from './accept.ts'
import type { PeerDraft, PortCells, RuleDraft } from './policy-draft.ts'
import type { ExactSelector } from './select-workload.ts'
import type { Workload } from '../flow/workloads.ts'

/** What the subject may exchange with one peer, and why. */
interface PeerCells {
  readonly peer: AcceptedEdge['peer']
  readonly ports: Map<Protocol, PortSet>
  readonly evidence: EdgeView[]
  /** False where DNS over the other protocol was seen to be denied. */
  readonly mayWidenDns: boolean
}

export interface Cover {
  readonly rules: readonly RuleDraft[]
  /** No exact cover has fewer rules. */
  readonly lowerBound: number
  /** True when DNS over the other protocol was added. */
  readonly hasDnsWidening: boolean
  /** What verification expects, by workload key or address text. */
  readonly cells: ReadonlyMap<string, PortCells>
}

export function peerKey(peer: AcceptedEdge['peer']): string {
  return peer.kind === 'workload' ? `workload ${peer.workload.key}` : `address ${peer.ip}`
}

/** `accepted` holds one subject and direction only; `selectorOf` knows every workload peer that got this far. */
export function coverCells(accepted: readonly AcceptedEdge[], selectorOf: (w: Workload) => ExactSelector): Cover {
  const byPeer = collectCells(accepted)
  const hasDnsWidening = widenDns([...byPeer.values()])
  const byPorts = new Map<string, PeerCells[]>()
  for (const cells of byPeer.values()) {
    const key = portsKey(cells.ports)
    const group = byPorts.get(key)
    if (group === undefined) byPorts.set(key, [cells])
    else group.push(cells)
  }
  const groups = [...byPorts.entries()].sort((a, b) => compareText(a[0], b[0])).map(([, group]) => group)
  const rules = groups.map((group) => toRule(group, selectorOf))
  const cells = new Map([...byPeer.entries()].map(([key, c]) => [key, c.ports]))
  return { rules: sortedBy(rules, ruleOrder), lowerBound: foolingSetSize(groups), hasDnsWidening, cells }
}

function collectCells(accepted: readonly AcceptedEdge[]): Map<string, PeerCells> {
  const edgesOf = new Map<string, AcceptedEdge[]>()
  for (const edge of accepted) {
    const key = peerKey(edge.peer)
    const edges = edgesOf.get(key)
    if (edges === undefined) edgesOf.set(key, [edge])
    else edges.push(edge)
  }
  return new Map([...edgesOf].map(([key, edges]) => [key, { peer: (edges[0] as AcceptedEdge).peer, ports: portsOf(edges), evidence: edges.map((e) => e.edge), mayWidenDns: edges.every((e) => !e.isDnsDenied) }]))
}

function portsOf(edges: readonly AcceptedEdge[]): Map<Protocol, PortSet> {
  const numbers = new Map<Protocol, { start: number; end: number }[]>()
  for (const { protocol, port } of edges) {
    const known = numbers.get(protocol)
    if (known === undefined) numbers.set(protocol, [{ start: port, end: port }])
    else known.push({ start: port, end: port })
  }
  return new Map([...numbers].map(([protocol, intervals]) => [protocol, PortSet.from(intervals)]))
}

/** DNS answers over UDP's size limit are asked again over TCP: seeing one protocol to a DNS server admits both (declared), unless the other was denied. */
function widenDns(cells: readonly PeerCells[]): boolean {
  let hasWidened = false
  for (const { ports, mayWidenDns } of cells) {
    if (!mayWidenDns) continue
    const udp = ports.get('UDP') ?? PortSet.empty
    const tcp = ports.get('TCP') ?? PortSet.empty
    if (udp.has(DNS_PORT) === tcp.has(DNS_PORT)) continue
    ports.set('UDP', udp.union(PortSet.of(DNS_PORT)))
    ports.set('TCP', tcp.union(PortSet.of(DNS_PORT)))
    hasWidened = true
  }
  return hasWidened
}

function portsKey(ports: PortCells): string {
  return PROTOCOLS.map((p) => ports.get(p)?.toString() ?? '').join('|')
}

function toRule(group: readonly PeerCells[], selectorOf: (w: Workload) => ExactSelector): RuleDraft {
  const pods = group.flatMap((c): PeerDraft[] => (c.peer.kind === 'workload' ? [{ kind: 'pods', workload: c.peer.workload, selector: selectorOf(c.peer.workload) }] : []))
  const addresses = group.flatMap(({ peer }) => (peer.kind === 'address' ? (parseAddress(peer.ip) ?? []) : []))
  const blocks = AddressSet.fromAddresses(addresses).toCidrs().map((cidr): PeerDraft => ({ kind: 'cidr', cidr: cidr.text }))
  return {
    peers: [...sortedBy(pods, peerOrder), ...blocks],
    ports: (group[0] as PeerCells).ports,
    evidence: sortEdgeViews(group.flatMap((c) => c.evidence), (e) => e),
  }
}

function peerOrder(peer: PeerDraft): string {
  return peer.kind === 'cidr' ? `1${peer.cidr}` : `0${peer.workload.namespace}\u0000${JSON.stringify(peer.selector)}`
}

/** Rules to pods first; then by their first peer and ports, so that a new peer moves as little as possible. */
function ruleOrder(rule: RuleDraft): string {
  return `${peerOrder(rule.peers[0] as PeerDraft)}\u0000${portsKey(rule.ports)}`
}

interface Cell {
  readonly protocol: Protocol
  readonly port: number
}

/**
 * A fooling set: cells of which no two can share a rule, because the rule would also admit a cell that is not accepted.
 * Peers with equal port sets can always share a rule, so one peer of each group stands for all. Greedy, hence a lower bound.
 */
function foolingSetSize(groups: readonly (readonly PeerCells[])[]): number {
  const chosen: (Cell & { readonly ports: PortCells })[] = []
  const byCell = new Map<string, PortCells>()
  const bySize = groups.map((g) => (g[0] as PeerCells).ports).map((ports) => ({ ports, size: cellCount(ports) })).sort((a, b) => a.size - b.size)
  for (const { ports, size } of bySize) {
    // Only a chosen cell that these ports hold can share a rule with one of them; look from the shorter list.
    const sharing = size < chosen.length
      ? cellsOf(ports).flatMap((c) => byCell.get(cellKey(c)) ?? [])
      : chosen.filter((c) => ports.get(c.protocol)?.has(c.port) === true).map((c) => c.ports)
    const cell = firstCellOutside(ports, sharing)
    if (cell === undefined) continue
    chosen.push({ ports, ...cell })
    byCell.set(cellKey(cell), ports)
  }
  return Math.max(chosen.length, groups.length > 0 ? 1 : 0)
}

const cellKey = ({ protocol, port }: Cell): string => `${protocol} ${port}`

function cellCount(ports: PortCells): number {
  return PROTOCOLS.reduce((n, p) => n + (ports.get(p)?.size ?? 0), 0)
}

function cellsOf(ports: PortCells): Cell[] {
  return PROTOCOLS.flatMap((protocol) => (ports.get(protocol)?.intervals ?? []).flatMap(({ start, end }) =>
    Array.from({ length: end - start + 1 }, (_, i) => ({ protocol, port: start + i }))))
}

/** The first cell of `ports`, by protocol and port, that none of the others holds. */
function firstCellOutside(ports: PortCells, others: readonly PortCells[]): Cell | undefined {
  for (const protocol of PROTOCOLS) {
    let left = ports.get(protocol) ?? PortSet.empty
    for (const other of others) {
      if (left.isEmpty) break
      left = left.subtract(other.get(protocol) ?? PortSet.empty)
    }
    const first = left.intervals[0]
    if (first !== undefined) return { protocol, port: first.start }
  }
  return undefined
}
