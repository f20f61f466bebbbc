import type { ClusterSnapshot } from '../../src/core/cluster/snapshot.ts'
import type { ObservedEdge } from '../../src/core/flow/edge.ts'
import type { RecommendationDocument } from '../../src/core/generate/recommendation.ts'
import { recommend } from '../../src/pipeline/recommend.ts'

export interface RecommendFrom {
  readonly podNetworks?: readonly string[]
  readonly snapshot?: ClusterSnapshot
  readonly namespace?: string
}

/** A recommendation from edges written by hand. */
export function recommendFrom(edges: readonly ObservedEdge[], { podNetworks = [], snapshot, namespace }: RecommendFrom = {}): RecommendationDocument {
  return recommend({ edges, podNetworks, sinceUs: 0, untilUs: 1_000_000 }, {
    cluster: 'default', ...(snapshot === undefined ? {} : { snapshot }), ...(namespace === undefined ? {} : { namespace }),
  })
}

interface PolicyShape {
  readonly metadata: { readonly name: string; readonly namespace: string }
  readonly spec: Record<string, unknown> & { readonly policyTypes: readonly string[] }
}

/** `ns/name` of every policy that is not a namespace layer -> its spec. */
export function specsOf(document: RecommendationDocument): Record<string, PolicyShape['spec']> {
  const policies = document.policies as unknown as (PolicyShape & { metadata: { annotations?: Record<string, string> } })[]
  return Object.fromEntries(policies.filter((p) => p.metadata.annotations?.['flowfence.dev/layer'] === undefined).map((p) => [`${p.metadata.namespace}/${p.metadata.name}`, p.spec]))
}

/** `code from->to:port` of every review item. */
export function reviewOf(document: RecommendationDocument): string[] {
  return document.review.map((r) => {
    if (r.edge === undefined) return `${r.reason.code} ${r.workload ?? ''} ${r.direction ?? ''}`
    const name = (end: NonNullable<typeof r.edge>['from']): string => end.workload?.name ?? end.cidr ?? end.kind
    return `${r.reason.code} ${name(r.edge.from)}->${name(r.edge.to)}:${r.edge.port ?? '?'}`
  })
}
