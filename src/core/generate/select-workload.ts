/**
 * Finds a selector that picks exactly one workload among all label sets known in its namespace.
 *
 * Identifying keys in a fixed preference order, as few as possible, one of them a key that names the application where there
 * is one (`version: v2` alone would take in every later v2); `matchLabels` where the workload has one value, `In` where its own label sets differ. Exact: every label set of the workload matches, none of any other workload does.
 * A label set that may lack labels its pods have (a Calico aggregate's, a template's) is certainly not matched only where it has another value; a selector
 * that is exact only if such labels are absent is taken where there is no better one, and says so.
 * Cost: O(subsets of keys x label sets of the namespace); the first single key usually decides.
 */
import { compareText } from '../base/order.ts'
import type { Labels } from '../flow/end.ts'
import { NAMING_KEYS } from '../flow/label-rules.ts'
import { collectRelevantKeys } from '../flow/workloads.ts'
import type { Workload } from '../flow/workloads.ts'
import { dnsLabelProblem } from '../policy/label-syntax.ts'

/** What the generator needs of a selector; printed as matchLabels and matchExpressions. */
export interface ExactSelector {
  readonly matchLabels: Labels
  readonly matchIn: readonly { readonly key: string; readonly values: readonly string[] }[]
  /** Exact only if labels that the label sets of other workloads may lack are really absent. */
  readonly assumesAbsent?: true
}

/** Keys that name a workload, best first; others follow alphabetically. */
const PREFERRED_KEYS: readonly string[] = [
  'app.kubernetes.io/name', 'app.kubernetes.io/instance', 'app.kubernetes.io/component', 'k8s-app', 'app', 'name', 'component', 'role', 'tier', 'release',
]

/** More keys than this at once are tried only all together. */
const MAX_TRIED_KEYS = 3

interface Term {
  readonly key: string
  readonly values: readonly string[]
}

/** A label set of the namespace that a selector must not match, unless it is the workload's own. */
interface Neighbour {
  readonly workload: Workload
  readonly labels: Labels
  /** Is a key that the set lacks certainly absent from its pods? */
  readonly isAbsent: (key: string) => boolean
}

/**
 * The selectors of all workloads that can have one, by workload key. `known`: every known workload of the cluster, because each of them
 * counts for exactness. A namespace that Kubernetes would refuse (from a hostile log) holds no policy and can be no peer.
 */
export function selectWorkloads(known: readonly Workload[]): Map<string, ExactSelector> {
  const relevantKeys = collectRelevantKeys(known)
  const byNamespace = new Map<string, Workload[]>()
  for (const w of known) {
    const members = byNamespace.get(w.namespace)
    if (members === undefined) byNamespace.set(w.namespace, [w])
    else members.push(w)
  }
  const selectors = new Map<string, ExactSelector>()
  for (const [namespace, members] of byNamespace) {
    if (!isNamespaceName(namespace)) continue
    const neighbours = members.flatMap((w) => neighboursOf(w, relevantKeys))
    for (const workload of members) {
      const selector = findExactSelector(workload, neighbours)
      if (selector !== undefined) selectors.set(workload.key, selector)
    }
  }
  return selectors
}

export function isNamespaceName(text: string): boolean {
  return dnsLabelProblem(text) === undefined
}

function neighboursOf(workload: Workload, relevantKeys: ReadonlySet<string>): Neighbour[] {
  return workload.labelSets.map((labels, i) => {
    const quality = workload.setQualities[i]
    return { workload, labels, isAbsent: (key) => quality === 'full' || (quality === 'identity-subset' && relevantKeys.has(key)) }
  })
}

/** `undefined` when no selector of identity labels is exact, even if labels that may be missing are absent. */
function findExactSelector(workload: Workload, neighbours: readonly Neighbour[]): ExactSelector | undefined {
  const terms = candidateTerms(workload)
  if (terms.length === 0) return undefined
  const exactness = (subset: readonly Term[]): Exactness => exactnessOf(subset, neighbours, workload)
  let fallback: readonly Term[] | undefined
  for (let size = 1; size <= Math.min(MAX_TRIED_KEYS, terms.length); size++) {
    for (const subset of subsets(terms, size)) {
      const found = names(subset, terms) ? exactness(subset) : 'no'
      if (found === 'certain') return toSelector(subset)
      if (found === 'assumed') fallback ??= subset
    }
  }
  if (terms.length > MAX_TRIED_KEYS) {
    const found = exactness(terms)
    if (found === 'certain') return toSelector(dropNeedless(terms, (subset) => exactness(subset) === 'certain'))
    if (found === 'assumed') fallback ??= dropNeedless(terms, (subset) => exactness(subset) !== 'no')
  }
  return fallback === undefined ? undefined : { ...toSelector(fallback), assumesAbsent: true }
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

const matches = (term: Term, labels: Labels): boolean => Object.hasOwn(labels, term.key) && term.values.includes(labels[term.key] as string)

/** `assumed`: no known label set of another workload matches, but pods of one may, if they carry labels that the set lacks. */
type Exactness = 'certain' | 'assumed' | 'no'

function exactnessOf(terms: readonly Term[], neighbours: readonly Neighbour[], workload: Workload): Exactness {
  let isCertain = true
  for (const neighbour of neighbours) {
    if (neighbour.workload === workload) continue
    const excluding = terms.find((t) => !matches(t, neighbour.labels) && (Object.hasOwn(neighbour.labels, t.key) || neighbour.isAbsent(t.key)))
    if (excluding !== undefined) continue
    if (terms.every((t) => matches(t, neighbour.labels))) return 'no'
    isCertain = false
  }
  return isCertain ? 'certain' : 'assumed'
}

function dropNeedless(terms: readonly Term[], isExact: (subset: readonly Term[]) => boolean): Term[] {
  let kept = [...terms]
  for (const term of [...terms].reverse()) {
    const without = kept.filter((t) => t !== term)
    if (names(without, terms) && without.length > 0 && isExact(without)) kept = without
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
