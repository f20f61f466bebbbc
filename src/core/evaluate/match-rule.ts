import type { Protocol } from '../flow/flow-record.ts'
import type { Address } from '../sets/address.ts'
import { AddressSet } from '../sets/cidr.ts'
import { NO, YES, isPolicedPod } from './end-state.ts'
import type { EndState, Match } from './end-state.ts'
import type { EvalEnd, Unknown } from './eval-end.ts'
import type { CompiledPeer, CompiledPolicy, CompiledPorts, CompiledRule, PolicyIndex } from './policy-index.ts'

/** What the rules of one side are matched against. */
export interface RuleContext {
  readonly compiled: PolicyIndex
  readonly peer: EvalEnd
  readonly peerState: EndState
  /** Is the peer the initiator or the responder? */
  readonly peerRole: 'from' | 'to'
  /** The peer's addresses that the connection can use; empty = unknown. */
  readonly peerIps: readonly Address[]
  /** The responder: its declared ports resolve named ports, whichever side the rule is on. */
  readonly destination: EvalEnd
  readonly protocol: Protocol
  readonly port: number
}

function maybe(...unknowns: Unknown[]): Match {
  return { certainty: 'maybe', unknowns }
}

/** Both must hold. */
export function both(a: Match, b: Match): Match {
  if (a.certainty === 'no' || b.certainty === 'no') return NO
  if (a.certainty === 'yes') return b
  return b.certainty === 'yes' ? a : maybe(...a.unknowns, ...b.unknowns)
}

function either(a: Match, b: Match): Match {
  if (a.certainty === 'yes' || b.certainty === 'yes') return YES
  if (a.certainty === 'no') return b
  return b.certainty === 'no' ? a : maybe(...a.unknowns, ...b.unknowns)
}

/** A rule matches when any peer matches and any port matches; two rules never combine. */
export function matchRule(context: RuleContext, policy: CompiledPolicy, rule: CompiledRule): Match {
  const ports = matchPorts(rule.ports, context)
  return ports.certainty === 'no' ? NO : both(matchPeers(context, policy, rule), ports)
}

export function matchPeers(context: RuleContext, policy: CompiledPolicy, rule: CompiledRule): Match {
  if (rule.isAnyPeer) return YES
  let match = NO
  for (const peer of rule.peers) {
    match = either(match, matchPeer(context, policy, peer))
    if (match.certainty === 'yes') return match
  }
  return rule.addresses.isEmpty ? match : either(match, matchAddresses(context, rule.addresses))
}

function matchPeer({ peer, peerState }: RuleContext, policy: CompiledPolicy, { podSelector, namespaceSelector }: CompiledPeer): Match {
  if (peer.kind === 'unknown') return maybe({ kind: 'identity', end: peer })
  if (!isPolicedPod(peer)) return NO
  if (namespaceSelector === undefined && peer.namespace !== policy.namespace) return NO
  const pod = podSelector === undefined ? YES : peerState.matchPod(podSelector)
  return namespaceSelector === undefined || pod.certainty === 'no' ? pod : both(pod, peerState.matchNamespace(namespaceSelector))
}

/** Do the rule's address blocks hold the peer? */
export function matchAddresses({ compiled, peer, peerIps, peerRole }: RuleContext, addresses: AddressSet): Match {
  if (!compiled.ipBlockMatchesPods && isPolicedPod(peer)) return NO
  const match = addressesContain(addresses, peer, peerIps, peerRole)
  if (compiled.ipBlockMatchesPods || peer.kind !== 'unknown' || match.certainty === 'no') return match
  return maybe({ kind: 'identity', end: peer })
}

function addressesContain(addresses: AddressSet, peer: EvalEnd, ips: readonly Address[], role: 'from' | 'to'): Match {
  const unknown: Unknown = { kind: 'address', role, end: peer }
  if (ips.length === 0) {
    const outside = peer.possibleAddresses ?? AddressSet.all
    if (outside.subtract(addresses).isEmpty) return YES
    return outside.intersect(addresses).isEmpty ? NO : maybe(unknown)
  }
  const first = addresses.has(ips[0] as Address)
  for (let i = 1; i < ips.length; i++) if (addresses.has(ips[i] as Address) !== first) return maybe(unknown)
  return first ? YES : NO
}

/** The rule's ports against the connection's; named ports resolve on the destination pod, by name and protocol. */
export function matchPorts(ports: CompiledPorts, { protocol, port, destination }: RuleContext): Match {
  if (ports.isAll) return YES
  const numbers = ports.numbers[protocol]
  if (port === 0 ? numbers.isAll : numbers.has(port)) return YES
  const named = ports.named.length === 0 ? NO : matchNamed(ports, protocol, port, destination)
  return port === 0 && !numbers.isEmpty ? either(maybe({ kind: 'port' }), named) : named
}

function matchNamed(ports: CompiledPorts, protocol: Protocol, port: number, destination: EvalEnd): Match {
  const names = ports.named.filter((n) => n.protocol === protocol)
  if (names.length === 0) return NO
  if (destination.kind === 'unknown') return maybe({ kind: 'identity', end: destination })
  if (!isPolicedPod(destination)) return NO
  const declared = destination.namedPorts
  if (declared === undefined) {
    const unknown: Unknown = { kind: 'named-ports', end: destination }
    return port === 0 ? maybe({ kind: 'port' }, unknown) : maybe(unknown)
  }
  const hits = declared.filter((d) => d.protocol === protocol && names.some((n) => n.name === d.name))
  if (port === 0) return hits.length === 0 ? NO : maybe({ kind: 'port' })
  return hits.some((d) => d.port === port) ? YES : NO
}

/** Of the addresses of one end, those of a family that the other end can speak too; all where that is none or not known. */
export function usableIps(end: EvalEnd, other: EvalEnd): readonly Address[] {
  if (end.ips.length < 2 || other.ips.length === 0) return end.ips
  const usable = end.ips.filter((ip) => other.ips.some((o) => o.family === ip.family))
  return usable.length === 0 ? end.ips : usable
}
