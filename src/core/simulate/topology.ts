/** The input of `simulate`: workloads and their true edges, every reference resolved; see parse-topology.ts. */
import type { Labels } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'
import type { CronSchedule } from './cron.ts'

export interface TopologyProblem {
  /** e.g. `edges[3].to.port`. */
  readonly field: string
  readonly message: string
}

export interface TopologyPort {
  readonly name: string | undefined
  readonly port: number
  readonly protocol: Protocol
}

export interface TopologyContainer {
  readonly name: string
  readonly image: string | undefined
  readonly ports: readonly TopologyPort[]
}

export interface TopologyWorkload {
  /** `kind/namespace/name`. */
  readonly key: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly podLabels: Labels
  readonly controllerLabels: Labels
  readonly serviceAccount: string
  readonly hostNetwork: boolean
  readonly replicas: number | undefined
  /** When a CronJob runs; without one the schedules of its edges say it. */
  readonly schedule: CronSchedule | undefined
  readonly containers: readonly TopologyContainer[]
}

export interface TopologyService {
  readonly namespace: string
  readonly name: string
  readonly type: string
  readonly labels: Labels
  readonly selector: Labels
  readonly isHeadless: boolean
  readonly ports: readonly { readonly name: string | undefined; readonly port: number; readonly targetPort: number | string; readonly protocol: Protocol; readonly nodePort: number | undefined }[]
}

export type TopologyEnd =
  | { readonly type: 'workload'; readonly workload: TopologyWorkload }
  /** Outside the cluster: one address, a domain name (its address is invented), or clients somewhere in a CIDR. */
  | { readonly type: 'external'; readonly ip: string | undefined; readonly fqdn: string | undefined; readonly cidr: string | undefined }
  /** The kubelet of the pod's own node. */
  | { readonly type: 'kubelet' }
  /** Every node's address. */
  | { readonly type: 'node' }
  | { readonly type: 'kube-apiserver' }

/** A moment: absolute, or minutes after the start of the simulation. */
export type TopologyMoment = { readonly atUs: number } | { readonly afterUs: number }

export interface TopologyEdge {
  readonly id: string
  readonly category: string
  readonly from: TopologyEnd
  readonly to: TopologyEnd
  /** Port on the pod. */
  readonly port: number
  readonly protocol: Protocol
  /** The Service the client dials; absent: the pod's address. */
  readonly via: { readonly namespace: string; readonly name: string; readonly port: number | undefined; readonly portName: string | undefined } | undefined
  readonly isConditional: boolean
  readonly ratePerMinute: number | undefined
  readonly schedule: CronSchedule | undefined
  readonly startsAt: TopologyMoment | undefined
  readonly endsAt: TopologyMoment | undefined
  /** Share of the records that the log loses, 0..1. */
  readonly loss: number
}

export interface Topology {
  readonly namespaces: readonly { readonly name: string; readonly labels: Labels }[]
  readonly workloads: readonly TopologyWorkload[]
  readonly services: readonly TopologyService[]
  readonly edges: readonly TopologyEdge[]
}

export type TopologyResult = { readonly topology: Topology } | { readonly problems: readonly TopologyProblem[] }

