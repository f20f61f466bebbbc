import type { EndKind, Labels } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'
import type { Address } from '../sets/address.ts'
import type { AddressSet } from '../sets/cidr.ts'

/** A container port that a pod declares under a name. */
export interface NamedPort {
  readonly name: string
  readonly port: number
  readonly protocol: Protocol
}

/**
 * One end of a connection with what is known about it, and what is certain. Treated as immutable: the evaluator caches by
 * object, so describe an end once and use the same object for all of its connections.
 */
export interface EvalEnd {
  /** Only `pod` is selected by policies; `unknown` may be a pod; all others are matched by addresses or by rules without peers. */
  readonly kind: EndKind
  readonly namespace: string
  readonly labels: Labels
  /** Is the absence of this key from `labels` certain? */
  readonly labelsComplete: (key: string) => boolean
  readonly namespaceLabels: Labels
  readonly namespaceLabelsComplete: boolean
  /** Keys of the namespace that are known, present or absent, although `namespaceLabelsComplete` is false. */
  readonly settledNamespaceKeys?: readonly string[]
  /** Empty = unknown; several = it is one of them. */
  readonly ips: readonly Address[]
  /** Where an unknown address can lie; everywhere when absent. */
  readonly possibleAddresses?: AddressSet
  /** `undefined` = unknown. */
  readonly namedPorts: readonly NamedPort[] | undefined
  readonly hostNetwork: boolean
  /** How texts name this end. */
  readonly display: string
}

/** A connection to be judged. */
export interface Connection {
  readonly from: EvalEnd
  readonly to: EvalEnd
  readonly protocol: Protocol
  /** Pod port of `to`, after DNAT; 0 = unknown. */
  readonly port: number
  /** Both ends are one and the same pod: it cannot block access to itself. */
  readonly isSameEndpoint?: boolean
  /** The initiator is the node on which the responder runs: ingress is always allowed. Where absent, true for kind `host`. */
  readonly isOwnNode?: boolean
}

/** Something that is not known and bears on a verdict. */
export type Unknown =
  | { readonly kind: 'label'; readonly end: EvalEnd; readonly key: string }
  | { readonly kind: 'namespace-label'; readonly namespace: string; readonly key: string }
  | { readonly kind: 'address'; readonly role: 'from' | 'to'; readonly end: EvalEnd }
  | { readonly kind: 'named-ports'; readonly end: EvalEnd }
  | { readonly kind: 'port' }
  | { readonly kind: 'identity'; readonly end: EvalEnd }

/** How outputs name it, e.g. `label "role" of shop/web`. */
export function unknownText(unknown: Unknown): string {
  switch (unknown.kind) {
    case 'label': return `label ${JSON.stringify(unknown.key)} of ${unknown.end.display}`
    case 'namespace-label': return `label ${JSON.stringify(unknown.key)} of namespace ${unknown.namespace}`
    case 'address': return `${unknown.end.ips.length > 1 ? 'which address' : 'address'} of ${unknown.end.display}`
    case 'named-ports': return `named ports of ${unknown.end.display}`
    case 'port': return 'port of the connection'
    case 'identity': return `identity of ${unknown.end.display}`
  }
}
