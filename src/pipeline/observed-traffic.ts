import { groupedBy } from '../core/base/order.ts'
import { formatTimeUs } from '../core/base/time.ts'
import type { ClusterSnapshot } from '../core/cluster/snapshot.ts'
import { snapshotIdentities } from '../core/cluster/snapshot-identities.ts'
import type { ObservedEdge } from '../core/flow/edge.ts'
import type { WorkloadRef } from '../core/flow/end.ts'
import type { Protocol } from '../core/flow/flow-record.ts'
import { buildIdentityMap } from '../core/flow/identity-map.ts'
import type { IdentityMap } from '../core/flow/identity-map.ts'
import type { Identity } from '../core/flow/identity.ts'
import type { LabelRulesConfig } from '../core/flow/label-rules.ts'
import { buildTraffic } from '../core/flow/traffic.ts'
import type { Listeners } from '../core/flow/orient.ts'
import type { TrafficEdge } from '../core/flow/traffic.ts'
import { groupWorkloads } from '../core/flow/workloads.ts'
import type { WorkloadIndex } from '../core/flow/workloads.ts'
import { inSnapshot } from '../store/db/database.ts'
import type { Queryable } from '../store/db/database.ts'
import { findCluster } from '../store/read/select-clusters.ts'
import { selectEdges, selectObservedRange } from '../store/read/select-edges.ts'
import { selectIdentities, selectPodNetworks } from '../store/read/select-identities.ts'
import { identityMapVersions } from './identity-map.ts'
import { loadSnapshotAt } from './cluster-state.ts'

/** What was observed in a range, from files or from the store; the input of recommend and check. */
export interface ObservedTraffic {
  readonly edges: readonly ObservedEdge[]
  /** Networks in which pods were seen, as CIDR text. */
  readonly podNetworks: readonly string[]
  /** The range asked for, or what the flows span; microseconds. `null` when nothing was observed. */
  readonly sinceUs: number | null
  readonly untilUs: number | null
  /** The rules to read identities by; the default ones where absent. */
  readonly labelRules?: LabelRulesConfig
  /** The cluster as the store knows it at the end of the range; used where no other state is given. */
  readonly snapshot?: ClusterSnapshot
  /** Everybody the store ever saw in the cluster, also outside the range: so that the identity map does not depend on the range. */
  readonly identities?: readonly Identity[]
  /** Versions of the identity map in the store, by content digest. */
  readonly identityMapVersions?: ReadonlyMap<string, number>
}

export interface StoreRange {
  /** Without one, the only cluster there is. */
  readonly cluster?: string
  readonly sinceUs?: number
  readonly untilUs?: number
  readonly labelRules?: LabelRulesConfig
}

/** What the store holds of a cluster in [since, until); without bounds, everything kept. Says which cluster it is. */
export async function observeStore(database: Queryable, range: StoreRange): Promise<ObservedTraffic & { cluster: string; clusterId: number }> {
  return inSnapshot(database, (tx) => observeSnapshot(tx, range))
}

async function observeSnapshot(database: Queryable, range: StoreRange): Promise<ObservedTraffic & { cluster: string; clusterId: number }> {
  const cluster = await findCluster(database, range.cluster)
  const edges = await selectEdges(database, { clusterId: cluster.id, sinceUs: range.sinceUs, untilUs: range.untilUs })
  const podNetworks = await selectPodNetworks(database, cluster.id)
  const observed = await selectObservedRange(database, cluster.id)
  const snapshot = await loadSnapshotAt(database, cluster.id, range.untilUs ?? observed?.untilUs ?? Number.MAX_SAFE_INTEGER)
  return {
    cluster: cluster.name, clusterId: cluster.id, edges, podNetworks,
    identities: await selectIdentities(database, cluster.id), identityMapVersions: await identityMapVersions(database, cluster.id),
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(range.labelRules === undefined ? {} : { labelRules: range.labelRules }),
    sinceUs: range.sinceUs ?? observed?.sinceUs ?? null, untilUs: range.untilUs ?? observed?.untilUs ?? null,
  }
}

/** The range as documents show it, RFC 3339. */
export function windowOf({ sinceUs, untilUs }: ObservedTraffic): { since: string | null; until: string | null } {
  const text = (timeUs: number | null): string | null => (timeUs === null ? null : formatTimeUs(timeUs))
  return { since: text(sinceUs), until: text(untilUs) }
}

/** Observed edges read as traffic between workloads. */
export interface TrafficView {
  readonly rules: IdentityMap
  readonly workloads: WorkloadIndex
  readonly traffic: readonly TrafficEdge[]
}

/** Which labels are identity, by the configured rules and by all that is known of the cluster's pods. */
export function readIdentityMap(observed: ObservedTraffic, cluster: string, snapshot = observed.snapshot): IdentityMap {
  const known = snapshot === undefined ? [] : snapshotIdentities(snapshot, cluster)
  const seen = observed.edges.flatMap((e) => [e.from, e.to])
  return buildIdentityMap([...seen, ...(observed.identities ?? []), ...known], observed.labelRules)
}

/** Applies label rules, groups identities into workloads and orients edges; cluster state adds workloads that were silent. */
export function viewTraffic(observed: ObservedTraffic, cluster: string, snapshot = observed.snapshot): TrafficView {
  const known = snapshot === undefined ? [] : snapshotIdentities(snapshot, cluster)
  const identities = [...observed.edges.flatMap((e) => [e.from, e.to]), ...known]
  const rules = readIdentityMap(observed, cluster, snapshot)
  const workloads = groupWorkloads(identities, rules)
  return { rules, workloads, traffic: buildTraffic(observed.edges, workloads, declaredListeners(cluster, snapshot)) }
}

/** Container ports that cluster state declares, and target ports of Services, by workload of that cluster. */
function declaredListeners(cluster: string, snapshot: ClusterSnapshot | undefined): Listeners {
  if (snapshot === undefined) return () => false
  const declared = new Set<string>()
  const declare = (namespace: string, { kind, name }: WorkloadRef, protocol: Protocol, port: number): void => {
    declared.add(`${namespace}\u0000${kind}\u0000${name}\u0000${protocol}\u0000${port}`)
  }
  for (const { namespace, kind, name, ports } of snapshot.workloads) for (const p of ports) declare(namespace, { kind, name }, p.protocol, p.containerPort)
  const podsOf = groupedBy(snapshot.pods.filter((pod) => pod.workload !== null), (pod) => pod.namespace)
  for (const pod of snapshot.pods) if (pod.workload !== null) for (const p of pod.ports) declare(pod.namespace, pod.workload, p.protocol, p.containerPort)
  for (const { namespace, selector, ports } of snapshot.services) {
    // A named target port is a container port, declared above. Without selector nothing says whose ports they are.
    const numbered = ports.flatMap(({ targetPort, protocol }) => (typeof targetPort === 'number' ? [{ targetPort, protocol }] : []))
    if (selector === null || Object.keys(selector).length === 0 || numbered.length === 0) continue
    for (const pod of podsOf.get(namespace) ?? []) {
      if (pod.workload === null || !Object.entries(selector).every(([key, value]) => pod.labels[key] === value)) continue
      for (const { targetPort, protocol } of numbered) declare(namespace, pod.workload, protocol, targetPort)
    }
  }
  return (party, protocol, port) => {
    const { workload } = party
    if (workload === undefined || workload.ref === null || workload.cluster !== cluster) return false
    return declared.has(`${workload.namespace}\u0000${workload.ref.kind}\u0000${workload.ref.name}\u0000${protocol}\u0000${port}`)
  }
}
