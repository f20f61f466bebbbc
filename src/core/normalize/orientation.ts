/**
 * Who opened the connection, as far as one record tells: the one table for all formats, and the functions that apply it.
 *
 * In: what a record shows. Out: the evidence, and which end of the packet is the initiator. What one record does not prove is stored unoriented and
 * judged by other records when edges are read (core/flow/traffic.ts: seen-forward, listener, port-range).
 * Invariants: a pure function of one record. The table is data: a test walks through it and shows a record for every row.
 */
import { compareText } from '../base/order.ts'
import type { FlowFormat, Orientation, Side } from '../flow/flow-record.ts'
import type { AddressInfo } from './address-cache.ts'
import type { End } from './identity-cache.ts'

/** First port of the range from which Linux takes the ports of clients (net.ipv4.ip_local_port_range). Only used to hold evidence back, never to make a rule. */
export const FIRST_EPHEMERAL_PORT = 32_768

/** One line of the table. Within a format the first row that fits decides. */
export interface OrientationRow {
  readonly format: FlowFormat
  readonly shows: string
  readonly evidence: Orientation
  /** The end of the packet (or of the logged tuple) that opened the connection. */
  readonly initiator: 'source' | 'destination' | 'not known'
}

/** Strongest first within each format (DESIGN.md §2). */
export const ORIENTATION_TABLE: readonly OrientationRow[] = [
  // A verdict is asked for when a connection is opened, in the initiator's direction; also when the packet is dropped.
  { format: 'hubble', shows: 'policy-verdict event (event_type 5)', evidence: 'verdict-event', initiator: 'source' },
  { format: 'hubble', shows: 'SYN without ACK', evidence: 'tcp-flags', initiator: 'source' },
  { format: 'hubble', shows: 'SYN with ACK', evidence: 'tcp-flags', initiator: 'destination' },
  { format: 'hubble', shows: 'is_reply true, or only the older reply true', evidence: 'is-reply', initiator: 'destination' },
  // Retina writes false into every record when it has no connection tracking.
  { format: 'hubble', shows: 'is_reply false, written by Retina', evidence: 'unoriented', initiator: 'not known' },
  { format: 'hubble', shows: 'is_reply false', evidence: 'is-reply', initiator: 'source' },
  { format: 'hubble', shows: 'none of these', evidence: 'unoriented', initiator: 'not known' },
  // Made from the kernel's connection tracking: the tuple is the connection's, never a packet's.
  { format: 'calico-enterprise', shows: 'every row', evidence: 'conntrack', initiator: 'source' },
  { format: 'goldmane', shows: 'every flow', evidence: 'conntrack', initiator: 'source' },
  // The audit log is written for the first packet of a connection, in its initiator's direction.
  { format: 'antrea', shows: 'line of the audit log', evidence: 'verdict-event', initiator: 'source' },
  { format: 'antrea', shows: 'every flow record', evidence: 'conntrack', initiator: 'source' },
  // FLP's own connection tracking takes who was seen first for the initiator.
  { format: 'netobserv', shows: 'connection record, destination port below 32768', evidence: 'conntrack', initiator: 'source' },
  { format: 'netobserv', shows: 'connection record, destination port from 32768 on', evidence: 'unoriented', initiator: 'not known' },
  // Packets of one direction, flags of all of them or-ed.
  { format: 'netobserv', shows: 'SYN without SYN_ACK', evidence: 'tcp-flags', initiator: 'source' },
  { format: 'netobserv', shows: 'SYN_ACK without SYN', evidence: 'tcp-flags', initiator: 'destination' },
  // A Service's address is only ever dialled: as source it is an answer that was translated back.
  { format: 'netobserv', shows: 'destination is a Service', evidence: 'conntrack', initiator: 'source' },
  { format: 'netobserv', shows: 'source is a Service', evidence: 'conntrack', initiator: 'destination' },
  { format: 'netobserv', shows: 'none of these', evidence: 'unoriented', initiator: 'not known' },
  // Built from Hubble's policy-verdict events.
  { format: 'gke', shows: 'every record', evidence: 'verdict-event', initiator: 'source' },
  // The hook's tuple of a packet that its connection tracking took for a new connection; answers that come late look new, too.
  { format: 'aws-vpc-cni', shows: 'destination is a Service', evidence: 'conntrack', initiator: 'source' },
  { format: 'aws-vpc-cni', shows: 'destination port below 32768 and below the source port', evidence: 'conntrack', initiator: 'source' },
  { format: 'aws-vpc-cni', shows: 'destination port from 32768 on, or above the source port', evidence: 'unoriented', initiator: 'not known' },
]

/** One end of a packet or connection with its address and port (0 = not known). */
export interface Located {
  readonly end: End
  readonly address: AddressInfo
  readonly port: number
  /** The address is a Service's, not yet translated: its port is no pod's port (T8). */
  readonly isService: boolean
}

/** True when a NetworkPolicy could speak of this end, or may turn out to: a pod, or something that looks like one. */
export function isPoliced(located: Located): boolean {
  const { kind } = located.end.identity
  return kind === 'pod' || (kind === 'unknown' && located.address.text !== '')
}

/** What one record of packets (Hubble) knows about who opened the connection. */
export interface OrientationFacts {
  readonly isVerdictEvent: boolean
  readonly isDrop: boolean
  readonly isSyn: boolean
  readonly isAck: boolean
  /** `undefined`: the record does not tell. */
  readonly isReply: boolean | undefined
}

/** Hubble's rows of the table: a policy-verdict event; then the handshake; then conntrack's is_reply. */
export function findOrientation(facts: OrientationFacts): Orientation {
  if (facts.isVerdictEvent) return 'verdict-event'
  if (facts.isSyn) return 'tcp-flags'
  return facts.isReply === undefined ? 'unoriented' : 'is-reply'
}

/** True when the packet's destination opened the connection. Only for oriented records. */
export function isFromResponder(facts: OrientationFacts, orientation: Orientation): boolean {
  if (orientation === 'tcp-flags') return facts.isAck
  return orientation === 'is-reply' && facts.isReply === true
}

/**
 * AWS' rows of the table, for a destination that is no Service: the port that answers come back to is one the kernel picked for the client, from
 * 32768 on where nobody widened the range. A tuple towards such a port, or towards a port above its own (8080 -> 20000), may be an answer to a
 * connection that the agent had forgotten. `sourcePort` 0: not told.
 */
export function orientTuple(destinationPort: number, sourcePort: number): 'conntrack' | 'unoriented' {
  return destinationPort < FIRST_EPHEMERAL_PORT && (sourcePort === 0 || destinationPort < sourcePort) ? 'conntrack' : 'unoriented'
}

/**
 * The reporting side, seen from the end taken as initiator. Hubble's traffic_direction is the connection's direction, computed from is_reply; for
 * drops and policy verdicts, and where is_reply is unknown, it is the packet's direction (T5).
 */
export function sideOf(facts: OrientationFacts, direction: 'ingress' | 'egress' | 'unknown', isSourceFirst: boolean): Side {
  if (direction === 'unknown') return 'unknown'
  const isInverted = facts.isReply === true && !facts.isDrop && !facts.isVerdictEvent
  const isSourceLocal = (direction === 'egress') !== isInverted
  return isSourceLocal === isSourceFirst ? 'client' : 'server'
}

/** Canonical order of the ends of an unoriented record: by identity, address, port. */
export function isInOrder(a: Located, b: Located): boolean {
  const byIdentity = a.end.identity === b.end.identity ? 0 : compareText(a.end.identity.key, b.end.identity.key)
  if (byIdentity !== 0) return byIdentity < 0
  const byAddress = compareText(a.address.text, b.address.text)
  return byAddress !== 0 ? byAddress < 0 : a.port <= b.port
}
