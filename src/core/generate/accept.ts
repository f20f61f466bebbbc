/**
 * Decides which observed traffic is evidence that rules may be made of (accepted) and which needs a person (review).
 *
 * In: traffic edges between parties. Out: per subject (workload) and direction the accepted edges, and review items.
 * Rules of DESIGN.md §3.1: ingress evidence is what the server's node saw if it saw anything, else the client's; egress the
 * reverse; a policy denial on either side makes the connection denied; audit counts as wanted. Traffic that a NetworkPolicy
 * cannot express exactly (nodes, API server, unknown pods, unproven ports) goes to review, never into a rule.
 * Cost: O(edges + outside addresses).
 */
import { groupedBy } from '../base/order.ts'
import { edgeView } from '../flow/edge-view.ts'
import type { EdgeView } from '../flow/edge-view.ts'
import { findEchoes } from '../flow/echoes.ts'
import { isWanted } from '../flow/edge.ts'
import type { ExternalSighting, Sighting } from '../flow/edge.ts'
import { METADATA_ADDRESSES, UNVERIFIED_PRIVATE } from '../flow/end.ts'
import type { Protocol, Side } from '../flow/flow-record.ts'
import type { Identity } from '../flow/identity.ts'
import type { Party } from '../flow/orient.ts'
import type { IdentityPair, TrafficEdge } from '../flow/traffic.ts'
import type { Workload } from '../flow/workloads.ts'
import type { Direction } from '../policy/network-policy.ts'
import type { ReviewCode, ReviewItem } from './recommendation.ts'
import { reviewText } from './review-text.ts'

/** Where DNS is asked. */
export const DNS_PORT = 53

/** The other end of an accepted edge: a workload, or one outside address. */
export type Peer = { readonly kind: 'workload'; readonly workload: Workload } | { readonly kind: 'address'; readonly ip: string }

export interface AcceptedEdge {
  readonly subject: Workload
  readonly direction: Direction
  readonly peer: Peer
  readonly protocol: Protocol
  readonly port: number
  readonly edge: EdgeView
  /** DNS between the same two ends was denied over some protocol: nothing may be widened there. */
  readonly isDnsDenied: boolean
}

/** Why an outside address must not become an ipBlock, or `undefined` when it may. `isUnverified`: the log cannot tell nodes from the outside. */
export type AddressProblem = (ip: string, isUnverified: boolean) => 'may-be-pod' | 'may-be-node' | 'needs-node-cidr' | 'unknown-workload' | undefined

export interface AcceptOptions {
  readonly cluster: string
  readonly addressProblem: AddressProblem
}

export interface Acceptance {
  readonly accepted: readonly AcceptedEdge[]
  readonly review: readonly ReviewItem[]
}

export function acceptTraffic(edges: readonly TrafficEdge[], options: AcceptOptions): Acceptance {
  const sink: Sink = { accepted: [], review: [] }
  const echoes = findEchoes(edges)
  const denied = new Set(edges.filter((e) => e.port === DNS_PORT && e.pairs.some((p) => connectionProblem(p.sightings) === 'only-denied')).map(endsKey))
  for (const edge of edges) {
    if (echoes.has(edge)) continue
    if (hasSubject(edge, options.cluster)) judge({ edge, isDnsDenied: denied.has(endsKey(edge)), ...options }, sink)
    else if (hasUnknownEnd(edge)) sink.review.push({ edge: trafficEdgeView(edge), reason: { code: 'unknown-workload', text: reviewText('unknown-workload') } })
  }
  return sink
}

function hasSubject(edge: TrafficEdge, cluster: string): boolean {
  return [edge.from, edge.to].some((party) => party.workload?.cluster === cluster)
}

/** It can become no rule, but saying nothing of it would look like a log without traffic: AWS VPC CNI without cluster state names nobody. */
function hasUnknownEnd(edge: TrafficEdge): boolean {
  return edge.from.identity.kind === 'unknown' || edge.to.identity.kind === 'unknown'
}

interface Sink {
  readonly accepted: AcceptedEdge[]
  readonly review: ReviewItem[]
}

function endsKey(e: TrafficEdge): string {
  return `${e.from.key}\u0001${e.to.key}`
}

interface Question extends AcceptOptions {
  readonly edge: TrafficEdge
  readonly isDnsDenied: boolean
}

function judge(question: Question, sink: Sink): void {
  const { edge, isDnsDenied, cluster } = question
  // From the pod's own node: always allowed, whatever the policies say.
  if (edge.from.identity.kind === 'host' && edge.orientation !== 'unoriented') return
  const problem = edge.orientation === 'unoriented' ? 'unoriented' : edge.port === 0 ? 'no-port' : undefined
  if (problem !== undefined) return addReview(sink, edge, problem)
  if (edge.from.identity.kind === 'external' || edge.to.identity.kind === 'external') return judgeExternal(question, sink)
  const partyTrouble = partyProblem(edge.from, cluster) ?? partyProblem(edge.to, cluster)
  const good = edge.pairs.filter((pair) => reviewPair(edge, pair, sink))
  if (good.length === 0) return
  if (partyTrouble !== undefined) return addReview(sink, edge, partyTrouble)
  const view = trafficEdgeView(edge)
  for (const [subject, direction, other] of [[edge.to, 'ingress', edge.from], [edge.from, 'egress', edge.to]] as const) {
    if (subject.workload === undefined || other.workload === undefined) continue
    if (!good.some((pair) => hasEvidence(pair.sightings, direction))) addReview(sink, edge, 'only-errors')
    else sink.accepted.push({ subject: subject.workload, direction, peer: { kind: 'workload', workload: other.workload }, protocol: edge.protocol, port: edge.port, edge: view, isDnsDenied })
  }
}

/** True when this pair of label sets saw the connection work; otherwise it goes to review by itself, even where other pairs of the workloads are fine. */
function reviewPair(edge: TrafficEdge, pair: IdentityPair, sink: Sink): boolean {
  const problem = connectionProblem(pair.sightings)
  if (problem === undefined) return true
  const view = edgeView({ ...edge, ...pair, from: named(edge.from, pair.from), to: named(edge.to, pair.to), evidence: 0 }, { orientation: edge.orientation })
  sink.review.push({ edge: view, reason: { code: problem, text: reviewText(problem) } })
  return false
}

/** The pair's labels under the workload's name. */
function named(party: Party, identity: Identity): Identity {
  return { ...identity, workload: party.identity.workload }
}

function judgeExternal(question: Question, sink: Sink): void {
  const { edge, isDnsDenied, cluster, addressProblem } = question
  const isInbound = edge.from.identity.kind === 'external'
  const [subject, outside] = isInbound ? [edge.to, edge.from] : [edge.from, edge.to]
  const problem = partyProblem(subject, cluster)
  if (problem !== undefined) return addReview(sink, edge, problem)
  if (edge.manyExternals) return addReview(sink, edge, 'too-many-addresses')
  const direction = isInbound ? 'ingress' : 'egress'
  for (const [ip, sightings] of groupByAddress(edge.externals)) {
    const code = connectionProblem(sightings) ?? metadataProblem(ip) ?? addressProblem(ip, outside.identity.name === UNVERIFIED_PRIVATE)
    if (code !== undefined) addReview(sink, edge, code, ip)
    else if (!hasEvidence(sightings, direction)) addReview(sink, edge, 'only-errors', ip)
    else if (subject.workload !== undefined) {
      sink.accepted.push({ subject: subject.workload, direction, peer: { kind: 'address', ip }, protocol: edge.protocol, port: edge.port, edge: trafficEdgeView(edge, ip, sightings), isDnsDenied })
    }
  }
  if (hasUnaddressedFlows(edge)) addReview(sink, { ...edge, externals: [] }, connectionProblem(edge.sightings) ?? 'needs-address')
}

/** Whoever reads instance metadata may get the node's credentials: allowed only by a person's decision. */
function metadataProblem(ip: string): 'metadata-address' | undefined {
  return METADATA_ADDRESSES.includes(ip) ? 'metadata-address' : undefined
}

export function groupByAddress(externals: readonly ExternalSighting[]): Map<string, ExternalSighting[]> {
  return groupedBy(externals, (e) => e.ip)
}

/** True when some flows of an outside edge came without their address (Calico aggregates): more flows of a side and verdict than its addresses account for. */
export function hasUnaddressedFlows(edge: TrafficEdge): boolean {
  if (edge.externals.length === 0) return true
  return edge.sightings.some((s) => {
    const addressed = edge.externals.reduce((n, e) => (e.side === s.side && e.verdict === s.verdict ? n + e.flows : n), 0)
    return s.flows > addressed && !edge.manyExternals
  })
}

/** Why this party can be neither subject nor selector peer. */
function partyProblem(party: Party, cluster: string): ReviewCode | undefined {
  switch (party.identity.kind) {
    case 'pod': return party.identity.cluster === cluster ? undefined : 'foreign-cluster'
    case 'host':
    case 'node':
    case 'ingress':
    case 'health': return 'needs-node-cidr'
    case 'kube-apiserver': return 'needs-apiserver-cidr'
    case 'networkset': return 'needs-network-set'
    case 'unknown': return 'unknown-workload'
    case 'external': return undefined
  }
}

/**
 * Why sightings are no evidence: a side that reported the connection and only ever denied it denies it, whatever the other
 * side saw (T6); or nobody saw it work. `undefined` when they are evidence.
 */
export function connectionProblem(sightings: readonly Sighting[]): 'only-denied' | 'only-errors' | undefined {
  for (const side of ['client', 'server', 'unknown'] as const) {
    const seen = sightings.filter((s) => s.side === side)
    if (seen.some((s) => s.verdict === 'denied') && !seen.some(isWanted)) return 'only-denied'
  }
  return sightings.some(isWanted) ? undefined : 'only-errors'
}

const SIDES_BY_WORTH: Readonly<Record<Direction, readonly Side[]>> = {
  ingress: ['server', 'client', 'unknown'], egress: ['client', 'server', 'unknown'],
}

/** The best side that reported at all must have seen the connection work. */
function hasEvidence(sightings: readonly Sighting[], direction: Direction): boolean {
  for (const side of SIDES_BY_WORTH[direction]) {
    const seen = sightings.filter((s) => s.side === side)
    if (seen.length > 0) return seen.some(isWanted)
  }
  return false
}

/** A traffic edge as outputs show it; with `address`, narrowed to that outside address and its sightings. */
export function trafficEdgeView(edge: TrafficEdge, address?: string, sightings?: readonly ExternalSighting[]): EdgeView {
  const seen = sightings ?? (address === undefined ? edge.externals : edge.externals.filter((e) => e.ip === address))
  return edgeView(
    { ...edge, externals: seen, from: edge.from.identity, to: edge.to.identity, evidence: 0 },
    { orientation: edge.orientation, ...(address === undefined ? {} : { address }) },
  )
}

/** One item; for an outside edge without a given address, one for each of its addresses. */
function addReview(sink: Sink, edge: TrafficEdge, code: ReviewCode, address?: string): void {
  const reason = { code, text: reviewText(code) }
  const addresses = address === undefined && !edge.manyExternals ? [...groupByAddress(edge.externals).keys()] : []
  if (addresses.length === 0) sink.review.push({ edge: trafficEdgeView(edge, address), reason })
  else for (const ip of addresses) sink.review.push({ edge: trafficEdgeView(edge, ip), reason })
}
