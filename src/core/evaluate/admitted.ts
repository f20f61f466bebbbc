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
import { AddressSet } from '../sets/cidr.ts'
import { PortSet } from '../sets/port-set.ts'
import { disjointCells } from './address-cells.ts'
import type { AddressCell } from './address-cells.ts'
import type { CompiledPolicies } from './compile.ts'
import { isPolicedPod } from './end-state.ts'
import type { EvalEnd } from './eval-end.ts'
import { ruleContext } from './evaluate-side.ts'
import { matchPeers } from './match-rule.ts'
import type { CompiledPolicy, CompiledPorts } from './policy-index.ts'

export type PortsByProtocol = Readonly<Record<Protocol, PortSet>>

export interface AdmittedPorts {
  readonly isIsolated: boolean
  /** Everything when not isolated. */
  readonly ports: PortsByProtocol
  /** `ns/name`, sorted. */
  readonly selectedBy: readonly string[]
}

export interface AdmittedQuery {
  readonly subject: EvalEnd
  readonly direction: Direction
  /** For an outside peer `ips` holds one representative address. */
  readonly peer: EvalEnd
}

const ALL_PORTS: PortsByProtocol = { TCP: PortSet.all, UDP: PortSet.all, SCTP: PortSet.all }

/** The ports on which the subject's policies admit the peer in one direction. */
export function admittedPorts(compiled: CompiledPolicies, { subject, direction, peer }: AdmittedQuery): AdmittedPorts {
  const { policies, selectedBy } = selecting(compiled, subject, direction)
  if (policies.length === 0) return { isIsolated: false, ports: ALL_PORTS, selectedBy }
  const completePeer = compiled.states.of(peer).complete
  const [from, to] = direction === 'egress' ? [subject, completePeer] : [completePeer, subject]
  const context = ruleContext(compiled, { from, to, protocol: 'TCP', port: 0 }, direction)
  let ports: PortsByProtocol = { TCP: PortSet.empty, UDP: PortSet.empty, SCTP: PortSet.empty }
  for (const policy of policies) {
    for (const rule of policy.rules) {
      if (matchPeers(context, policy, rule).certainty === 'yes') ports = unionPorts(ports, rulePorts(rule.ports, to))
    }
  }
  return { isIsolated: true, ports, selectedBy }
}

function selecting(compiled: CompiledPolicies, subject: EvalEnd, direction: Direction): { policies: CompiledPolicy[]; selectedBy: string[] } {
  const complete = compiled.states.of(subject).complete
  const policies = compiled.states.of(complete).selections(compiled, direction).all.filter((s) => s.match.certainty === 'yes').map((s) => s.policy)
  return { policies, selectedBy: [...new Set(policies.map((p) => p.id))] }
}

/** The ports of a rule; named ones as the destination declares them, none where it is not given or no pod. */
export function rulePorts(ports: CompiledPorts, destination: EvalEnd | undefined): PortsByProtocol {
  if (ports.isAll) return ALL_PORTS
  if (ports.named.length === 0 || destination === undefined || !isPolicedPod(destination)) return ports.numbers
  const declared = destination.namedPorts ?? []
  const of = (protocol: Protocol): PortSet => declared
    .filter((d) => d.protocol === protocol && ports.named.some((n) => n.name === d.name && n.protocol === protocol))
    .reduce((set, d) => set.union(PortSet.of(d.port)), ports.numbers[protocol])
  return { TCP: of('TCP'), UDP: of('UDP'), SCTP: of('SCTP') }
}

export function unionPorts(a: PortsByProtocol, b: PortsByProtocol): PortsByProtocol {
  return { TCP: a.TCP.union(b.TCP), UDP: a.UDP.union(b.UDP), SCTP: a.SCTP.union(b.SCTP) }
}

/** Ports x addresses that are admitted together. */
export interface AdmittedCell extends AddressCell {
  readonly protocol: Protocol
}

/**
 * What the subject's address blocks and peerless rules admit from or to outside. Canonical: per protocol the addresses of
 * two cells are disjoint and their ports differ, none is empty; sorted by protocol and addresses.
 */
export function admittedAddresses(compiled: CompiledPolicies, { subject, direction }: Omit<AdmittedQuery, 'peer'>): AdmittedCell[] {
  return addressCells(selecting(compiled, subject, direction).policies, direction === 'ingress' ? subject : undefined)
}

/** The same for the policies that select the subject; `destination` resolves named ports. */
export function addressCells(policies: readonly CompiledPolicy[], destination: EvalEnd | undefined): AdmittedCell[] {
  if (policies.length === 0) return PROTOCOLS.map((protocol) => ({ protocol, ports: PortSet.all, addresses: AddressSet.all }))
  const parts = policies.flatMap((p) => p.rules).map((rule) => ({
    addresses: rule.isAnyPeer ? AddressSet.all : rule.addresses, ports: rulePorts(rule.ports, destination),
  }))
  return PROTOCOLS.flatMap((protocol) =>
    disjointCells(parts.map(({ addresses, ports }) => ({ addresses, ports: ports[protocol] }))).map((cell) => ({ protocol, ...cell })))
}
