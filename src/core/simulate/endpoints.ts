import { ExternalAddresses } from './addresses.ts'
import type { ClusterPlan, PlannedPod } from './plan-cluster.ts'
import type { Topology, TopologyEdge, TopologyEnd } from './topology.ts'

/** One concrete end of connections. A hostNetwork pod is its node's address and so its node's endpoint. */
export interface Endpoint {
  /** Position in EndpointTable.all. */
  readonly index: number
  readonly kind: 'pod' | 'node' | 'kube-apiserver' | 'external'
  readonly ip: string
  /** Only pods of dual-stack clusters. */
  readonly ip6: string | undefined
  /** -1 outside the cluster. */
  readonly nodeIndex: number
  readonly pod: PlannedPod | undefined
  /** Domain name by which pods know an outside end. */
  readonly fqdn: string | undefined
}

/** Clients that an ingress from anywhere is made of. */
const CLIENTS_PER_CIDR = 3

/** Every endpoint of a simulation, and which of them an edge's end stands for. */
export class EndpointTable {
  readonly all: Endpoint[] = []
  readonly nodes: readonly Endpoint[]
  readonly apiServer: Endpoint
  readonly #pods = new Map<PlannedPod, Endpoint>()
  /** What a pod's address is to the cluster after the pod has gone: an address without a name. */
  readonly #ghosts = new Map<PlannedPod, Endpoint>()
  readonly #external = new Map<string, Endpoint>()
  readonly #externalsOf = new Map<TopologyEnd, readonly Endpoint[]>()

  constructor(plan: ClusterPlan, topology: Topology) {
    this.nodes = plan.nodes.map((node) => this.#add({ kind: 'node', ip: node.ip, nodeIndex: node.index }))
    this.apiServer = this.#add({ kind: 'kube-apiserver', ip: (plan.nodes[0] as { ip: string }).ip, nodeIndex: 0 })
    for (const pod of plan.pods) {
      const node = this.nodes[pod.nodeIndex] as Endpoint
      this.#pods.set(pod, pod.workload.hostNetwork ? node : this.#add({ kind: 'pod', ip: pod.ip, ip6: pod.ip6, nodeIndex: pod.nodeIndex, pod }))
      if (Number.isFinite(pod.untilUs)) this.#ghosts.set(pod, this.#add({ kind: 'external', ip: pod.ip, nodeIndex: -1 }))
    }
    this.#addExternals(topology.edges)
  }

  ofPod(pod: PlannedPod): Endpoint {
    return this.#pods.get(pod) as Endpoint
  }

  ghostOf(pod: PlannedPod): Endpoint | undefined {
    return this.#ghosts.get(pod)
  }

  /** The outside endpoints of an external end. */
  externals(end: TopologyEnd): readonly Endpoint[] {
    return this.#externalsOf.get(end) ?? []
  }

  /** Addresses the topology names first, then invented ones in order of the edges: an added edge moves no other address unless names collide. */
  #addExternals(edges: readonly TopologyEdge[]): void {
    const addresses = new ExternalAddresses()
    const ends = edges.flatMap((e) => [e.from, e.to]).filter((end) => end.type === 'external')
    for (const end of ends) if (end.ip !== undefined) addresses.reserve(end.ip)
    for (const end of ends) {
      const ips = end.ip !== undefined ? [end.ip] : end.fqdn !== undefined ? [addresses.forName(end.fqdn)] : addresses.inCidr(end.cidr ?? '0.0.0.0/0', CLIENTS_PER_CIDR)
      this.#externalsOf.set(end, ips.map((ip) => this.#externalOf(ip, end.fqdn)))
    }
  }

  #externalOf(ip: string, fqdn: string | undefined): Endpoint {
    const key = `${ip} ${fqdn ?? ''}`
    const known = this.#external.get(key)
    if (known !== undefined) return known
    const endpoint = this.#add({ kind: 'external', ip, nodeIndex: -1, fqdn })
    this.#external.set(key, endpoint)
    return endpoint
  }

  #add(fields: { kind: Endpoint['kind']; ip: string; nodeIndex: number; ip6?: string | undefined; pod?: PlannedPod; fqdn?: string | undefined }): Endpoint {
    const endpoint: Endpoint = { index: this.all.length, kind: fields.kind, ip: fields.ip, ip6: fields.ip6, nodeIndex: fields.nodeIndex, pod: fields.pod, fqdn: fields.fqdn }
    this.all.push(endpoint)
    return endpoint
  }
}
