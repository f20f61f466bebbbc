/**
 * What a cluster looks like at one moment, as far as policies care.
 *
 * In: Kubernetes objects (build-snapshot.ts). Out: namespaces, nodes, pods, services and controllers, each in canonical order.
 * Invariants: terminated pods are absent; every namespace carries `kubernetes.io/metadata.name` with its own name; every
 * namespace of a pod exists (synthesised with `isComplete: false` when the input lacks it).
 * Leaves to others: which pod had an address at another moment. Cost: linear in the objects.
 */
import type { Address } from '../sets/address.ts'
import type { Cidr } from '../sets/cidr.ts'
import type { Labels, WorkloadRef } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'

/** On every namespace, set by the API server and immutable. */
export const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name'

export interface SnapshotNamespace {
  readonly labels: Labels
  /** False when the namespace was not in the input: it has further labels that are not known. */
  readonly isComplete: boolean
}

export interface SnapshotNode {
  readonly name: string
  readonly labels: Labels
  readonly addresses: readonly Address[]
  readonly podCidrs: readonly Cidr[]
}

/** A declared container port; restartable init containers (sidecars) count, ordinary init containers do not. */
export interface ContainerPort {
  readonly name?: string
  readonly containerPort: number
  readonly protocol: Protocol
}

export interface SnapshotPod {
  readonly namespace: string
  readonly name: string
  readonly labels: Labels
  /** Empty while the pod has none. */
  readonly ips: readonly Address[]
  readonly hostNetwork: boolean
  /** '' while not scheduled. */
  readonly nodeName: string
  /** '' when the input has no status. */
  readonly phase: string
  readonly ports: readonly ContainerPort[]
  /** The controller; `null` for a bare or static pod. */
  readonly workload: WorkloadRef | null
}

export interface ServicePort {
  readonly name?: string
  readonly port: number
  /** Number or container port name; the port itself where the object leaves it out. */
  readonly targetPort: number | string
  readonly protocol: Protocol
}

export interface SnapshotService {
  readonly namespace: string
  readonly name: string
  readonly type: string
  /** `null` for a service without selector. */
  readonly selector: Labels | null
  /** Empty for headless and ExternalName services. */
  readonly clusterIps: readonly Address[]
  readonly ports: readonly ServicePort[]
}

/** A controller with a pod template: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob. */
export interface SnapshotWorkload {
  readonly namespace: string
  readonly kind: string
  readonly name: string
  readonly templateLabels: Labels
  /** matchLabels of its own selector; `null` where it has none or uses expressions. */
  readonly selector: Labels | null
  readonly ports: readonly ContainerPort[]
  /** Another controller made it (a Deployment its ReplicaSets, a CronJob its Jobs). */
  readonly isOwned: boolean
}

export interface ClusterSnapshot {
  /** By name, in code-unit order. */
  readonly namespaces: ReadonlyMap<string, SnapshotNamespace>
  readonly nodes: readonly SnapshotNode[]
  readonly pods: readonly SnapshotPod[]
  readonly services: readonly SnapshotService[]
  readonly workloads: readonly SnapshotWorkload[]
}
