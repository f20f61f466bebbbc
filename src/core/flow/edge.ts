import type { Identity } from './identity.ts'
import type { FlowRecord, ObservedVerdict, Orientation, Protocol, Side } from './flow-record.ts'

/** Orientation evidence as bits, so that merging is `or`; `unoriented` is 0. */
export const ORIENTATION_BITS: Readonly<Record<Orientation, number>> = {
  'verdict-event': 1, 'tcp-flags': 2, 'is-reply': 4, conntrack: 8, unoriented: 0,
}

/** One (side, observed verdict) of an edge: counts and the times it was seen. Never summed over sides: they see the same connections. */
export interface Sighting {
  readonly side: Side
  readonly verdict: ObservedVerdict
  readonly flows: number
  readonly firstAtUs: number
  readonly lastAtUs: number
}

/** Seen to work, or (audit) only not denied yet: evidence that the connection is wanted. */
export function isWanted(sighting: Sighting): boolean {
  return sighting.verdict === 'allowed' || sighting.verdict === 'audit'
}

/** One outside address of an edge whose end is `external`. */
export interface ExternalSighting extends Sighting {
  /** Canonical address text. */
  readonly ip: string
}

/**
 * Everything observed about one (initiator, responder, protocol, port) of raw identities in a range.
 * `fromPort` is 0 for an oriented edge; else the edge is unoriented and both ports are kept (see FlowRecord).
 */
export interface ObservedEdge {
  readonly from: Identity
  readonly to: Identity
  readonly protocol: Protocol
  /** Pod port of `to`; 0 = not derivable. */
  readonly port: number
  readonly fromPort: number
  /** Bits of ORIENTATION_BITS. */
  readonly evidence: number
  /** At least one; sorted by side, then verdict. */
  readonly sightings: readonly Sighting[]
  /** Only where one end is external: sorted by address, side, verdict. */
  readonly externals: readonly ExternalSighting[]
  /** True when `externals` is only a sample (more than EXTERNAL_PEER_LIMIT addresses). */
  readonly manyExternals: boolean
}

/** What aggregated rows are keyed by, beside their time. `fromPort` as in ObservedEdge. */
interface EdgeSide {
  readonly from: Identity
  readonly to: Identity
  readonly protocol: Protocol
  readonly port: number
  readonly fromPort: number
  readonly side: Side
  readonly verdict: ObservedVerdict
}

/** One aggregated row: edge x 5-minute window x side x observed verdict. */
export interface EdgeWindow extends EdgeSide {
  /** Start of the window, microseconds, a multiple of WINDOW_US. */
  readonly windowStartUs: number
  /** Flows whose last instant lies in this window; 0 = only present. */
  flows: number
  firstAtUs: number
  lastAtUs: number
  evidence: number
  /** A record reached back over more than MAX_PRESENCE_WINDOWS windows. */
  isLongLived: boolean
}

/** One outside address of an edge on one UTC day. */
export interface ExternalPeer extends EdgeSide {
  readonly dayStartUs: number
  readonly ip: string
  flows: number
  firstAtUs: number
  lastAtUs: number
}

/** 5 minutes. Smaller: sharper "when", more rows; larger: fewer rows, coarser presence. */
export const WINDOW_US = 300_000_000
/** A record's presence reaches at most this many windows back (24 hours). */
export const MAX_PRESENCE_WINDOWS = 288
/** Distinct outside addresses kept exactly per edge and day; beyond, the sample with the smallest hashes and the flag `many`. */
export const EXTERNAL_PEER_LIMIT = 10_000

/** How many windows a flow is present in: the rows that adding it makes at most. */
export function presenceWindows({ firstAtUs, lastAtUs }: Pick<FlowRecord, 'firstAtUs' | 'lastAtUs'>): number {
  return Math.min(Math.floor(lastAtUs / WINDOW_US) - Math.floor(firstAtUs / WINDOW_US), MAX_PRESENCE_WINDOWS) + 1
}
