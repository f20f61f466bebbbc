/**
 * Who was who in the cluster at any moment that cluster state covers.
 *
 * The question is always asked with the flow's own time: an address passes from pod to pod, and the holder of today is not the holder of
 * yesterday. A moment that no state covers, and an address that two claim, have no answer (`unknown`), never a guess.
 */
import type { Labels, WorkloadRef } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'
import type { ContainerPort } from './snapshot.ts'

/** A pod as it was at the moment asked for. */
export interface HistoryPod {
  readonly namespace: string
  readonly name: string
  /** All of its labels. */
  readonly labels: Labels
  /** `null` when the state lacks the namespace. */
  readonly namespaceLabels: Labels | null
  readonly workload: WorkloadRef | null
  readonly hostNetwork: boolean
  readonly nodeName: string
  readonly ports: readonly ContainerPort[]
}

/** Who holds an address. `nobody`: the moment is covered, and no pod, node or Service has it. `unknown`: not covered, or claimed twice. */
export type AddressHolder =
  | { readonly kind: 'pod'; readonly pod: HistoryPod }
  | { readonly kind: 'node'; readonly node: string }
  | { readonly kind: 'service'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'nobody' }
  | { readonly kind: 'unknown' }

/** The pods behind a Service's port and the one port that all of them serve it on. */
export interface ServiceBackends {
  readonly pods: readonly HistoryPod[]
  readonly port: number
}

export interface ClusterHistory {
  /** `ip` is canonical address text. */
  holderOf(ip: string, atUs: number): AddressHolder
  podNamed(namespace: string, name: string, atUs: number): HistoryPod | undefined
  /** Behind a Service's address; `undefined` unless state proves the pods and one common port. */
  backendsOf(serviceIp: string, port: number, protocol: Protocol, atUs: number): ServiceBackends | undefined
  /** Whether the address lies in a network of pods that state knows: then it is a pod's at some time, and never an outside address. */
  isInPodNetwork?(ip: string): boolean
}

const UNKNOWN: AddressHolder = { kind: 'unknown' }

/** No cluster state at all. */
export const NO_HISTORY: ClusterHistory = {
  holderOf: () => UNKNOWN,
  podNamed: () => undefined,
  backendsOf: () => undefined,
}
