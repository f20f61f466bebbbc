/**
 * Decides which observed traffic is evidence that rules may be made of (accepted) and which needs a person (review).
 *
 * In: traffic edges between parties. Out: per subject (workload) and direction the accepted edges, and review items.
 * Rules of DESIGN.md §3.1: ingress evidence is what the server's node saw if it saw anything, else the client's; egress the
 * reverse; a policy denial on either side makes the connection denied; audit counts as wanted. Traffic that a NetworkPolicy
 * cannot express exactly (nodes, API server, unknown pods, unproven ports) goes to review, never into a rule.
 * Cost: O(edges + outside addresses).
 */
import { edgeView } from '../flow/edge-view.ts'
import type { EdgeView } from '../flow/edge-view.ts'
import type { Sighting } from '../flow/edge.ts'
import { UNVERIFIED_PRIVATE } from '../flow/end.ts'
import type { Protocol, Side } from '../flow/flow-record.ts'
import type { Party, TrafficEdge } from '../flow/traffic.ts'
import type { Workload } from '../flow/workloads.ts'
import type { Direction } from '../policy/network-policy.ts'
import type { ReviewCode, ReviewItem } from './recommendation.ts'
import { reviewText } from './review-text.ts'

/** The other end of an accepted edge: a workload, or one outside address. */
export type Peer = { readonly kind: 'workload'; readonly workload: Workload } | { readonly kind: 'address'; readonly ip: string }

export interface AcceptedEdge {
  readonly subject: Workload
  readonly direction: Direction
  readonly peer: Peer
  readonly protocol: Protocol
  readonly port: number
  readonly edge: EdgeView
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
  const accepted: AcceptedEdge[] = []
  const review: ReviewItem[] = []
  const known = new Set(edges.filter((e) => e.port !== 0 && e.orientation !== 'unoriented').map(conversationKey))
  for (const edge of edges) {
    if (!hasSubject(edge, options.cluster)) continue
    // A reply whose port was lost in translation says nothing beside the forward edge that names it.
    if (edge.orientation !== 'unoriented' && edge.port === 0 && known.has(conversationKey(edge))) continue
    judge(edge, options, { accepted, review })
  }
  return { accepted, review }
}

function conversationKey(e: TrafficEdge): string {
  return `${e.from.key}\u0001${e.to.key}\u0001${e.protocol}`
}

function hasSubject(edge: TrafficEdge, cluster: string): boolean {
  return [edge.from, edge.to].some((party) => party.workload?.cluster === cluster)
}

interface Sink {
  readonly accepted: AcceptedEdge[]
  readonly review: ReviewItem[]
}

function judge(edge: TrafficEdge, options: AcceptOptions, sink: Sink): void {
  if (edge.orientation === 'unoriented') return addReview(sink, edge, 'unoriented')
  if (edge.port === 0) return addReview(sink, edge, 'no-port')
  // From the pod's own node: always allowed, whatever the policies say.
  if (edge.from.identity.kind === 'host') return
  const external = [edge.from, edge.to].find((party) => party.identity.kind === 'external')
  if (external !== undefined) return judgeExternal(edge, options, sink)
  const problem = connectionProblem(edge.sightings) ?? partyProblem(edge.from, options.cluster) ?? partyProblem(edge.to, options.cluster)
  if (problem !== undefined) return addReview(sink, edge, problem)
  const view = trafficEdgeView(edge)
  for (const [subject, direction, other] of [[edge.to, 'ingress', edge.from], [edge.from, 'egress', edge.to]] as const) {
    if (subject.workload === undefined || other.workload === undefined) continue
    if (!hasEvidence(edge.sightings, direction)) addReview(sink, edge, 'only-errors')
    else sink.accepted.push({ subject: subject.workload, direction, peer: { kind: 'workload', workload: other.workload }, protocol: edge.protocol, port: edge.port, edge: view })
  }
}

function judgeExternal(edge: TrafficEdge, options: AcceptOptions, sink: Sink): void {
  const isInbound = edge.from.identity.kind === 'external'
  const [subject, outside] = isInbound ? [edge.to, edge.from] : [edge.from, edge.to]
  const problem = partyProblem(subject, options.cluster)
  if (problem !== undefined) return addReview(sink, edge, problem)
  if (edge.manyExternals) return addReview(sink, edge, 'too-many-addresses')
  for (const ip of new Set(edge.externals.map((e) => e.ip))) {
    const sightings = edge.externals.filter((e) => e.ip === ip)
    const code = ip === '' ? 'needs-address' : connectionProblem(sightings) ?? options.addressProblem(ip, outside.identity.name === UNVERIFIED_PRIVATE)
    const direction = isInbound ? 'ingress' : 'egress'
    if (code !== undefined) addReview(sink, edge, code, ip)
    else if (!hasEvidence(sightings, direction)) addReview(sink, edge, 'only-errors', ip)
    else if (subject.workload !== undefined) {
      sink.accepted.push({ subject: subject.workload, direction, peer: { kind: 'address', ip }, protocol: edge.protocol, port: edge.port, edge: trafficEdgeView(edge, ip) })
    }
  }
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

const isWanted = (s: Sighting): boolean => s.verdict === 'allowed' || s.verdict === 'audit'

/** A side that reported the connection and only ever denied it denies it, whatever the other side saw (T6). */
function connectionProblem(sightings: readonly Sighting[]): ReviewCode | undefined {
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

export function trafficEdgeView(edge: TrafficEdge, address?: string): EdgeView {
  return edgeView(
    { ...edge, from: edge.from.identity, to: edge.to.identity, evidence: 0 },
    { orientation: edge.orientation, ...(address === undefined ? {} : { address }) },
  )
}

function addReview(sink: Sink, edge: TrafficEdge, code: ReviewCode, address?: string): void {
  const view = trafficEdgeView(edge, address)
  sink.review.push({ edge: view, reason: { code, text: reviewText(code) } })
}
