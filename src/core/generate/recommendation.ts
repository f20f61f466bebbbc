import type { EdgeView } from '../flow/edge-view.ts'
import type { LabelQuality } from '../flow/end.ts'
import type { IdentityMapView } from '../flow/identity-map-view.ts'

/** Why evidence did not become a rule; closed list, each with a text for people. */
export type ReviewCode =
  | 'only-denied' // every sighting was denied by policy: allowing it would bless what somebody forbade
  | 'only-errors' // dropped for another reason than policy, never seen to work
  | 'unknown-workload' // an end looks like a pod but could not be named
  | 'unoriented' // nobody proved who opened it
  | 'no-port' // the pod port is not known
  | 'needs-node-cidr' // the peer is a node, or the CNI's own proxy
  | 'needs-apiserver-cidr' // the peer is the Kubernetes API server
  | 'needs-network-set' // the peer is a Calico network set whose addresses are not in the log
  | 'needs-address' // an outside peer whose address the log left out
  | 'too-many-addresses' // more outside addresses than are kept exactly
  | 'may-be-node' // a private address in a log that cannot tell nodes from the outside
  | 'may-be-pod' // an outside address inside a network where pods live
  | 'metadata-address' // the cloud's instance metadata: a way to the node's credentials
  | 'peer-not-selectable' // no selector picks exactly the peer
  | 'invalid-namespace' // the peer's namespace is not a name Kubernetes accepts
  | 'foreign-cluster' // the peer is a pod of another cluster: NetworkPolicy cannot select it
  | 'no-evidence' // no accepted traffic in a direction: it is left open, and the namespace's default-deny is withheld

export interface ReviewItem {
  /** Absent for items about a workload rather than an edge. */
  readonly edge?: EdgeView
  readonly workload?: string
  readonly direction?: 'ingress' | 'egress'
  readonly reason: { readonly code: ReviewCode; readonly text: string }
}

export interface RefusedWorkload {
  /** `namespace/name (Kind)`. */
  readonly workload: string
  readonly reason: { readonly code: 'no-labels' | 'not-selectable' | 'invalid-namespace' | 'not-verified'; readonly text: string }
}

/** Cells that the policies admit on purpose beyond the evidence. */
export interface Widening {
  /** `ns/name` of the policy. */
  readonly policy: string
  readonly reason: 'dns-both-protocols' | 'namespace-dns'
  readonly text: string
}

export interface Certificate {
  readonly sound: boolean
  readonly tight: boolean
  readonly irredundant: boolean
  readonly rules: { readonly count: number; readonly lowerBound: number; readonly proven: boolean }
  /** What tightness was checked against. */
  readonly universe: {
    readonly identities: number
    readonly symbolicPods: number
    readonly namespaces: number
    readonly protocols: readonly string[]
    readonly ports: string
    readonly cellsChecked: number
    readonly outside: string
    readonly labelQuality: Readonly<Record<string, number>>
    /** `ns/name` of the policies that are exact only if labels which a group of pods does not share (Calico, templates) are on none of them. */
    readonly assumedAbsent: readonly string[]
    /** Workloads whose labels are not in the log, in namespaces that selectors pick from: a selector may match them as well. */
    readonly withoutLabels: readonly string[]
    /** `ns/name` of a policy -> the poorest label quality among the label sets that its selectors pick, its own and its peers'. */
    readonly selectorQuality: Readonly<Record<string, LabelQuality>>
    /** What these qualities mean for the policies, by quality. */
    readonly notes: Readonly<Partial<Record<LabelQuality, string>>>
  }
  readonly widenings: readonly Widening[]
}

/** `recommend -o json` (CONTRACTS): schema flowfence.recommendation/v1. */
export interface RecommendationDocument {
  readonly schema: 'flowfence.recommendation/v1'
  readonly cluster: string
  readonly window: { readonly since: string | null; readonly until: string | null }
  /** Which labels were taken for identity. */
  readonly identityMap: IdentityMapView
  /** Kubernetes NetworkPolicy objects, sorted by namespace and name. */
  readonly policies: readonly Readonly<Record<string, unknown>>[]
  readonly certificate: Certificate
  /** `ns/name` of a policy -> `ingress[0]` -> the edges that justify the rule. */
  readonly evidence: Readonly<Record<string, Readonly<Record<string, readonly EdgeView[]>>>>
  readonly review: readonly ReviewItem[]
  readonly refused: readonly RefusedWorkload[]
}
