/**
 * Generates NetworkPolicies that allow exactly the accepted traffic, one self-contained policy per workload.
 *
 * In: oriented traffic between workloads, the known workloads. Out: policies, evidence per rule, a certificate, and what was
 * held back (review, refused). Invariants: never emits a set that `evaluate` does not find sound and tight; never an empty selector, `from`
 * or `to`; the same set of edges gives the same bytes; a new edge changes at most the initiator's and the responder's policy.
 * Leaves to others: which edges are read (pipeline), printing (manifests). Cost: O(edges + subjects x known label sets).
 */
import { compareText, groupedBy, sortedBy } from '../base/order.ts'
import { edgeOrderKey } from '../flow/edge-view.ts'
import type { EdgeView } from '../flow/edge-view.ts'
import type { TrafficEdge } from '../flow/traffic.ts'
import type { Workload } from '../flow/workloads.ts'
import type { Direction } from '../policy/network-policy.ts'
import { acceptTraffic } from './accept.ts'
import type { AcceptedEdge, AcceptOptions } from './accept.ts'
import { certify } from './certify.ts'
import { coverCells } from './cover-cells.ts'
import type { Cover } from './cover-cells.ts'
import { namePolicies } from './name-policies.ts'
import type { RuleDraft } from './policy-draft.ts'
import type { RecommendationDocument, RefusedWorkload, ReviewItem } from './recommendation.ts'
import { peerProblem, refusalReason } from './refuse-workload.ts'
import { reviewText } from './review-text.ts'
import { selectWorkloads } from './select-workload.ts'
import type { ExactSelector } from './select-workload.ts'
import type { SubjectDraft } from './subject-draft.ts'

export interface GenerateOptions extends AcceptOptions {
  /** Only workloads of this namespace become subjects; every known workload still counts for exactness. */
  readonly namespace?: string
}

export type Generated = Pick<RecommendationDocument, 'policies' | 'certificate' | 'evidence' | 'review' | 'refused'>

export function generatePolicies(traffic: readonly TrafficEdge[], known: readonly Workload[], options: GenerateOptions): Generated {
  const own = known.filter((w) => w.cluster === options.cluster)
  const inScope = (w: Workload): boolean => options.namespace === undefined || w.namespace === options.namespace
  const selectors = selectWorkloads(own)
  const acceptance = acceptTraffic(traffic, options)
  const { usable, review } = holdBackPeers(acceptance.accepted, selectors)
  const refused = refuseUnselectable(usable, selectors, inScope)
  const subjects = draftSubjects(usable.filter((e) => inScope(e.subject) && selectors.has(e.subject.key)), selectors)
  const certified = certify(subjects, own, options.namespace)
  const notVerified = certified.failures.map((f): RefusedWorkload => ({
    workload: f.workload.display, reason: { code: 'not-verified', text: `Verification refused the policy: ${f.text}.` },
  }))
  const silent = flagSilence(own.filter(inScope), certified.subjects)
  return {
    policies: certified.policies,
    certificate: certified.certificate,
    evidence: evidenceOf(certified.subjects),
    review: sortedBy([...acceptance.review.filter((r) => isInScope(r, options)), ...review.filter((r) => isInScope(r, options)), ...silent], reviewOrder),
    refused: sortedBy([...refused, ...notVerified], (r) => `${r.workload}\u0000${r.reason.code}`),
  }
}

/** A peer that no selector picks exactly becomes no rule: an empty or wider selector would open the port to others. */
function holdBackPeers(accepted: readonly AcceptedEdge[], selectors: ReadonlyMap<string, ExactSelector>): { usable: AcceptedEdge[]; review: ReviewItem[] } {
  const usable: AcceptedEdge[] = []
  const review: ReviewItem[] = []
  for (const edge of accepted) {
    if (edge.peer.kind === 'address' || selectors.has(edge.peer.workload.key)) usable.push(edge)
    else {
      const code = peerProblem(edge.peer.workload)
      review.push({ edge: edge.edge, direction: edge.direction, reason: { code, text: reviewText(code) } })
    }
  }
  return { usable, review }
}

function refuseUnselectable(accepted: readonly AcceptedEdge[], selectors: ReadonlyMap<string, ExactSelector>, inScope: (w: Workload) => boolean): RefusedWorkload[] {
  const subjects = new Map(accepted.filter((e) => !selectors.has(e.subject.key) && inScope(e.subject)).map((e) => [e.subject.key, e.subject]))
  return [...subjects.values()].map((w) => ({ workload: w.display, reason: refusalReason(w) }))
}

function draftSubjects(accepted: readonly AcceptedEdge[], selectors: ReadonlyMap<string, ExactSelector>): SubjectDraft[] {
  const bySubject = groupedBy(accepted, (edge) => edge.subject.key)
  const workloads = [...bySubject.values()].map((edges) => (edges[0] as AcceptedEdge).subject)
  const names = namePolicies(workloads)
  const selectorOf = (w: Workload): ExactSelector => selectors.get(w.key) as ExactSelector
  return sortedBy(workloads, (w) => `${w.namespace}\u0000${names.get(w.key) ?? ''}`).map((workload) => {
    const edges = bySubject.get(workload.key) ?? []
    const covers = new Map<Direction, Cover>()
    const rules = new Map<Direction, readonly RuleDraft[]>()
    for (const direction of ['ingress', 'egress'] as const) {
      const cells = edges.filter((e) => e.direction === direction)
      if (cells.length === 0) continue
      const cover = coverCells(cells, selectorOf)
      covers.set(direction, cover)
      rules.set(direction, cover.rules)
    }
    return { draft: { name: names.get(workload.key) as string, workload, selector: selectorOf(workload), rules }, covers }
  })
}

function flagSilence(known: readonly Workload[], subjects: readonly SubjectDraft[]): ReviewItem[] {
  const draftOf = new Map(subjects.map((s) => [s.draft.workload.key, s.draft]))
  return known.flatMap((w) =>
    (['ingress', 'egress'] as const)
      .filter((direction) => draftOf.get(w.key)?.rules.has(direction) !== true)
      .map((direction): ReviewItem => ({ workload: w.display, direction, reason: { code: 'no-evidence', text: reviewText('no-evidence') } })))
}

function isInScope(item: ReviewItem, options: GenerateOptions): boolean {
  if (options.namespace === undefined || item.edge === undefined) return true
  // Where nobody is named, it may be anybody's.
  const pods = [item.edge.from, item.edge.to].filter((end) => end.kind === 'pod')
  return pods.length === 0 || pods.some((end) => end.namespace === options.namespace)
}

function reviewOrder(item: ReviewItem): string {
  return `${item.reason.code}\u0000${item.workload ?? ''}\u0000${item.direction ?? ''}\u0000${item.edge === undefined ? '' : edgeOrderKey(item.edge)}`
}

function evidenceOf(subjects: readonly SubjectDraft[]): Record<string, Record<string, readonly EdgeView[]>> {
  return Object.fromEntries(
    subjects.map(({ draft }) => {
      const rules = [...draft.rules].flatMap(([direction, list]) => list.map((rule, i) => [`${direction}[${i}]`, rule.evidence] as const))
      return [`${draft.workload.namespace}/${draft.name}`, Object.fromEntries(rules.sort((a, b) => compareText(a[0], b[0])))] as const
    }),
  )
}

