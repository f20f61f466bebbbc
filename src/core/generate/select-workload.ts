/**
 * Finds a selector that picks exactly one workload among all label sets known in its namespace.
 *
 * Identifying keys in a fixed preference order, as few as possible, one of them a key that names the application where there
 * is one (`version: v2` alone would take in every later v2); `matchLabels` where the workload has one value, `In` where its own label sets differ. Exact: every label set of the workload matches, none of any other workload does.
 * Cost: O(subsets of keys x label sets of the namespace); the first single key usually decides.
 */
import { compareText } from '../base/order.ts'
import type { Labels } from '../flow/end.ts'
import type { Workload } from '../flow/workloads.ts'

/** What the generator needs of a selector; printed as matchLabels and matchExpressions. */
export interface ExactSelector {
  readonly matchLabels: Labels
  readonly matchIn: readonly { readonly key: string; readonly values: readonly string[] }[]
}

/** Keys that name a workload, best first; others follow alphabetically. */
const PREFERRED_KEYS: readonly string[] = [
  'app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/component', 'k8s-app', 'app', 'name', 'component', 'role', 'tier', 'release',
]

/** Keys that say what the application is; the others only qualify it. */
const NAMING_KEYS = new Set(['app.kubernetes.io/name', 'app.kubernetes.io/instance', 'k8s-app', 'app', 'name'])

/** More keys than this at once are tried only all together. */
const MAX_TRIED_KEYS = 3

interface Term {
  readonly key: string
  readonly values: readonly string[]
}

/** `undefined` when no selector of identity labels is exact. `others`: the label sets of every other workload of the namespace. */
export function findExactSelector(workload: Workload, others: readonly Labels[]): ExactSelector | undefined {
  const terms = candidateTerms(workload)
  if (terms.length === 0) return undefined
  for (let size = 1; size <= Math.min(MAX_TRIED_KEYS, terms.length); size++) {
    for (const subset of subsets(terms, size)) if (names(subset, terms) && isExact(subset, others)) return toSelector(subset)
  }
  return terms.length > MAX_TRIED_KEYS && isExact(terms, others) ? toSelector(dropNeedless(terms, others)) : undefined
}

function candidateTerms(workload: Workload): Term[] {
  const [first, ...rest] = workload.labelSets
  if (first === undefined) return []
  const keys = Object.keys(first).filter((k) => rest.every((labels) => Object.hasOwn(labels, k)) && isLabelKey(k))
  const rank = (key: string): string => {
    const index = PREFERRED_KEYS.indexOf(key)
    return `${String(index === -1 ? PREFERRED_KEYS.length : index).padStart(2, '0')}${key}`
  }
  return keys
    .sort((a, b) => compareText(rank(a), rank(b)))
    .map((key) => ({ key, values: [...new Set(workload.labelSets.map((labels) => labels[key] as string))].sort(compareText) }))
    .filter((term) => term.values.every(isLabelValue))
    // One value before several: `In` lists must be kept up to date by hand.
    .sort((a, b) => Math.min(a.values.length, 2) - Math.min(b.values.length, 2))
}

function* subsets(terms: readonly Term[], size: number, from = 0): Generator<Term[]> {
  if (size === 0) {
    yield []
    return
  }
  for (let i = from; i <= terms.length - size; i++) {
    for (const rest of subsets(terms, size - 1, i + 1)) yield [terms[i] as Term, ...rest]
  }
}

/** True when the subset holds a naming key, or there is none to hold. */
function names(subset: readonly Term[], terms: readonly Term[]): boolean {
  const isNaming = (t: Term): boolean => NAMING_KEYS.has(t.key)
  return subset.some(isNaming) || !terms.some(isNaming)
}

function isExact(terms: readonly Term[], others: readonly Labels[]): boolean {
  return others.every((labels) => terms.some((t) => !Object.hasOwn(labels, t.key) || !t.values.includes(labels[t.key] as string)))
}

function dropNeedless(terms: readonly Term[], others: readonly Labels[]): Term[] {
  let kept = [...terms]
  for (const term of [...terms].reverse()) {
    const without = kept.filter((t) => t !== term)
    if (names(without, terms) && without.length > 0 && isExact(without, others)) kept = without
  }
  return kept
}

function toSelector(terms: readonly Term[]): ExactSelector {
  const single = terms.filter((t) => t.values.length === 1).sort((a, b) => compareText(a.key, b.key))
  const several = terms.filter((t) => t.values.length > 1).sort((a, b) => compareText(a.key, b.key))
  return {
    matchLabels: Object.fromEntries(single.map((t) => [t.key, t.values[0] as string])),
    matchIn: several.map((t) => ({ key: t.key, values: t.values })),
  }
}

const NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/
const PREFIX = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/

/** Kubernetes label key syntax; a log may carry anything (T16). */
export function isLabelKey(key: string): boolean {
  const slash = key.indexOf('/')
  if (slash === -1) return NAME.test(key)
  const prefix = key.slice(0, slash)
  return prefix.length <= 253 && PREFIX.test(prefix) && NAME.test(key.slice(slash + 1))
}

export function isLabelValue(value: string): boolean {
  return value === '' || NAME.test(value)
}
