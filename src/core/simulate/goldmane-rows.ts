/**
 * Calico Goldmane flows of the connections, as its emitter writes them: JSON lines, enums as numbers, what is zero or empty left out.
 *
 * In: the groups of each interval. Out: one JSON line each. Invariants: no addresses at all, no node; what several nodes saw between the same groups
 * is one flow. Cost: as calico-groups.ts.
 */
import { CalicoGroups, type CalicoGroup, type CalicoOptions } from './calico-groups.ts'
import type { EndpointTable } from './endpoints.ts'
import type { ClusterPlan } from './plan-cluster.ts'

/** EndpointType, Reporter, Action and PolicyKind of Goldmane's API. */
const TYPES = { wep: 1, net: 4 } as const
const REPORTERS = { src: 1, dst: 2 } as const
const ALLOW = 1
const PROFILE = 9

export class GoldmaneWriter {
  readonly #groups: CalicoGroups

  constructor(world: { cluster: ClusterPlan; endpoints: EndpointTable }, options: CalicoOptions) {
    this.#groups = new CalicoGroups(world, options, false)
  }

  *lines(): Generator<string> {
    for (const { startS, endS, groups } of this.#groups.intervals()) {
      for (const group of groups) yield JSON.stringify(this.#flow(group, startS, endS))
    }
  }

  /** In the order of the emitter's fields. */
  #flow(group: CalicoGroup, startS: number, endS: number): Record<string, unknown> {
    const { from, to, flows, started, completed } = group
    const { random } = this.#groups
    const packets = flows * (group.edge.protocol === 'TCP' ? 6 : 1) + random.int(flows + 1)
    return withoutZeros({
      Key: keyOf(group), start_time: startS, end_time: endS, source_labels: from.labels ?? [], dest_labels: to.labels ?? [],
      packets_in: packets, packets_out: packets + random.int(flows + 1), bytes_in: packets * (70 + random.int(200)), bytes_out: packets * (80 + random.int(900)),
      num_connections_started: started, num_connections_completed: completed, num_connections_live: flows - completed,
    })
  }
}

function keyOf({ from, to, edge, reporter, names }: CalicoGroup): Record<string, unknown> {
  const via = names ? edge.via : undefined
  const isApiServer = edge.to.type === 'kube-apiserver' && names
  const namespace = reporter === 'src' ? from.namespace : to.namespace
  // Nothing applies: the namespace's profile allows.
  const hit = { kind: PROFILE, name: `kns.${namespace}`, action: ALLOW }
  return withoutZeros({
    source_name: from.nameAggr, source_namespace: from.namespace, source_type: TYPES[from.type],
    dest_name: to.nameAggr, dest_namespace: to.namespace, dest_type: TYPES[to.type], dest_port: edge.port,
    dest_service_name: via?.name ?? (isApiServer ? 'kubernetes' : '-'), dest_service_namespace: via?.namespace ?? (isApiServer ? 'default' : '-'),
    dest_service_port_name: via?.portName ?? (isApiServer ? 'https' : '-'), dest_service_port: via?.port ?? (isApiServer ? 443 : 0),
    proto: edge.protocol.toLowerCase(), reporter: REPORTERS[reporter], action: ALLOW, policies: { enforced_policies: [hit], pending_policies: [hit] },
  })
}

/** As Go's `omitempty` does. */
function withoutZeros(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== 0 && v !== '' && !(Array.isArray(v) && v.length === 0)))
}
