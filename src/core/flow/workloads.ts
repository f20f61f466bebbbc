/**
 * Groups raw identities into workloads when edges are read.
 *
 * In: the identities of a cluster (from edges, and from cluster state where there is one) and the label rules.
 * Out: workloads, each the union of the identities that (a) no selector can tell apart: same namespace and same
 * identity labels, or (b) belong to the same controller: one that the log names, or one that pod names suggest and the labels that name the
 * application confirm, or (c) have no labels in the log but the name of exactly one workload of the namespace.
 * Invariants: every pod identity is in exactly one workload; the result depends on the set of identities, not on their order.
 * Leaves to others: whether a selector can pick a workload (core/generate). Cost: O(identities x labels).
 */
import { compareText, sortedBy } from '../base/order.ts'
import { QUALITY_ORDER } from './edge-view.ts'
import type { LabelQuality, Labels, WorkloadEvidence, WorkloadRef } from './end.ts'
import { labelsKey } from './identity.ts'
import type { Identity } from './identity.ts'
import { NAMING_KEYS } from './label-rules.ts'
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
  /** How much is known of each label set, by the same index: the quality of its best described pod. */
  readonly setQualities: readonly LabelQuality[]
  readonly namespaceLabels: Labels
}

export interface WorkloadIndex {
  readonly workloads: readonly Workload[]
  /** The workload of a pod identity, by identity key. */
  of(identity: Identity): Workload | undefined
}

/** Keys that Cilium's identities carry: where one of them lacks such a key, the pod has no such label. */
export function collectRelevantKeys(workloads: Iterable<Workload>): ReadonlySet<string> {
  const keys = new Set<string>()
  for (const { identities } of workloads) {
    for (const i of identities) if (i.labelQuality === 'identity-subset') for (const key of Object.keys(i.labels)) keys.add(key)
  }
  return keys
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
  const bare: Identity[] = []
  /** Groups of labelled pods by the controller they may belong to. */
  const members = new Map<string, string[]>()
  for (const pod of pods.values()) {
    const anchor = podAnchor(pod)
    const labels = rules.identityLabels(pod.labels)
    if (Object.keys(labels).length === 0) {
      bare.push(pod)
      continue
    }
    groups.join(anchor, `labels ${placeOf(pod)}\u0000${labelsKey(labels)}`)
    if (pod.workload === null || !JOINING_KINDS.has(pod.workload.kind)) continue
    const ref = refAnchor(pod, pod.workload)
    const same = members.get(ref)
    if (same === undefined) members.set(ref, [anchor])
    else same.push(anchor)
    for (const proof of controllerAnchors(pod, ref, labels)) groups.join(anchor, proof)
  }
  joinBarePods(bare, groups, { members, rules })
  return indexWorkloads([...pods.values()], groups, rules)
}

function podAnchor(pod: Identity): string {
  return `pod ${pod.key}`
}

function placeOf(pod: Identity): string {
  return `${pod.cluster}\u0000${pod.namespace}`
}

function refAnchor(pod: Identity, ref: WorkloadRef): string {
  return `workload ${placeOf(pod)}\u0000${ref.kind}\u0000${ref.name}`
}

/**
 * What makes pods of differing labels one workload: the controller where the log names it; where only pod names suggest it,
 * the same labels that name the application as well, because any two pods may be called `x-0` and `x-1`.
 */
function controllerAnchors(pod: Identity, ref: string, labels: Labels): string[] {
  const naming = labelsKey(Object.fromEntries(Object.entries(labels).filter(([key]) => NAMING_KEYS.has(key))))
  const confirmed = `${ref}\u0000${naming}`
  if (pod.workloadEvidence === 'record') return [ref, confirmed]
  // A hash in the name is Kubernetes' own; a number alone proves nothing.
  return naming === '' && pod.workload?.kind === 'StatefulSet' ? [] : [confirmed]
}

/** False where an empty label set only means that the log left the labels out (or a Calico aggregate shares none). */
function tellsLabels(pod: Identity, labels: Labels): boolean {
  if (pod.labelQuality === 'none') return false
  return pod.labelQuality !== 'intersection' || Object.keys(labels).length > 0
}

interface Labelled {
  readonly members: ReadonlyMap<string, readonly string[]>
  readonly rules: LabelRules
}

/**
 * Pods without labels in the log join the workload of their name where there is one such workload; else pods of one name
 * are a workload of their own. Pods that certainly have no labels join only a controller that the log names.
 */
function joinBarePods(bare: readonly Identity[], groups: Groups, { members, rules }: Labelled): void {
  for (const pod of bare) {
    if (pod.workload === null) continue
    const ref = refAnchor(pod, pod.workload)
    if (tellsLabels(pod, rules.identityLabels(pod.labels))) {
      groups.join(podAnchor(pod), pod.workloadEvidence === 'record' ? ref : `unlabelled ${ref}`)
      continue
    }
    const roots = new Set((members.get(ref) ?? []).map((anchor) => groups.root(anchor)))
    const [only] = roots
    groups.join(podAnchor(pod), only !== undefined && roots.size === 1 ? only : `unknown ${ref}`)
  }
}

function indexWorkloads(pods: readonly Identity[], groups: Groups, rules: LabelRules): WorkloadIndex {
  const byRoot = new Map<string, Identity[]>()
  for (const pod of pods) {
    const root = groups.root(podAnchor(pod))
    const same = byRoot.get(root)
    if (same === undefined) byRoot.set(root, [pod])
    else same.push(pod)
  }
  const workloads = sortedBy([...byRoot.values()].map((members) => buildWorkload(members, rules)), (w) => w.key)
  const byIdentity = new Map<string, Workload>()
  for (const workload of workloads) for (const identity of workload.identities) byIdentity.set(identity.key, workload)
  return { workloads, of: (identity) => byIdentity.get(identity.key) }
}

function buildWorkload(pods: readonly Identity[], rules: LabelRules): Workload {
  const identities = sortedBy(pods, (p) => p.key)
  const first = identities[0] as Identity
  const namespaceLabels: Record<string, string> = {}
  for (const pod of identities) Object.assign(namespaceLabels, pod.namespaceLabels)
  const sets = collectSets(identities, rules)
  const labelSets = sets.map((s) => s.labels)
  const ref = bestRef(identities)
  const hasLabels = labelSets.some((labels) => Object.keys(labels).length > 0)
  return {
    // Labels belong to one workload only; without any, the first pod tells it apart.
    key: `${first.cluster}\u0000${first.namespace}\u0000${ref === null ? '' : `${ref.name}\u0000${ref.kind}`}\u0000${sets.map((s) => s.key).join('\u0001')}\u0000${hasLabels ? '' : first.key}`,
    cluster: first.cluster,
    namespace: first.namespace,
    ref,
    display: `${first.namespace}/${ref !== null ? `${ref.name} (${ref.kind})` : hasLabels || first.name === '' ? `{${labelsText(labelSets[0] ?? {})}}` : first.name}`,
    identities,
    labelSets,
    setQualities: sets.map((s) => s.quality),
    namespaceLabels,
  }
}

interface LabelSet {
  readonly key: string
  readonly labels: Labels
  readonly quality: LabelQuality
}

function collectSets(identities: readonly Identity[], rules: LabelRules): LabelSet[] {
  const sets = new Map<string, LabelSet>()
  for (const pod of identities) {
    const labels = rules.identityLabels(pod.labels)
    if (!tellsLabels(pod, labels)) continue
    const key = labelsKey(labels)
    const known = sets.get(key)?.quality ?? pod.labelQuality
    const quality = QUALITY_ORDER.indexOf(pod.labelQuality) < QUALITY_ORDER.indexOf(known) ? pod.labelQuality : known
    sets.set(key, { key, labels, quality })
  }
  return sortedBy(sets.values(), (s) => s.key)
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
