/**
 * Calico Enterprise flow-log rows of the connections, aggregation level 2.
 *
 * In: the groups of each interval. Out: one JSON line each. Invariants: no pod addresses and source ports, outside addresses kept. Cost: as calico-groups.ts.
 */
import { US_PER_MS, US_PER_SECOND } from '../base/time.ts'
import { CalicoGroups, type CalicoEnd, type CalicoGroup, type CalicoOptions } from './calico-groups.ts'
import type { EndpointTable } from './endpoints.ts'
import type { ClusterPlan } from './plan-cluster.ts'

export class CalicoWriter {
  readonly #groups: CalicoGroups

  constructor(world: { cluster: ClusterPlan; endpoints: EndpointTable }, options: CalicoOptions) {
    this.#groups = new CalicoGroups(world, options, true)
  }

  *lines(): Generator<string> {
    for (const { startS, endS, groups } of this.#groups.intervals()) {
      for (const group of groups) yield JSON.stringify(this.#document(group, startS, endS))
    }
  }

  /** The document's fields in the order of Felix' file logger. */
  #document(row: CalicoGroup, startS: number, endS: number): Record<string, unknown> {
    const { from, to, edge } = row
    const { random } = this.#groups
    const via = row.names ? edge.via : undefined
    const isApiServer = edge.to.type === 'kube-apiserver' && row.names
    const namespace = row.reporter === 'src' ? from.namespace : to.namespace
    const hit = `0|__PROFILE__|__PROFILE__.kns.${namespace}|allow|0`
    const packets = row.flows * (edge.protocol === 'TCP' ? 6 : 1) + random.int(row.flows + 1)
    return {
      start_time: startS, end_time: endS,
      source_ip: from.ip, source_name: '-', source_name_aggr: from.nameAggr, source_namespace: from.namespace, source_port: null,
      source_type: from.type, source_labels: labelsOf(from),
      dest_ip: to.ip, dest_name: '-', dest_name_aggr: to.nameAggr, dest_namespace: to.namespace, dest_port: edge.port,
      dest_type: to.type, dest_labels: labelsOf(to),
      dest_service_namespace: via?.namespace ?? (isApiServer ? 'default' : '-'),
      dest_service_name: via?.name ?? (isApiServer ? 'kubernetes' : '-'),
      dest_service_port: via?.portName ?? (isApiServer ? 'https' : '-'),
      dest_service_port_num: via?.port ?? (isApiServer ? 443 : null),
      dest_domains: row.reporter === 'src' && row.domain !== undefined ? [row.domain] : null,
      proto: edge.protocol.toLowerCase(), action: 'allow', reporter: row.reporter,
      policies: { all_policies: [hit], enforced_policies: [hit], pending_policies: [hit] },
      bytes_in: packets * (70 + random.int(200)), bytes_out: packets * (80 + random.int(900)),
      num_flows: row.flows, num_flows_started: row.started, num_flows_completed: row.completed,
      packets_in: packets, packets_out: packets + random.int(row.flows + 1),
      http_requests_allowed_in: 0, http_requests_denied_in: 0,
      original_source_ips: null, num_original_source_ips: 0,
      host: row.host, '@timestamp': (endS * US_PER_SECOND) / US_PER_MS,
    }
  }
}

function labelsOf({ labels }: CalicoEnd): { labels: readonly string[] } | null {
  return labels === null ? null : { labels }
}
