/**
 * Cluster state as versions of objects in time: what is stored, and what a history is built of.
 *
 * An *instance* is one object from its creation to its deletion: what the API server gives one uid. A *version* is an instance with unchanged
 * policy-relevant content. Times are microseconds since 1970.
 */

/** A kept kind of object; everything else says nothing to policies or flows. */
export const STATE_KINDS = [
  'Namespace', 'Node', 'Pod', 'Service', 'EndpointSlice', 'NetworkPolicy',
  'Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job', 'CronJob', 'DeploymentConfig', 'Rollout',
] as const
export type StateKind = (typeof STATE_KINDS)[number]

/** A Kubernetes object reduced to what flowfence reads. */
export type StateDocument = Readonly<Record<string, unknown>>

export interface ObjectVersion {
  readonly kind: string
  /** '' for cluster-wide kinds. */
  readonly namespace: string
  readonly name: string
  /** The uid, or what stands for it where the object has none (reduce-object.ts). */
  readonly instance: string
  /** First moment at which it was seen so. The first version of an instance holds from the instance's creation. */
  readonly seenFromUs: number
  /** Last moment at which it is known to have been so, inclusive; `null`: it was so when the cluster was last seen. */
  readonly seenUntilUs: number | null
  /** The exact moment at which it was deleted or became another version, where a watch saw that; not included. */
  readonly endedUs: number | null
  readonly document: StateDocument
}

/** A span in which all objects were known at every moment: a point for a full state, longer for a watch. Both ends inclusive. */
export interface CoverageSpan {
  readonly fromUs: number
  readonly untilUs: number
}
