import type { Workload } from '../flow/workloads.ts'
import type { RefusedWorkload, ReviewCode } from './recommendation.ts'
import { isNamespaceName } from './select-workload.ts'

const SHOWN = 3

/** Why a workload without a selector gets no policy, and what to do. */
export function refusalReason(workload: Workload): RefusedWorkload['reason'] {
  if (!isNamespaceName(workload.namespace)) {
    return { code: 'invalid-namespace', text: 'Its namespace is not a name Kubernetes accepts, so no policy can be in it. Look at where the log comes from: it is damaged, or somebody made it up.' }
  }
  if (workload.mayBelongTo !== undefined) {
    return { code: 'not-selectable', text: `The log shows only labels that several workloads share, so these pods may be of ${workload.mayBelongTo.slice(0, SHOWN).join(', ')}`
      + `${workload.mayBelongTo.length > SHOWN ? ' and others' : ''}; nobody knows which. Give cluster state with --cluster-state, or a log that names pods or all of their labels.` }
  }
  const hasLabels = workload.labelSets.some((labels) => Object.keys(labels).length > 0)
  return hasLabels
    ? { code: 'not-selectable', text: 'No label selector picks exactly this workload: every usable label set also matches pods of another workload. Give its pod template a label of its own.' }
    : { code: 'no-labels', text: 'Its pods carry no usable label (none in the log, or only per-release ones). An empty selector would take in the whole namespace, so nothing is generated. Give cluster state with --cluster-state, or add a label to the pod template.' }
}

/** Why a workload without a selector can be no peer. */
export function peerProblem(peer: Workload): ReviewCode {
  return isNamespaceName(peer.namespace) ? 'peer-not-selectable' : 'invalid-namespace'
}
