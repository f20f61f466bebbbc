/**
 * Finds label keys that name an instance or a release by what their values do: pods that something else proves to be one workload differ in them, or
 * all their values look like commit hashes.
 *
 * In: the pods of one namespace with the labels that are left after the lists. Out: keys with their reasons. A key stays
 * - where leaving it out would throw pods together that are not known to be of one controller, or leave a pod without labels;
 * - where its values are a few words (`primary`, `replica`) and other workloads of the namespace carry the key without differing in it.
 * So two releases of a chart (`release`), tracks of two Deployments (`track`) and what cannot be proven stay apart. Keys are judged one
 * after the other, those with the most values first, so that two keys are not both left out where one of them is needed.
 * A function of the set of pods. Cost: O(candidates x distinct label sets).
 */
import { compareText, sortedBy } from '../base/order.ts'
import { controllerAnchors, refAnchor } from './controllers.ts'
import type { DescribedPod } from './controllers.ts'
import type { Labels, WorkloadRef } from './end.ts'
import { labelsKey } from './identity.ts'
import type { Identity } from './identity.ts'
import { isVocabulary, looksLikeShortHash } from './label-shapes.ts'

/** Keys judged per namespace. More: thorough where somebody writes very many labels; fewer: faster there. Those with the most values come first. */
const MAX_CANDIDATES = 32

/** Kinds of owners that are instances themselves, or say nothing: two of them may be one workload. */
const PASSING_KINDS = new Set(['Pod', 'Workload', 'Job', 'Node', 'ReplicaSet'])

/** The lasting controller that a pod is said to belong to, or `undefined`. Argo's Rollouts name their pods as Deployments do. */
export function knownController(pod: Identity): string | undefined {
  if (pod.workload === null || PASSING_KINDS.has(pod.workload.kind)) return undefined
  const { kind, name } = pod.workload
  return refAnchor(pod, { kind: kind === 'Rollout' ? 'Deployment' : kind, name })
}

interface Candidate {
  readonly key: string
  /** Most values that one workload has. */
  readonly count: number
  readonly reason: string
}

export function findPerInstanceKeys(pods: readonly DescribedPod[], isOpen: (pod: Identity, key: string) => boolean): Map<string, string> {
  const candidates = [...findVarying(pods, isOpen), ...findShortHashes(pods, isOpen)]
  const found = new Map<string, string>()
  if (candidates.length === 0) return found
  let classes = classesOf(pods)
  for (const { key, reason } of sortedBy(candidates, (c) => `${String(1_000_000 - c.count).padStart(7, '0')}${c.key}`).slice(0, MAX_CANDIDATES)) {
    const without = found.has(key) ? undefined : leaveOut(key, classes)
    if (without === undefined) continue
    classes = without
    found.set(key, reason)
  }
  return new Map(sortedBy(found, ([key]) => key))
}

interface Owner {
  readonly ref: WorkloadRef
  readonly values: Map<string, Set<string>>
}

/** Values of each key by proven controller, as grouping into workloads takes it for proven. */
function valuesByOwner(pods: readonly DescribedPod[], isOpen: (pod: Identity, key: string) => boolean): Map<string, Owner> {
  const named = new Set(pods.filter((p) => p.pod.workloadEvidence === 'record').flatMap((p) => controllerAnchors(p.pod, p.labels)))
  const owners = new Map<string, Owner>()
  for (const { pod, labels } of pods) {
    const anchors = controllerAnchors(pod, labels)
    if (pod.workload === null || anchors[0] === undefined) continue
    const id = named.has(anchors[0]) ? refAnchor(pod, pod.workload) : anchors[0]
    let owner = owners.get(id)
    if (owner === undefined) owners.set(id, owner = { ref: pod.workload, values: new Map() })
    for (const key of Object.keys(labels)) {
      if (!isOpen(pod, key)) continue
      const values = owner.values.get(key)
      if (values === undefined) owner.values.set(key, new Set([labels[key] as string]))
      else values.add(labels[key] as string)
    }
  }
  return owners
}

function findVarying(pods: readonly DescribedPod[], isOpen: (pod: Identity, key: string) => boolean): Candidate[] {
  const owners = valuesByOwner(pods, isOpen)
  const varying = new Map<string, Owner>()
  const steady = new Set<string>()
  for (const owner of owners.values()) {
    for (const [key, values] of owner.values) {
      if (values.size < 2) steady.add(key)
      else if (isMore(owner, varying.get(key), key)) varying.set(key, owner)
    }
  }
  return [...varying].flatMap(([key, { ref, values }]): Candidate[] => {
    const own = values.get(key) ?? new Set<string>()
    if (isVocabulary(own) && (steady.has(key) || pods.some((p) => Object.hasOwn(p.labels, key) && controllerAnchors(p.pod, p.labels).length === 0))) return []
    return [{ key, count: own.size, reason: `${own.size} values within one workload: ${ref.kind} ${ref.name}` }]
  })
}

/** The workload with the most values is the example; among equals the first by name. */
function isMore(owner: Owner, known: Owner | undefined, key: string): boolean {
  if (known === undefined) return true
  const difference = (owner.values.get(key)?.size ?? 0) - (known.values.get(key)?.size ?? 0)
  return difference > 0 || (difference === 0 && compareText(`${owner.ref.name}\u0000${owner.ref.kind}`, `${known.ref.name}\u0000${known.ref.kind}`) < 0)
}

/** Keys of which several values were seen that all look like shortened commit hashes. */
function findShortHashes(pods: readonly DescribedPod[], isOpen: (pod: Identity, key: string) => boolean): Candidate[] {
  const values = new Map<string, Set<string> | null>()
  for (const { pod, labels } of pods) {
    for (const key of Object.keys(labels)) {
      const seen = values.get(key)
      if (seen === null || !isOpen(pod, key)) continue
      const value = labels[key] as string
      if (!looksLikeShortHash(value)) values.set(key, null)
      else if (seen === undefined) values.set(key, new Set([value]))
      else seen.add(value)
    }
  }
  return [...values].flatMap(([key, seen]): Candidate[] => {
    if (seen === null || seen.size < 2) return []
    const example = [...seen].sort(compareText)[0] ?? ''
    return [{ key, count: 1, reason: `values look like commit hashes: ${example}` }]
  })
}

/** Pods of equal labels, and the controllers they are known to have. */
interface LabelClass {
  readonly labels: Labels
  readonly controllers: ReadonlySet<string>
}

function classesOf(pods: readonly DescribedPod[]): LabelClass[] {
  const classes = new Map<string, { labels: Labels; controllers: Set<string> }>()
  for (const { pod, labels } of pods) {
    if (Object.keys(labels).length === 0) continue
    const key = labelsKey(labels)
    let known = classes.get(key)
    if (known === undefined) classes.set(key, known = { labels, controllers: new Set() })
    const controller = knownController(pod)
    if (controller !== undefined) known.controllers.add(controller)
  }
  return [...classes.values()]
}

/** The classes without a key; `undefined` when it must stay. */
function leaveOut(key: string, classes: readonly LabelClass[]): LabelClass[] | undefined {
  const merged = new Map<string, LabelClass>()
  for (const { labels, controllers } of classes) {
    const rest = Object.hasOwn(labels, key) ? Object.fromEntries(Object.entries(labels).filter(([k]) => k !== key)) : labels
    if (Object.keys(rest).length === 0) return undefined
    const text = labelsKey(rest)
    const other = merged.get(text)
    if (other === undefined) merged.set(text, { labels: rest, controllers })
    else if (!isSame(controllers, other.controllers)) return undefined
  }
  return [...merged.values()]
}

/** The same controllers, and known ones. */
function isSame(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size > 0 && a.size === b.size && [...a].every((controller) => b.has(controller))
}
