/**
 * Groups raw identities into workloads when edges are read.
 *
 * In: the identities of a cluster (from edges, and from cluster state where there is one) and the label rules.
 * Out: workloads, each the union of the identities that (a) no selector can tell apart: same namespace and same
 * identity labels, or (b) belong to the same named controller, or (c) have no labels in the log but the name of a workload of the namespace.
 * Invariants: every pod identity is in exactly one workload; the result depends on the set of identities, not on their order.
 * Leaves to others: whether a selector can pick a workload (core/generate). Cost: O(identities x labels).
 */
import { compareText, sortedBy } from '../base/order.ts'
import type { Labels, WorkloadEvidence, WorkloadRef } from './end.ts'
import { labelsKey } from './identity.ts'
import type { Identity } from './identity.ts'
import type { LabelRules } from './label-rules.ts'

export interface Workload {
  /** Canonical and unique among the workloads of one grouping. */
  readonly key: string
  readonly cluster: string
  readonly namespace: string
  /** The controller, or `null` when nothing names it. */
  readonly ref: WorkloadRef | null
  /** `namespace/name (Kind)` for people. */
  readonly display: string
  readonly identities: readonly Identity[]
  /** Distinct identity-label sets, canonical order; empty when the labels are not in the log. */
  readonly labelSets: readonly Labels[]
  readonly namespaceLabels: Labels
}

export interface WorkloadIndex {
  readonly workloads: readonly Workload[]
  /** The workload of a pod identity, by identity key. */
  of(identity: Identity): Workload | undefined
}

/** Kinds that a pod's name proves well enough to join differing label sets of one workload. */
const JOINING_KINDS = new Set(['Deployment', 'StatefulSet', 'CronJob', 'DaemonSet', 'Job', 'DeploymentConfig'])

/** How much a controller's name is worth when a workload has several. */
const EVIDENCE_ORDER: readonly WorkloadEvidence[] = ['record', 'pod-name', 'none']

/** Smallest union-find over keys. */
class Groups {
  readonly #parent = new Map<string, string>()

  root(key: string): string {
    let at = key
    for (let next = this.#parent.get(at); next !== undefined && next !== at; next = this.#parent.get(at)) at = next
    if (at !== key) this.#parent.set(key, at)
    return at
  }

  /** The smaller key becomes the root, so that the result does not depend on the order of joins. */
  join(a: string, b: string): void {
    const ra = this.root(a)
    const rb = this.root(b)
    if (ra === rb) return
    if (compareText(ra, rb) < 0) this.#parent.set(rb, ra)
    else this.#parent.set(ra, rb)
  }
}

export function groupWorkloads(identities: Iterable<Identity>, rules: LabelRules): WorkloadIndex {
  const pods = new Map<string, Identity>()
  for (const identity of identities) if (identity.kind === 'pod') pods.set(identity.key, identity)
  const groups = new Groups()
  const labelled = new Map<string, Identity[]>()
  const bare: Identity[] = []
  for (const pod of pods.values()) {
    const anchor = `pod ${pod.key}`
    const labels = rules.identityLabels(pod.labels)
    if (Object.keys(labels).length === 0) {
      bare.push(pod)
      continue
    }
    const place = `${pod.cluster}\u0000${pod.namespace}`
    groups.join(anchor, `labels ${place}\u0000${labelsKey(labels)}`)
    if (pod.workload !== null && JOINING_KINDS.has(pod.workload.kind)) groups.join(anchor, refAnchor(place, pod.workload))
    labelled.set(anchor, [...(labelled.get(anchor) ?? []), pod])
  }
  joinBarePods(bare, groups, labelled)
  return indexWorkloads([...labelled.entries()], groups, rules)
}

function refAnchor(place: string, ref: WorkloadRef): string {
  return `workload ${place}\u0000${ref.kind}\u0000${ref.name}`
}

/** False where an empty label set only means that the log left the labels out (or a Calico aggregate shares none). */
function tellsLabels(pod: Identity): boolean {
  if (pod.labelQuality === 'none') return false
  return pod.labelQuality !== 'intersection' || Object.keys(pod.labels).length > 0
}

/** Pods without labels in the log join the workload of their name; without one, pods of one name are a workload of their own. */
function joinBarePods(bare: readonly Identity[], groups: Groups, members: Map<string, Identity[]>): void {
  for (const pod of bare) {
    const anchor = `pod ${pod.key}`
    const place = `${pod.cluster}\u0000${pod.namespace}`
    if (pod.workload !== null) groups.join(anchor, refAnchor(place, pod.workload))
    members.set(anchor, [pod])
  }
}

function indexWorkloads(members: readonly (readonly [string, Identity[]])[], groups: Groups, rules: LabelRules): WorkloadIndex {
  const byRoot = new Map<string, Identity[]>()
  for (const [anchor, pods] of members) {
    const root = groups.root(anchor)
    byRoot.set(root, [...(byRoot.get(root) ?? []), ...pods])
  }
  const workloads = sortedBy([...byRoot.values()].map((pods) => buildWorkload(pods, rules)), (w) => w.key)
  const byIdentity = new Map<string, Workload>()
  for (const workload of workloads) for (const identity of workload.identities) byIdentity.set(identity.key, workload)
  return { workloads, of: (identity) => byIdentity.get(identity.key) }
}

function buildWorkload(pods: readonly Identity[], rules: LabelRules): Workload {
  const identities = sortedBy(pods, (p) => p.key)
  const first = identities[0] as Identity
  const sets = new Map<string, Labels>()
  const namespaceLabels: Record<string, string> = {}
  for (const pod of identities) {
    Object.assign(namespaceLabels, pod.namespaceLabels)
    if (!tellsLabels(pod)) continue
    const labels = rules.identityLabels(pod.labels)
    sets.set(labelsKey(labels), labels)
  }
  const labelSets = [...sets.entries()].sort((a, b) => compareText(a[0], b[0])).map(([, labels]) => labels)
  const ref = bestRef(identities)
  return {
    key: `${first.cluster}\u0000${first.namespace}\u0000${ref === null ? '' : `${ref.name}\u0000${ref.kind}`}\u0000${[...sets.keys()].sort(compareText).join('\u0001')}\u0000${sets.size === 0 ? first.key : ''}`,
    cluster: first.cluster,
    namespace: first.namespace,
    ref,
    display: ref === null ? `${first.namespace}/{${labelsText(labelSets[0] ?? {})}}` : `${first.namespace}/${ref.name} (${ref.kind})`,
    identities,
    labelSets,
    namespaceLabels,
  }
}

function labelsText(labels: Labels): string {
  return Object.entries(labels).map(([k, v]) => `${k}=${v}`).join(', ')
}

/** The best-proven controller; among equals a controller kind before `Workload` and `Pod`, then by name and kind. */
function bestRef(identities: readonly Identity[]): WorkloadRef | null {
  const refs = identities.filter((i) => i.workload !== null)
  const rank = (i: Identity): string => {
    const ref = i.workload as WorkloadRef
    return `${EVIDENCE_ORDER.indexOf(i.workloadEvidence)}${JOINING_KINDS.has(ref.kind) ? 0 : ref.kind === 'Workload' ? 1 : 2}\u0000${ref.name}\u0000${ref.kind}`
  }
  return sortedBy(refs, rank)[0]?.workload ?? null
}
