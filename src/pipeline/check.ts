/**
 *  policies ─► compile ┐
 *  edges ─► workloads, orientation ─► evaluate every observed connection ─► findings: denied, uncertain
 *
 * The stages in order, nothing else.
 */
import type { ClusterSnapshot } from '../core/cluster/snapshot.ts'
import { compilePolicies } from '../core/evaluate/compile.ts'
import { compileAddressProblem } from '../core/generate/address-problem.ts'
import type { NetworkPolicy } from '../core/policy/network-policy.ts'
import type { CheckDocument, InputError } from '../core/report/check-document.ts'
import { createEndDescriber } from '../core/report/eval-ends.ts'
import { findDenied } from '../core/report/find-denied.ts'
import { contentDigest, identityMapView } from './identity-map.ts'
import { viewTraffic, windowOf } from './observed-traffic.ts'
import type { ObservedTraffic } from './observed-traffic.ts'

export interface CheckInput {
  readonly cluster: string
  readonly policies: readonly NetworkPolicy[]
  readonly snapshot?: ClusterSnapshot
  /** Only connections with an end in this namespace. */
  readonly namespace?: string
  /** Also judge connections that were denied when observed (drift). */
  readonly includeDenied?: boolean
  /** What could not be read; passed through to the document. */
  readonly inputErrors?: readonly InputError[]
}

export function check(observed: ObservedTraffic, input: CheckInput): CheckDocument {
  const snapshot = input.snapshot ?? observed.snapshot
  const { workloads, rules, traffic } = viewTraffic(observed, input.cluster, snapshot)
  const { totals, findings } = findDenied(traffic, compilePolicies(input.policies), {
    describe: createEndDescriber({ workloads, rules, snapshot, podNetworks: observed.podNetworks, addressProblem: compileAddressProblem(observed.podNetworks, snapshot) }),
    includeDenied: input.includeDenied ?? false,
    ...(input.namespace === undefined ? {} : { namespace: input.namespace }),
  })
  return {
    schema: 'flowfence.check/v1',
    cluster: input.cluster,
    window: windowOf(observed),
    identityMap: identityMapView(rules, input.cluster, observed.identityMapVersions?.get(contentDigest(rules)) ?? null),
    totals,
    findings,
    inputErrors: input.inputErrors ?? [],
  }
}
