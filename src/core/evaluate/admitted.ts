/**
 * What policies admit on one side, as sets: for proving that generated policies are sound and tight.
 *
 * In: compiled policies, a subject, a direction, and a peer (or the whole outside). Out: ports per protocol, or cells of
 * ports x addresses. Labels and namespace labels count as complete; named ports resolve to what the destination declares,
 * to nothing where that is unknown; an address that is not known is matched only by rules that take every address.
 */
import type { Protocol } from '../flow/flow-record.ts'
import { PROTOCOLS } from '../flow/flow-record.ts'
import type { Direction } from '../policy/network-policy.ts'
import { compareText, sortedBy } from '../base/order.ts'
import { AddressSet } from '../sets/cidr.ts'
import { PortSet } from '../sets/port-set.ts'
import type { CompiledPolicies } from './compile.ts'
import { isPolicedPod } from './end-state.ts'
import type { EvalEnd } from './eval-end.ts'
import { ruleContext } from './evaluate-side.ts'
import { matchPeers } from './match-rule.ts'
import type { CompiledPolicy, CompiledPorts } from './policy-index.ts'

export interface AdmittedPorts {
  readonly isIsolated: boolean
  /** Everything when not isolated. */
  readonly ports: Readonly<Record<Protocol, PortSet>>
  /** `ns/name`, sorted. */
  readonly selectedBy: readonly string[]
}

export interface AdmittedQuery {
  readonly subject: EvalEnd
  readonly direction: Direction
  /** For an outside peer `ips` holds one representative address. */
  readonly peer: EvalEnd
}

const ALL_PORTS: Readonly<Record<Protocol, PortSet>> = { TCP: PortSet.all, UDP: PortSet.all, SCTP: PortSet.all }

/** The ports on which the subject's policies admit the peer in one direction. */
export function admittedPorts(compiled: CompiledPolicies, { subject, direction, peer }: AdmittedQuery): AdmittedPorts {
  const { policies, selectedBy } = selecting(compiled, subject, direction)
  if (policies.length === 0) return { isIsolated: false, ports: ALL_PORTS, selectedBy }
  const completePeer = compiled.states.of(peer).complete
  const [from, to] = direction === 'egress' ? [subject, completePeer] : [completePeer, subject]
  const context = ruleContext(compiled, { from, to, protocol: 'TCP', port: 0 }, direction)
  const ports = { TCP: PortSet.empty, UDP: PortSet.empty, SCTP: PortSet.empty }
  for (const policy of policies) {
    for (const rule of policy.rules) {
      if (matchPeers(context, policy, rule).certainty !== 'yes') continue
      for (const protocol of PROTOCOLS) ports[protocol] = ports[protocol].union(rulePorts(rule.ports, protocol, to))
    }
  }
  return { isIsolated: true, ports, selectedBy }
}

function selecting(compiled: CompiledPolicies, subject: EvalEnd, direction: Direction): { policies: CompiledPolicy[]; selectedBy: string[] } {
  const complete = compiled.states.of(subject).complete
  const policies = compiled.states.of(complete).selections(compiled, direction).all.filter((s) => s.match.certainty === 'yes').map((s) => s.policy)
  return { policies, selectedBy: [...new Set(policies.map((p) => p.id))] }
}

function rulePorts(ports: CompiledPorts, protocol: Protocol, destination: EvalEnd | undefined): PortSet {
  if (ports.isAll) return PortSet.all
  const numbers = ports.numbers[protocol]
  if (ports.named.length === 0 || destination === undefined || !isPolicedPod(destination)) return numbers
  const declared = destination.namedPorts ?? []
  const isNamed = (name: string): boolean => ports.named.some((n) => n.name === name && n.protocol === protocol)
  return declared.filter((d) => d.protocol === protocol && isNamed(d.name)).reduce((set, d) => set.union(PortSet.of(d.port)), numbers)
}

/** Ports x addresses that are admitted together. */
export interface AdmittedCell {
  readonly protocol: Protocol
  readonly ports: PortSet
  readonly addresses: AddressSet
}

/**
 * What the subject's address blocks and peerless rules admit from or to outside. Canonical: per protocol the addresses of
 * two cells are disjoint and their ports differ, none is empty; sorted by protocol and addresses.
 */
export function admittedAddresses(compiled: CompiledPolicies, { subject, direction }: Omit<AdmittedQuery, 'peer'>): AdmittedCell[] {
  const { policies } = selecting(compiled, subject, direction)
  const destination = direction === 'ingress' ? subject : undefined
  return PROTOCOLS.flatMap((protocol) => {
    if (policies.length === 0) return [{ protocol, ports: PortSet.all, addresses: AddressSet.all }]
    const parts = policies.flatMap((p) => p.rules).map((rule) => ({
      addresses: rule.isAnyPeer ? AddressSet.all : rule.addresses, ports: rulePorts(rule.ports, protocol, destination),
    }))
    return disjointCells(parts).map((cell) => ({ protocol, ...cell }))
  })
}

type Part = Omit<AdmittedCell, 'protocol'>

/** The union of products as cells with disjoint addresses and distinct ports. */
function disjointCells(parts: readonly Part[]): Part[] {
  let cells: Part[] = []
  for (const part of mergeByPorts(parts)) {
    let rest = part.addresses
    const next: Part[] = []
    for (const cell of cells) {
      const shared = cell.addresses.intersect(rest)
      if (shared.isEmpty) {
        next.push(cell)
        continue
      }
      rest = rest.subtract(shared)
      next.push({ addresses: shared, ports: cell.ports.union(part.ports) }, { addresses: cell.addresses.subtract(shared), ports: cell.ports })
    }
    cells = mergeByPorts([...next, { addresses: rest, ports: part.ports }])
  }
  return sortedBy(cells, (cell) => cell.addresses.toString())
}

/** Addresses of equal ports together; nothing empty. */
function mergeByPorts(parts: readonly Part[]): Part[] {
  const byPorts = new Map<string, Part>()
  for (const part of parts) {
    if (part.addresses.isEmpty || part.ports.isEmpty) continue
    const key = part.ports.toString()
    const known = byPorts.get(key)
    byPorts.set(key, known === undefined ? part : { ports: part.ports, addresses: known.addresses.union(part.addresses) })
  }
  return [...byPorts].sort((a, b) => compareText(a[0], b[0])).map(([, part]) => part)
}
