import { compareText } from '../base/order.ts'
import { EXTERNAL_PEER_LIMIT } from '../flow/edge.ts'
import type { EdgeWindow, ExternalPeer, ExternalSighting, ObservedEdge, Sighting } from '../flow/edge.ts'
import type { Identity } from '../flow/identity.ts'
import { addressHash } from './bottom-addresses.ts'
import type { ExternalOverflow } from './bottom-addresses.ts'
import { edgePortsKey, IdentityNumbers } from './edge-keys.ts'
import type { EdgeEnds } from './edge-keys.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

interface Address {
  readonly ip: string
  readonly hash: number
  readonly sightings: Mutable<ExternalSighting>[]
}

interface EdgeState {
  readonly ends: EdgeEnds
  evidence: number
  readonly sightings: Mutable<Sighting>[]
  readonly addresses: Map<string, Address>
  isMany: boolean
}

/**
 * Folds aggregated rows of any windows, days and batches into one ObservedEdge per (initiator, responder, protocol, ports).
 * Rows of one key may come in any number of parts and any order; identities are equal when their keys are. Outside
 * addresses are kept as in `EdgeBatch`: at most EXTERNAL_PEER_LIMIT per edge, those with the smallest hashes.
 * Sorted by from.key, to.key, protocol, port, fromPort. Peers and marks of edges without a window row are left out.
 */
export function foldEdges(
  windows: Iterable<EdgeWindow>, peers: Iterable<ExternalPeer>, overflows: Iterable<ExternalOverflow> = [],
): ObservedEdge[] {
  const edges = new EdgeTable()
  for (const row of windows) {
    const edge = edges.ensure(row)
    edge.evidence |= row.evidence
    merge(edge.sightings, row)
  }
  for (const peer of peers) {
    const edge = edges.find(peer)
    if (edge !== undefined) addPeer(edge, peer)
  }
  for (const overflow of overflows) {
    const edge = edges.find(overflow)
    if (edge !== undefined) edge.isMany = true
  }
  return [...edges.all()].sort(compareEdges).map(toObservedEdge)
}

/** Finds edges by the numbers of their identities; identities with the same key are one. */
class EdgeTable {
  private readonly pairs = new Map<number, Map<number, EdgeState>>()
  private readonly canonical = new Map<string, Identity>()
  private readonly byReference = new Map<Identity, Identity>()
  private readonly numbers = new IdentityNumbers()

  ensure(ends: EdgeEnds): EdgeState {
    const found = this.find(ends)
    if (found !== undefined) return found
    const { protocol, port, fromPort } = ends
    const from = this.intern(ends.from)
    const to = this.intern(ends.to)
    const created: EdgeState = {
      ends: { from, to, protocol, port, fromPort }, evidence: 0, sightings: [], addresses: new Map(), isMany: false,
    }
    const pair = this.numbers.pairKey(from, to)
    let byPorts = this.pairs.get(pair)
    if (byPorts === undefined) {
      byPorts = new Map()
      this.pairs.set(pair, byPorts)
    }
    byPorts.set(edgePortsKey(protocol, port, fromPort), created)
    return created
  }

  find(ends: EdgeEnds): EdgeState | undefined {
    const pair = this.numbers.pairKey(this.intern(ends.from), this.intern(ends.to))
    return this.pairs.get(pair)?.get(edgePortsKey(ends.protocol, ends.port, ends.fromPort))
  }

  *all(): Generator<EdgeState> {
    for (const byPorts of this.pairs.values()) yield* byPorts.values()
  }

  private intern(identity: Identity): Identity {
    const known = this.byReference.get(identity)
    if (known !== undefined) return known
    const canonical = this.canonical.get(identity.key) ?? identity
    this.canonical.set(canonical.key, canonical)
    this.byReference.set(identity, canonical)
    return canonical
  }
}

/** Adds flows and widens the times of the entry with the same side and verdict. */
function merge(sightings: Mutable<Sighting>[], seen: Sighting): void {
  const entry = sightings.find((s) => s.side === seen.side && s.verdict === seen.verdict)
  if (entry === undefined) {
    const { side, verdict, flows, firstAtUs, lastAtUs } = seen
    sightings.push({ side, verdict, flows, firstAtUs, lastAtUs })
    return
  }
  entry.flows += seen.flows
  if (seen.firstAtUs < entry.firstAtUs) entry.firstAtUs = seen.firstAtUs
  if (seen.lastAtUs > entry.lastAtUs) entry.lastAtUs = seen.lastAtUs
}

function addPeer(edge: EdgeState, peer: ExternalPeer): void {
  let address = edge.addresses.get(peer.ip)
  if (address === undefined) {
    address = { ip: peer.ip, hash: addressHash(peer.ip), sightings: [] }
    edge.addresses.set(peer.ip, address)
  }
  const { ip, side, verdict, flows, firstAtUs, lastAtUs } = peer
  const entry = address.sightings.find((s) => s.side === side && s.verdict === verdict)
  if (entry === undefined) address.sightings.push({ side, verdict, flows, firstAtUs, lastAtUs, ip })
  else merge(address.sightings, peer)
}

function toObservedEdge(edge: EdgeState): ObservedEdge {
  let addresses = [...edge.addresses.values()]
  const isOver = addresses.length > EXTERNAL_PEER_LIMIT
  if (isOver) addresses = addresses.sort((a, b) => a.hash - b.hash || compareText(a.ip, b.ip)).slice(0, EXTERNAL_PEER_LIMIT)
  return {
    ...edge.ends,
    evidence: edge.evidence,
    sightings: edge.sightings.sort(compareSightings),
    externals: addresses.sort((a, b) => compareText(a.ip, b.ip)).flatMap((a) => a.sightings.sort(compareSightings)),
    manyExternals: edge.isMany || isOver,
  }
}

function compareSightings(a: Sighting, b: Sighting): number {
  return compareText(a.side, b.side) || compareText(a.verdict, b.verdict)
}

function compareEdges({ ends: a }: EdgeState, { ends: b }: EdgeState): number {
  return compareText(a.from.key, b.from.key) || compareText(a.to.key, b.to.key) || compareText(a.protocol, b.protocol)
    || a.port - b.port || a.fromPort - b.fromPort
}
