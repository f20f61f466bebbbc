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

/** Decides which labels tell workloads apart. Built from patterns and the set of identities, never from their order. */
export interface LabelRules {
  isIdentityKey(key: string): boolean
  /** The labels that selectors may use. */
  identityLabels(labels: Labels): Labels
}

/** Patterns, plus every key whose values all look generated. Cost: O(identities x labels). */
export function compileLabelRules(identities: Iterable<Identity>, patterns: readonly string[] = DEFAULT_IGNORED_LABELS): LabelRules {
  const exact = new Set(patterns.filter((p) => !p.endsWith('*')))
  const prefixes = patterns.filter((p) => p.endsWith('*')).map((p) => p.slice(0, -1))
  const generated = keysWithGeneratedValues(identities)
  const cache = new Map<string, boolean>()
  const isIdentityKey = (key: string): boolean => {
    let known = cache.get(key)
    if (known === undefined) {
      known = !exact.has(key) && !generated.has(key) && !prefixes.some((p) => key.startsWith(p))
      cache.set(key, known)
    }
    return known
  }
  const identityLabels = (labels: Labels): Labels => {
    const kept: Record<string, string> = {}
    for (const key of Object.keys(labels)) if (isIdentityKey(key)) kept[key] = labels[key] as string
    return kept
  }
  return { isIdentityKey, identityLabels }
}

function keysWithGeneratedValues(identities: Iterable<Identity>): Set<string> {
  const allGenerated = new Map<string, boolean>()
  for (const identity of identities) {
    for (const key of Object.keys(identity.labels)) {
      if (allGenerated.get(key) === false) continue
      allGenerated.set(key, looksGenerated(identity.labels[key] as string))
    }
  }
  return new Set([...allGenerated].filter(([, all]) => all).map(([key]) => key))
}
