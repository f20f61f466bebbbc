/**
 * One workload seen with different label quality: which label sets are poorer views of the same pods, and which workload they show.
 *
 * A set is a poorer view of another when the other is described better and has all of its labels, and none that the poorer source would have shown.
 * A poorer view joins the one workload of its controller's name, or, where nothing names a controller, the one workload of its namespace
 * that it fits, if it shows a label that names the application. What fits several is never guessed. Cost: O(identities + poor sets x sets of one name).
 */
import { QUALITY_ORDER } from './edge-view.ts'
import { aliasesOf, JOINING_KINDS, placeOf, refAnchor } from './controllers.ts'
import type { DescribedPod } from './controllers.ts'
import type { LabelQuality, Labels } from './end.ts'
import type { Groups } from './groups.ts'
import { labelsKey } from './identity.ts'
import type { Identity } from './identity.ts'
import { NAMING_KEYS } from './label-rules.ts'

export interface LabelSet {
  readonly key: string
  readonly labels: Labels
  /** The best that any source knows of it. */
  readonly quality: LabelQuality
}

/** Groups of one name or label that are compared one by one. More: joins also in very crowded namespaces; fewer: a hostile log costs less. */
const MAX_COMPARED = 256

export function betterQuality(a: LabelQuality, b: LabelQuality): LabelQuality {
  return QUALITY_ORDER.indexOf(a) <= QUALITY_ORDER.indexOf(b) ? a : b
}

/** Could these be the same pods, seen less well? */
function isPoorerView(poor: LabelSet, rich: LabelSet, relevantKeys: ReadonlySet<string>): boolean {
  if (QUALITY_ORDER.indexOf(poor.quality) <= QUALITY_ORDER.indexOf(rich.quality)) return false
  for (const key of Object.keys(poor.labels)) if (!Object.hasOwn(rich.labels, key) || rich.labels[key] !== poor.labels[key]) return false
  // Cilium shows every key that is relevant to it: what its set lacks, the pod lacks.
  return poor.quality !== 'identity-subset' || !Object.keys(rich.labels).some((key) => relevantKeys.has(key) && !Object.hasOwn(poor.labels, key))
}

/** The pods whose labels are a poorer view of those of a pod that is named after the same controller. */
export function findNamedViews(labelled: readonly DescribedPod[], relevantKeys: ReadonlySet<string>): ReadonlySet<Identity> {
  const setsOf = new Map<string, Map<string, LabelSet>>()
  for (const { pod, labels } of labelled) {
    if (pod.workload === null) continue
    const ref = refAnchor(pod, pod.workload)
    let sets = setsOf.get(ref)
    if (sets === undefined) setsOf.set(ref, sets = new Map<string, LabelSet>())
    const key = labelsKey(labels)
    sets.set(key, { key, labels, quality: betterQuality(pod.labelQuality, sets.get(key)?.quality ?? pod.labelQuality) })
  }
  const views = new Set<Identity>()
  for (const { pod, labels } of labelled) {
    if (pod.workload === null || pod.labelQuality === 'full') continue
    const own: LabelSet = { key: '', labels, quality: pod.labelQuality }
    for (const ref of [pod.workload, ...aliasesOf(pod.workload)]) {
      const sets = setsOf.get(refAnchor(pod, ref))
      if (sets === undefined || sets.size > MAX_COMPARED) continue
      for (const set of sets.values()) if (isPoorerView(own, set, relevantKeys)) views.add(pod)
    }
  }
  return views
}

/** A group of the first round: pods of equal labels or of one proven controller. */
interface Group {
  readonly root: string
  readonly place: string
  readonly sets: Map<string, LabelSet>
  /** Anchors of the controllers that its pods name or suggest, and of what else such a name may mean. */
  readonly refs: Set<string>
  readonly aliases: Set<string>
  /** A pod is named after something: then that name decides, not the labels. */
  isNamed: boolean
  hasController: boolean
}

/** Joins what is a poorer view of one workload only. Returns what fits several: root -> their roots. */
export function joinPoorlyDescribed(labelled: readonly DescribedPod[], groups: Groups, relevantKeys: ReadonlySet<string>): Map<string, readonly string[]> {
  let open = findCandidates([...collectGroups(labelled, groups).values()], relevantKeys)
  // What fits several may fit one workload when those turn out to be one.
  for (;;) {
    const fitting = open.map(({ root, candidates }) => ({ root, candidates: [...new Set(candidates.map((c) => groups.root(c)))] }))
    const joins = fitting.filter(({ candidates }) => candidates.length === 1)
    for (const { root, candidates } of joins) groups.join(root, candidates[0] as string)
    open = fitting.filter(({ candidates }) => candidates.length > 1)
    if (joins.length === 0) return new Map(open.map(({ root, candidates }) => [root, candidates]))
  }
}

interface Fit {
  readonly root: string
  readonly candidates: readonly string[]
}

/** What each group may be a poorer view of. */
function findCandidates(all: readonly Group[], relevantKeys: ReadonlySet<string>): Fit[] {
  const byRef = indexGroups(all, (g) => [...g.refs])
  const byLabel = indexGroups(all, namingLabels)
  return all.flatMap((group): Fit[] => {
    const named = new Set([...group.refs, ...group.aliases].flatMap((ref) => byRef.get(ref) ?? []))
    const compared = group.isNamed ? [...named] : smallest(namingLabels(group).map((label) => byLabel.get(label) ?? []))
    if (compared.length > MAX_COMPARED) return []
    const fits = compared.filter((other) => other !== group && isViewOf(group, other, relevantKeys))
    // Labels alone prove a workload only where a controller owns them.
    if (fits.length === 0 || (!group.isNamed && !fits.some((other) => other.hasController))) return []
    return [{ root: group.root, candidates: fits.map((other) => other.root) }]
  })
}

function collectGroups(labelled: readonly DescribedPod[], groups: Groups): Map<string, Group> {
  const byRoot = new Map<string, Group>()
  for (const { pod, labels } of labelled) {
    const root = groups.root(`pod ${pod.key}`)
    let group = byRoot.get(root)
    if (group === undefined) byRoot.set(root, group = { root, place: placeOf(pod), sets: new Map(), refs: new Set(), aliases: new Set(), isNamed: false, hasController: false })
    const key = labelsKey(labels)
    const quality = betterQuality(pod.labelQuality, group.sets.get(key)?.quality ?? pod.labelQuality)
    group.sets.set(key, { key, labels, quality })
    if (pod.workload === null) continue
    group.isNamed = true
    group.hasController ||= JOINING_KINDS.has(pod.workload.kind) || pod.workloadEvidence === 'record'
    group.refs.add(refAnchor(pod, pod.workload))
    for (const alias of aliasesOf(pod.workload)) group.aliases.add(refAnchor(pod, alias))
  }
  return byRoot
}

function indexGroups(all: readonly Group[], keysOf: (group: Group) => readonly string[]): Map<string, Group[]> {
  const index = new Map<string, Group[]>()
  for (const group of all) {
    for (const key of keysOf(group)) {
      const same = index.get(key)
      if (same === undefined) index.set(key, [group])
      else same.push(group)
    }
  }
  return index
}

/** The labels that name the application, each with its namespace. */
function namingLabels(group: Group): string[] {
  const labels = new Set<string>()
  for (const set of group.sets.values()) for (const [key, value] of Object.entries(set.labels)) if (NAMING_KEYS.has(key)) labels.add(`${group.place}\u0000${key}\u0000${value}`)
  return [...labels]
}

/** A poorer view lies in all of the lists; the shortest is the quickest to go through. */
function smallest(lists: readonly (readonly Group[])[]): readonly Group[] {
  return lists.reduce<readonly Group[] | undefined>((best, list) => (best === undefined || list.length < best.length ? list : best), undefined) ?? []
}

/** The sets that are no poorer views of others; all of them where there are too many to compare. */
export function withoutPoorerViews(sets: readonly LabelSet[], relevantKeys: ReadonlySet<string>): readonly LabelSet[] {
  if (sets.length > 2 * MAX_COMPARED || sets.every((set) => set.quality === sets[0]?.quality)) return sets
  return sets.filter((set) => !sets.some((other) => isPoorerView(set, other, relevantKeys)))
}

/** Is every label set of the one a poorer view of some set of the other? */
function isViewOf(poor: Group, rich: Group, relevantKeys: ReadonlySet<string>): boolean {
  const sets = [...rich.sets.values()]
  return [...poor.sets.values()].every((set) => sets.some((other) => isPoorerView(set, other, relevantKeys)))
}
