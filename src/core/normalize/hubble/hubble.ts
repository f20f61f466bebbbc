/**
 * Hubble flows (Cilium, and what imitates it: Retina) to FlowRecords. In: a parsed record of shape {flow, node_name, time}, {flow} or a bare
 * Flow, keys in snake_case or lowerCamel, enums by name or number. Out: one Outcome.
 *
 * Invariants: the outcome depends on this record and the options only; a known pod's record builds no identity. Wrong input is a Rejection that
 * names the field. Cost: about 60 property reads a record. Field by field: docs/sources/hubble.md.
 */
import type { Ignored, Outcome, Rejection } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressCache, type AddressInfo } from '../address-cache.ts'
import { EVENT_AGENT, EVENT_L7, EVENT_SOCKET, readDirection, readFlowType, readVerdict } from './hubble-enums.ts'
import { HubbleEnds } from './hubble-ends.ts'
import { HubbleFacts } from './hubble-facts.ts'
import { isLocalEndpoint, readFlowCount, readReply, readServiceName, readSourceXlated, readTransport } from './hubble-fields.ts'
import { HubbleRecorder } from './hubble-recorder.ts'
import { readRetina } from './retina.ts'
import { checkTimeUs, InstantParser } from '../instant.ts'
import { NodeNames } from '../node-names.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { readCount } from '../ports.ts'
import { ignored, isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'
import { mayBeCamel, snakeKeys } from '../snake-keys.ts'

const ENRICHMENT = ignored('hubble', 'enrichment')
const SOCKET = ignored('hubble', 'socket-translation')
const CONTROL = ignored('hubble', 'control')
const NO_IP: RawObject = {}

/** What Hubble's events are when they say nothing about layer 4; `null` for those that do. */
export function nonFlow(type: 'l3-l4' | 'l7' | 'socket', eventType: number): Ignored | null {
  if (type === 'l7' || eventType === EVENT_L7) return ENRICHMENT
  if (type === 'socket' || eventType === EVENT_SOCKET) return SOCKET
  return eventType === EVENT_AGENT ? CONTROL : null
}

export class HubbleNormalizer {
  readonly addresses: AddressCache
  readonly ends: HubbleEnds
  readonly nodes: NodeNames
  readonly recorder: HubbleRecorder
  readonly #instant = new InstantParser()
  readonly #facts = new HubbleFacts()

  constructor(context: NormalizeContext) {
    this.addresses = context.addresses
    this.nodes = new NodeNames('hubble', 'node_name', context.claims)
    this.ends = new HubbleEnds(context)
    this.recorder = new HubbleRecorder(context, this.ends)
  }

  /** `wrapper` is the object around the flow, or the flow itself when it stands alone. */
  normalize(wrapper: RawObject, bareFlow: RawObject): Outcome {
    const flow = mayBeCamel(bareFlow) ? snakeKeys(bareFlow) : bareFlow
    const event = flow.event_type
    if (event !== undefined && event !== null && !isObject(event)) return wrongType('hubble', 'event_type', 'an object', event)
    const eventType = isObject(event) && typeof event.type === 'number' ? event.type : 0
    const nothing = nonFlow(readFlowType(flow.Type), eventType)
    if (nothing !== null) return nothing
    const facts = this.#facts
    facts.eventType = eventType
    facts.subType = isObject(event) && typeof event.sub_type === 'number' ? event.sub_type : 0
    return this.#readTransport(flow) ?? this.#readVerdict(flow) ?? this.#readAbout(wrapper, flow) ?? this.#readEnds(flow)
  }

  #readTransport(flow: RawObject): Ignored | Rejection | null {
    const transport = readTransport(flow)
    if (transport.kind !== 'transport') return transport
    const facts = this.#facts
    facts.protocol = transport.protocol
    facts.sourcePort = transport.sourcePort
    facts.destinationPort = transport.destinationPort
    facts.setFlags(transport.flags)
    return null
  }

  #readVerdict(flow: RawObject): Ignored | Rejection | null {
    const value = flow.verdict
    if (value !== undefined && value !== null && typeof value !== 'string' && typeof value !== 'number') return wrongType('hubble', 'verdict', 'a verdict', value)
    const verdict = readVerdict(value)
    if (verdict === 'retina-dns') return ENRICHMENT
    this.#facts.setVerdict(verdict, flow.drop_reason_desc, flow.drop_reason)
    const isReply = readReply(flow)
    if (typeof isReply === 'object') return isReply
    this.#facts.isReply = isReply
    return null
  }

  #readAbout(wrapper: RawObject, flow: RawObject): Rejection | null {
    const facts = this.#facts
    const flows = flow.aggregate === undefined ? 1 : readFlowCount(flow.aggregate)
    if (typeof flows !== 'number') return flows
    facts.flows = flows
    facts.isAggregated = flow.aggregate !== undefined && flow.aggregate !== null
    readRetina(flow.extensions, facts)
    const timeProblem = this.#readTime(flow.time ?? wrapper.time)
    if (timeProblem !== null) return timeProblem
    facts.us = this.#instant.us
    facts.ns = this.#instant.ns
    const node = this.nodes.read(flow.node_name ?? wrapper.node_name ?? wrapper.nodeName)
    if (node.kind === 'rejected') return node
    facts.node = node
    facts.uuid = typeof flow.uuid === 'string' ? flow.uuid : ''
    facts.direction = readDirection(flow.traffic_direction)
    const point = flow.trace_observation_point
    facts.point = typeof point === 'string' || typeof point === 'number' ? point : 0
    return null
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
    if (typeof value === 'string') return this.addresses.get(value) ?? reject('hubble', 'bad-address', `${field}: ${shown(value)} is not an IP address`)
    return value === undefined || value === null ? NO_ADDRESS : wrongType('hubble', field, 'an IP address', value)
  }

  #readEnds(flow: RawObject): Outcome {
    const facts = this.#facts
    const ip = flow.IP ?? NO_IP
    if (!isObject(ip)) return wrongType('hubble', 'IP', 'an object', ip)
    const sourceAddress = this.#readAddress('IP.source', ip.source)
    if (sourceAddress.kind === 'rejected') return sourceAddress
    const destinationAddress = this.#readAddress('IP.destination', ip.destination)
    if (destinationAddress.kind === 'rejected') return destinationAddress
    const source = this.ends.classify('source', flow.source)
    if (source.kind === 'rejected') return source
    const destination = this.ends.classify('destination', flow.destination)
    if (destination.kind === 'rejected') return destination
    facts.sourceAddress = sourceAddress
    facts.destinationAddress = destinationAddress
    facts.sourceXlated = readSourceXlated(ip)
    facts.isSourceLocal = isLocalEndpoint(flow.source)
    facts.isDestinationLocal = isLocalEndpoint(flow.destination)
    facts.sourceService = readServiceName(flow.source_service)
    facts.destinationService = readServiceName(flow.destination_service)
    return this.recorder.record(facts, source, destination)
  }
}
