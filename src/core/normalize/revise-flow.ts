/**
 * A stored flow as its record would be read today: ends that only an address or a pod's name told are looked up again in cluster state, at the flow's
 * own time.
 *
 *  FlowRecord ─► ends that state may know ─► EndResolver ─► the same checks and orders as when a record arrives ─► FlowRecord, or undefined
 *
 * Invariants: what the record itself named stays; without an answer of state nothing changes; a pure function of the flow, the options and the state.
 * What a stored flow does not hold any more cannot be used (docs/reaggregate.md): the port of a Service that was not translated, and what its format
 * told of an end without a name.
 */
import type { ClusterHistory } from '../cluster/cluster-history.ts'
import type { FlowRecord, Side } from '../flow/flow-record.ts'
import type { Identity } from '../flow/identity.ts'
import { UNVERIFIED_PRIVATE } from '../flow/end.ts'
import { AddressCache, NO_ADDRESS } from './address-cache.ts'
import { EndResolver } from './end-resolver.ts'
import { endOf, IdentityCache } from './identity-cache.ts'
import type { End } from './identity-cache.ts'
import { isInOrder, isPoliced } from './orientation.ts'
import type { Located } from './orientation.ts'
import { OwnWorkloads } from './own-workloads.ts'

export interface ReviseOptions {
  readonly cluster: string
  readonly podCidrs: readonly string[]
  readonly ownWorkloads: readonly string[]
  readonly history: ClusterHistory
  /** Whether flows may have this identity; false keeps the stored one. For the limit of identities. */
  readonly mayHave?: (identity: Identity) => boolean
}

type Which = 'initiator' | 'responder'

export class FlowReviser {
  readonly #cluster: string
  readonly #addresses: AddressCache
  readonly #identities: IdentityCache
  readonly #resolver: EndResolver
  readonly #own: OwnWorkloads
  readonly #mayHave: (identity: Identity) => boolean

  constructor({ cluster, podCidrs, ownWorkloads, history, mayHave = () => true }: ReviseOptions) {
    this.#cluster = cluster
    this.#addresses = new AddressCache(podCidrs)
    this.#identities = new IdentityCache(cluster)
    this.#resolver = new EndResolver(cluster, this.#identities, () => history)
    this.#own = new OwnWorkloads(cluster, ownWorkloads)
    this.#mayHave = mayHave
  }

  /** The same object when nothing changes; `undefined` when such a record would not be stored: no end is a pod, or both are the collector's own. */
  revise(flow: FlowRecord): FlowRecord | undefined {
    const initiator = this.#found(flow, 'initiator')
    const responder = this.#found(flow, 'responder')
    if (initiator === undefined && responder === undefined) return flow
    const first = initiator ?? this.#stored(flow, 'initiator')
    const second = responder ?? this.#stored(flow, 'responder')
    if (!isEndpoint(first, flow) && !isEndpoint(second, flow)) return undefined
    const revised = flow.orientation === 'unoriented' ? reoriented(flow, first, second) : isAnswer(flow, initiator) ? undefined : filled(flow, first, second)
    return revised === undefined || this.#own.screen(revised).kind !== 'flow' ? undefined : revised
  }

  /** What state knows of an end now, when that is something else than what is stored. */
  #found(flow: FlowRecord, which: Which): Located | undefined {
    const identity = flow[which]
    const found = identity.kind === 'pod' ? this.#pod(flow, which) : identity.kind === 'unknown' || identity.kind === 'external' ? this.#address(flow, which) : undefined
    if (found === undefined || (found.end.identity.key === identity.key && !isBehindService(found, ipOf(flow, which)))) return undefined
    return this.#mayHave(found.end.identity) ? found : undefined
  }

  #pod(flow: FlowRecord, which: Which): Located | undefined {
    const identity = flow[which]
    const { namespace, labelQuality, workload, workloadEvidence } = identity
    if (identity.cluster !== this.#cluster || namespace === '') return undefined
    const isCalico = isOfCalico(flow)
    const told = which === 'initiator' ? flow.initiatorPod : flow.responderPod
    // Calico's aggregate of a pod that nobody controls is the pod's name.
    const name = told === '' && isCalico && workload?.kind === 'Pod' ? workload.name : told
    const isLabelled = labelQuality === 'full' && workloadEvidence === 'pod-name' && flow.format === 'antrea'
    if (name === '' || (labelQuality !== 'none' && !isLabelled)) return undefined
    const known = this.#resolver.knownPod(namespace, name, flow.lastAtUs) ?? (isCalico ? this.#resolver.knownPod(namespace, name, flow.firstAtUs) : undefined)
    if (known === undefined) return undefined
    return { ...this.#stored(flow, which), end: isLabelled ? this.#controlled(identity, known, name) : known }
  }

  /** Labels are the record's own; the controller, which Antrea's records never name, is what state says. */
  #controlled(identity: Identity, known: End, name: string): End {
    const { kind, workload, workloadEvidence, namespaceLabels } = known.identity
    if (kind !== 'pod' || workload === null) return endOf(identity, name)
    return endOf(this.#identities.intern({ ...identity, workload, workloadEvidence, namespaceLabels }), name)
  }

  #address(flow: FlowRecord, which: Which): Located | undefined {
    const stored = this.#stored(flow, which)
    const { address, port, end: { identity } } = stored
    const isOpen = flow.orientation === 'unoriented'
    if (address.text === '' || address.role !== '') return undefined
    // A Service whose own port is not stored: who answered there cannot be told.
    if (which === 'responder' && !isOpen && port === 0) return undefined
    const question = { port, protocol: flow.protocol, atUs: flow.lastAtUs }
    if (flow.format === 'hubble') {
      const other = flow[which === 'initiator' ? 'responder' : 'initiator']
      if (other.kind === 'pod' && other.cluster !== this.#cluster) return undefined
      return this.#resolver.known(address, { ...question, isInitiator: isOpen || which === 'initiator' })
    }
    const located = this.#resolver.address(address, { ...question, privateIs: identity.kind === 'unknown' ? 'unknown' : 'outside' })
    const { kind, name } = located.end.identity
    // Antrea's agent knows the pod networks: what it called inside stays so.
    if (flow.format === 'antrea' && kind === 'external' && identity.kind === 'unknown') return undefined
    if (!isOfCalico(flow)) return located
    if (kind === 'external' && name === '' && identity.name === UNVERIFIED_PRIVATE) return undefined
    if (kind !== 'pod' || located.address.text === '' || flow.firstAtUs === flow.lastAtUs) return located
    // One that Calico does not know must have held the address during the whole window, or it is the next owner (T15).
    const before = this.#resolver.address(address, { ...question, atUs: flow.firstAtUs, privateIs: 'outside' }).end
    const isSame = before.identity.key === located.end.identity.key && before.pod === located.end.pod
    return isSame ? located : { ...stored, end: this.#identities.special('unknown') }
  }

  #stored(flow: FlowRecord, which: Which): Located {
    const ip = ipOf(flow, which)
    const address = (ip === '' ? undefined : this.#addresses.get(ip)) ?? NO_ADDRESS
    const pod = which === 'initiator' ? flow.initiatorPod : flow.responderPod
    return { end: { kind: 'end', identity: flow[which], pod, hash: NO_ADDRESS.hash }, address, port: which === 'initiator' ? flow.initiatorPort : flow.port, isService: false }
  }
}

function ipOf(flow: FlowRecord, which: Which): string {
  return which === 'initiator' ? flow.initiatorIp : flow.responderIp
}

function isOfCalico({ format }: FlowRecord): boolean {
  return format === 'calico-enterprise' || format === 'goldmane'
}

function isEndpoint(located: Located, { format }: FlowRecord): boolean {
  return isPoliced(located) && !(format === 'netobserv' && located.isService)
}

/** State says that the end is reached by a Service's address: its own, or that of the pods behind it. */
function isBehindService(end: Located, ip: string): boolean {
  return end.isService || end.address.text !== ip
}

/** AWS' hook takes late answers for openings; from a Service they tell no pod port, and are refused. */
function isAnswer(flow: FlowRecord, initiator: Located | undefined): boolean {
  return flow.format === 'aws-vpc-cni' && initiator !== undefined && isBehindService(initiator, flow.initiatorIp)
}

function filled(flow: FlowRecord, first: Located, second: Located): FlowRecord {
  return withEnds(flow, first, second, { port: second.isService ? 0 : second.port, initiatorPort: 0 })
}

/** A Service's address is only ever dialled; without one, the ends in canonical order. `undefined`: an answer, see isAnswer. */
function reoriented(flow: FlowRecord, first: Located, second: Located): FlowRecord | undefined {
  const [isFirst, isSecond] = [isBehindService(first, flow.initiatorIp), isBehindService(second, flow.responderIp)]
  if (isFirst !== isSecond && (flow.format === 'netobserv' || flow.format === 'aws-vpc-cni')) {
    const [client, service] = isSecond ? [first, second] : [second, first]
    const [clientPort, servicePort] = isSecond ? [flow.initiatorPort, flow.port] : [flow.port, flow.initiatorPort]
    // A tuple that AWS left open goes to the larger of its ports.
    if (flow.format === 'aws-vpc-cni' && servicePort < clientPort) return undefined
    const oriented = { ...withEnds(flow, client, service, { port: service.isService ? 0 : service.port, initiatorPort: 0 }), orientation: 'conntrack' as const }
    return isSecond ? oriented : { ...oriented, side: flipped(flow.side) }
  }
  if (isInOrder(first, second)) return withEnds(flow, first, second, { port: second.port, initiatorPort: first.port })
  return { ...withEnds(flow, second, first, { port: first.port, initiatorPort: second.port }), side: flipped(flow.side) }
}

function withEnds(flow: FlowRecord, first: Located, second: Located, ports: Pick<FlowRecord, 'port' | 'initiatorPort'>): FlowRecord {
  const { kind, format, firstAtUs, lastAtUs, protocol, orientation, side, observedVerdict, node, flows, digestHi, digestLo } = flow
  return {
    kind, format, firstAtUs, lastAtUs, initiator: first.end.identity, responder: second.end.identity, initiatorIp: first.address.text, responderIp: second.address.text,
    initiatorPod: first.end.pod, responderPod: second.end.pod, protocol, ...ports, orientation, side, observedVerdict, node, flows, digestHi, digestLo,
  }
}

function flipped(side: Side): Side {
  return side === 'client' ? 'server' : side === 'server' ? 'client' : 'unknown'
}
