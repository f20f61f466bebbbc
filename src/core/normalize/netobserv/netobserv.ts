/**
 * NetObserv flows (OpenShift's network observability: eBPF agent and flowlogs-pipeline, FLP) to FlowRecords. In: one flat JSON object with FLP's
 * keys, enriched (`SrcK8S_*`) or as the agent sends it. Out: one Outcome.
 *
 * Invariants: a record is the packets of one direction, so the source is the initiator only where the handshake, a tracked connection or a Service's
 * address proves it; everything else is unoriented with both ports. Bytes and packets are never counted (T19). Field by field:
 * docs/sources/netobserv.md. Cost: reads by position (field-layouts.ts), two lookups per known pod.
 */
import { EPHEMERAL_PORT_START } from '../../flow/orient.ts'
import type { FlowRecord, Ignored, ObservedVerdict, Orientation, Outcome, Protocol, Rejection, Side } from '../../flow/flow-record.ts'
import { FieldLayouts, type Fields } from '../field-layouts.ts'
import type { FieldPlan, FieldReader } from '../field-plan.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { NodeNames, type NodeName } from '../node-names.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { isInOrder, isPoliced, type Located } from '../orientation.ts'
import { PROTOCOL_NUMBERS, readCount } from '../ports.ts'
import { ignored, reject, shown, type RawObject } from '../problems.ts'
import { isTranslated, NetObservEnds, type PlacedEnd } from './netobserv-ends.ts'
import {
  AGENT_IP, BYTES, CLUSTER_NAME, DESTINATION, DROPPED_PACKETS, DUPLICATE, ETHER_TYPE, FIELD_NAMES, FLAG_SYN, FLAG_SYN_ACK, FLAGS, FLOW_DIRECTION, FLOW_END, FLOW_LAYER, FLOW_LOGS,
  FLOW_START, HASH_ID, HOST_IP, HOST_NAME, isConnectionRecord, isIpEtherType, NAME, NETWORK_EVENTS, PACKETS, PROTO, readAclDenial, readDrops, readFlags, readFlowDirection,
  readMs, readProtocol, readSeconds, RECEIVED, RECORD_TYPE, SAMPLING, SOURCE, TRANSLATED, TYPE, FOLLOWS, UNREAD_NAMES, type AclDenial, type PacketReporter,
} from './netobserv-fields.ts'

const REPEATED = ignored('netobserv', 'repeated')
const UNROUTABLE = ignored('netobserv', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('netobserv', 'no-endpoint')
const OTHER_PROTOCOL = ignored('netobserv', 'other-protocol')

/** True for records of NetObserv, enriched or as the agent writes them. */
export function isNetObserv(record: RawObject): boolean {
  if (record.TimeFlowEndMs !== undefined) return true
  return record.SrcAddr !== undefined && record.DstAddr !== undefined && (record.AgentIP ?? record.TimeReceived ?? record.TimeFlowStartMs) !== undefined
}

/** What a record says apart from its ends. */
interface Facts {
  readonly fields: Fields
  readonly protocol: Protocol
  readonly flags: number
  readonly firstAtUs: number
  readonly lastAtUs: number
  readonly reporter: PacketReporter
  readonly denial: AclDenial
  readonly node: NodeName
}

/** Who opened the connection: an end of the packet, or not known. */
interface Opening {
  readonly orientation: Orientation
  readonly isSourceFirst: boolean
}

const BY_FLAGS_SOURCE: Opening = { orientation: 'tcp-flags', isSourceFirst: true }
const BY_FLAGS_DESTINATION: Opening = { orientation: 'tcp-flags', isSourceFirst: false }
const TRACKED_SOURCE: Opening = { orientation: 'conntrack', isSourceFirst: true }
const TRACKED_DESTINATION: Opening = { orientation: 'conntrack', isSourceFirst: false }

export class NetObservReader implements RecordReader, FieldReader {
  readonly plan: FieldPlan = { read: FIELD_NAMES, unread: UNREAD_NAMES, follows: FOLLOWS }
  readonly #context: NormalizeContext
  readonly #ends: NetObservEnds
  readonly #nodes = new NodeNames('netobserv', 'HostName')
  readonly #layouts = new FieldLayouts(FIELD_NAMES)
  /** Of the record being read. */
  readonly #fields: unknown[] = FIELD_NAMES.map(() => undefined)
  readonly #digest = new Digest()
  readonly #seed: TextHash
  #sampling = 0
  #samplingText = ''

  constructor(context: NormalizeContext) {
    this.#context = context
    this.#ends = new NetObservEnds(context)
    this.#seed = hashText(`${context.cluster}\nnetobserv`)
  }

  read(record: RawObject): Outcome {
    this.#layouts.read(record, this.#fields)
    return this.#read(this.#fields)
  }

  readFields(fields: Fields): Outcome | undefined {
    return fields[FLOW_END] === undefined ? undefined : this.#read(fields)
  }

  #read(fields: Fields): Outcome {
    if (fields[DUPLICATE] === true || fields[DUPLICATE] === 'true') return REPEATED
    const foreign = this.#context.claims.refusal('netobserv', fields[CLUSTER_NAME])
    if (foreign !== undefined) return foreign
    if (!isIpEtherType(fields[ETHER_TYPE])) return OTHER_PROTOCOL
    const protocol = readProtocol(fields[PROTO])
    if (typeof protocol !== 'string') return protocol
    const flags = readFlags(fields[FLAGS])
    if (typeof flags !== 'number') return flags
    const denial = readAclDenial(fields[NETWORK_EVENTS])
    if (typeof denial !== 'string') return denial
    const received = fields[FLOW_END] === undefined ? readSeconds('TimeReceived', fields[RECEIVED]) : 0
    if (typeof received !== 'number') return received
    const end = readMs('TimeFlowEndMs', fields[FLOW_END])
    if (typeof end !== 'number') return end
    const start = readMs('TimeFlowStartMs', fields[FLOW_START])
    if (typeof start !== 'number') return start
    const lastAtUs = end || received || start
    if (lastAtUs === 0) return reject('netobserv', 'missing-field', 'TimeFlowEndMs: absent')
    const firstAtUs = start || lastAtUs
    if (lastAtUs < firstAtUs) return reject('netobserv', 'bad-time', `TimeFlowEndMs: ${shown(fields[FLOW_END])} is before TimeFlowStartMs ${shown(fields[FLOW_START])}`)
    return this.#findEnds(fields, { protocol, flags, denial, firstAtUs, lastAtUs })
  }

  #findEnds(fields: Fields, read: Pick<Facts, 'protocol' | 'flags' | 'denial' | 'firstAtUs' | 'lastAtUs'>): Outcome {
    const wasTranslated = isTranslated(fields)
    const to = wasTranslated ? TRANSLATED : DESTINATION
    const isEnriched = (fields[SOURCE + TYPE] ?? fields[DESTINATION + TYPE] ?? fields[FLOW_LAYER] ?? fields[SOURCE + NAME] ?? fields[DESTINATION + NAME]) !== undefined
    const question = { protocol: read.protocol, atUs: read.lastAtUs, isEnriched }
    const source = this.#ends.place(fields, SOURCE, to, question)
    if (source.kind === 'rejected') return source
    const placed = this.#ends.place(fields, to, SOURCE, question)
    if (placed.kind === 'rejected') return placed
    // What was translated was dialled as a Service.
    const destination = wasTranslated ? { ...placed, isVirtual: true } : placed
    if (source.address.isUnroutable || destination.address.isUnroutable) return UNROUTABLE
    const reporter = isEnriched ? readReporter(fields) : 'unknown'
    if (typeof reporter !== 'string') return reporter
    const node = this.#nodes.read(nodeNameOf(reporter, fields))
    if (node.kind === 'rejected') return node
    this.#noteSampling(fields[SAMPLING], read.lastAtUs, node.name)
    // An untranslated Service is no end that a policy could select.
    if (!isEndpoint(source.located) && !isEndpoint(destination.located)) return NO_ENDPOINT
    const { protocol, flags, denial, firstAtUs, lastAtUs } = read
    return this.#orient({ fields, protocol, flags, firstAtUs, lastAtUs, reporter, denial, node }, source, destination)
  }

  #noteSampling(sampling: unknown, atUs: number, node: string): void {
    if (sampling === undefined || sampling === 0 || sampling === 1) return
    const rate = readCount(sampling) ?? 0
    if (rate <= 1) return
    if (rate !== this.#sampling) {
      this.#sampling = rate
      this.#samplingText = `NetObserv sampling 1:${rate}`
    }
    this.#context.coverage.note('sampling', atUs, node, this.#samplingText)
  }

  #orient(facts: Facts, source: PlacedEnd, destination: PlacedEnd): FlowRecord | Ignored | Rejection {
    const opening = findOpening(facts, source, destination)
    if (opening === undefined) {
      if (source.port === 0 || destination.port === 0) return noPort(source.port === 0 ? 'SrcPort' : 'DstPort', facts.protocol)
      const isSourceFirst = isInOrder(source.located, destination.located)
      return this.#record(facts, { source, destination }, { orientation: 'unoriented', isSourceFirst })
    }
    const responder = opening.isSourceFirst ? destination : source
    if (responder.port === 0) return noPort(opening.isSourceFirst ? 'DstPort' : 'SrcPort', facts.protocol)
    return this.#record(facts, { source, destination }, opening)
  }

  #record(facts: Facts, ends: { source: PlacedEnd; destination: PlacedEnd }, { orientation, isSourceFirst }: Opening): FlowRecord {
    const { source, destination } = ends
    const first = isSourceFirst ? source.located : destination.located
    const second = isSourceFirst ? destination.located : source.located
    const isOpen = orientation === 'unoriented'
    this.#digestRecord(facts, source, destination)
    return {
      kind: 'flow',
      format: 'netobserv',
      firstAtUs: facts.firstAtUs,
      lastAtUs: facts.lastAtUs,
      initiator: first.end.identity,
      responder: second.end.identity,
      initiatorIp: first.address.text,
      responderIp: second.address.text,
      initiatorPod: first.end.pod,
      responderPod: second.end.pod,
      protocol: facts.protocol,
      port: second.isService && !isOpen ? 0 : second.port,
      initiatorPort: isOpen ? first.port : 0,
      orientation,
      side: sideOf(facts, isSourceFirst),
      observedVerdict: facts.denial === 'none' ? readDrops(facts.fields) : 'denied' satisfies ObservedVerdict,
      node: facts.node.name,
      flows: 1,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  /**
   * What the agent saw and where, not when it was received nor what the enrichment knew: a record that is delivered again may have been enriched
   * anew. The interface is left out: the same packets seen on two interfaces of a node are the same (T1).
   */
  #digestRecord({ fields, node, firstAtUs, lastAtUs, protocol, flags }: Facts, source: PlacedEnd, destination: PlacedEnd): void {
    const digest = this.#digest
    digest.start(this.#seed)
    digest.number(firstAtUs)
    digest.number(lastAtUs)
    digest.hash(source.address.hash)
    digest.hash(destination.address.hash)
    digest.number(source.port * 65_536 + destination.port)
    digest.number(PROTOCOL_NUMBERS[protocol] * 65_536 + flags)
    // The two nodes' reports of one flow are two records.
    if (typeof fields[AGENT_IP] === 'string') digest.text(fields[AGENT_IP])
    else digest.hash(node.hash)
    digest.number(digestible(fields[FLOW_DIRECTION]))
    digest.number(digestible(fields[PACKETS]))
    digest.number(digestible(fields[BYTES]))
    digest.number(digestible(fields[DROPPED_PACKETS]))
    if (typeof fields[RECORD_TYPE] === 'string') {
      digest.text(fields[RECORD_TYPE])
      digest.text(typeof fields[HASH_ID] === 'string' ? fields[HASH_ID] : '')
      digest.number(digestible(fields[FLOW_LOGS]))
    }
    digest.finish()
  }
}

function digestible(value: unknown): number {
  return value === undefined ? -1 : readCount(value) ?? -2
}

function noPort(field: string, protocol: Protocol): Rejection {
  return reject('netobserv', 'missing-field', `${field}: absent, and ${protocol} has ports`)
}

function isEndpoint(located: Located): boolean {
  return !located.isService && isPoliced(located)
}

/**
 * The rows of the orientation table (orientation.ts), strongest first; `undefined`: this record does not tell. FLP's connection tracking takes who
 * was seen first for the initiator, so it proves nothing about a port that kernels give to clients.
 */
function findOpening({ fields, protocol, flags }: Facts, source: PlacedEnd, destination: PlacedEnd): Opening | undefined {
  if (isConnectionRecord(fields[RECORD_TYPE])) {
    return destination.port < EPHEMERAL_PORT_START ? TRACKED_SOURCE : undefined
  }
  if (protocol === 'TCP') {
    const isSyn = (flags & FLAG_SYN) !== 0
    const isSynAck = (flags & FLAG_SYN_ACK) !== 0
    if (isSyn && !isSynAck) return BY_FLAGS_SOURCE
    if (isSynAck && !isSyn) return BY_FLAGS_DESTINATION
  }
  // A Service's address is only ever dialled: as source it is an answer that was translated back.
  if (source.isVirtual === destination.isVirtual) return undefined
  return destination.isVirtual ? TRACKED_SOURCE : TRACKED_DESTINATION
}

/** FLP's `FlowDirection`, else what it is made from: the agent's address against the ends' hosts. */
function readReporter(fields: Fields): PacketReporter | Rejection {
  const told = readFlowDirection(fields[FLOW_DIRECTION])
  const agent = fields[AGENT_IP]
  if (told !== 'unknown' || agent === undefined || agent === '') return told
  const isSource = agent === fields[SOURCE + HOST_IP]
  const isDestination = agent === fields[DESTINATION + HOST_IP]
  return isSource ? (isDestination ? 'both' : 'source') : isDestination ? 'destination' : 'unknown'
}

/** The reporting end's host, else the agent's address. */
function nodeNameOf(reporter: PacketReporter, fields: Fields): unknown {
  const host = reporter === 'unknown' ? undefined : fields[(reporter === 'destination' ? DESTINATION : SOURCE) + HOST_NAME]
  return host === undefined || host === '' ? fields[AGENT_IP] : host
}

/**
 * Whose node reported, or denied. On one node (`inner`) both ends' nodes are the same: the server's, so that both directions of a policy find it
 * and the connections of a workload add up with those from other nodes.
 */
function sideOf({ reporter, denial }: Facts, isSourceFirst: boolean): Side {
  const at = denial === 'ingress' ? 'destination' : denial === 'egress' ? 'source' : reporter
  if (at === 'both') return 'server'
  if (at === 'unknown') return 'unknown'
  return (at === 'source') === isSourceFirst ? 'client' : 'server'
}
