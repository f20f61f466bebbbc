/**
 * Groups raw identities into workloads when edges are read.
 *
 * In: the identities of a cluster (from edges, and from cluster state where there is one) and the label rules.
 * Out: workloads, each the union of the identities that (a) no selector can tell apart: same namespace and same
 * identity labels, or (b) belong to the same controller: one that the log names, or one that pod names suggest and the labels that name the
 * application confirm, or (c) show fewer labels of exactly one workload (see described-pods.ts), or (d) have no labels in the log but the name of
 * exactly one workload of the namespace. What fits several stays a workload of its own and says so.
 * Invariants: every pod identity is in exactly one workload; the result depends on the set of identities, not on their order.
 * Leaves to others: whether a selector can pick a workload (core/generate). Cost: O(identities x labels).
 */
import { compareText, groupedBy, sortedBy } from '../base/order.ts'
import { aliasesOf, controllerAnchors, JOINING_KINDS, placeOf, refAnchor } from './controllers.ts'
import type { DescribedPod } from './controllers.ts'
import { betterQuality, findNamedViews, joinPoorlyDescribed, withoutPoorerViews } from './described-pods.ts'
import type { LabelSet } from './described-pods.ts'
import type { LabelQuality, Labels, WorkloadEvidence, WorkloadRef } from './end.ts'
import { Groups } from './groups.ts'
import { labelsKey } from './identity.ts'
import type { Identity } from './identity.ts'
import type { LabelRules } from './label-rules.ts'
import { mergeNamespaceLabels } from './namespace-labels.ts'

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
  /** What all sources together say of the namespace; without keys of which they say different things. */
  readonly namespaceLabels: Labels
  /** The workloads whose pods these may be, by display, where the labels in the log fit several: nobody knows which. */
  readonly mayBelongTo?: readonly string[]
}

export interface WorkloadIndex {
  readonly workloads: readonly Workload[]
  /** The workload of a pod identity, by identity key. */
  of(identity: Identity): Workload | undefined
}

/** Keys that Cilium's identities carry: where one of them lacks such a key, the pod has no such label. */
export function collectRelevantKeys(workloads: Iterable<Workload>): ReadonlySet<string> {
  const keys = new Set<string>()
  for (const { identities } of workloads) addRelevantKeys(identities, keys)
  return keys
}

function addRelevantKeys(identities: Iterable<Identity>, keys: Set<string>): void {
  for (const i of identities) if (i.labelQuality === 'identity-subset') for (const key of Object.keys(i.labels)) keys.add(key)
}

/** How much a controller's name is worth when a workload has several. */
const EVIDENCE_ORDER: readonly WorkloadEvidence[] = ['record', 'pod-name', 'none']

export function groupWorkloads(identities: Iterable<Identity>, rules: LabelRules): WorkloadIndex {
  const pods = new Map<string, Identity>()
  for (const identity of identities) if (identity.kind === 'pod') pods.set(identity.key, identity)
  const groups = new Groups()
  const bare: Identity[] = []
  const labelled: DescribedPod[] = []
  for (const pod of pods.values()) {
    const labels = rules.identityLabels(pod)
    if (Object.keys(labels).length === 0) {
      bare.push(pod)
      continue
    }
    labelled.push({ pod, labels })
    for (const proof of controllerAnchors(pod, labels)) groups.join(podAnchor(pod), proof)
  }
  const relevantKeys = new Set<string>()
  addRelevantKeys(pods.values(), relevantKeys)
  const views = findNamedViews(labelled, relevantKeys)
  for (const { pod, labels } of labelled) {
    // Poorer views of two workloads may be equal where the workloads are not: those are kept apart by name.
    const name = pod.workload !== null && views.has(pod) ? refAnchor(pod, pod.workload) : placeOf(pod)
    groups.join(podAnchor(pod), `labels ${name}\u0000${labelsKey(labels)}`)
  }
  const undecided = joinPoorlyDescribed(labelled, groups, relevantKeys)
  joinBarePods(bare, groups, { members: membersByRef(labelled), rules })
  return indexWorkloads([...pods.values()], groups, { rules, relevantKeys, undecided })
}

function podAnchor(pod: Identity): string {
  return `pod ${pod.key}`
}

/** Groups of labelled pods by the controller they may belong to. */
function membersByRef(labelled: readonly DescribedPod[]): Map<string, string[]> {
  const members = new Map<string, string[]>()
  for (const { pod } of labelled) {
    if (pod.workload === null || !(JOINING_KINDS.has(pod.workload.kind) || pod.workloadEvidence === 'record' || pod.workload.kind === 'Workload')) continue
    const ref = refAnchor(pod, pod.workload)
    const same = members.get(ref)
    if (same === undefined) members.set(ref, [podAnchor(pod)])
    else same.push(podAnchor(pod))
  }
  return members
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
    if (tellsLabels(pod, rules.identityLabels(pod))) {
      groups.join(podAnchor(pod), pod.workloadEvidence === 'record' ? ref : `unlabelled ${ref}`)
      continue
    }
    const [exact, alias] = [[pod.workload], aliasesOf(pod.workload)].map((refs) => new Set(refs.flatMap((r) => members.get(refAnchor(pod, r)) ?? []).map((anchor) => groups.root(anchor))))
    const roots = exact !== undefined && exact.size > 0 ? exact : alias ?? new Set()
    const [only] = roots
    groups.join(podAnchor(pod), only !== undefined && roots.size === 1 ? only : `unknown ${ref}`)
  }
}

interface IndexContext {
  readonly rules: LabelRules
  readonly relevantKeys: ReadonlySet<string>
  /** What the pods of a root may belong to, where that is not one workload only: roots by root. */
  readonly undecided: ReadonlyMap<string, readonly string[]>
}

function indexWorkloads(pods: readonly Identity[], groups: Groups, context: IndexContext): WorkloadIndex {
  const byRoot = groupedBy(pods, (pod) => groups.root(podAnchor(pod)))
  const namespaceLabels = mergeNamespaceLabels(pods)
  const built = new Map([...byRoot].map(([root, members]) => [root, buildWorkload(members, context, namespaceLabels)] as const))
  const displays = (roots: readonly string[]): string[] => [...new Set(roots.flatMap((root) => built.get(groups.root(root))?.display ?? []))].sort(compareText)
  const fitting = new Map([...context.undecided].map(([root, roots]) => [groups.root(root), displays(roots)]))
  const workloads = sortedBy([...built].map(([root, workload]) => {
    const mayBelongTo = fitting.get(root)
    return mayBelongTo === undefined ? workload : { ...workload, mayBelongTo }
  }), (w) => w.key)
  const byIdentity = new Map<string, Workload>()
  for (const workload of workloads) for (const identity of workload.identities) byIdentity.set(identity.key, workload)
  return { workloads, of: (identity) => byIdentity.get(identity.key) }
}

function buildWorkload(pods: readonly Identity[], context: IndexContext, namespaceLabels: ReadonlyMap<string, Labels>): Workload {
  const identities = sortedBy(pods, (p) => p.key)
  const first = identities[0] as Identity
  const sets = collectSets(identities, context)
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
    namespaceLabels: namespaceLabels.get(placeOf(first)) ?? {},
  }
}

/** What the label sets of one workload are: poorer views of the same pods do not count. */
function collectSets(identities: readonly Identity[], { rules, relevantKeys }: IndexContext): LabelSet[] {
  const sets = new Map<string, LabelSet>()
  for (const pod of identities) {
    const labels = rules.identityLabels(pod)
    if (!tellsLabels(pod, labels)) continue
    const key = labelsKey(labels)
    const known = sets.get(key)?.quality ?? pod.labelQuality
    sets.set(key, { key, labels, quality: betterQuality(pod.labelQuality, known) })
  }
  return sortedBy(withoutPoorerViews([...sets.values()], relevantKeys), (s) => s.key)
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
