/** Which controller a pod belongs to, and how far that is proven. */
import type { Labels, WorkloadRef } from './end.ts'
import { labelsKey } from './identity.ts'
import type { Identity } from './identity.ts'
import { NAMING_KEYS } from './label-rules.ts'

/** A pod with its identity labels. */
export interface DescribedPod {
  readonly pod: Identity
  readonly labels: Labels
}

/** Kinds that a pod's name proves well enough to join differing label sets of one workload. */
export const JOINING_KINDS: ReadonlySet<string> = new Set(['Deployment', 'StatefulSet', 'CronJob', 'DaemonSet', 'Job', 'DeploymentConfig', 'Rollout', 'ReplicationController'])

/** Text of the namespace: equal names in two clusters are two places. */
export function placeOf(pod: Identity): string {
  return `${pod.cluster}\u0000${pod.namespace}`
}

export function refAnchor(pod: Identity, ref: WorkloadRef): string {
  return `workload ${placeOf(pod)}\u0000${ref.kind}\u0000${ref.name}`
}

/**
 * What makes pods of differing labels one workload: the controller where the log names it; where only pod names suggest it,
 * the same labels that name the application as well, because any two pods may be called `x-0` and `x-1`. Empty when nothing does.
 */
export function controllerAnchors(pod: Identity, labels: Labels): string[] {
  if (pod.workload === null || !JOINING_KINDS.has(pod.workload.kind)) return []
  const ref = refAnchor(pod, pod.workload)
  const naming = labelsKey(Object.fromEntries(Object.entries(labels).filter(([key]) => NAMING_KEYS.has(key))))
  const confirmed = `${ref}\u0000${naming}`
  if (pod.workloadEvidence === 'record') return [ref, confirmed]
  // A hash in the name is Kubernetes' own; a number alone proves nothing.
  return naming === '' && pod.workload.kind === 'StatefulSet' ? [] : [confirmed]
}

/** Kinds that name their pods `<name>-<5 letters>`, which alone does not tell them apart. */
const SHORT_NAMED_KINDS: readonly string[] = ['DaemonSet', 'Job', 'ReplicaSet', 'ReplicationController']

/** Other controllers that a name may mean: by pod names alone an Argo Rollout reads as a Deployment, a DaemonSet only as some controller. */
export function aliasesOf({ kind, name }: WorkloadRef): WorkloadRef[] {
  if (kind === 'Workload') return SHORT_NAMED_KINDS.map((k) => ({ kind: k, name }))
  if (SHORT_NAMED_KINDS.includes(kind)) return [{ kind: 'Workload', name }]
  return kind === 'Deployment' ? [{ kind: 'Rollout', name }] : kind === 'Rollout' ? [{ kind: 'Deployment', name }] : []
}
