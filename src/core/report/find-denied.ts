/**
 * Finds the observed connections that a set of policies would deny, or may deny, and says why.
 *
 * In: traffic edges, compiled policies. Out: totals and findings, one per traffic edge (one per outside address).
 * Every raw label set seen at the ends is judged on its own; the edge takes the worst verdict: denied, uncertain, allowed.
 * Connections that were denied when observed are judged only on request (drift). Cost: O(edges x label-set pairs).
 */
import type { EvalEnd } from '../evaluate/eval-end.ts'
import { evaluateConnection } from '../evaluate/evaluate-connection.ts'
import type { CompiledPolicies } from '../evaluate/compile.ts'
import type { ConnectionVerdict, SideResult } from '../evaluate/verdict.ts'
import { explainSide } from '../evaluate/explain.ts'
import { sortEdgeViews } from '../flow/edge-view.ts'
import type { EdgeView } from '../flow/edge-view.ts'
import { findEchoes } from '../flow/echoes.ts'
import type { IdentityPair, TrafficEdge } from '../flow/traffic.ts'
import { connectionProblem, groupByAddress, hasUnaddressedFlows, trafficEdgeView } from '../generate/accept.ts'
import type { CheckDocument, Finding, FindingCode, SideView } from './check-document.ts'
import type { DescribeEnds } from './eval-ends.ts'

export interface CheckOptions {
  readonly describe: DescribeEnds
  /** Also judge connections that were denied, or failed, when observed. */
  readonly includeDenied: boolean
  readonly namespace?: string
}

export type Checked = Pick<CheckDocument, 'totals' | 'findings'>

export function findDenied(traffic: readonly TrafficEdge[], compiled: CompiledPolicies, options: CheckOptions): Checked {
  const totals = { evaluated: 0, allowed: 0, denied: 0, uncertain: 0 }
  const findings: Finding[] = []
  const echoes = findEchoes(traffic)
  for (const edge of traffic) {
    if (!isInScope(edge, options.namespace) || echoes.has(edge)) continue
    for (const [address, pairs] of questionsOf(edge)) {
      const asked = pairs.filter((pair) => options.includeDenied || connectionProblem(pair.sightings) === undefined)
      if (asked.length === 0) continue
      const verdict = judge(edge, address, asked, { compiled, describe: options.describe })
      totals.evaluated++
      totals[verdict.verdict]++
      if (verdict.verdict !== 'allowed') findings.push(toFinding(trafficEdgeView(edge, address), verdict, verdict.verdict))
    }
  }
  return { totals, findings: sortEdgeViews(findings, (f) => f) }
}

function isInScope(edge: TrafficEdge, namespace: string | undefined): boolean {
  const ends = [edge.from, edge.to]
  const pods = ends.filter((p) => p.identity.kind === 'pod')
  // Between ends that nobody named, everything depends on who they are: not to ask would count as clean.
  if (pods.length === 0) return ends.some((p) => p.identity.kind === 'unknown')
  return namespace === undefined || pods.some((p) => p.identity.namespace === namespace)
}

/** The label sets that met, with what they saw; for outside edges per address, and once without one where flows came without theirs or only a sample is kept. */
function questionsOf(edge: TrafficEdge): [string | undefined, readonly IdentityPair[]][] {
  if (edge.from.identity.kind !== 'external' && edge.to.identity.kind !== 'external') return [[undefined, edge.pairs]]
  const byAddress = new Map<string, IdentityPair[]>()
  for (const pair of edge.pairs) {
    for (const [ip, sightings] of groupByAddress(pair.externals)) byAddress.set(ip, [...(byAddress.get(ip) ?? []), { ...pair, sightings }])
  }
  const unaddressed: [string | undefined, readonly IdentityPair[]][] = edge.manyExternals || hasUnaddressedFlows(edge) ? [[undefined, edge.pairs]] : []
  return [...byAddress, ...unaddressed]
}

interface Judge {
  readonly compiled: CompiledPolicies
  readonly describe: DescribeEnds
}

const SEVERITY = { allowed: 0, uncertain: 1, denied: 2 } as const

/** The worst verdict over the label sets that met. */
function judge(edge: TrafficEdge, address: string | undefined, pairs: readonly IdentityPair[], by: Judge): ConnectionVerdict {
  return worstOf(pairs.map((pair) => judgePair(edge, address, pair, by)))
}

function worstOf(verdicts: readonly ConnectionVerdict[]): ConnectionVerdict {
  return verdicts.reduce((worst, v) => (SEVERITY[v.verdict] > SEVERITY[worst.verdict] ? v : worst))
}

/** Of ends that are only known to be one of several, all must get the same verdict for it to be certain. */
function judgePair(edge: TrafficEdge, address: string | undefined, pair: IdentityPair, by: Judge): ConnectionVerdict {
  const froms = by.describe(pair.from, address)
  const tos = by.describe(pair.to, address)
  const verdicts = froms.flatMap((from) => tos.map((to) => judgeEnds({ edge, from, to, loggedAs: edge.from.identity.kind }, by.compiled)))
  const worst = worstOf(verdicts)
  if (verdicts.every((v) => v.verdict === worst.verdict)) return worst
  const missing = [froms, tos].filter((ends) => ends.length > 1).map((ends) => `labels of ${ends[0]?.display ?? 'a pod'}`)
  const blur = (direction: 'egress' | 'ingress'): SideResult => {
    const side = worst[direction]
    return verdicts.every((v) => v[direction].verdict === side.verdict) ? side : { ...side, verdict: 'uncertain', missing: [...side.missing, ...missing] }
  }
  return { ...worst, verdict: 'uncertain', egress: blur('egress'), ingress: blur('ingress'), missing: [...worst.missing, ...missing] }
}

interface Meeting {
  readonly edge: TrafficEdge
  readonly from: EvalEnd
  readonly to: EvalEnd
  readonly loggedAs: EvalEnd['kind']
}

function judgeEnds({ edge, from, to, loggedAs }: Meeting, compiled: CompiledPolicies): ConnectionVerdict {
  const { protocol, port } = edge
  const forward = spareOwnNode(from.kind, loggedAs, evaluateConnection(compiled, { from, to, protocol, port, isOwnNode: from.kind === 'host' }))
  if (edge.orientation !== 'unoriented') return forward
  // Nobody knows who opened it: certain only when both readings are allowed.
  const backward = evaluateConnection(compiled, { from: to, to: from, protocol, port: edge.fromPort, isOwnNode: to.kind === 'host' })
  const worse = SEVERITY[backward.verdict] > SEVERITY[forward.verdict] ? backward : forward
  return worse.verdict === 'allowed' ? worse : { ...worse, verdict: 'uncertain', missing: [...worse.missing, 'which end opened the connection'] }
}

/** A node known only by its address may be the pod's own, which is always allowed in: a denial of ingress is then not certain. */
function spareOwnNode(judgedAs: EvalEnd['kind'], logged: EvalEnd['kind'], verdict: ConnectionVerdict): ConnectionVerdict {
  if (judgedAs !== 'node' || logged !== 'external' || verdict.ingress.verdict !== 'denied') return verdict
  const missing = 'whether the address is the pod\'s own node'
  const ingress: SideResult = { ...verdict.ingress, verdict: 'uncertain', missing: [...verdict.ingress.missing, missing] }
  return { ...verdict, ingress, verdict: verdict.egress.verdict === 'denied' ? 'denied' : 'uncertain', missing: [...verdict.missing, missing] }
}

function toFinding(view: EdgeView, verdict: ConnectionVerdict, worst: 'denied' | 'uncertain'): Finding {
  return {
    ...view,
    verdict: worst,
    egress: sideView(verdict.egress),
    ingress: sideView(verdict.ingress),
    reason: reasonOf(verdict, worst),
    missing: verdict.missing,
  }
}

function sideView(side: SideResult): SideView {
  return { verdict: side.verdict, selectedBy: side.selectedBy, ...(side.rule === undefined ? {} : { rule: side.rule }) }
}

function reasonOf(verdict: ConnectionVerdict, worst: 'denied' | 'uncertain'): Finding['reason'] {
  // An unoriented connection is uncertain although a side denies it.
  const isWorst = (side: SideResult): boolean => side.verdict === worst || (worst === 'uncertain' && side.verdict === 'denied')
  const texts = (['egress', 'ingress'] as const).filter((d) => isWorst(verdict[d])).map((d) => explainSide(d, verdict[d]))
  const code: FindingCode = worst === 'uncertain' ? 'uncertain'
    : isWorst(verdict.egress) ? (isWorst(verdict.ingress) ? 'both-denied' : 'egress-denied') : 'ingress-denied'
  return { code, text: texts.join(' ') }
}
