import type { Protocol } from '../flow/flow-record.ts'
import type { LabelRequirement } from '../policy/label-selector.ts'
import type { Direction } from '../policy/network-policy.ts'
import type { AddressSet } from '../sets/cidr.ts'
import type { PortSet } from '../sets/port-set.ts'

/** Three-valued truth; `maybe` = depends on something that is not known. */
export type Certainty = 'yes' | 'maybe' | 'no'

/** All requirements of a selector on one key. */
export interface KeyRequirements {
  readonly key: string
  readonly requirements: readonly LabelRequirement[]
  /** The answer when nothing is known about the key: `no` where the requirements contradict each other. */
  readonly whenUnknown: Certainty
}

export interface CompiledSelector {
  /** Equal selectors of one compilation have equal ids. */
  readonly id: number
  readonly keys: readonly KeyRequirements[]
}

/** Pods by selectors; `namespaceSelector` absent = the policy's own namespace. */
export interface CompiledPeer {
  readonly podSelector: CompiledSelector | undefined
  readonly namespaceSelector: CompiledSelector | undefined
}

export interface CompiledPorts {
  /** Every port of every protocol. */
  readonly isAll: boolean
  readonly numbers: Readonly<Record<Protocol, PortSet>>
  readonly named: readonly { readonly name: string; readonly protocol: Protocol }[]
}

export interface CompiledRule {
  readonly index: number
  /** No peers: everybody, also outside the cluster. */
  readonly isAnyPeer: boolean
  readonly peers: readonly CompiledPeer[]
  /** Union of the rule's blocks, each without its exceptions. */
  readonly addresses: AddressSet
  readonly ports: CompiledPorts
}

/** One direction of one policy. */
export interface CompiledPolicy {
  /** `ns/name`. */
  readonly id: string
  readonly namespace: string
  readonly subject: CompiledSelector
  readonly rules: readonly CompiledRule[]
}

export type PoliciesByDirection = Readonly<Record<Direction, readonly CompiledPolicy[]>>

/** Policies by namespace and direction; lists sorted by `ns/name`. */
export interface PolicyIndex {
  readonly byNamespace: ReadonlyMap<string, PoliciesByDirection>
  /** All namespaces together, for ends whose namespace is not known. */
  readonly everywhere: PoliciesByDirection
  readonly ipBlockMatchesPods: boolean
}
