import type { LabelQuality } from '../flow/end.ts'
import { createIdentity } from '../flow/identity.ts'
import type { Identity } from '../flow/identity.ts'
import type { ClusterSnapshot } from './snapshot.ts'

/**
 * The pods of a snapshot with full labels, and the templates of its controllers with what all their pods share: so that
 * workloads that were silent count when selectors are chosen and verified. Pods on the host's network are no identities: no policy selects them.
 */
export function snapshotIdentities(snapshot: ClusterSnapshot, cluster: string): Identity[] {
  const byKey = new Map<string, Identity>()
  const add = (place: { namespace: string; labels: Identity['labels'] }, workload: Identity['workload'], known: { name: string; labelQuality: LabelQuality }): void => {
    const identity = createIdentity({
      kind: 'pod', cluster, namespace: place.namespace, labels: place.labels, labelQuality: known.labelQuality,
      namespaceLabels: snapshot.namespaces.get(place.namespace)?.labels ?? {},
      workload, workloadEvidence: workload === null ? 'none' : 'record',
      name: workload === null && Object.keys(place.labels).length === 0 ? known.name : '',
    })
    byKey.set(identity.key, identity)
  }
  const onHost = new Set(snapshot.pods.filter((p) => p.hostNetwork && p.workload !== null).map((p) => `${p.namespace}\u0000${p.workload?.kind ?? ''}\u0000${p.workload?.name ?? ''}`))
  for (const pod of snapshot.pods) if (!pod.hostNetwork) add(pod, pod.workload, { name: pod.name, labelQuality: 'full' })
  for (const { namespace, kind, name, templateLabels, isOwned } of snapshot.workloads) {
    if (isOwned || Object.keys(templateLabels).length === 0 || onHost.has(`${namespace}\u0000${kind}\u0000${name}`)) continue
    add({ namespace, labels: templateLabels }, { kind, name }, { name, labelQuality: 'intersection' })
  }
  return [...byKey.values()]
}
