/**
 * FlowRecords in, partial aggregates out: edge windows, outside addresses, and marks where those were too many.
 *
 * Invariants: adding is commutative and associative over records and over batches. Folding the rows of any split of the
 * same records gives the same edges (`foldEdges`; test/core/aggregate). A record's count goes to the window of its last
 * instant; its presence (flows 0) to every window it overlaps, at most MAX_PRESENCE_WINDOWS back. Adding a record twice
 * raises counts and nothing else.
 * Leaves to others: duplicates, orientation by evidence from other records, label rules.
 * Cost: five map lookups per flow, keyed by numbers and references; memory O(distinct edges x windows + kept outside addresses).
 */
import { invariant } from '../base/invariant.ts'
import { US_PER_DAY } from '../base/time.ts'
import { MAX_PRESENCE_WINDOWS, ORIENTATION_BITS, WINDOW_US } from '../flow/edge.ts'
import type { EdgeWindow, ExternalPeer } from '../flow/edge.ts'
import type { FlowRecord, ObservedVerdict, Side } from '../flow/flow-record.ts'
import type { Identity } from '../flow/identity.ts'
import { BottomAddresses } from './bottom-addresses.ts'
import type { ExternalOverflow } from './bottom-addresses.ts'
import { edgePortsKey, IdentityNumbers } from './edge-keys.ts'

/** Side and verdict as one small number, so that a window's rows need one map. */
const SIDE_CODES: Readonly<Record<Side, number>> = { client: 0, server: 1, unknown: 2 }
const VERDICT_CODES: Readonly<Record<ObservedVerdict, number>> = { allowed: 0, denied: 1, audit: 2, error: 3, unknown: 4 }
/** At least the number of (side, verdict) codes; a power of two. */
const CODES = 16

interface EdgeNode {
  /** windowNumber * CODES + code -> row. Stays a small integer until the year 2600. */
  readonly windows: Map<number, EdgeWindow>
  /** UTC day number -> outside addresses; absent until one is seen. */
  days: Map<number, BottomAddresses> | undefined
}

/** Groups flows by edge and window in memory. Not reusable: make a new one per batch. */
export class EdgeBatch {
  private readonly numbers = new IdentityNumbers()
  /** pairKey(from, to) -> ports -> edge. */
  private readonly pairs = new Map<number, Map<number, EdgeNode>>()
  private rows = 0

  /** How many edge-window rows exist so far: the measure that bounds a batch's memory. */
  get windowCount(): number {
    return this.rows
  }

  /** Adds one flow. */
  add(record: FlowRecord): void {
    const lastWindow = Math.floor(record.lastAtUs / WINDOW_US)
    const firstWindow = Math.floor(record.firstAtUs / WINDOW_US)
    invariant(firstWindow <= lastWindow, 'a flow ends before it begins', { first: record.firstAtUs, last: record.lastAtUs })
    const node = this.node(record)
    const oldest = Math.max(firstWindow, lastWindow - MAX_PRESENCE_WINDOWS)
    const isLongLived = oldest > firstWindow
    for (let window = oldest; window <= lastWindow; window++) {
      const start = window * WINDOW_US
      // Beyond the limit the oldest row keeps the true first instant; everywhere else rows are clipped to their window.
      const firstAtUs = window === oldest ? record.firstAtUs : start
      const isLast = window === lastWindow
      const row = this.row(node, record, window, firstAtUs)
      if (isLast) row.flows += record.flows
      if (firstAtUs < row.firstAtUs) row.firstAtUs = firstAtUs
      const lastAtUs = isLast ? record.lastAtUs : start + WINDOW_US - 1
      if (lastAtUs > row.lastAtUs) row.lastAtUs = lastAtUs
      row.evidence |= ORIENTATION_BITS[record.orientation]
      if (isLongLived) row.isLongLived = true
    }
    const ip = externalIp(record)
    if (ip !== '') addExternal(node, record, ip, oldest * WINDOW_US)
  }

  /** The rows so far, in no particular order: one per (edge, window, side, verdict). */
  windows(): EdgeWindow[] {
    const all: EdgeWindow[] = []
    for (const byPorts of this.pairs.values()) {
      for (const node of byPorts.values()) for (const row of node.windows.values()) all.push(row)
    }
    return all
  }

  /** Kept outside addresses: at most EXTERNAL_PEER_LIMIT per (edge, UTC day). */
  externalPeers(): ExternalPeer[] {
    const all: ExternalPeer[] = []
    for (const addresses of this.addressSets()) addresses.appendTo(all)
    return all
  }

  /** The (edge, UTC day) pairs that had more outside addresses than are kept. */
  externalOverflows(): ExternalOverflow[] {
    const all: ExternalOverflow[] = []
    for (const addresses of this.addressSets()) {
      const overflow = addresses.overflow()
      if (overflow !== null) all.push(overflow)
    }
    return all
  }

  private *addressSets(): Generator<BottomAddresses> {
    for (const byPorts of this.pairs.values()) {
      for (const node of byPorts.values()) if (node.days !== undefined) yield* node.days.values()
    }
  }

  private node(record: FlowRecord): EdgeNode {
    const pair = this.numbers.pairKey(record.initiator, record.responder)
    let byPorts = this.pairs.get(pair)
    if (byPorts === undefined) {
      byPorts = new Map()
      this.pairs.set(pair, byPorts)
    }
    const ports = edgePortsKey(record.protocol, record.port, record.initiatorPort)
    let node = byPorts.get(ports)
    if (node === undefined) {
      node = { windows: new Map(), days: undefined }
      byPorts.set(ports, node)
    }
    return node
  }

  private row(node: EdgeNode, record: FlowRecord, window: number, firstAtUs: number): EdgeWindow {
    const key = window * CODES + SIDE_CODES[record.side] * 5 + VERDICT_CODES[record.observedVerdict]
    let row = node.windows.get(key)
    if (row === undefined) {
      row = {
        windowStartUs: window * WINDOW_US,
        from: record.initiator, to: record.responder, protocol: record.protocol, port: record.port, fromPort: record.initiatorPort,
        side: record.side, verdict: record.observedVerdict,
        flows: 0, firstAtUs, lastAtUs: firstAtUs, evidence: 0, isLongLived: false,
      }
      node.windows.set(key, row)
      this.rows++
    }
    return row
  }
}

/** Adds the address to each UTC day that the record's presence touches: at most two. */
function addExternal(node: EdgeNode, record: FlowRecord, ip: string, presenceStartUs: number): void {
  node.days ??= new Map()
  const lastDay = Math.floor(record.lastAtUs / US_PER_DAY)
  const firstDay = Math.floor(Math.max(record.firstAtUs, presenceStartUs) / US_PER_DAY)
  for (let day = firstDay; day <= lastDay; day++) {
    let addresses = node.days.get(day)
    if (addresses === undefined) {
      addresses = new BottomAddresses({
        from: record.initiator, to: record.responder, protocol: record.protocol, port: record.port, fromPort: record.initiatorPort,
      }, day * US_PER_DAY)
      node.days.set(day, addresses)
    }
    addresses.add(ip, {
      side: record.side, verdict: record.observedVerdict,
      flows: day === lastDay ? record.flows : 0,
      firstAtUs: day === firstDay ? record.firstAtUs : day * US_PER_DAY,
      lastAtUs: day === lastDay ? record.lastAtUs : (day + 1) * US_PER_DAY - 1,
    })
  }
}

/** The outside address of a record: the responder's when that end is outside, else the initiator's; '' when neither is or it is unknown. */
function externalIp(record: FlowRecord): string {
  if (isExternal(record.responder)) return record.responderIp
  return isExternal(record.initiator) ? record.initiatorIp : ''
}

function isExternal(identity: Identity): boolean {
  return identity.kind === 'external'
}
