/**
 *  edges + cluster state ─► label rules, workloads, orientation ─► accept | review ─► cover ─► verify with evaluate ─► recommendation
 *
 * The stages in order, nothing else. Works the same on edges from files and from the store.
 */
import type { ClusterSnapshot } from '../core/cluster/snapshot.ts'
import { compileAddressProblem } from '../core/generate/address-problem.ts'
import { generatePolicies } from '../core/generate/generate.ts'
import type { RecommendationDocument } from '../core/generate/recommendation.ts'
import { contentDigest, identityMapView } from './identity-map.ts'
import { viewTraffic, windowOf } from './observed-traffic.ts'
import type { ObservedTraffic } from './observed-traffic.ts'

export interface RecommendOptions {
  readonly cluster: string
  /** Only workloads of this namespace get policies. */
  readonly namespace?: string
  readonly snapshot?: ClusterSnapshot
}

export function recommend(observed: ObservedTraffic, options: RecommendOptions): RecommendationDocument {
  const { cluster, namespace, snapshot = observed.snapshot } = options
  const { workloads, rules, traffic } = viewTraffic(observed, cluster, snapshot)
  const generated = generatePolicies(traffic, workloads.workloads, {
    cluster,
    addressProblem: compileAddressProblem(observed.podNetworks, snapshot),
    ...(namespace === undefined ? {} : { namespace }),
  })
  return {
    schema: 'flowfence.recommendation/v1',
    cluster,
    window: windowOf(observed),
    identityMap: identityMapView(rules, cluster, observed.identityMapVersions?.get(contentDigest(rules)) ?? null),
    policies: generated.policies,
    certificate: generated.certificate,
    evidence: generated.evidence,
    review: generated.review,
    refused: generated.refused,
  }
}
