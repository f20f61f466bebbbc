/**
 * Compiles policies into an index for fast evaluation.
 *
 * In: parsed policies. Out: policies by namespace and direction, sorted by `ns/name`; equal selectors shared, so that the
 * answer of one selector for one end is computed once; ports and address blocks of a rule as canonical sets.
 * Invariants: nothing here changes after compilation except caches, which never change an answer.
 * Cost: linear in the policies (sets: n log n in their blocks).
 */
import { sortedBy } from '../base/order.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { matchRequirement, selectorKey, selectorRequirements } from '../policy/label-selector.ts'
import type { LabelRequirement, LabelSelector } from '../policy/label-selector.ts'
import { policyId } from '../policy/network-policy.ts'
import type { Direction, NetworkPolicy, PolicyPort, PolicyRule } from '../policy/network-policy.ts'
import { AddressSet } from '../sets/cidr.ts'
import { MAX_PORT, PortSet } from '../sets/port-set.ts'
import { EndStates } from './end-state.ts'
import type { Certainty, CompiledPeer, CompiledPolicy, CompiledPorts, CompiledRule, CompiledSelector, PolicyIndex } from './policy-index.ts'

/** The index with what it has already answered. */
export interface CompiledPolicies extends PolicyIndex {
  readonly states: EndStates
}

export interface CompileOptions {
  /** Do address blocks match pods by their address? The API leaves it open: most CNIs do (default), Cilium never does. */
  readonly ipBlockMatchesPods?: boolean
}

export function compilePolicies(policies: Iterable<NetworkPolicy>, options: CompileOptions = {}): CompiledPolicies {
  const selectors = new Map<string, CompiledSelector>()
  const byNamespace = new Map<string, Record<Direction, CompiledPolicy[]>>()
  const everywhere: Record<Direction, CompiledPolicy[]> = { ingress: [], egress: [] }
  for (const policy of sortedBy(policies, policyId)) {
    const own = byNamespace.get(policy.namespace) ?? { ingress: [], egress: [] }
    byNamespace.set(policy.namespace, own)
    for (const direction of ['ingress', 'egress'] as const) {
      if (!policy.policyTypes.includes(direction === 'ingress' ? 'Ingress' : 'Egress')) continue
      const compiled = compileDirection(policy, direction, selectors)
      own[direction].push(compiled)
      everywhere[direction].push(compiled)
    }
  }
  return { byNamespace, everywhere, ipBlockMatchesPods: options.ipBlockMatchesPods ?? true, states: new EndStates() }
}

function compileDirection(policy: NetworkPolicy, direction: Direction, selectors: Map<string, CompiledSelector>): CompiledPolicy {
  return {
    id: policyId(policy),
    namespace: policy.namespace,
    subject: compileSelector(policy.podSelector, selectors),
    rules: policy[direction].map((rule, index) => compileRule(rule, index, selectors)),
  }
}

function compileSelector(selector: LabelSelector, selectors: Map<string, CompiledSelector>): CompiledSelector {
  const text = selectorKey(selector)
  const known = selectors.get(text)
  if (known !== undefined) return known
  const byKey = new Map<string, LabelRequirement[]>()
  for (const requirement of selectorRequirements(selector)) byKey.set(requirement.key, [...(byKey.get(requirement.key) ?? []), requirement])
  const keys = [...byKey].map(([key, requirements]) => ({ key, requirements, whenUnknown: answerWhenUnknown(requirements) }))
  const compiled = { id: selectors.size, keys }
  selectors.set(text, compiled)
  return compiled
}

/** A value that no selector mentions: label values hold no control characters. */
export const OTHER_VALUE = '\u0000'

/** Every case of one key that requirements can tell apart: missing, each value they mention, any other value. */
export function keyCases(requirements: readonly LabelRequirement[]): (string | undefined)[] {
  return [undefined, ...new Set(requirements.flatMap((r) => r.values)), OTHER_VALUE]
}

function answerWhenUnknown(requirements: readonly LabelRequirement[]): Certainty {
  const answers = keyCases(requirements).map((value) => requirements.every((r) => matchRequirement(r, value)))
  return answers.every((a) => a) ? 'yes' : answers.some((a) => a) ? 'maybe' : 'no'
}

function compileRule(rule: PolicyRule, index: number, selectors: Map<string, CompiledSelector>): CompiledRule {
  const peers: CompiledPeer[] = []
  let addresses = AddressSet.empty
  const blocks = rule.peers.flatMap((peer) => (peer.ipBlock === undefined ? [] : [peer.ipBlock]))
  const plain = blocks.filter((b) => b.except.length === 0)
  if (plain.length > 0) addresses = AddressSet.fromCidrs(plain.map((b) => b.cidr))
  for (const { cidr, except } of blocks) {
    if (except.length > 0) addresses = addresses.union(AddressSet.fromCidr(cidr).subtract(AddressSet.fromCidrs(except)))
  }
  for (const { podSelector, namespaceSelector, ipBlock } of rule.peers) {
    // A peer without any field is refused by the API server; met here it matches nothing, never everything.
    if (ipBlock !== undefined || (podSelector === undefined && namespaceSelector === undefined)) continue
    peers.push({
      podSelector: podSelector === undefined ? undefined : compileSelector(podSelector, selectors),
      namespaceSelector: namespaceSelector === undefined ? undefined : compileSelector(namespaceSelector, selectors),
    })
  }
  return { index, isAnyPeer: rule.peers.length === 0, peers, addresses, ports: compilePorts(rule.ports) }
}

function compilePorts(ports: readonly PolicyPort[]): CompiledPorts {
  const intervals: Record<Protocol, { start: number; end: number }[]> = { TCP: [], UDP: [], SCTP: [] }
  const named: { name: string; protocol: Protocol }[] = []
  for (const { protocol, port, endPort } of ports) {
    if (typeof port === 'string') named.push({ name: port, protocol })
    else if (port === undefined) intervals[protocol].push({ start: 1, end: MAX_PORT })
    else intervals[protocol].push({ start: port, end: endPort ?? port })
  }
  const numbers = { TCP: PortSet.from(intervals.TCP), UDP: PortSet.from(intervals.UDP), SCTP: PortSet.from(intervals.SCTP) }
  return { isAll: ports.length === 0, numbers, named }
}
