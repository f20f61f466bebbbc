import type { Ignored, ObservedVerdict, Protocol, Rejection } from '../../flow/flow-record.ts'
import type { Fields } from '../field-layouts.ts'
import { checkTimeUs } from '../instant.ts'
import { readCount } from '../ports.ts'
import { ignored, isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'

const ICMP = ignored('netobserv', 'icmp')
const OTHER_PROTOCOL = ignored('netobserv', 'other-protocol')

/** What is read of one end; the same places after each of the three starts. */
const END_KEYS = ['Addr', 'Port', 'K8S_Type', 'K8S_Namespace', 'K8S_Name', 'K8S_OwnerType', 'K8S_OwnerName', 'K8S_HostIP', 'K8S_HostName']
export const PREFIXES = ['Src', 'Dst', 'XlatDst'] as const
const OTHER_KEYS = [
  'Proto', 'Etype', 'Flags', 'TimeFlowStartMs', 'TimeFlowEndMs', 'TimeReceived', 'FlowDirection', 'AgentIP', 'Sampling', 'Duplicate', 'NetworkEvents', 'PktDropPackets',
  'PktDropLatestDropCause', 'Packets', 'Bytes', '_RecordType', '_HashId', 'numFlowLogs', 'K8S_FlowLayer', 'K8S_ClusterName',
]

/** Names of everything that is read, in the order of the fields. */
export const FIELD_NAMES: readonly string[] = [...PREFIXES.flatMap((prefix) => END_KEYS.map((key) => `${prefix}${key}`)), ...OTHER_KEYS]

/** Everything else that agent and enrichment write (FORMATS 3). */
export const UNREAD_NAMES: readonly string[] = [
  ...PREFIXES.flatMap((prefix) => ['K8S_Zone', 'K8S_NetworkName', 'SubnetLabel'].map((key) => `${prefix}${key}`)), 'SrcMac', 'DstMac', 'Dscp', 'IcmpType', 'IcmpCode',
  'TimeFlowRttNs', 'Interface', 'Interfaces', 'IfDirection', 'IfDirections', 'Udns', 'UdnId', 'DnsId', 'DnsFlags', 'DnsFlagsResponseCode',
  'DnsLatencyMs', 'DnsErrno', 'DnsName', 'PktDropBytes', 'PktDropLatestFlags', 'PktDropLatestState', 'ZoneId', 'IPSecStatus', '_IsFirst', 'Bytes_AB', 'Bytes_BA',
  'Packets_AB', 'Packets_BA', 'app',
]

/** Where there are no labels, an address goes with all that the enrichment knows of it. */
export const FOLLOWS: Readonly<Record<string, string>> = Object.fromEntries(PREFIXES.flatMap((prefix) => (
  END_KEYS.filter((key) => key.startsWith('K8S_')).map((key) => [`${prefix}${key}`, `${prefix}Addr`])
)))

/** Where an end's values start among the fields. */
export const SOURCE = 0
export const DESTINATION = 9
export const TRANSLATED = 18
export type EndStart = typeof SOURCE | typeof DESTINATION | typeof TRANSLATED

/** Places after an end's start. */
export const ADDRESS = 0
export const PORT = 1
export const TYPE = 2
export const NAMESPACE = 3
export const NAME = 4
export const OWNER_TYPE = 5
export const OWNER_NAME = 6
export const HOST_IP = 7
export const HOST_NAME = 8

export const PROTO = 27
export const ETHER_TYPE = 28
export const FLAGS = 29
export const FLOW_START = 30
export const FLOW_END = 31
export const RECEIVED = 32
export const FLOW_DIRECTION = 33
export const AGENT_IP = 34
export const SAMPLING = 35
export const DUPLICATE = 36
export const NETWORK_EVENTS = 37
export const DROPPED_PACKETS = 38
const DROP_CAUSE = 39
export const PACKETS = 40
export const BYTES = 41
export const RECORD_TYPE = 42
export const HASH_ID = 43
export const FLOW_LOGS = 44
export const FLOW_LAYER = 45
export const CLUSTER_NAME = 46

const US_PER_MS = 1000
const US_PER_SECOND = 1_000_000

/** `Proto` decides: records of ICMP may carry port keys (T21). */
export function readProtocol(value: unknown): Protocol | Ignored | Rejection {
  if (value === 6) return 'TCP'
  if (value === 17) return 'UDP'
  if (value === undefined || value === null) return reject('netobserv', 'missing-field', 'Proto: absent')
  const number = readCount(value)
  switch (number) {
    case undefined: return wrongType('netobserv', 'Proto', 'a protocol number', value)
    case 6: return 'TCP'
    case 17: return 'UDP'
    case 132: return 'SCTP'
    case 1: case 58: return ICMP
    default: return OTHER_PROTOCOL
  }
}

/** IPv4 and IPv6; others (ARP) have no addresses. */
export function isIpEtherType(value: unknown): boolean {
  return value === 2048 || value === 34_525 || value === undefined || value === null || value === '2048' || value === '34525' || value === 0
}

/**
 * The agent's TCP flags, or-ed over all packets of the flow. A SYN with ACK sets only SYN_ACK, never SYN: SYN alone is the client's.
 * Only these two bits are told apart.
 */
export const FLAG_SYN = 2
export const FLAG_SYN_ACK = 256
const FLAG_NAMES = new Map<unknown, number>([
  ['FIN', 1], ['SYN', FLAG_SYN], ['RST', 4], ['PSH', 8], ['ACK', 16], ['URG', 32], ['ECE', 64], ['CWR', 128], ['SYN_ACK', FLAG_SYN_ACK], ['FIN_ACK', 512], ['RST_ACK', 1024],
])

/** A bit mask, as number or text, or the names that FLP's `decode_tcp_flags` makes of it. */
export function readFlags(value: unknown): number | Rejection {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65_535) return value
  if (value === undefined || value === null) return 0
  if (Array.isArray(value)) {
    let flags = 0
    for (const name of value as readonly unknown[]) {
      if (typeof name !== 'string') return wrongType('netobserv', 'Flags', 'names of TCP flags', name)
      flags |= FLAG_NAMES.get(name) ?? 0
    }
    return flags
  }
  return typeof value === 'string' && /^\d{1,5}$/.test(value) ? readFlags(Number(value)) : wrongType('netobserv', 'Flags', 'a bit mask or a list of names', value)
}

/** Whose node reported, told of the packet: its source's, its destination's, one that is both. */
export type PacketReporter = 'source' | 'destination' | 'both' | 'unknown'

/** `FlowDirection` of enriched records: 0 ingress, 1 egress, 2 inner. */
export function readFlowDirection(value: unknown): PacketReporter | Rejection {
  switch (value) {
    case 0: case '0': return 'destination'
    case 1: case '1': return 'source'
    case 2: case '2': return 'both'
    case undefined: case null: return 'unknown'
    default: return wrongType('netobserv', 'FlowDirection', '0, 1 or 2', value)
  }
}

/** A record of FLP's connection tracking: both directions in one, source first seen as initiator. `flowLog` records are of packets. */
export function isConnectionRecord(recordType: unknown): boolean {
  return recordType === 'newConnection' || recordType === 'heartbeat' || recordType === 'endConnection'
}

/** Milliseconds since 1970, as number or text, to microseconds; 0 when absent. */
export function readMs(field: string, value: unknown): number | Rejection {
  return typeof value === 'number' ? scaled(field, value, US_PER_MS) : readText(field, value, US_PER_MS)
}

/** Seconds since 1970, likewise. */
export function readSeconds(field: string, value: unknown): number | Rejection {
  return typeof value === 'number' ? scaled(field, value, US_PER_SECOND) : readText(field, value, US_PER_SECOND)
}

function readText(field: string, value: unknown, unit: number): number | Rejection {
  if (value === undefined || value === null || value === '') return 0
  if (typeof value === 'string' && /^\d{1,16}(\.\d{1,9})?$/.test(value)) return scaled(field, Number(value), unit)
  return reject('netobserv', 'bad-time', `${field}: ${shown(value)} is not a time since 1970`)
}

function scaled(field: string, value: number, unit: number): number | Rejection {
  if (value === 0) return 0
  const us = Math.round(value * unit)
  // NaN and infinities are neither early nor late.
  if (!Number.isFinite(us)) return reject('netobserv', 'bad-time', `${field}: ${shown(value)} is not a time since 1970`)
  const problem = checkTimeUs(us)
  return problem === '' ? us : reject('netobserv', problem, `${field}: ${shown(value)}`)
}

/** Which direction of policy denied, by OVN's network events. */
export type AclDenial = 'none' | 'ingress' | 'egress' | 'unknown'

/**
 * OVN's verdicts (`Feature: acl`): the record is denied when any of them is no `allow`. Older pipelines write each event as a sentence that begins
 * with what was done.
 */
export function readAclDenial(events: unknown): AclDenial | Rejection {
  if (events === undefined || events === null) return 'none'
  if (!Array.isArray(events)) return wrongType('netobserv', 'NetworkEvents', 'an array of events', events)
  let denial: AclDenial = 'none'
  for (const event of events as readonly unknown[]) {
    const text = typeof event === 'string' ? event : undefined
    if (text === undefined && !isObject(event)) return wrongType('netobserv', 'NetworkEvents', 'events', event)
    const found = text === undefined ? denialOf(event as RawObject) : /^(?:drop|reject)/i.test(text) ? 'unknown' : 'none'
    if (found !== 'none') denial = denial === 'none' || denial === found ? found : 'unknown'
  }
  return denial
}

function denialOf(event: RawObject): AclDenial {
  if (event.Feature !== undefined && event.Feature !== 'acl') return 'none'
  const { Action: action, Direction: direction } = event
  if (typeof action !== 'string' || !/^(?:drop|reject)/i.test(action)) return 'none'
  return direction === 'Ingress' ? 'ingress' : direction === 'Egress' ? 'egress' : 'unknown'
}

/**
 * What dropped packets (feature PacketDrop) say: nothing while others passed; `error` when none passed and the kernel names another cause than a
 * filter (`SKB_DROP_REASON_TCP_INVALID_SEQUENCE`: a socket had it already); `unknown` when Open vSwitch or netfilter dropped all of them, which may be
 * a policy or may not: only network events tell.
 */
export function readDrops(fields: Fields): ObservedVerdict {
  const dropped = fields[DROPPED_PACKETS]
  if (dropped === undefined || dropped === 0 || (readCount(dropped) ?? 0) === 0) return 'allowed'
  // The agent counts packets before they are dropped: as many drops as packets, or only drops, is none delivered.
  if ((readCount(fields[PACKETS]) ?? 0) > (readCount(dropped) ?? 0)) return 'allowed'
  const cause = fields[DROP_CAUSE]
  if (typeof cause !== 'string') return 'unknown'
  return cause.startsWith('OVS_DROP_') || cause.includes('NETFILTER') ? 'unknown' : 'error'
}
