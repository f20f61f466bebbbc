import { compilePolicies } from '../../src/core/evaluate/compile.ts'
import type { CompiledPolicies } from '../../src/core/evaluate/compile.ts'
import type { EvalEnd } from '../../src/core/evaluate/eval-end.ts'
import { evaluateConnection } from '../../src/core/evaluate/evaluate-connection.ts'
import type { EdgeView, EndView } from '../../src/core/flow/edge-view.ts'
import { PROTOCOLS } from '../../src/core/flow/flow-record.ts'
import type { Protocol } from '../../src/core/flow/flow-record.ts'
import type { RecommendationDocument } from '../../src/core/generate/recommendation.ts'
import { parseNetworkPolicy } from '../../src/core/policy/parse-network-policy.ts'
import { parseAddress } from '../../src/core/sets/address.ts'
import type { Topology, TopologyWorkload } from '../../src/core/simulate/topology.ts'

export function compileDocument(document: RecommendationDocument): CompiledPolicies {
  return compilePolicies(document.policies.map((object) => {
    const result = parseNetworkPolicy(object)
    if (!('policy' in result)) throw new Error(`generated policy does not parse: ${JSON.stringify(result.problems)}`)
    return result.policy
  }))
}

interface Party {
  readonly key: string
  readonly end: EvalEnd
}

function podParty(w: TopologyWorkload, topology: Topology): Party {
  const namespaceLabels = topology.namespaces.find((n) => n.name === w.namespace)?.labels ?? {}
  return {
    key: `${w.namespace}/${w.name} (${w.kind})`,
    end: {
      kind: 'pod', namespace: w.namespace, labels: { ...w.podLabels, ...w.controllerLabels }, labelsComplete: () => true, namespaceLabels, namespaceLabelsComplete: true,
      ips: [], namedPorts: [], hostNetwork: false, display: w.key,
    },
  }
}

function outsideParty(cidr: string): Party {
  const address = parseAddress(cidr.split('/')[0] ?? '')
  return {
    key: cidr,
    end: { kind: 'external', namespace: '', labels: {}, labelsComplete: () => true, namespaceLabels: {}, namespaceLabelsComplete: true, ips: address === undefined ? [] : [address], namedPorts: [], hostNetwork: false, display: cidr },
  }
}

function keyOf(end: EndView): string | undefined {
  if (end.kind === 'pod') return `${end.namespace ?? ''}/${end.workload?.name ?? ''} (${end.workload?.kind ?? ''})`
  return end.kind === 'external' ? end.cidr : undefined
}

/** Calico's aggregates do not tell a DaemonSet from a StatefulSet. */
function withoutKinds(text: string): string {
  return text.replace(/ \(\w+\)/g, '')
}

export interface TruthComparison {
  /** True cells that an isolated side does not admit. */
  readonly missing: string[]
  /** Cells that an isolated side admits though nothing true is there. */
  readonly excess: string[]
  /** Sides that are open though the workload has true traffic in that direction. */
  readonly open: string[]
  readonly cells: number
}

export interface ComparisonOptions {
  readonly truth: readonly EdgeView[]
  readonly ports: readonly number[]
  /** Without cluster state nobody can know of workloads that had no traffic: then they are left out. */
  readonly isSilenceKnown?: boolean
}

/**
 * Compares what the generated policies admit with the true edges, side by side, for every pair of workloads and every
 * outside address of the truth (and one that is not), over all protocols and the given ports. DNS over the other protocol is the declared widening.
 */
export function compareWithTruth(document: RecommendationDocument, topology: Topology, options: ComparisonOptions): TruthComparison {
  const compiled = compileDocument(document)
  const truth = new Map<string, EdgeView>(options.truth.flatMap((e) => {
    const [from, to] = [keyOf(e.from), keyOf(e.to)]
    return from === undefined || to === undefined ? [] : [[`${from} -> ${to} ${e.protocol} ${e.port ?? 0}`, e] as const]
  }))
  const active = new Set(options.truth.flatMap((e) => [keyOf(e.from), keyOf(e.to)]))
  const pods = topology.workloads.filter((w) => !w.hostNetwork).map((w) => podParty(w, topology)).filter((p) => options.isSilenceKnown === true || active.has(p.key))
  const review = new Set(document.review.flatMap(({ edge }) => (edge === undefined ? [] : [withoutKinds(`${keyOf(edge.from) ?? ''} -> ${keyOf(edge.to) ?? ''} ${edge.protocol} ${edge.port ?? 0}`)])))
  const outside = [...new Set(options.truth.flatMap((e) => [e.from, e.to]).flatMap((end) => (end.kind === 'external' ? (end.cidr ?? []) : [])))]
  const peers = [...pods, ...[...outside, '192.0.2.254/32'].map(outsideParty)]
  const result: TruthComparison & { cells: number } = { missing: [], excess: [], open: [], cells: 0 }
  const cell = (from: Party, to: Party, protocol: string, port: number): string => `${from.key} -> ${to.key} ${protocol} ${port}`
  const isTrue = (...of: Parameters<typeof cell>): boolean => truth.has(cell(...of))
  const isInReview = (...of: Parameters<typeof cell>): boolean => review.has(withoutKinds(cell(...of)))
  for (const subject of pods) {
    for (const peer of peers) {
      for (const direction of ['egress', 'ingress'] as const) {
        const [from, to] = direction === 'egress' ? [subject, peer] : [peer, subject]
        for (const protocol of PROTOCOLS) for (const port of options.ports) compareCell({ compiled, direction, from, to, protocol, port, isTrue, isInReview, result })
      }
    }
  }
  return result
}

interface CellCheck {
  readonly compiled: CompiledPolicies
  readonly direction: 'ingress' | 'egress'
  readonly from: Party
  readonly to: Party
  readonly protocol: Protocol
  readonly port: number
  readonly isTrue: (from: Party, to: Party, protocol: string, port: number) => boolean
  readonly isInReview: (from: Party, to: Party, protocol: string, port: number) => boolean
  readonly result: TruthComparison & { cells: number }
}

function compareCell({ compiled, direction, from, to, protocol, port, isTrue, isInReview, result }: CellCheck): void {
  const side = evaluateConnection(compiled, { from: from.end, to: to.end, protocol, port })[direction]
  const text = `${direction} ${from.key} -> ${to.key} ${protocol} ${port}`
  // What review holds back with a reason is not accepted: it must not be admitted, and it is not missing.
  const expected = isTrue(from, to, protocol, port) && !isInReview(from, to, protocol, port)
  result.cells++
  if (side.verdict === 'not-isolated') {
    if (expected) result.open.push(text)
    return
  }
  const isDnsWidening = port === 53 && protocol !== 'SCTP' && (isTrue(from, to, 'UDP', 53) || isTrue(from, to, 'TCP', 53) || side.rule?.policy.endsWith('/allow-dns') === true)
  if (side.verdict === 'allowed' && !expected && !isDnsWidening) result.excess.push(text)
  if (side.verdict !== 'allowed' && expected) result.missing.push(text)
}
