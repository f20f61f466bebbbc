/**
 * Ends that a record names only by address, or by a pod's name without labels: what cluster state knows of them at the flow's time.
 *
 * Invariants: an address is never resolved by state of another moment; without an answer the end is an unknown workload or the outside, never
 * a pod. A Service's address becomes its backends' workload only where state proves one workload and one pod port; else its port is no pod's
 * port (T8). Cost: a lookup in the history.
 */
import { NO_HISTORY, type AddressHolder, type ClusterHistory, type HistoryPod } from '../cluster/cluster-history.ts'
import { UNVERIFIED_PRIVATE, type WorkloadRef } from '../flow/end.ts'
import type { Protocol } from '../flow/flow-record.ts'
import { NO_ADDRESS, type AddressInfo } from './address-cache.ts'
import { endOf, type End, type IdentityCache } from './identity-cache.ts'
import type { Located } from './orientation.ts'
import { deriveWorkload } from './pod-name.ts'

/** A pod as a log names it. */
export interface NamedPod {
  readonly namespace: string
  readonly name: string
  /** As the log says; `null`: derived from the pod's name. */
  readonly workload: WorkloadRef | null
}

export interface AddressQuestion {
  readonly port: number
  readonly protocol: Protocol
  readonly atUs: number
  /** What a private address is that state does not know: `unknown` where the log names no pods at all, `outside` where it names those it knows. */
  readonly privateIs: 'unknown' | 'outside'
  /** The end opened the connection, which no Service's address does: there it stays unknown. */
  readonly isInitiator?: boolean
}

export class EndResolver {
  readonly #cluster: string
  readonly #identities: IdentityCache
  readonly #history: () => ClusterHistory
  /** Ends made of state's pods; state gives the same object as long as it knows the same of the pod. */
  readonly #stateEnds = new WeakMap<HistoryPod, End>()

  constructor(cluster: string, identities: IdentityCache, history: () => ClusterHistory) {
    this.#cluster = cluster
    this.#identities = identities
    this.#history = history
  }

  /** The end behind an address; see the head of the file. */
  address(address: AddressInfo, question: AddressQuestion): Located {
    const { port, atUs } = question
    // The same on every node and in no state: what it is does not depend on who asks.
    if (address.role !== '') return { end: this.#identities.special('external', address.role), address, port, isService: false }
    const holder = this.#history().holderOf(address.text, atUs)
    const held = this.#held(holder, address, question)
    if (held !== undefined) return held
    if (holder.kind === 'unknown') return { end: this.#outside(address, question.privateIs), address, port, isService: false }
    return { end: this.#identities.special(address.isPodLike ? 'unknown' : 'external'), address, port, isService: false }
  }

  /** What `address` answers as long as there is no cluster state: the same for every port and moment. `undefined`: there is some. */
  withoutState(address: AddressInfo, privateIs: AddressQuestion['privateIs']): End | undefined {
    if (this.#history() !== NO_HISTORY) return undefined
    return address.role === '' ? this.#outside(address, privateIs) : this.#identities.special('external', address.role)
  }

  /** The end that state knows behind an address at that moment; `undefined` where it has no answer, or nobody held the address. */
  known(address: AddressInfo, question: Omit<AddressQuestion, 'privateIs'>): Located | undefined {
    return this.#held(this.#history().holderOf(address.text, question.atUs), address, question)
  }

  #held(holder: AddressHolder, address: AddressInfo, question: Omit<AddressQuestion, 'privateIs'>): Located | undefined {
    const { port } = question
    switch (holder.kind) {
      case 'pod': return { end: this.#stateEnd(holder.pod), address, port, isService: false }
      case 'node': return { end: this.#identities.special('node'), address, port, isService: false }
      case 'service': return question.isInitiator === true ? { end: this.#identities.special('unknown'), address, port, isService: true } : this.service(address, question)
      case 'nobody': case 'unknown': return undefined
    }
  }

  /** The end behind a Service's address and port. Its own address is no pod's: the end found has none. */
  service(address: AddressInfo, { port, protocol, atUs }: Pick<AddressQuestion, 'port' | 'protocol' | 'atUs'>): Located {
    const backends = this.#history().backendsOf(address.text, port, protocol, atUs)
    const end = backends === undefined ? undefined : this.#commonEnd(backends.pods)
    if (backends === undefined || end === undefined) return { end: this.#identities.special('unknown'), address, port, isService: true }
    return { end, address: NO_ADDRESS, port: backends.port, isService: false }
  }

  /** A pod that the record names. Labels and controller come from state where it knows the pod, else the controller from its name. */
  pod(named: NamedPod, atUs: number): End {
    return this.knownPod(named.namespace, named.name, atUs) ?? this.namedOnly(named)
  }

  /** A pod of which nothing is known but what the record says. */
  namedOnly(named: NamedPod): End {
    const workload = named.workload ?? deriveWorkload(named.name)
    return endOf(this.#identities.intern({
      kind: 'pod', cluster: this.#cluster, namespace: named.namespace, labels: {}, namespaceLabels: {}, labelQuality: 'none', workload,
      workloadEvidence: named.workload === null ? 'pod-name' : 'record', name: workload.kind === 'Pod' ? named.name : '',
    }), named.name)
  }

  /** A named pod as state knows it; `undefined` when it does not. */
  knownPod(namespace: string, name: string, atUs: number): End | undefined {
    const known = this.#history().podNamed(namespace, name, atUs)
    return known === undefined ? undefined : this.#stateEnd(known)
  }

  /** The pod port behind a Service's port, where state proves it; 0 otherwise. */
  podPort(serviceIp: string, port: number, protocol: Protocol, atUs: number): number {
    return this.#history().backendsOf(serviceIp, port, protocol, atUs)?.port ?? 0
  }

  #stateEnd(pod: HistoryPod): End {
    const known = this.#stateEnds.get(pod)
    if (known !== undefined) return known
    const end = this.#makeStateEnd(pod)
    this.#stateEnds.set(pod, end)
    return end
  }

  #makeStateEnd(pod: HistoryPod): End {
    // Pods on the host's network share the node's address: no policy selects them.
    if (pod.hostNetwork) return this.#identities.special('node')
    const hasLabels = Object.keys(pod.labels).length > 0
    const isNamed = pod.workload !== null && pod.workload.kind !== 'Pod'
    return endOf(this.#identities.intern({
      kind: 'pod', cluster: this.#cluster, namespace: pod.namespace, labels: pod.labels, namespaceLabels: pod.namespaceLabels ?? {}, labelQuality: 'full',
      workload: pod.workload, workloadEvidence: pod.workload === null ? 'none' : 'record', name: !isNamed && !hasLabels ? pod.name : '',
    }), pod.name)
  }

  /** One end for all pods when they are of one workload; without pod, because any of them may have answered. */
  #commonEnd(pods: readonly HistoryPod[]): End | undefined {
    const [first, ...others] = pods
    if (first === undefined || first.workload === null) return undefined
    const { namespace, workload } = first
    const isOne = others.every((p) => p.namespace === namespace && p.workload?.kind === workload.kind && p.workload.name === workload.name)
    if (!isOne) return undefined
    const ends = pods.map((p) => this.#stateEnd(p))
    const smallest = ends.reduce((a, b) => (b.identity.key < a.identity.key ? b : a))
    return endOf(smallest.identity, '')
  }

  #outside(address: AddressInfo, privateIs: AddressQuestion['privateIs']): End {
    const isPodLike = address.isPodLike || this.#history().isInPodNetwork?.(address.text) === true
    if (isPodLike || address.text === '' || (address.isPrivate && privateIs === 'unknown')) return this.#identities.special('unknown')
    return this.#identities.special('external', address.isPrivate ? UNVERIFIED_PRIVATE : '')
  }
}
