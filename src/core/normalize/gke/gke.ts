/**
 * Records of GKE Dataplane V2 policy logging to FlowRecords. In: `{"connection":{…},"disposition":"allow","src":{…},"dest":{…},"count":1,
 * "timestamp":"…"}`, as the node writes it or unwrapped from Cloud Logging's jsonPayload. Out: one Outcome.
 *
 * Invariants: the records are made of policy-verdict events, so the source of the connection is its initiator. GKE logs allowed connections only
 * where a policy matched: every stretch of records leaves a coverage note, because silence proves nothing. Field by field: docs/sources/gke.md.
 */
import type { FlowRecord, Ignored, ObservedVerdict, Outcome, Protocol, Rejection } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressInfo } from '../address-cache.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { HourlyNote } from '../hourly-note.ts'
import { checkTimeUs, InstantParser } from '../instant.ts'
import { NodeNames, type NodeName } from '../node-names.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { isPoliced, type Located } from '../orientation.ts'
import { asFlows, PROTOCOL_NUMBERS, readCount, readPort } from '../ports.ts'
import { ignored, isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'
import { GkeEnds } from './gke-ends.ts'

const ICMP = ignored('gke', 'icmp')
const OTHER_PROTOCOL = ignored('gke', 'other-protocol')
const UNROUTABLE = ignored('gke', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('gke', 'no-endpoint')

const PROTOCOLS = new Map<unknown, Protocol | Ignored>([['tcp', 'TCP'], ['udp', 'UDP'], ['sctp', 'SCTP'], ['icmp', ICMP], ['icmpv6', ICMP], ['unknown', OTHER_PROTOCOL]])

/** True for records of GKE Dataplane V2 policy logging. */
export function isGke(record: RawObject): boolean {
  return isObject(record.connection) && (record.disposition !== undefined || record.connection.src_ip !== undefined)
}

/** What a record says apart from its ends. */
interface Facts {
  readonly protocol: Protocol
  readonly sourcePort: number
  readonly port: number
  readonly verdict: ObservedVerdict
  readonly isIngress: boolean
  readonly node: NodeName
  readonly flows: number
  readonly from: AddressInfo
  readonly to: AddressInfo
}

export class GkeReader implements RecordReader {
  readonly #context: NormalizeContext
  readonly #ends: GkeEnds
  readonly #nodes = new NodeNames('gke', 'node_name')
  readonly #instant = new InstantParser()
  readonly #digest = new Digest()
  readonly #seed: TextHash
  readonly #uncovered: HourlyNote

  constructor(context: NormalizeContext) {
    this.#context = context
    this.#ends = new GkeEnds(context)
    this.#seed = hashText(`${context.cluster}\ngke`)
    this.#uncovered = new HourlyNote(context.coverage, 'aggregation', 'GKE logs only traffic that a policy matched')
  }

  read(record: RawObject): Outcome {
    const connection = record.connection
    if (!isObject(connection)) return wrongType('gke', 'connection', 'an object', connection)
    const protocol = PROTOCOLS.get(connection.protocol)
    if (protocol === undefined) return unknownProtocol(connection.protocol)
    if (typeof protocol === 'object') return protocol
    const verdict = record.disposition === 'allow' ? 'allowed' : record.disposition === 'deny' ? 'denied' : undefined
    if (verdict === undefined) return wrongType('gke', 'disposition', 'allow or deny', record.disposition)
    const { direction } = connection
    if (direction !== 'ingress' && direction !== 'egress') return wrongType('gke', 'connection.direction', 'ingress or egress', direction)
    const sourcePort = readPort('gke', 'connection.src_port', connection.src_port)
    if (typeof sourcePort !== 'number') return sourcePort
    const port = readPort('gke', 'connection.dest_port', connection.dest_port)
    if (typeof port !== 'number') return port
    if (port === 0) return reject('gke', 'missing-field', 'connection.dest_port: absent')
    const flows = record.count === undefined ? 1 : readCount(record.count)
    if (flows === undefined) return wrongType('gke', 'count', 'a count', record.count)
    const node = this.#nodes.read(record.node_name)
    if (node.kind === 'rejected') return node
    const from = this.#address('connection.src_ip', connection.src_ip)
    if (from.kind === 'rejected') return from
    const to = this.#address('connection.dest_ip', connection.dest_ip)
    if (to.kind === 'rejected') return to
    if (from.isUnroutable || to.isUnroutable) return UNROUTABLE
    const { timestamp } = record
    if (timestamp === undefined || timestamp === null) return reject('gke', 'missing-field', 'timestamp: absent')
    const problem = this.#readTime(timestamp)
    if (problem !== null) return problem
    return this.#withEnds(record, { protocol, sourcePort, port, verdict, isIngress: direction === 'ingress', node, flows: asFlows(flows), from, to })
  }

  #readTime(timestamp: unknown): Rejection | null {
    if (typeof timestamp !== 'string') return wrongType('gke', 'timestamp', 'an RFC 3339 time', timestamp)
    if (timestamp.length > 64 || !this.#instant.parse(timestamp)) return reject('gke', 'bad-time', `timestamp: ${shown(timestamp)} is not an RFC 3339 time`)
    const problem = checkTimeUs(this.#instant.us)
    return problem === '' ? null : reject('gke', problem, `timestamp: ${shown(timestamp)}`)
  }

  #address(field: string, value: unknown): AddressInfo | Rejection {
    if (typeof value === 'string') return this.#context.addresses.get(value) ?? reject('gke', 'bad-address', `${field}: ${shown(value)} is not an IP address`)
    return value === undefined || value === null ? NO_ADDRESS : wrongType('gke', field, 'an IP address', value)
  }

  #withEnds(record: RawObject, facts: Facts): Outcome {
    const { protocol, port, sourcePort, isIngress } = facts
    const atUs = this.#instant.us
    const localNode = facts.node.name
    const source = this.#ends.read('src', record.src, { address: facts.from, port: sourcePort, protocol, atUs, localNode: isIngress ? localNode : '' })
    if ('code' in source) return source
    const sourceName = this.#ends.name
    const destination = this.#ends.read('dest', record.dest, { address: facts.to, port, protocol, atUs, localNode: isIngress ? '' : localNode })
    if ('code' in destination) return destination
    this.#uncovered.note(atUs, localNode)
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    this.#digestRecord(facts, sourceName, this.#ends.name)
    return this.#flow(facts, source, destination)
  }

  #flow(facts: Facts, source: Located, destination: Located): FlowRecord {
    return {
      kind: 'flow',
      format: 'gke',
      firstAtUs: this.#instant.us,
      lastAtUs: this.#instant.us,
      initiator: source.end.identity,
      responder: destination.end.identity,
      initiatorIp: source.address.text,
      responderIp: destination.address.text,
      initiatorPod: source.end.pod,
      responderPod: destination.end.pod,
      protocol: facts.protocol,
      port: destination.isService ? 0 : destination.port,
      initiatorPort: 0,
      orientation: 'verdict-event',
      side: facts.isIngress ? 'server' : 'client',
      observedVerdict: facts.verdict,
      node: facts.node.name,
      flows: facts.flows,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  #digestRecord(facts: Facts, source: TextHash, destination: TextHash): void {
    const digest = this.#digest
    digest.start(this.#seed)
    digest.number(this.#instant.us)
    digest.number(this.#instant.ns)
    digest.hash(facts.from.hash)
    digest.hash(facts.to.hash)
    digest.hash(source)
    digest.hash(destination)
    digest.number(facts.sourcePort * 65_536 + facts.port)
    digest.number(PROTOCOL_NUMBERS[facts.protocol] * 4 + (facts.isIngress ? 2 : 0) + (facts.verdict === 'allowed' ? 1 : 0))
    digest.number(facts.flows)
    digest.hash(facts.node.hash)
    digest.finish()
  }
}

function unknownProtocol(value: unknown): Outcome {
  if (value === undefined || value === null) return reject('gke', 'missing-field', 'connection.protocol: absent')
  return typeof value === 'string' ? OTHER_PROTOCOL : wrongType('gke', 'connection.protocol', 'a protocol', value)
}
