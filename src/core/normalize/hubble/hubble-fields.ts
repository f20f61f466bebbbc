import type { Ignored, ObservedVerdict, Protocol, Rejection } from '../../flow/flow-record.ts'
import { EVENT_POLICY_VERDICT, isPolicyDrop, type LoggedVerdict } from './hubble-enums.ts'
import { FIRST_EPHEMERAL_PORT } from '../orientation.ts'
import { asFlows, readCount, readPort } from '../ports.ts'
import { ignored, isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'

const EMPTY = ignored('hubble', 'empty')
export const ICMP = ignored('hubble', 'icmp')
const OTHER_PROTOCOL = ignored('hubble', 'other-protocol')

export const FLAG_SYN = 1
export const FLAG_ACK = 2

/** Layer 4 of a flow that a policy can speak of. */
export interface Transport {
  readonly kind: 'transport'
  readonly protocol: Protocol
  /** 0 = absent. */
  readonly sourcePort: number
  readonly destinationPort: number
  /** FLAG_SYN, FLAG_ACK, FIN 4, RST 8, PSH 16. */
  readonly flags: number
}

/** Reads `l4`. What has no ports is ignored; what a field mask left without any content is `empty`. */
export function readTransport(flow: RawObject): Transport | Ignored | Rejection {
  const l4 = flow.l4
  if (l4 === undefined || l4 === null) {
    const isEmpty = flow.verdict === undefined || (flow.IP === undefined && flow.source === undefined && flow.destination === undefined)
    return isEmpty ? EMPTY : reject('hubble', 'missing-field', 'l4: absent; an exporter field mask must include it')
  }
  if (!isObject(l4)) return wrongType('hubble', 'l4', 'an object', l4)
  if (l4.TCP !== undefined) return readSegment('TCP', l4.TCP)
  if (l4.UDP !== undefined) return readSegment('UDP', l4.UDP)
  if (l4.SCTP !== undefined) return readSegment('SCTP', l4.SCTP)
  if (l4.ICMPv4 !== undefined || l4.ICMPv6 !== undefined) return ICMP
  return OTHER_PROTOCOL
}

function readSegment(protocol: Protocol, segment: unknown): Transport | Rejection {
  if (!isObject(segment)) return wrongType('hubble', `l4.${protocol}`, 'an object', segment)
  const sourcePort = readPort('hubble', 'source_port', segment.source_port)
  if (typeof sourcePort !== 'number') return sourcePort
  const destinationPort = readPort('hubble', 'destination_port', segment.destination_port)
  if (typeof destinationPort !== 'number') return destinationPort
  const flags = segment.flags
  if (flags === undefined || flags === null) return { kind: 'transport', protocol, sourcePort, destinationPort, flags: 0 }
  if (!isObject(flags)) return wrongType('hubble', `l4.${protocol}.flags`, 'an object', flags)
  const bits = (flags.SYN === true ? FLAG_SYN : 0) | (flags.ACK === true ? FLAG_ACK : 0) | (flags.FIN === true ? 4 : 0) |
    (flags.RST === true ? 8 : 0) | (flags.PSH === true ? 16 : 0)
  return { kind: 'transport', protocol, sourcePort, destinationPort, flags: bits }
}

/** What the CNI did. Only drops by policy are denials; a policy verdict that drops is one even when the reason was masked. */
export function judgeVerdict(verdict: Exclude<LoggedVerdict, 'retina-dns'>, reason: unknown, eventType: number): ObservedVerdict {
  if (verdict !== 'dropped') return verdict
  const isDenied = reason === undefined || reason === 0 ? eventType === EVENT_POLICY_VERDICT : isPolicyDrop(reason)
  return isDenied ? 'denied' : 'error'
}

/** `undefined`: the record does not tell. Cilium before 1.10 writes only `reply`, and only when true (T2). */
export function readReply(flow: RawObject): boolean | undefined | Rejection {
  const value = flow.is_reply
  if (typeof value === 'boolean') return value
  if (value !== undefined && value !== null) return wrongType('hubble', 'is_reply', 'true or false', value)
  return flow.reply === true ? true : undefined
}

/** What the packet's source address was rewritten from, when it was: a Service's address before a reply is translated (T3); else ''. */
export function readSourceXlated(ip: RawObject): string {
  const xlated = ip.source_xlated
  return typeof xlated === 'string' && xlated !== ip.source ? xlated : ''
}

/**
 * An unoriented record keeps both ports as evidence for later, so both must be pod ports or ephemeral ones. The source port of a translated
 * packet may be a Service's (T3): it is only kept where it can be nothing but ephemeral.
 */
export function checkUnoriented(sourcePort: number, destinationPort: number, isTranslated: boolean): Rejection | null {
  if (sourcePort === 0 || destinationPort === 0) {
    return reject('hubble', 'missing-field', `l4: no ${sourcePort === 0 ? 'source_port' : 'destination_port'}, and nothing else tells who opened the connection`)
  }
  if (!isTranslated || (sourcePort >= FIRST_EPHEMERAL_PORT && destinationPort < FIRST_EPHEMERAL_PORT)) return null
  return reject('hubble', 'no-port', `l4: source_port ${sourcePort} may be a Service's (source_xlated is set), and nothing tells who opened the connection`)
}

/** Events that this row stands for: 1, or the sum of the exporter's aggregation counters. */
export function readFlowCount(aggregate: unknown): number | Rejection {
  if (aggregate === undefined || aggregate === null) return 1
  if (!isObject(aggregate)) return wrongType('hubble', 'aggregate', 'an object', aggregate)
  let sum = 0
  for (const field of ['ingress_flow_count', 'egress_flow_count', 'unknown_direction_flow_count']) {
    const value = aggregate[field]
    const count = value === undefined || value === null ? 0 : readCount(value)
    if (count === undefined) return reject('hubble', 'wrong-type', `aggregate.${field}: expected a count, got ${shown(value)}`)
    sum += count
  }
  return asFlows(sum)
}

/** The name that a Service object gives, or ''. */
export function readServiceName(service: unknown): string {
  return isObject(service) && typeof service.name === 'string' ? service.name : ''
}

/** True when the endpoint belongs to the reporting node: only those have a local number. */
export function isLocalEndpoint(endpoint: unknown): boolean {
  return isObject(endpoint) && typeof endpoint.ID === 'number' && endpoint.ID > 0
}
