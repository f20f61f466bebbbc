/**
 * What Calico aggregates connections to: per interval one row for each pair of pod groups, port, protocol and reporter.
 *
 * In: the connections of each tick. Out: at the end of every interval its rows, in the order in which they began. Invariants: no reply rows
 * (conntrack knows the initiator); a connection is in every interval that it lives in, once per side that has a pod. How a row is written is left to
 * calico-rows.ts and goldmane-rows.ts. Cost: memory for the rows of the open intervals.
 */
import { US_PER_SECOND } from '../base/time.ts'
import type { Labels } from '../flow/end.ts'
import { ipv4Value } from './addresses.ts'
import type { Connection, ConnectionStream } from './connection-stream.ts'
import { TICK_US } from './connection-stream.ts'
import type { Endpoint, EndpointTable } from './endpoints.ts'
import type { ClusterPlan, PlannedPod, SimulationRange } from './plan-cluster.ts'
import { createRandom, type Random } from './random.ts'
import type { TopologyEdge } from './topology.ts'

/** How Calico names an end: all pods of one name prefix, or one address. */
export interface CalicoEnd {
  readonly type: 'wep' | 'net'
  /** Of an end that is no pod. */
  readonly ip: string | null
  readonly nameAggr: string
  readonly namespace: string
  /** `key=value`; `null` for an end that is no pod. */
  readonly labels: readonly string[] | null
}

export interface CalicoGroup {
  readonly from: CalicoEnd
  readonly to: CalicoEnd
  readonly edge: TopologyEdge
  readonly reporter: 'src' | 'dst'
  readonly host: string
  readonly domain: string | undefined
  /** The reporter knows which Service was called. */
  readonly names: boolean
  flows: number
  started: number
  completed: number
}

/** The groups of one interval; Unix seconds. */
interface CalicoInterval {
  readonly startS: number
  readonly endS: number
  readonly groups: readonly CalicoGroup[]
}

export interface CalicoOptions {
  readonly range: SimulationRange
  readonly stream: ConnectionStream
  readonly intervalUs: number
}

export class CalicoGroups {
  /** For the writer's own draws, too: what is drawn depends on the seed and the order of drawing only. */
  readonly random: Random
  readonly #cluster: ClusterPlan
  readonly #range: SimulationRange
  readonly #stream: ConnectionStream
  readonly #intervalUs: number
  readonly #ends: readonly CalicoEnd[]
  readonly #isPerNode: boolean
  /** Open intervals by number, each with its groups by key. */
  readonly #intervals = new Map<number, Map<string, CalicoGroup>>()

  /** `isPerNode`: nodes write rows of their own, with outside addresses; else one collector sums up what all of them saw, without addresses. */
  constructor(world: { cluster: ClusterPlan; endpoints: EndpointTable }, options: CalicoOptions, isPerNode: boolean) {
    this.#cluster = world.cluster
    this.#range = options.range
    this.#stream = options.stream
    this.#intervalUs = options.intervalUs
    this.#isPerNode = isPerNode
    const shared = sharedLabels(world.cluster.pods)
    this.#ends = world.endpoints.all.map((e) => calicoEnd(e, shared))
    this.random = createRandom(options.range.seed, 'calico')
  }

  *intervals(): Generator<CalicoInterval> {
    const { startUs, endUs } = this.#range
    for (let tick = 0; tick < this.#stream.ticks; tick++) {
      for (const connection of this.#stream.ofTick(tick)) this.#count(connection)
      const doneUs = Math.min(startUs + (tick + 1) * TICK_US, endUs)
      for (const number of [...this.#intervals.keys()].sort((a, b) => a - b)) {
        if (startUs + (number + 1) * this.#intervalUs <= doneUs || doneUs === endUs) yield this.#flush(number)
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
    if (edge.loss > 0 && this.random.chance(edge.loss)) return
    const rows = this.#intervals.get(at.number) ?? new Map<string, CalicoGroup>()
    this.#intervals.set(at.number, rows)
    const node = at.reporter === 'src' ? c.client.nodeIndex : c.server.nodeIndex
    const from = this.#ends[c.client.index] as CalicoEnd
    const to = this.#ends[c.server.index] as CalicoEnd
    const names = at.reporter === 'src' || c.client.nodeIndex === c.server.nodeIndex
    const key = this.#isPerNode ? `${at.reporter} ${node} ${c.edge.index} ${from.nameAggr} ${from.ip} ${to.nameAggr} ${to.ip}` : `${at.reporter} ${sharedKey(from, to, { edge, names })}`
    let row = rows.get(key)
    if (row === undefined) {
      row = { from, to, edge, reporter: at.reporter, host: (this.#cluster.nodes[node] as { name: string }).name, domain: c.server.fqdn, names, flows: 0, started: 0, completed: 0 }
      rows.set(key, row)
    }
    row.flows += 1
    if (at.isFirst) row.started += 1
    if (at.isLast) row.completed += 1
  }

  #flush(number: number): CalicoInterval {
    const groups = [...this.#intervals.get(number)?.values() ?? []]
    this.#intervals.delete(number)
    const startS = Math.floor((this.#range.startUs + number * this.#intervalUs) / US_PER_SECOND)
    const endS = Math.floor(Math.min(this.#range.startUs + (number + 1) * this.#intervalUs, this.#range.endUs) / US_PER_SECOND)
    return { startS, endS, groups }
  }
}

/** What tells groups apart without nodes and addresses: two edges of the topology may look the same then. */
function sharedKey(from: CalicoEnd, to: CalicoEnd, { edge, names }: Pick<CalicoGroup, 'edge' | 'names'>): string {
  const { port, protocol, via } = edge
  const service = !names ? '' : via !== undefined ? `${via.namespace}/${via.name} ${via.portName} ${via.port}` : edge.to.type === 'kube-apiserver' ? 'kubernetes' : ''
  return `${from.namespace}/${from.nameAggr} ${to.namespace}/${to.nameAggr} ${protocol}/${port} ${service}`
}

function calicoEnd(endpoint: Endpoint, shared: ReadonlyMap<string, Labels>): CalicoEnd {
  const { pod } = endpoint
  if (pod === undefined) return { type: 'net', ip: endpoint.ip, nameAggr: isPrivate(endpoint.ip) ? 'pvt' : 'pub', namespace: '-', labels: null }
  const group = groupOf(pod)
  const labels = shared.get(`${pod.workload.namespace}/${group}`) ?? {}
  return { type: 'wep', ip: null, nameAggr: group, namespace: pod.workload.namespace, labels: Object.entries(labels).map(([k, v]) => `${k}=${v}`) }
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
