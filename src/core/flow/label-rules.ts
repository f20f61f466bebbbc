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

/** Keys that say what the application is; the others only qualify it. They are dropped only where the configuration says so. */
export const NAMING_KEYS: ReadonlySet<string> = new Set(['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'k8s-app', 'app', 'name'])

/** Patterns of label keys in which `*` stands for any text, also several times. */
export interface KeyPatterns {
  /** Not identity, in addition to the default list. */
  readonly ignore: readonly string[]
  /** Identity, although the default list or detection would drop them. Wins over `ignore` of the same level. */
  readonly keep: readonly string[]
}

/** The label rules that a person sets (docs/label-rules.md). */
export interface LabelRulesConfig extends KeyPatterns {
  /** False: only lists count, and values that look generated; no key is dropped for what its values do. */
  readonly detect: boolean
  /** Overrides by namespace, in which `*` stands for any text; they win over the lists above. */
  readonly namespaces: Readonly<Record<string, KeyPatterns>>
}

export const DEFAULT_LABEL_RULES: LabelRulesConfig = { ignore: [], keep: [], detect: true, namespaces: {} }

/** What lists say of a key: `open` leaves it to its values. */
export type KeyRule = 'kept' | 'ignored-by-default' | 'ignored-as-configured' | 'open'

/** Decides which labels tell workloads apart. A function of the set of identities, never of their order. */
export interface LabelRules {
  /** False for keys that pods of one workload may differ in: ignored ones, and those of which a generated value was seen in the pod's namespace. */
  isIdentityKey(pod: Identity, key: string): boolean
  /** The labels of a pod that selectors may use. */
  identityLabels(pod: Identity): Labels
}

/** Compiles the lists: what they say of a key in a namespace. The narrower list wins: the namespace's, the file's, then the default one. */
export function compileKeyRules(config: LabelRulesConfig): (namespace: string, key: string) => KeyRule {
  const byNamespace = new Map<string, (key: string) => KeyRule>()
  const overrides = Object.entries(config.namespaces)
  const compile = (namespace: string): ((key: string) => KeyRule) => {
    const own = overrides.filter(([pattern]) => matchesPattern(pattern, namespace)).map(([, lists]) => lists)
    const levels = [{ keep: own.flatMap((l) => l.keep), ignore: own.flatMap((l) => l.ignore) }, config]
    const cache = new Map<string, KeyRule>()
    return (key) => {
      let rule = cache.get(key)
      if (rule === undefined) cache.set(key, rule = ruleOf(key, levels))
      return rule
    }
  }
  return (namespace, key) => {
    let rules = byNamespace.get(namespace)
    if (rules === undefined) byNamespace.set(namespace, rules = compile(namespace))
    return rules(key)
  }
}

function ruleOf(key: string, levels: readonly KeyPatterns[]): KeyRule {
  for (const { keep, ignore } of levels) {
    if (keep.some((p) => matchesPattern(p, key))) return 'kept'
    if (ignore.some((p) => matchesPattern(p, key))) return 'ignored-as-configured'
  }
  return DEFAULT_IGNORED_LABELS.some((p) => matchesPattern(p, key)) ? 'ignored-by-default' : 'open'
}

/** True when the text is the pattern, with any text for each `*`. Cost: O(pattern x text) at most; patterns are few and short. */
export function matchesPattern(pattern: string, text: string): boolean {
  const parts = pattern.split('*')
  const [first = ''] = parts
  if (parts.length === 1) return text === pattern
  const last = parts.at(-1) ?? ''
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false
  const end = text.length - last.length
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at)
    if (found === -1 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
