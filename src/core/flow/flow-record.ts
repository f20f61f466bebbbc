import type { Identity } from './identity.ts'

/** Protocols that a NetworkPolicy can express. Others are ignored with a reason before a record is made. */
export type Protocol = 'TCP' | 'UDP' | 'SCTP'
export const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP']

/** Formats that are read; one page each under docs/sources. Retina writes Hubble's shape. */
export const FLOW_FORMATS = ['hubble', 'calico-enterprise', 'goldmane', 'netobserv', 'antrea', 'gke', 'aws-vpc-cni'] as const
export type FlowFormat = (typeof FLOW_FORMATS)[number]

/** Which end's node reported: the client's (egress), the server's (ingress). */
export type Side = 'client' | 'server' | 'unknown'

/** What the CNI did, as logged. `audit`: would have been denied. `error`: dropped for another reason than policy. */
export type ObservedVerdict = 'allowed' | 'denied' | 'audit' | 'error' | 'unknown'

/**
 * What proved who opened the connection, strongest first (DESIGN.md §2). `unoriented`: the record alone does not tell;
 * evidence from other records is applied when edges are read.
 */
export type Orientation = 'verdict-event' | 'tcp-flags' | 'is-reply' | 'conntrack' | 'unoriented'

/**
 * One flow as one reporter saw it, with initiator and responder instead of source and destination.
 *
 * When `orientation` is `unoriented`, `initiator` and `responder` are only the two ends in canonical order
 * (by identity key, then address, then port), `initiatorPort` and `port` are both kept, and `side` reads as if the first end were the initiator.
 */
export interface FlowRecord {
  readonly kind: 'flow'
  readonly format: FlowFormat
  /** First and last instant the record speaks of, microseconds since 1970; equal for an instantaneous event. */
  readonly firstAtUs: number
  readonly lastAtUs: number
  readonly initiator: Identity
  readonly responder: Identity
  /** Canonical text addresses; '' when the format aggregates them away. */
  readonly initiatorIp: string
  readonly responderIp: string
  /** Pod names; '' when unknown or not a pod. */
  readonly initiatorPod: string
  readonly responderPod: string
  readonly protocol: Protocol
  /** The responder's pod port (after DNAT); 0 = not derivable (T3, T8). */
  readonly port: number
  /** 0 unless unoriented: the other end's port. */
  readonly initiatorPort: number
  readonly orientation: Orientation
  readonly side: Side
  readonly observedVerdict: ObservedVerdict
  /** Node that reported; '' when unknown. */
  readonly node: string
  /** Connections if the format counts them, else 1 per event; at least 1. */
  readonly flows: number
  /** 64-bit digest of the record's uuid, or of its canonical content where it has none; two unsigned 32-bit halves. */
  readonly digestHi: number
  readonly digestLo: number
}

/** Why a record was refused; closed list, counted and dead-lettered. */
export type RejectionCode =
  | 'malformed-json'
  | 'truncated' // last line without newline that does not parse
  | 'too-long' // line over the size limit
  | 'not-text' // binary or invalid UTF-8
  | 'not-an-object'
  | 'unknown-format'
  | 'wrong-type' // a field has the wrong type
  | 'missing-field'
  | 'bad-address'
  | 'bad-port'
  | 'bad-time'
  | 'no-port' // aggregation dropped the destination port: useless for policy
  | 'too-late'
  | 'too-early' // before 2000
  | 'in-future'
  | 'too-many-labels'
  | 'too-many-identities' // the cluster's cap is reached: the record would make another one
  | 'too-deep' // wrapped in more envelopes than are unwrapped
  | 'malformed-protobuf'
  | 'unreadable-batch' // a compressed batch of Kafka records that cannot be decompressed
  | 'foreign-cluster' // the record claims another cluster than its source is bound to
  | 'malformed-line' // a text line of a known format with fields missing or wrong

/** A record refused. `detail` names the field and the offending value, at most 200 characters. */
export interface Rejection {
  readonly kind: 'rejected'
  readonly format: FlowFormat | 'unknown'
  readonly code: RejectionCode
  readonly detail: string
}

/** Why a well-formed record makes no edge; closed list, counted. */
export type IgnoreReason =
  | 'control' // lost_events, node_status, agent and debug events
  | 'enrichment' // L7 and DNS records
  | 'icmp'
  | 'other-protocol' // VRRP, IGMP, numbers without ports
  | 'multicast-or-link-local' // T22
  | 'socket-translation' // SOCK events before and after service translation
  | 'forwarded' // Calico fwd reporter: host forwarding, belongs to neither end
  | 'no-endpoint' // neither end is a pod: nothing a NetworkPolicy could say
  | 'empty' // a flow without verdict and layer 4: field mask or keep-alive
  | 'blank' // an empty line
  | 'foreign-log' // a log line of an agent or tool between the records (T24)
  | 'repeated' // the same packets seen again on another interface, or a heartbeat of a connection
  | 'self' // traffic of the collector itself, as configured (T25)

/** Signs that observation was incomplete; stored, and lower confidence later. */
export interface CoverageEvent {
  readonly type: 'lost-events' | 'node-status' | 'sampling' | 'aggregation' | 'missing-node' | 'gap'
  readonly atUs: number
  readonly node: string
  /** Events lost, or 0. */
  readonly lost: number
  readonly detail: string
}

export interface Ignored {
  readonly kind: 'ignored'
  readonly format: FlowFormat | 'unknown'
  readonly reason: IgnoreReason
  readonly coverage: CoverageEvent | null
}

export type Outcome = FlowRecord | Rejection | Ignored
