import type { Simulation } from '../../../src/core/simulate/simulate.ts'
import type { TruthEdge } from '../../../src/core/simulate/truth.ts'

/** A Hubble flow as far as these tests read it. */
export interface HubbleFlow {
  readonly time: string
  readonly uuid: string
  readonly verdict: string
  readonly IP: { readonly source: string; readonly source_xlated?: string; readonly destination: string; readonly ipVersion: string }
  readonly l4: Readonly<Record<string, { readonly source_port: number; readonly destination_port: number; readonly flags?: Readonly<Record<string, boolean>> }>>
  readonly source: HubbleEnd
  readonly destination: HubbleEnd
  readonly Type: string
  readonly node_name: string
  readonly event_type: { readonly type: number; readonly sub_type?: number }
  readonly traffic_direction?: 'EGRESS' | 'INGRESS'
  readonly trace_observation_point?: string
  readonly is_reply?: boolean
  readonly l7?: { readonly type: string; readonly dns: { readonly query: string } }
}

export interface HubbleEnd {
  readonly ID?: number
  readonly namespace?: string
  readonly labels: readonly string[]
  readonly pod_name?: string
  readonly workloads?: readonly { readonly name: string; readonly kind: string }[]
}

export interface HubbleLine {
  readonly flow?: HubbleFlow
  readonly lost_events?: { readonly num_events_lost: string }
  readonly node_name: string
  readonly time: string
}

export function hubbleLines(simulation: Simulation): HubbleLine[] {
  return [...simulation.lines()].map((line) => JSON.parse(line) as HubbleLine)
}

export function hubbleFlows(simulation: Simulation): HubbleFlow[] {
  return hubbleLines(simulation).flatMap((line) => (line.flow === undefined ? [] : [line.flow]))
}

export function layer4(flow: HubbleFlow): { protocol: string; sourcePort: number; destinationPort: number; flags: Readonly<Record<string, boolean>> } {
  const [protocol, fields] = Object.entries(flow.l4)[0] ?? ['', { source_port: 0, destination_port: 0 }]
  return { protocol, sourcePort: fields.source_port, destinationPort: fields.destination_port, flags: fields.flags ?? {} }
}

/** `from -> to protocol/port` of what the policy-verdict events of both sides show, read without the product's own code. */
export function edgesOfVerdicts(simulation: Simulation): Set<string> {
  const workloadOf = new Map(simulation.pods.map((p) => [`${p.workload.namespace}/${p.name}`, p.workload.key]))
  const name = (end: HubbleEnd, ip: string): string => {
    if (end.pod_name !== undefined) return workloadOf.get(`${end.namespace}/${end.pod_name}`) ?? `unplanned ${end.pod_name}`
    if (end.labels.includes('reserved:kube-apiserver')) return 'kube-apiserver'
    if (end.labels.includes('reserved:host')) return 'host'
    return end.labels.includes('reserved:remote-node') ? 'node' : ip
  }
  const edges = new Set<string>()
  for (const flow of hubbleFlows(simulation)) {
    if (flow.event_type.type !== 5) continue
    const { protocol, destinationPort } = layer4(flow)
    edges.add(`${name(flow.source, flow.IP.source)} -> ${name(flow.destination, flow.IP.destination)} ${protocol}/${destinationPort}`)
  }
  return edges
}

export function truthText(edge: TruthEdge): string {
  const name = (end: TruthEdge['from']): string =>
    end.workload !== undefined ? `${end.workload.kind}/${end.namespace}/${end.workload.name}` : (end.cidr ?? end.kind).replace(/\/(32|128)$/, '')
  return `${name(edge.from)} -> ${name(edge.to)} ${edge.protocol}/${edge.port}`
}
