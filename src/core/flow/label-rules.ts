import type { Labels } from './end.ts'
import type { Identity } from './identity.ts'

/**
 * Label keys that name an instance, a release or a tool rather than a workload: a selector on them breaks at the next
 * rollout. `*` stands for any text. `app.kubernetes.io/instance` and `release` are identity: they tell two releases of one chart apart.
 */
export const DEFAULT_IGNORED_LABELS: readonly string[] = [
  'pod-template-hash', 'controller-revision-hash', 'pod-template-generation', 'controller-uid', 'job-name',
  'batch.kubernetes.io/job-name', 'batch.kubernetes.io/controller-uid', 'batch.kubernetes.io/job-completion-index',
  'statefulset.kubernetes.io/pod-name', 'apps.kubernetes.io/pod-index',
  'topology.kubernetes.io/region', 'topology.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/*', 'scheduler.alpha.kubernetes.io/node-selector',
  'helm.sh/chart', 'app.kubernetes.io/version', 'app.kubernetes.io/managed-by', 'app.kubernetes.io/created-by', 'app.kubernetes.io/owner',
  'app.kubernetes.io/revision', 'heritage', 'chart', 'rollouts-pod-template-hash', 'workflows.argoproj.io/*',
  'security.istio.io/tlsMode', 'service.istio.io/canonical-revision', 'intents.otterize.com/*',
  'io.cilium.k8s.*', 'io.kubernetes.pod.namespace', 'k8s:*', 'io.cilium*',
]

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
/** Kubernetes' own hash alphabet (no vowels, no 0, 1, 3), as in pod-template-hash; a digit is required so that words do not count. */
const KUBERNETES_HASH = /^(?=.*\d)(?=.*[a-z])[bcdfghjklmnpqrstvwxz2456789]{8,10}$/
const HEX_HASH = /^(?=.*\d)(?=.*[a-f])[0-9a-f]{12,64}$/
const LONG_NUMBER = /^\d{8,}$/

/** True for text that looks like a hash, a UUID or a long counter. */
export function looksGenerated(value: string): boolean {
  return UUID.test(value) || KUBERNETES_HASH.test(value) || HEX_HASH.test(value) || LONG_NUMBER.test(value)
}

/** Keys that say what the application is; the others only qualify it. */
export const NAMING_KEYS: ReadonlySet<string> = new Set(['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'k8s-app', 'app', 'name'])

/** Decides which labels tell workloads apart. Built from patterns and the set of identities, never from their order. */
export interface LabelRules {
  /** False for keys of the ignore list and for keys of which a generated value was seen: pods of one workload may differ in them. */
  isIdentityKey(key: string): boolean
  /** The labels that selectors may use: keys not ignored, values that do not look generated (naming keys may hold any). */
  identityLabels(labels: Labels): Labels
}

/** Which labels of a pod are kept depends on that pod alone, so that no other pod can split a workload. Cost: O(identities x labels). */
export function compileLabelRules(identities: Iterable<Identity>, patterns: readonly string[] = DEFAULT_IGNORED_LABELS): LabelRules {
  const exact = new Set(patterns.filter((p) => !p.endsWith('*')))
  const prefixes = patterns.filter((p) => p.endsWith('*')).map((p) => p.slice(0, -1))
  const generated = keysWithGeneratedValues(identities)
  const cache = new Map<string, boolean>()
  const isIgnored = (key: string): boolean => {
    let known = cache.get(key)
    if (known === undefined) {
      known = exact.has(key) || prefixes.some((p) => key.startsWith(p))
      cache.set(key, known)
    }
    return known
  }
  const identityLabels = (labels: Labels): Labels => {
    const kept: Record<string, string> = {}
    for (const key of Object.keys(labels)) {
      const value = labels[key] as string
      if (!isIgnored(key) && !isGenerated(key, value)) kept[key] = value
    }
    return kept
  }
  return { isIdentityKey: (key) => !isIgnored(key) && !generated.has(key), identityLabels }
}

function isGenerated(key: string, value: string): boolean {
  return !NAMING_KEYS.has(key) && looksGenerated(value)
}

function keysWithGeneratedValues(identities: Iterable<Identity>): Set<string> {
  const keys = new Set<string>()
  for (const { labels } of identities) {
    for (const key of Object.keys(labels)) if (!keys.has(key) && isGenerated(key, labels[key] as string)) keys.add(key)
  }
  return keys
}
