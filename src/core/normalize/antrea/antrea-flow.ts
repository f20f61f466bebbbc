/**
 * One record of Antrea's flow exporter or of Theia, whatever it was written as, to a FlowRecord. In: an AntreaRow. Out: one Outcome.
 *
 * Invariants: Antrea follows connections, so the source is the initiator (evidence `conntrack`) and the destination's address and port are the
 * pod's, after translation. A connection is exported again and again while it lives, each time with a later end; start may be days ago (T18).
 */
import type { FlowRecord, ObservedVerdict, Outcome, Protocol, Rejection, Side } from '../../flow/flow-record.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { NodeNames, type NodeName } from '../node-names.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { isPoliced, type Located } from '../orientation.ts'
import { PROTOCOL_NUMBERS, readCount } from '../ports.ts'
import { ignored, reject, shown } from '../problems.ts'
import { AntreaEnds, type RawEnd } from './antrea-ends.ts'
import { readAction, readFlowType, readProtocol, readTime, type AntreaRow, type RowNames, type RuleAction } from './antrea-fields.ts'
import type { LineFacts } from './antrea-line-facts.ts'

const UNROUTABLE = ignored('antrea', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('antrea', 'no-endpoint')
const API_SERVER = 'default/kubernetes:'
/** States in which both ends have answered. */
const ANSWERED_STATES = new Set<unknown>(['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK', 'TIME_WAIT', 'CLOSE'])

/** Stable numbers for digests. */
const ACTION_NUMBERS: Readonly<Record<RuleAction, number>> = { none: 0, allow: 1, deny: 2, absent: 3, unknown: 4 }

interface Times {
  readonly protocol: Protocol
  readonly firstAtUs: number
  readonly lastAtUs: number
}

interface Facts extends Times {
  readonly row: AntreaRow
}

interface Report {
  /** Of the source in the upper 16 bits. */
  readonly ports: number
  readonly protocol: Protocol
  readonly node: NodeName
  /** 2 for the source and 1 for the destination, where the record names their pods. */
  readonly named: number
  readonly egress: RuleAction
  readonly ingress: RuleAction
}

export class AntreaFlows {
  readonly #ends: AntreaEnds
  readonly #nodes = new NodeNames('antrea', 'NodeName')
  readonly #digest = new Digest()
  readonly #seed: TextHash

  constructor(context: NormalizeContext) {
    this.#ends = new AntreaEnds(context)
    this.#seed = hashText(`${context.cluster}\nantrea`)
  }

  read(row: AntreaRow, names: RowNames): Outcome {
    const protocol = readProtocol(names.protocol, row.protocol)
    if (typeof protocol !== 'string') return protocol
    const start = readTime(names.start, row.start)
    if (typeof start !== 'number') return start
    const end = readTime(names.end, row.end)
    if (typeof end !== 'number') return end
    const lastAtUs = end || start
    if (lastAtUs === 0) return reject('antrea', 'missing-field', `${names.end}: absent`)
    const firstAtUs = start || lastAtUs
    if (lastAtUs < firstAtUs) return reject('antrea', 'bad-time', `${names.end}: ${shown(row.end)} is before ${names.start} ${shown(row.start)}`)
    return this.#findEnds({ row, protocol, firstAtUs, lastAtUs }, names)
  }

  #findEnds(facts: Facts, names: RowNames): Outcome {
    const { row, protocol, lastAtUs: atUs } = facts
    const flowType = readFlowType(row.flowType)
    const ofSource = flowType === 'from-outside' ? 'outside' : flowType === 'unknown' ? 'unknown' : 'inside'
    const source = this.#ends.locate(sourceOf(row, names), { protocol, atUs, place: ofSource, serviceIp: undefined, isApiServer: false })
    if ('code' in source) return source
    const isApiServer = typeof row.servicePortName === 'string' && row.servicePortName.startsWith(API_SERVER)
    const ofDestination = flowType === 'to-outside' ? 'outside' : flowType === 'unknown' ? 'unknown' : 'inside'
    const destination = this.#ends.locate(destinationOf(row, names), { protocol, atUs, place: ofDestination, serviceIp: row.serviceIp, isApiServer })
    if ('code' in destination) return destination
    if (source.address.isUnroutable || destination.address.isUnroutable) return UNROUTABLE
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    if (destination.port === 0) return reject('antrea', 'missing-field', `${names.destinationPort}: absent, and ${protocol} has ports`)
    return this.#record(facts, source, destination)
  }

  #record(facts: Facts, source: Located, destination: Located): FlowRecord | Rejection {
    const { row } = facts
    const egress = readAction(row.egressAction)
    const ingress = readAction(row.ingressAction)
    const side = sideOf(egress, ingress, { source, destination })
    const node = this.#nodes.read(side === 'client' ? row.sourceNode : row.destinationNode)
    if (node.kind === 'rejected') return node
    this.#startDigest(facts, source, destination)
    const ports = readPortNumber(row.sourcePort) * 65_536 + readPortNumber(row.destinationPort)
    this.#digestReport({ ports, protocol: facts.protocol, node, named: (isNamed(row.sourcePod) ? 2 : 0) + (isNamed(row.destinationPod) ? 1 : 0), egress, ingress })
    if (typeof row.tcpState === 'string') this.#digest.text(row.tcpState)
    this.#digestCount(row.packets)
    this.#digestCount(row.reversePackets)
    this.#digestCount(row.bytes)
    this.#digest.finish()
    return this.#flow(facts, { source, destination }, { side, node: node.name, observedVerdict: verdictOf(row, egress, ingress) })
  }

  /** A connection of the flow log between these ends, its columns read and checked; the outcome is that of `read` for the same columns. */
  plain(facts: LineFacts, source: Located, destination: Located): Outcome {
    if (source.address.isUnroutable || destination.address.isUnroutable) return UNROUTABLE
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    const { protocol, rest: { egress, ingress } } = facts
    const ends = { source, destination }
    const side = sideOf(egress, ingress, ends)
    const node = side === 'client' ? facts.sourceNode : facts.destinationNode
    const named = (facts.sourcePod === undefined ? 0 : 2) + (facts.destinationPod === undefined ? 0 : 1)
    this.#startDigest(facts, source, destination)
    this.#digestReport({ ports: facts.sourcePort * 65_536 + facts.port, protocol, node, named, egress, ingress })
    // The flow log has no counters.
    for (let i = 0; i < 3; i++) this.#digest.number(-1)
    this.#digest.finish()
    const observedVerdict = egress === 'deny' || ingress === 'deny' ? 'denied' : 'allowed'
    return this.#flow(facts, ends, { side, node: node.name, observedVerdict })
  }

  #flow(times: Times, { source, destination }: { source: Located; destination: Located }, told: Pick<FlowRecord, 'side' | 'node' | 'observedVerdict'>): FlowRecord {
    return {
      kind: 'flow',
      format: 'antrea',
      firstAtUs: times.firstAtUs,
      lastAtUs: times.lastAtUs,
      initiator: source.end.identity,
      responder: destination.end.identity,
      initiatorIp: source.address.text,
      responderIp: destination.address.text,
      initiatorPod: source.end.pod,
      responderPod: destination.end.pod,
      protocol: times.protocol,
      port: destination.isService ? 0 : destination.port,
      initiatorPort: 0,
      orientation: 'conntrack',
      side: told.side,
      observedVerdict: told.observedVerdict,
      node: told.node,
      flows: 1,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  /** The connection and how far it had come. Not who collected it, nor when. */
  #startDigest({ firstAtUs, lastAtUs }: Times, source: Located, destination: Located): void {
    const digest = this.#digest
    digest.start(this.#seed)
    digest.number(firstAtUs)
    digest.number(lastAtUs)
    digest.hash(source.address.hash)
    digest.hash(destination.address.hash)
  }

  /** What the record names: the half records of two nodes are two. */
  #digestReport({ ports, protocol, node, named, egress, ingress }: Report): void {
    const digest = this.#digest
    digest.number(ports)
    digest.number(PROTOCOL_NUMBERS[protocol])
    digest.hash(node.hash)
    // Which ends it names: addresses tell the pods apart, but not the half records of their nodes.
    digest.number((named * 8 + ACTION_NUMBERS[egress]) * 8 + ACTION_NUMBERS[ingress])
  }

  #digestCount(count: unknown): void {
    if (typeof count === 'string') this.#digest.text(count)
    else this.#digest.number(readCount(count) ?? -1)
  }
}

function isNamed(pod: unknown): boolean {
  return typeof pod === 'string' && pod !== ''
}

/** A port that was checked before. */
function readPortNumber(value: unknown): number {
  return typeof value === 'number' ? value : Number(value ?? 0)
}

function sourceOf(row: AntreaRow, names: RowNames): RawEnd {
  return {
    prefix: names.sourcePrefix, addressName: names.sourceIp, portName: names.sourcePort, address: row.sourceIp, port: row.sourcePort, pod: row.sourcePod,
    namespace: row.sourceNamespace, labels: row.sourceLabels,
  }
}

function destinationOf(row: AntreaRow, names: RowNames): RawEnd {
  return {
    prefix: names.destinationPrefix, addressName: names.destinationIp, portName: names.destinationPort, address: row.destinationIp, port: row.destinationPort,
    pod: row.destinationPod, namespace: row.destinationNamespace, labels: row.destinationLabels,
  }
}

/**
 * Whose node speaks. A denial: the node of the side that denied. Else a node names only its own pods (Proxy mode, the agent itself), so one named pod
 * is its node's report. Both named: the aggregator joined the reports of both nodes, or both are on one; the server's node is one of them, and what
 * it let in the client's node had let out.
 */
function sideOf(egress: RuleAction, ingress: RuleAction, ends: { source: Located; destination: Located }): Side {
  if (egress === 'deny') return 'client'
  if (ingress === 'deny') return 'server'
  if (ends.destination.end.pod !== '') return 'server'
  return ends.source.end.pod === '' ? 'unknown' : 'client'
}

/**
 * A rule's action where the format has them. Without (go-ipfix' messages) denied connections look like others: what was answered was allowed, of the
 * rest nothing is known.
 */
function verdictOf(row: AntreaRow, egress: RuleAction, ingress: RuleAction): ObservedVerdict {
  if (egress === 'deny' || ingress === 'deny') return 'denied'
  if (egress === 'unknown' || ingress === 'unknown') return 'unknown'
  if (egress !== 'absent' || ingress !== 'absent') return 'allowed'
  return ANSWERED_STATES.has(row.tcpState) || (readCount(row.reversePackets) ?? 0) > 0 ? 'allowed' : 'unknown'
}
