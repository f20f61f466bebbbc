/**
 * Calico Enterprise flow-log rows of the connections, aggregation level 2.
 *
 * In: the connections of each tick. Out: at the end of every interval one JSON line per (pod group pair, port,
 * protocol, reporting node and side). Invariants: no reply rows (conntrack knows the initiator), no pod addresses and
 * source ports, outside addresses kept. Cost: memory for the rows of the open intervals.
 */
import { US_PER_MS, US_PER_SECOND } from '../base/time.ts'
import type { Labels } from '../flow/end.ts'
import type { Connection, ConnectionStream } from './connection-stream.ts'
import { TICK_US } from './connection-stream.ts'
import type { Endpoint, EndpointTable } from './endpoints.ts'
import type { ClusterPlan, PlannedPod, SimulationRange } from './plan-cluster.ts'
import { ipv4Value } from './addresses.ts'
import { createRandom } from './random.ts'
import type { TopologyEdge } from './topology.ts'

/** How Calico names an end: all pods of one name prefix, or one address. */
interface CalicoEnd {
  readonly type: 'wep' | 'net'
  readonly ip: string | null
  readonly nameAggr: string
  readonly namespace: string
  readonly labels: { labels: string[] } | null
}

interface CalicoRow {
  readonly from: CalicoEnd
  readonly to: CalicoEnd
  readonly edge: TopologyEdge
  readonly reporter: 'src' | 'dst'
  readonly host: string
  readonly domain: string | undefined
  readonly names: boolean
  flows: number
  started: number
  completed: number
}

export class CalicoWriter {
  readonly #cluster: ClusterPlan
  readonly #range: SimulationRange
  readonly #stream: ConnectionStream
  readonly #intervalUs: number
  readonly #ends: readonly CalicoEnd[]
  readonly #random
  /** Open intervals by number, each with its rows by key. */
  readonly #intervals = new Map<number, Map<string, CalicoRow>>()

  constructor(world: { cluster: ClusterPlan; endpoints: EndpointTable }, options: { range: SimulationRange; stream: ConnectionStream; intervalUs: number }) {
    this.#cluster = world.cluster
    this.#range = options.range
    this.#stream = options.stream
    this.#intervalUs = options.intervalUs
    const shared = sharedLabels(world.cluster.pods)
    this.#ends = world.endpoints.all.map((e) => calicoEnd(e, shared))
    this.#random = createRandom(options.range.seed, 'calico')
  }

  *lines(): Generator<string> {
    const { startUs, endUs } = this.#range
    for (let tick = 0; tick < this.#stream.ticks; tick++) {
      for (const connection of this.#stream.ofTick(tick)) this.#count(connection)
      const doneUs = Math.min(startUs + (tick + 1) * TICK_US, endUs)
      for (const number of [...this.#intervals.keys()].sort((a, b) => a - b)) {
        if (startUs + (number + 1) * this.#intervalUs <= doneUs || doneUs === endUs) yield* this.#flush(number)
      }
    }
  }

  #count(connection: Connection): void {
    const { startUs } = this.#range
    const first = Math.floor((connection.startUs - startUs) / this.#intervalUs)
    const last = Math.floor((connection.endUs - startUs) / this.#intervalUs)
    for (let number = first; number <= last; number++) {
      if (connection.client.pod !== undefined) this.#countAt(connection, { number, reporter: 'src', isFirst: number === first, isLast: number === last })
      if (connection.server.pod !== undefined) this.#countAt(connection, { number, reporter: 'dst', isFirst: number === first, isLast: number === last })
    }
  }

  #countAt(c: Connection, at: { number: number; reporter: 'src' | 'dst'; isFirst: boolean; isLast: boolean }): void {
    const { edge } = c.edge
    if (edge.loss > 0 && this.#random.chance(edge.loss)) return
    const rows = this.#intervals.get(at.number) ?? new Map<string, CalicoRow>()
    this.#intervals.set(at.number, rows)
    const node = at.reporter === 'src' ? c.client.nodeIndex : c.server.nodeIndex
    const from = this.#ends[c.client.index] as CalicoEnd
    const to = this.#ends[c.server.index] as CalicoEnd
    const key = `${at.reporter} ${node} ${c.edge.index} ${from.nameAggr} ${from.ip} ${to.nameAggr} ${to.ip}`
    let row = rows.get(key)
    if (row === undefined) {
      const names = at.reporter === 'src' || c.client.nodeIndex === c.server.nodeIndex
      row = { from, to, edge, reporter: at.reporter, host: (this.#cluster.nodes[node] as { name: string }).name, domain: c.server.fqdn, names, flows: 0, started: 0, completed: 0 }
      rows.set(key, row)
    }
    row.flows += 1
    if (at.isFirst) row.started += 1
    if (at.isLast) row.completed += 1
  }

  *#flush(number: number): Generator<string> {
    const rows = this.#intervals.get(number)
    this.#intervals.delete(number)
    const startS = Math.floor((this.#range.startUs + number * this.#intervalUs) / US_PER_SECOND)
    const endS = Math.floor(Math.min(this.#range.startUs + (number + 1) * this.#intervalUs, this.#range.endUs) / US_PER_SECOND)
    for (const row of rows?.values() ?? []) yield JSON.stringify(this.#document(row, startS, endS))
  }

  /** The document's fields in the order of Felix' file logger. */
  #document(row: CalicoRow, startS: number, endS: number): Record<string, unknown> {
    const { from, to, edge } = row
    const via = row.names ? edge.via : undefined
    const isApiServer = edge.to.type === 'kube-apiserver' && row.names
    const namespace = row.reporter === 'src' ? from.namespace : to.namespace
    const hit = `0|__PROFILE__|__PROFILE__.kns.${namespace}|allow|0`
    const packets = row.flows * (edge.protocol === 'TCP' ? 6 : 1) + this.#random.int(row.flows + 1)
    return {
      start_time: startS, end_time: endS,
      source_ip: from.ip, source_name: '-', source_name_aggr: from.nameAggr, source_namespace: from.namespace, source_port: null,
      source_type: from.type, source_labels: from.labels,
      dest_ip: to.ip, dest_name: '-', dest_name_aggr: to.nameAggr, dest_namespace: to.namespace, dest_port: edge.port,
      dest_type: to.type, dest_labels: to.labels,
      dest_service_namespace: via?.namespace ?? (isApiServer ? 'default' : '-'),
      dest_service_name: via?.name ?? (isApiServer ? 'kubernetes' : '-'),
      dest_service_port: via?.portName ?? (isApiServer ? 'https' : '-'),
      dest_service_port_num: via?.port ?? (isApiServer ? 443 : null),
      dest_domains: row.reporter === 'src' && row.domain !== undefined ? [row.domain] : null,
      proto: edge.protocol.toLowerCase(), action: 'allow', reporter: row.reporter,
      policies: { all_policies: [hit], enforced_policies: [hit], pending_policies: [hit] },
      bytes_in: packets * (70 + this.#random.int(200)), bytes_out: packets * (80 + this.#random.int(900)),
      num_flows: row.flows, num_flows_started: row.started, num_flows_completed: row.completed,
      packets_in: packets, packets_out: packets + this.#random.int(row.flows + 1),
      http_requests_allowed_in: 0, http_requests_denied_in: 0,
      original_source_ips: null, num_original_source_ips: 0,
      host: row.host, '@timestamp': (endS * US_PER_SECOND) / US_PER_MS,
    }
  }
}

function calicoEnd(endpoint: Endpoint, shared: ReadonlyMap<string, Labels>): CalicoEnd {
  const { pod } = endpoint
  if (pod === undefined) return { type: 'net', ip: endpoint.ip, nameAggr: isPrivate(endpoint.ip) ? 'pvt' : 'pub', namespace: '-', labels: null }
  const group = groupOf(pod)
  const labels = shared.get(`${pod.workload.namespace}/${group}`) ?? {}
  return { type: 'wep', ip: null, nameAggr: group, namespace: pod.workload.namespace, labels: { labels: Object.entries(labels).map(([k, v]) => `${k}=${v}`) } }
}

/** The pod's generateName with `*`; a bare pod's own name. */
function groupOf(pod: PlannedPod): string {
  return pod.workload.kind === 'Pod' ? pod.name : `${pod.name.slice(0, pod.name.lastIndexOf('-'))}-*`
}

/** Labels that all pods of a group carry with the same value, by `namespace/group`. */
function sharedLabels(pods: readonly PlannedPod[]): Map<string, Labels> {
  const shared = new Map<string, Labels>()
  for (const pod of pods) {
    const key = `${pod.workload.namespace}/${groupOf(pod)}`
    const known = shared.get(key)
    shared.set(key, known === undefined ? pod.labels : Object.fromEntries(Object.entries(known).filter(([k, v]) => pod.labels[k] === v)))
  }
  return shared
}

/** RFC 1918 only, as Felix decides between `pvt` and `pub`. */
function isPrivate(ip: string): boolean {
  const value = ipv4Value(ip)
  if (value === undefined) return false
  const [a, b] = [Math.floor(value / 16_777_216), (value >>> 16) % 256]
  return a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)
}
