/** What an end of a connection is. Only `pod` is policed and selectable; see DESIGN.md §2. */
export type EndKind =
  | 'pod'
  | 'node' // another node than the pod's own (Cilium remote-node)
  | 'host' // the node the pod runs on
  | 'external' // the world: its addresses live beside the edge, never in the identity
  | 'kube-apiserver'
  | 'ingress' // the CNI's own ingress proxy
  | 'health' // the CNI's health endpoint
  | 'networkset'
  | 'unknown' // looks like a pod (or a service address) but cannot be named: quarantined, never an ipBlock

/**
 * How much of the pod's labels the record carried:
 * `full` all; `identity-subset` Cilium's identity-relevant ones; `intersection` what all pods of a Calico
 * aggregate share, or a controller's pod template: its pods may carry more; `none` the format or the field mask left them out.
 */
export type LabelQuality = 'full' | 'identity-subset' | 'intersection' | 'none'

/**
 * Name of the external identity for private addresses in a log that cannot tell nodes from the world (Calico reports a node
 * without host endpoint as `net`, `pvt`): kubelet probes look like outside traffic there.
 */
export const UNVERIFIED_PRIVATE = 'pvt'

/** Names of external identities behind well-known addresses: the node's own DNS cache, and the cloud's instance metadata. */
export const NODE_LOCAL_DNS = 'node-local-dns'
export const METADATA = 'metadata'
/** Where clouds answer for instance metadata (and with it for the node's credentials): all of them, and the IPv6 address of AWS. */
export const METADATA_ADDRESSES: readonly string[] = ['169.254.169.254', 'fd00:ec2::254']

export interface WorkloadRef {
  readonly kind: string
  readonly name: string
}

/** `record`: the log named the workload. `pod-name`: derived from a pod's name. */
export type WorkloadEvidence = 'record' | 'pod-name' | 'none'

export type Labels = Readonly<Record<string, string>>
