/**
 * The identity map: which labels of which namespace are identity, worked out from the label rules and from the identities themselves.
 *
 * In: identities of a cluster, the configured rules. Out: LabelRules, and what they leave out, each key with its reason.
 * Beyond the lists a label is left out when its value looks generated, and a key when pods that something else proves to be one workload differ in it
 * (see per-instance-keys.ts). Invariants: no key is left out where that would throw pods of different known controllers together;
 * the result is a function of the set of identities. Cost: O(identities x labels).
 */
import { compareText, groupedBy, sortedBy } from '../base/order.ts'
import { placeOf } from './controllers.ts'
import type { DescribedPod } from './controllers.ts'
import type { Labels } from './end.ts'
import { labelsKey } from './identity.ts'
import type { Identity } from './identity.ts'
import { compileKeyRules, DEFAULT_LABEL_RULES, NAMING_KEYS } from './label-rules.ts'
import type { KeyRule, LabelRules, LabelRulesConfig } from './label-rules.ts'
import { looksGenerated } from './label-shapes.ts'
import { findPerInstanceKeys, knownController } from './per-instance-keys.ts'

/** Why a key is not identity in a namespace. Keys of the default list are not told one by one. */
export interface IgnoredLabel {
  readonly cluster: string
  readonly namespace: string
  readonly key: string
  readonly code: 'configured' | 'looks-generated' | 'per-instance'
  /** For people, with an example or a count. */
  readonly reason: string
}

export interface IdentityMap extends LabelRules {
  readonly config: LabelRulesConfig
  /** In order of cluster, namespace and key. */
  readonly ignored: readonly IgnoredLabel[]
}

type KeyRules = (namespace: string, key: string) => KeyRule

export function buildIdentityMap(identities: Iterable<Identity>, config: LabelRulesConfig = DEFAULT_LABEL_RULES): IdentityMap {
  const keyRule = compileKeyRules(config)
  const pods = new Map<string, Identity>()
  for (const identity of identities) if (identity.kind === 'pod') pods.set(identity.key, identity)
  const places = new Map<string, Place>()
  for (const [place, members] of groupedBy([...pods.values()], placeOf)) places.set(place, judgePlace(members, keyRule, config.detect))
  const cache = new WeakMap<Identity, Labels>()
  return {
    config,
    ignored: sortedBy([...places.values()].flatMap((p) => p.ignored), (i) => `${i.cluster}\u0000${i.namespace}\u0000${i.key}`),
    isIdentityKey: (pod, key) => {
      const rule = keyRule(pod.namespace, key)
      if (rule !== 'open') return rule === 'kept'
      const place = places.get(placeOf(pod))
      return place === undefined || !(place.generated.has(key) || place.perInstance.has(key))
    },
    identityLabels: (pod) => {
      let labels = cache.get(pod)
      if (labels === undefined) cache.set(pod, labels = reduce(pod, keyRule, places.get(placeOf(pod))))
      return labels
    },
  }
}

/** What was found out about a namespace. */
interface Place {
  /** Keys of which a generated value was seen. */
  readonly generated: ReadonlySet<string>
  /** Generated labels that stay although they look so, by the other labels of their pods: only they tell known controllers apart. */
  readonly restored: ReadonlyMap<string, ReadonlySet<string>>
  readonly perInstance: ReadonlyMap<string, string>
  readonly ignored: readonly IgnoredLabel[]
}

interface SplitPod {
  readonly pod: Identity
  readonly plain: Labels
  readonly generated: Labels
}

/** A pod's labels without the ignored ones: those that look generated apart from the others. */
function split(pod: Identity, keyRule: KeyRules): SplitPod {
  const plain: Record<string, string> = {}
  const generated: Record<string, string> = {}
  for (const key of Object.keys(pod.labels)) {
    const value = pod.labels[key] as string
    const rule = keyRule(pod.namespace, key)
    if (rule === 'kept') plain[key] = value
    else if (rule === 'open') (!NAMING_KEYS.has(key) && looksGenerated(value) ? generated : plain)[key] = value
  }
  return { pod, plain, generated }
}

function reduce(pod: Identity, keyRule: KeyRules, place: Place | undefined): Labels {
  const { plain, generated } = split(pod, keyRule)
  const labels: Record<string, string> = place === undefined ? plain : withRestored({ plain, generated }, place.restored)
  if (place === undefined || place.perInstance.size === 0) return labels
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !place.perInstance.has(key)))
}

function withRestored({ plain, generated }: Pick<SplitPod, 'plain' | 'generated'>, restored: Place['restored']): Record<string, string> {
  const keys = restored.size === 0 ? undefined : restored.get(labelsKey(plain))
  return keys === undefined ? plain : { ...plain, ...Object.fromEntries(Object.entries(generated).filter(([key]) => keys.has(key))) }
}

function judgePlace(members: readonly Identity[], keyRule: KeyRules, detect: boolean): Place {
  const pods = members.map((pod) => split(pod, keyRule))
  const restored = findRestored(pods)
  const described = pods.map((p): DescribedPod => ({ pod: p.pod, labels: withRestored(p, restored) }))
  const isOpen = (pod: Identity, key: string): boolean => !NAMING_KEYS.has(key) && keyRule(pod.namespace, key) === 'open'
  const perInstance = detect ? findPerInstanceKeys(described, isOpen) : new Map<string, string>()
  const examples = exampleOf(pods)
  const first = members[0] as Identity
  const kept = new Set([...restored.values()].flatMap((keys) => [...keys]))
  const configured = new Set(members.flatMap((pod) => Object.keys(pod.labels).filter((key) => keyRule(pod.namespace, key) === 'ignored-as-configured')))
  const ignored = (key: string, code: IgnoredLabel['code'], reason: string): IgnoredLabel => ({ cluster: first.cluster, namespace: first.namespace, key, code, reason })
  return {
    generated: new Set(examples.keys()), restored, perInstance,
    ignored: [
      ...[...configured].map((key) => ignored(key, 'configured', 'configured')),
      ...[...examples].filter(([key]) => !perInstance.has(key)).map(([key, value]) =>
        ignored(key, 'looks-generated', `values look generated: ${value}${kept.has(key) ? '; kept for controllers that only it tells apart' : ''}`)),
      ...[...perInstance].map(([key, reason]) => ignored(key, 'per-instance', reason)),
    ],
  }
}

/** The smallest generated value of each key that has one. */
function exampleOf(pods: readonly SplitPod[]): Map<string, string> {
  const examples = new Map<string, string>()
  for (const { generated } of pods) {
    for (const [key, value] of Object.entries(generated)) {
      const known = examples.get(key)
      if (known === undefined || compareText(value, known) < 0) examples.set(key, value)
    }
  }
  return examples
}

/** Generated labels that must stay, by the other labels of the pods: two known controllers would become one without them. */
function findRestored(pods: readonly SplitPod[]): Map<string, ReadonlySet<string>> {
  const restored = new Map<string, ReadonlySet<string>>()
  if (pods.every((p) => Object.keys(p.generated).length === 0)) return restored
  for (const [labels, alike] of groupedBy(pods, (p) => labelsKey(p.plain))) {
    const keys = tellingKeys(alike)
    if (keys.size > 0) restored.set(labels, keys)
  }
  return restored
}

/**
 * The generated labels that tell apart the controllers of pods which are otherwise alike: those in which no controller differs from itself, where they
 * suffice (a tenant's UID rather than a release's hash), else all in which controllers differ.
 */
function tellingKeys(alike: readonly SplitPod[]): ReadonlySet<string> {
  const byController = groupedBy(alike.filter((p) => knownController(p.pod) !== undefined), (p) => knownController(p.pod) ?? '')
  if (byController.size < 2) return new Set()
  const keys = [...new Set(alike.flatMap((p) => Object.keys(p.generated)))]
  const seen = new Map(keys.map((key) => [key, [...byController.values()].map((own) => [...new Set(own.map((p) => p.generated[key] ?? ''))].sort(compareText))] as const))
  const differing = keys.filter((key) => new Set(seen.get(key)?.map((values) => JSON.stringify(values))).size > 1)
  const constant = differing.filter((key) => seen.get(key)?.every((values) => values.length === 1) === true)
  const signatures = new Set([...byController.keys()].map((_, i) => JSON.stringify(constant.map((key) => seen.get(key)?.[i]))))
  return new Set(signatures.size === byController.size ? constant : differing)
}
