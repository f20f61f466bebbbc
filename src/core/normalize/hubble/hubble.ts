/**
 * Hubble flows (Cilium, and what imitates it: Retina) to FlowRecords. In: a parsed record of shape {flow, node_name, time}, {flow} or a bare
 * Flow, keys in snake_case or lowerCamel, enums by name or number. Out: one Outcome.
 *
 * Invariants: the outcome depends on this record and the options only; a known pod's record builds no identity. Wrong input is a Rejection that
 * names the field. Cost: about 60 property reads a record. Field by field: docs/sources/hubble.md.
 */
import type { FlowRecord, Ignored, ObservedVerdict, Orientation, Outcome, Rejection } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressCache, type AddressInfo } from '../address-cache.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { EVENT_AGENT, EVENT_DROP, EVENT_L7, EVENT_POLICY_VERDICT, EVENT_SOCKET, readDirection, readFlowType } from './hubble-enums.ts'
import { HubbleEnds } from './hubble-ends.ts'
import {
  checkUnoriented, FLAG_ACK, FLAG_SYN, isLocalEndpoint, isNamedService, isTranslatedSource, readFlowCount, readObservedVerdict, readReply,
  readTransport, type Transport,
} from './hubble-fields.ts'
import { checkTimeUs, InstantParser } from '../instant.ts'
import { NodeNames, type NodeName } from '../node-names.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { findOrientation, isFromResponder, isInOrder, isPoliced, sideOf, type Located, type OrientationFacts } from '../orientation.ts'
import { PROTOCOL_NUMBERS, readCount } from '../ports.ts'
import { ignored, isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'
import { mayBeCamel, snakeKeys } from '../snake-keys.ts'

const ENRICHMENT = ignored('hubble', 'enrichment')
const SOCKET = ignored('hubble', 'socket-translation')
const CONTROL = ignored('hubble', 'control')
const UNROUTABLE = ignored('hubble', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('hubble', 'no-endpoint')
const NO_IP: RawObject = {}

/** What a flow says apart from its ends. */
interface Facts extends OrientationFacts {
  readonly flow: RawObject
  readonly eventType: number
  readonly transport: Transport
  readonly node: NodeName
  readonly verdict: ObservedVerdict
  readonly flows: number
}

/** The ends, put in order. */
interface Oriented {
  readonly orientation: Orientation
  readonly first: Located
  readonly second: Located
  readonly isSourceFirst: boolean
  readonly port: number
}

export class HubbleNormalizer {
  readonly #addresses: AddressCache
  readonly #ends: HubbleEnds
  readonly #nodes = new NodeNames('hubble', 'node_name')
  readonly #instant = new InstantParser()
  readonly #digest = new Digest()
  readonly #seed: TextHash

  constructor({ cluster, identities, addresses }: NormalizeContext) {
    this.#addresses = addresses
    this.#ends = new HubbleEnds(cluster, identities)
    this.#seed = hashText(cluster)
  }

  /** `wrapper` is the object around the flow, or the flow itself when it stands alone. */
  normalize(wrapper: RawObject, bareFlow: RawObject): Outcome {
    const flow = mayBeCamel(bareFlow) ? snakeKeys(bareFlow) : bareFlow
    const event = flow.event_type
    if (event !== undefined && event !== null && !isObject(event)) return wrongType('hubble', 'event_type', 'an object', event)
    const eventType = isObject(event) && typeof event.type === 'number' ? event.type : 0
    const type = readFlowType(flow.Type)
    if (type === 'l7' || eventType === EVENT_L7) return ENRICHMENT
    if (type === 'socket' || eventType === EVENT_SOCKET) return SOCKET
    if (eventType === EVENT_AGENT) return CONTROL
    const transport = readTransport(flow)
    if (transport.kind !== 'transport') return transport
    return this.#withTransport(wrapper, flow, eventType, transport)
  }

  #withTransport(wrapper: RawObject, flow: RawObject, eventType: number, transport: Transport): Outcome {
    const verdict = readObservedVerdict(flow, eventType)
    if (typeof verdict !== 'string') return verdict
    const isReply = readReply(flow)
    if (typeof isReply === 'object') return isReply
    const flows = flow.aggregate === undefined ? 1 : readFlowCount(flow.aggregate)
    if (typeof flows !== 'number') return flows
    const timeProblem = this.#readTime(flow.time ?? wrapper.time)
    if (timeProblem !== null) return timeProblem
    const node = this.#nodes.read(flow.node_name ?? wrapper.node_name ?? wrapper.nodeName)
    if (node.kind === 'rejected') return node
    return this.#findEnds({
      flow, eventType, transport, node, verdict, flows, isReply,
      isVerdictEvent: eventType === EVENT_POLICY_VERDICT,
      isDrop: eventType === EVENT_DROP || (eventType === 0 && (flow.verdict === 'DROPPED' || flow.verdict === 2)),
      isSyn: (transport.flags & FLAG_SYN) !== 0,
      isAck: (transport.flags & FLAG_ACK) !== 0,
    })
  }

  /** Sets `#instant`. Also accepts the object form of a protobuf timestamp. */
  #readTime(time: unknown): Rejection | null {
    const instant = this.#instant
    if (typeof time === 'string') {
      if (time.length > 64 || !instant.parse(time)) return reject('hubble', 'bad-time', `time: ${shown(time)} is not an RFC 3339 time`)
    } else if (isObject(time)) {
      const seconds = readCount(time.seconds)
      const nanos = readCount(time.nanos ?? 0)
      if (seconds === undefined || nanos === undefined || nanos >= 1e9) return reject('hubble', 'bad-time', 'time: needs seconds and nanos')
      instant.set(seconds, nanos)
    } else if (time === undefined || time === null) {
      return reject('hubble', 'missing-field', 'time: absent; an exporter field mask must include it')
    } else {
      return wrongType('hubble', 'time', 'an RFC 3339 time', time)
    }
    const problem = checkTimeUs(instant.us)
    return problem === '' ? null : reject('hubble', problem, `time: ${shown(time)}`)
  }

  #readAddress(field: string, value: unknown): AddressInfo | Rejection {
    if (typeof value === 'string') return this.#addresses.get(value) ?? reject('hubble', 'bad-address', `${field}: ${shown(value)} is not an IP address`)
    return value === undefined || value === null ? NO_ADDRESS : wrongType('hubble', field, 'an IP address', value)
  }

  #findEnds(facts: Facts): FlowRecord | Ignored | Rejection {
    const { flow, transport } = facts
    const ip = flow.IP ?? NO_IP
    if (!isObject(ip)) return wrongType('hubble', 'IP', 'an object', ip)
    const sourceAddress = this.#readAddress('IP.source', ip.source)
    if (sourceAddress.kind === 'rejected') return sourceAddress
    const destinationAddress = this.#readAddress('IP.destination', ip.destination)
    if (destinationAddress.kind === 'rejected') return destinationAddress
    if (sourceAddress.isUnroutable || destinationAddress.isUnroutable) return UNROUTABLE
    const from = this.#ends.classify('source', flow.source)
    if (from.kind === 'rejected') return from
    const to = this.#ends.classify('destination', flow.destination)
    if (to.kind === 'rejected') return to
    const source = this.#ends.locate(from, sourceAddress, { port: transport.sourcePort, isService: isNamedService(flow.source_service) })
    const destination = this.#ends.locate(to, destinationAddress, { port: transport.destinationPort, isService: isNamedService(flow.destination_service) })
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    if (from.cluster === to.cluster || from.cluster === '' || to.cluster === '') return this.#orient(facts, source, destination)
    // A mesh of clusters: the end that has a local endpoint number is ours; the other one says another name.
    const local = isLocalEndpoint(flow.source) ? from.cluster : isLocalEndpoint(flow.destination) ? to.cluster : facts.node.cluster
    return this.#orient(facts, this.#ends.inMesh(source, from, local), this.#ends.inMesh(destination, to, local))
  }

  #orient(facts: Facts, source: Located, destination: Located): FlowRecord | Rejection {
    const orientation = findOrientation(facts)
    const isTranslated = isTranslatedSource(facts.flow.IP)
    if (orientation === 'unoriented') {
      const problem = checkUnoriented(source.port, destination.port, isTranslated)
      if (problem !== null) return problem
      return isInOrder(source, destination)
        ? this.#record(facts, { orientation, first: source, second: destination, isSourceFirst: true, port: destination.port })
        : this.#record(facts, { orientation, first: destination, second: source, isSourceFirst: false, port: source.port })
    }
    if (source.port === 0 && destination.port === 0) return reject('hubble', 'missing-field', `l4.${facts.transport.protocol}: no source_port and no destination_port`)
    if (!isFromResponder(facts, orientation)) {
      return this.#record(facts, { orientation, first: source, second: destination, isSourceFirst: true, port: destination.isService ? 0 : destination.port })
    }
    // T3: the port of a translated reply is the Service's, not the pod's.
    return this.#record(facts, { orientation, first: destination, second: source, isSourceFirst: false, port: isTranslated || source.isService ? 0 : source.port })
  }

  #record(facts: Facts, ends: Oriented): FlowRecord {
    const { first, second, orientation } = ends
    this.#digestRecord(facts, ends)
    return {
      kind: 'flow',
      format: 'hubble',
      firstAtUs: this.#instant.us,
      lastAtUs: this.#instant.us,
      initiator: first.end.identity,
      responder: second.end.identity,
      initiatorIp: first.address.text,
      responderIp: second.address.text,
      initiatorPod: first.end.pod,
      responderPod: second.end.pod,
      protocol: facts.transport.protocol,
      port: ends.port,
      initiatorPort: orientation === 'unoriented' ? first.port : 0,
      orientation,
      side: sideOf(facts, readDirection(facts.flow.traffic_direction), ends.isSourceFirst),
      observedVerdict: facts.verdict,
      node: facts.node.name,
      flows: facts.flows,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  /** The record's uuid, or else everything that tells one event from another. */
  #digestRecord(facts: Facts, ends: Oriented): void {
    const digest = this.#digest
    const { flow, transport } = facts
    digest.start(this.#seed)
    if (typeof flow.uuid === 'string' && flow.uuid !== '') {
      digest.number(1)
      digest.text(flow.uuid)
      digest.finish()
      return
    }
    digest.number(2)
    digest.number(this.#instant.us)
    digest.number(this.#instant.ns)
    digest.hash(facts.node.hash)
    digest.hash(ends.first.end.hash)
    digest.hash(ends.first.address.hash)
    digest.hash(ends.second.end.hash)
    digest.hash(ends.second.address.hash)
    digest.number(PROTOCOL_NUMBERS[transport.protocol] * 32 + transport.flags)
    digest.number(transport.sourcePort * 65_536 + transport.destinationPort)
    const reply = facts.isReply === undefined ? 2 : facts.isReply ? 1 : 0
    digest.number((ends.isSourceFirst ? 4 : 0) + reply)
    digest.number(facts.flows)
    this.#digestEvent(facts)
    digest.finish()
  }

  #digestEvent(facts: Facts): void {
    const { flow } = facts
    const digest = this.#digest
    digest.number(facts.eventType)
    const subType = isObject(flow.event_type) ? flow.event_type.sub_type : 0
    digest.number(typeof subType === 'number' ? subType : 0)
    digest.text(readDirection(flow.traffic_direction))
    digest.text(facts.verdict)
    const point = flow.trace_observation_point
    if (typeof point === 'string') digest.text(point)
    else digest.number(typeof point === 'number' ? point : 0)
  }
}
