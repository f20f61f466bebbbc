/**
 * Turns observed edges between raw identities into edges between parties: workloads, and classes such as the outside.
 *
 * In: ObservedEdge[] of a range, the workload index, known listeners. Out: one TrafficEdge per (initiator party,
 * responder party, protocol, port), oriented where any evidence allows, else with `orientation: 'unoriented'`.
 * Evidence from other records (orient.ts) is applied here, at read time, as a pure function of the set of edges and the cluster state, so that
 * neither order nor lateness matters.
 * Leaves to others: what is accepted (core/generate). Cost: O(edges).
 */
import { compareText, groupedBy, sortedBy } from '../base/order.ts'
import type { ExternalSighting, ObservedEdge, Sighting } from './edge.ts'
import { strongestOrientation } from './edge-view.ts'
import type { OrientationView } from './edge-view.ts'
import type { Protocol, Side } from './flow-record.ts'
import { labelsKey } from './identity.ts'
import type { Identity } from './identity.ts'
import { createJudge, withdrawUnproven } from './orient.ts'
import type { Listeners, Party } from './orient.ts'
import type { Workload, WorkloadIndex } from './workloads.ts'

export interface TrafficEdge {
  readonly from: Party
  readonly to: Party
  readonly protocol: Protocol
  /** Pod port of `to`; 0 = not derivable. */
  readonly port: number
  /** Not 0 only while unoriented. */
  readonly fromPort: number
  readonly orientation: OrientationView
  /** Bits of ORIENTATION_BITS that records proved; 0 when other records decided, or nobody. */
  readonly evidence: number
  readonly sightings: readonly Sighting[]
  readonly externals: readonly ExternalSighting[]
  readonly manyExternals: boolean
  /** What each pair of raw label sets saw, in canonical order: a policy may tell them apart although they are one workload. */
  readonly pairs: readonly IdentityPair[]
}

/** Sightings of one pair of raw label sets; identities that differ only in how well the log described them are one. */
export interface IdentityPair {
  readonly from: Identity
  readonly to: Identity
  readonly sightings: readonly Sighting[]
  readonly externals: readonly ExternalSighting[]
}

export function buildTraffic(edges: readonly ObservedEdge[], workloads: WorkloadIndex, isDeclared: Listeners = () => false): TrafficEdge[] {
  const partyOf = createParties(workloads)
  const oriented: Draft[] = []
  const open: Draft[] = []
  for (const edge of edges) {
    const draft = draftOf(edge, partyOf)
    if (edge.fromPort === 0) oriented.push(draft)
    else open.push(draft)
  }
  const merged = mergeDrafts(withdrawUnproven(mergeDrafts(oriented), isDeclared))
  const judge = createJudge(merged, open, isDeclared)
  const resolved = open.map((draft): Draft => {
    const found = judge(draft)
    if (found === undefined) return draft
    return found.isForward ? { ...draft, fromPort: 0, decidedBy: found.by } : { ...turned(draft), decidedBy: found.by }
  })
  return mergeDrafts([...merged, ...resolved]).map(({ decidedBy, ...d }) => ({ ...d, orientation: orientationOf(d.evidence, decidedBy) }))
}

interface Draft {
  readonly from: Party
  readonly to: Party
  readonly protocol: Protocol
  readonly port: number
  readonly fromPort: number
  readonly evidence: number
  /** Set when other records decided. */
  readonly decidedBy: OrientationView | undefined
  readonly sightings: readonly Sighting[]
  readonly externals: readonly ExternalSighting[]
  readonly manyExternals: boolean
  readonly pairs: readonly IdentityPair[]
}

function createParties(workloads: WorkloadIndex): (identity: Identity) => Party {
  const cache = new Map<string, Party>()
  return (identity) => {
    const workload = identity.kind === 'pod' ? workloads.of(identity) : undefined
    const key = workload === undefined ? identity.key : `workload ${workload.key}`
    let party = cache.get(key)
    if (party === undefined) {
      party = { key, workload, identity: workload === undefined ? identity : representative(workload) }
      cache.set(key, party)
    }
    return party
  }
}

const QUALITY_RANK = { full: 0, 'identity-subset': 1, intersection: 2, none: 3 }

function representative(workload: Workload): Identity {
  return { ...bestDescribed(workload.identities), workload: workload.ref, labels: workload.labelSets[0] ?? {} }
}

function draftOf(edge: ObservedEdge, partyOf: (identity: Identity) => Party): Draft {
  const { protocol, port, fromPort, evidence, sightings, externals, manyExternals } = edge
  return { from: partyOf(edge.from), to: partyOf(edge.to), protocol, port, fromPort, evidence, decidedBy: undefined, sightings, externals, manyExternals, pairs: [{ from: edge.from, to: edge.to, sightings, externals }] }
}

function draftKey(d: Draft): string {
  return `${d.from.key}\u0001${d.to.key}\u0001${d.protocol}\u0001${String(d.port).padStart(5, '0')}\u0001${d.fromPort}`
}

/** Merges drafts of the same parties, protocol and ports. Associative and commutative: sums, min, max, or. */
function mergeDrafts(drafts: readonly Draft[]): Draft[] {
  return [...groupedBy(drafts, draftKey)].sort((a, b) => compareText(a[0], b[0])).map(([, same]) => (same.length === 1 ? (same[0] as Draft) : mergeSame(same)))
}

function mergeSame(same: readonly Draft[]): Draft {
  const first = same[0] as Draft
  const evidence = same.reduce((bits, d) => bits | d.evidence, 0)
  const decided = same.flatMap((d) => d.decidedBy ?? [])
  return {
    ...first,
    evidence,
    decidedBy: evidence !== 0 ? undefined : sortedBy(decided, (x) => x)[0],
    sightings: mergeSightings(same.flatMap((d) => d.sightings), () => ''),
    externals: mergeSightings(same.flatMap((d) => d.externals), (e) => e.ip),
    manyExternals: same.some((d) => d.manyExternals),
    pairs: mergePairs(same.flatMap((d) => d.pairs)),
  }
}

function mergePairs(pairs: readonly IdentityPair[]): IdentityPair[] {
  const byKey = groupedBy(pairs, (pair) => `${rawKey(pair.from)}\u0001${rawKey(pair.to)}`)
  return [...byKey].sort((a, b) => compareText(a[0], b[0])).map(([, same]) => (same.length === 1 ? (same[0] as IdentityPair) : {
    from: bestDescribed(same.map((p) => p.from)),
    to: bestDescribed(same.map((p) => p.to)),
    sightings: mergeSightings(same.flatMap((p) => p.sightings), () => ''),
    externals: mergeSightings(same.flatMap((p) => p.externals), (e) => e.ip),
  }))
}

/** What the record said of the end itself, apart from how it named the controller: the two reporters of one connection know that unequally well. */
function rawKey(identity: Identity): string {
  if (identity.kind !== 'pod' || identity.labelQuality === 'none') return identity.key
  return `${identity.cluster}\u0000${identity.namespace}\u0000${labelsKey(identity.labels)}`
}

function bestDescribed(identities: readonly Identity[]): Identity {
  return sortedBy(identities, (i) => `${QUALITY_RANK[i.labelQuality]}\u0000${i.key}`)[0] as Identity
}

function mergeSightings<T extends Sighting>(sightings: readonly T[], addressOf: (s: T) => string): T[] {
  const byKey = new Map<string, T>()
  for (const s of sightings) {
    const key = `${addressOf(s)}\u0000${s.side}\u0000${s.verdict}`
    const known = byKey.get(key)
    byKey.set(key, known === undefined ? s : {
      ...known, flows: known.flows + s.flows, firstAtUs: Math.min(known.firstAtUs, s.firstAtUs), lastAtUs: Math.max(known.lastAtUs, s.lastAtUs),
    })
  }
  return [...byKey.entries()].sort((a, b) => compareText(a[0], b[0])).map(([, s]) => s)
}

const MIRRORED: Readonly<Record<Side, Side>> = { client: 'server', server: 'client', unknown: 'unknown' }

function turned(d: Draft): Draft {
  const mirror = <T extends Sighting>(s: T): T => ({ ...s, side: MIRRORED[s.side] })
  return {
    ...d, from: d.to, to: d.from, port: d.fromPort, fromPort: 0,
    sightings: mergeSightings(d.sightings.map(mirror), () => ''), externals: mergeSightings(d.externals.map(mirror), (e) => e.ip),
    pairs: d.pairs.map((p) => ({
      from: p.to, to: p.from, sightings: mergeSightings(p.sightings.map(mirror), () => ''), externals: mergeSightings(p.externals.map(mirror), (e) => e.ip),
    })),
  }
}

function orientationOf(evidence: number, decidedBy: OrientationView | undefined): OrientationView {
  return evidence !== 0 ? strongestOrientation(evidence) : decidedBy ?? 'unoriented'
}
