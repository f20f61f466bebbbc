/**
 * Covers the accepted cells of one (subject, direction) with rules.
 *
 * In: accepted edges. Out: rules whose products peers x ports are exactly the accepted cells plus the declared DNS
 * widening: one rule for each distinct port set, so every cell lies in exactly one rule and nothing can be dropped. A lower bound on
 * the number of rules that any exact cover needs comes with it. Cost: O(cells), the bound O(distinct port sets squared x ports).
 */
import { compareText, sortedBy } from '../base/order.ts'
import type { EdgeView } from '../flow/edge-view.ts'
import { sortEdgeViews } from '../flow/edge-view.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import { parseAddress } from '../sets/address.ts'
import { AddressSet } from '../sets/cidr.ts'
import { PortSet } from '../sets/port-set.ts'
import type { AcceptedEdge } from './accept.ts'
import type { PeerDraft, PortCells, RuleDraft } from './policy-draft.ts'
import type { ExactSelector } from './select-workload.ts'
import type { Workload } from '../flow/workloads.ts'

export const DNS_PORT = 53

/** What the subject may exchange with one peer, and why. */
interface PeerCells {
  readonly peer: AcceptedEdge['peer']
  readonly ports: Map<Protocol, PortSet>
  readonly evidence: EdgeView[]
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
    byPorts.set(key, [...(byPorts.get(key) ?? []), cells])
  }
  const groups = [...byPorts.entries()].sort((a, b) => compareText(a[0], b[0])).map(([, group]) => group)
  const rules = groups.map((group) => toRule(group, selectorOf))
  const cells = new Map([...byPeer.entries()].map(([key, c]) => [key, c.ports]))
  return { rules: sortedBy(rules, ruleOrder), lowerBound: foolingSetSize(groups), hasDnsWidening, cells }
}

function collectCells(accepted: readonly AcceptedEdge[]): Map<string, PeerCells> {
  const byPeer = new Map<string, PeerCells>()
  for (const edge of accepted) {
    const key = peerKey(edge.peer)
    let cells = byPeer.get(key)
    if (cells === undefined) {
      cells = { peer: edge.peer, ports: new Map(), evidence: [] }
      byPeer.set(key, cells)
    }
    cells.ports.set(edge.protocol, (cells.ports.get(edge.protocol) ?? PortSet.empty).union(PortSet.of(edge.port)))
    cells.evidence.push(edge.edge)
  }
  return byPeer
}

/** DNS answers over UDP's size limit are asked again over TCP: seeing one protocol to a DNS server admits both (declared). */
function widenDns(cells: readonly PeerCells[]): boolean {
  let hasWidened = false
  for (const { ports } of cells) {
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

/**
 * A fooling set: cells of which no two can share a rule, because the rule would also admit a cell that is not accepted.
 * Peers with equal port sets can always share a rule, so one peer of each group stands for all. Greedy, hence a lower bound.
 */
function foolingSetSize(groups: readonly (readonly PeerCells[])[]): number {
  const chosen: { readonly ports: PortCells; readonly protocol: Protocol; readonly port: number }[] = []
  const cellsOf = groups.map((g) => (g[0] as PeerCells).ports).sort((a, b) => cellCount(a) - cellCount(b))
  for (const ports of cellsOf) {
    const cell = firstCell(ports, (protocol, port) => chosen.every((c) => !admits(ports, c.protocol, c.port) || !admits(c.ports, protocol, port)))
    if (cell !== undefined) chosen.push({ ports, ...cell })
  }
  return Math.max(chosen.length, groups.length > 0 ? 1 : 0)
}

const admits = (ports: PortCells, protocol: Protocol, port: number): boolean => ports.get(protocol)?.has(port) ?? false

function cellCount(ports: PortCells): number {
  return PROTOCOLS.reduce((n, p) => n + (ports.get(p)?.intervals ?? []).reduce((m, { start, end }) => m + end - start + 1, 0), 0)
}

function firstCell(ports: PortCells, fits: (protocol: Protocol, port: number) => boolean): { protocol: Protocol; port: number } | undefined {
  for (const protocol of PROTOCOLS) {
    for (const { start, end } of ports.get(protocol)?.intervals ?? []) {
      for (let port = start; port <= end; port++) if (fits(protocol, port)) return { protocol, port }
    }
  }
  return undefined
}
