import type { Labels, WorkloadRef } from '../flow/end.ts'

/** A controlling owner reference, or `undefined`. */
export interface OwnerReference {
  readonly kind: string
  readonly name: string
}

/** Owners of ReplicaSets and Jobs in the input, by `kind\u0000namespace\u0000name`. */
export type OwnerIndex = ReadonlyMap<string, OwnerReference>

export function ownerKey(kind: string, namespace: string, name: string): string {
  return `${kind}\u0000${namespace}\u0000${name}`
}

/** A CronJob names its Jobs `<name>-<minutes since 1970>` (8 to 10 digits). */
const CRON_JOB_RUN = /^(.+)-\d{8,10}$/

/**
 * The workload behind a pod's controller: the owner of its ReplicaSet or Job where the input holds that object, else by the
 * naming rules of the controllers (ReplicaSet and pod-template-hash -> Deployment, dated Job -> CronJob), else the owner itself.
 * `null` for a static pod, whose owner is its node.
 */
export function resolveWorkload(owner: OwnerReference | undefined, namespace: string, podLabels: Labels, owners: OwnerIndex): WorkloadRef | null {
  if (owner === undefined || owner.kind === 'Node') return null
  const above = owners.get(ownerKey(owner.kind, namespace, owner.name))
  if (above !== undefined) return { kind: above.kind, name: above.name }
  const hash = podLabels['pod-template-hash']
  if (owner.kind === 'ReplicaSet' && hash !== undefined && hash !== '' && owner.name.endsWith(`-${hash}`)) {
    return { kind: 'Deployment', name: owner.name.slice(0, -hash.length - 1) }
  }
  const cronJob = owner.kind === 'Job' ? CRON_JOB_RUN.exec(owner.name)?.[1] : undefined
  if (cronJob !== undefined) return { kind: 'CronJob', name: cronJob }
  return { kind: owner.kind, name: owner.name }
}
