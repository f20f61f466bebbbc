/**
 * The model of networking.k8s.io/v1 NetworkPolicy as the API server would store it.
 *
 * In: built by `parseNetworkPolicy` (parse-network-policy.ts) or by core/generate. Out: `policyToObject` and the model itself.
 * Invariants: defaults are applied (policyTypes is never empty, every port has a protocol), CIDRs are masked, an empty
 * list of peers or ports means "all", parse(print(x)) = x.
 * Leaves to others: what a policy admits (core/evaluate), text formats (manifests). Cost: linear in the policy.
 */
import type { Cidr } from '../sets/cidr.ts'
import type { Labels } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'
import type { LabelSelector } from './label-selector.ts'

export const NETWORK_POLICY_API_VERSION = 'networking.k8s.io/v1'

export type PolicyType = 'Ingress' | 'Egress'

/** From the subject's point of view. */
export type Direction = 'ingress' | 'egress'

/** `except` are strict subsets of `cidr`. */
export interface IpBlock {
  readonly cidr: Cidr
  readonly except: readonly Cidr[]
}

/** Pods by selectors (absent = not given, which is not the empty selector), or addresses. A peer without any field matches nothing. */
export interface PolicyPeer {
  readonly podSelector?: LabelSelector
  readonly namespaceSelector?: LabelSelector
  readonly ipBlock?: IpBlock
}

/** No `port` = every port of the protocol; text = a named port of the destination pod; `endPort` only with a number. */
export interface PolicyPort {
  readonly protocol: Protocol
  readonly port?: number | string
  readonly endPort?: number
}

export interface PolicyRule {
  /** `from` or `to`; empty = everybody, also outside the cluster. */
  readonly peers: readonly PolicyPeer[]
  /** Empty = every port of every protocol. */
  readonly ports: readonly PolicyPort[]
}

export interface NetworkPolicy {
  readonly namespace: string
  readonly name: string
  readonly labels: Labels
  readonly annotations: Labels
  readonly podSelector: LabelSelector
  /** At least one, Ingress before Egress; rules of a type that is not named are kept but mean nothing. */
  readonly policyTypes: readonly PolicyType[]
  readonly ingress: readonly PolicyRule[]
  readonly egress: readonly PolicyRule[]
}

/** `ns/name`, as findings and explanations name a policy. */
export function policyId(policy: NetworkPolicy): string {
  return `${policy.namespace}/${policy.name}`
}
