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
import type { TrafficEdge } from '../flow/traffic.ts'
import { trafficEdgeView } from '../generate/accept.ts'
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
  const named = new Set(traffic.filter((e) => e.port !== 0 && e.orientation !== 'unoriented').map(conversationKey))
  for (const edge of traffic) {
    if (!isInScope(edge, options.namespace)) continue
    if (edge.orientation !== 'unoriented' && edge.port === 0 && named.has(conversationKey(edge))) continue
    for (const address of addressesOf(edge)) {
      const view = trafficEdgeView(edge, address)
      if (!options.includeDenied && view.observedVerdict !== 'allowed' && view.observedVerdict !== 'audit') continue
      const verdict = judge(edge, address, { compiled, describe: options.describe })
      totals.evaluated++
      totals[verdict.verdict]++
      if (verdict.verdict !== 'allowed') findings.push(toFinding(view, verdict, verdict.verdict))
    }
  }
  return { totals, findings: sortEdgeViews(findings, (f) => f) }
}

function conversationKey(e: TrafficEdge): string {
  return `${e.from.key}\u0001${e.to.key}\u0001${e.protocol}`
}

function isInScope(edge: TrafficEdge, namespace: string | undefined): boolean {
  const pods = [edge.from, edge.to].filter((p) => p.identity.kind === 'pod')
  return pods.length > 0 && (namespace === undefined || pods.some((p) => p.identity.namespace === namespace))
}

/** The outside addresses of an edge; `undefined` once where it has none. */
function addressesOf(edge: TrafficEdge): (string | undefined)[] {
  return edge.externals.length === 0 ? [undefined] : [...new Set(edge.externals.map((e) => e.ip))]
}

interface Judge {
  readonly compiled: CompiledPolicies
  readonly describe: DescribeEnds
}

const SEVERITY = { allowed: 0, uncertain: 1, denied: 2 } as const

function judge(edge: TrafficEdge, address: string | undefined, { compiled, describe }: Judge): ConnectionVerdict {
  let worst: ConnectionVerdict | undefined
  for (const pair of edge.pairs) {
    for (const from of describe(pair.from, address)) {
      for (const to of describe(pair.to, address)) {
        const verdict = spareOwnNode(from.kind, edge.from.identity.kind, evaluateConnection(compiled, { from, to, protocol: edge.protocol, port: edge.port, isOwnNode: from.kind === 'host' }))
        if (worst === undefined || SEVERITY[verdict.verdict] > SEVERITY[worst.verdict]) worst = verdict
      }
    }
  }
  const verdict = worst as ConnectionVerdict
  if (edge.orientation !== 'unoriented' || verdict.verdict !== 'denied') return verdict
  return { ...verdict, verdict: 'uncertain', missing: [...verdict.missing, 'which end opened the connection'] }
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
  const isWorst = (side: SideResult): boolean => side.verdict === worst
  const texts = (['egress', 'ingress'] as const).filter((d) => isWorst(verdict[d])).map((d) => explainSide(d, verdict[d]))
  const code: FindingCode = worst === 'uncertain' ? 'uncertain'
    : isWorst(verdict.egress) ? (isWorst(verdict.ingress) ? 'both-denied' : 'egress-denied') : 'ingress-denied'
  return { code, text: texts.join(' ') }
}
