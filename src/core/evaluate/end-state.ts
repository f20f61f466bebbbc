import { NAMESPACE_NAME_LABEL } from '../cluster/snapshot.ts'
import type { Labels } from '../flow/end.ts'
import { labelValue, matchRequirement } from '../policy/label-selector.ts'
import type { Direction } from '../policy/network-policy.ts'
import type { EvalEnd, Unknown } from './eval-end.ts'
import type { Certainty, CompiledPolicy, CompiledSelector, PolicyIndex } from './policy-index.ts'

/** A three-valued answer with what it depends on; `unknowns` is empty unless `maybe`. */
export interface Match {
  readonly certainty: Certainty
  readonly unknowns: readonly Unknown[]
}

export const YES: Match = { certainty: 'yes', unknowns: [] }
export const NO: Match = { certainty: 'no', unknowns: [] }

/** A policy that selects an end, certainly or maybe. */
export interface Selection {
  readonly policy: CompiledPolicy
  readonly match: Match
}

/** All policies that select an end in one direction, sorted by `ns/name`, with their names apart. */
export interface Selections {
  readonly all: readonly Selection[]
  readonly selectedBy: readonly string[]
  readonly maybeSelectedBy: readonly string[]
}

function selectionsOf(all: readonly Selection[]): Selections {
  const names = (isCertain: boolean): string[] => [...new Set(all.filter((s) => (s.match.certainty === 'yes') === isCertain).map((s) => s.policy.id))]
  return { all, selectedBy: names(true), maybeSelectedBy: names(false) }
}

/** Is the end of a connection a pod that policies may select? */
export function isPolicedPod(end: EvalEnd): boolean {
  return end.kind === 'pod' && !end.hostNetwork
}

/** What the policies of one compilation say about one end, computed once per end. */
export class EndState {
  readonly #end: EvalEnd
  readonly #namespaceLabels: Labels
  readonly #podMatches: (Match | undefined)[] = []
  readonly #namespaceMatches: (Match | undefined)[] = []
  readonly #selections: Partial<Record<Direction, Selections>> = {}
  #complete: EvalEnd | undefined

  constructor(end: EvalEnd) {
    this.#end = end
    // The name label is set by the API server and immutable: it overrides whatever the input says.
    this.#namespaceLabels = { ...end.namespaceLabels, [NAMESPACE_NAME_LABEL]: end.namespace }
  }

  /** The policies that select the end in one direction, sorted by `ns/name`. Only for pods and unknown ends. */
  selections(compiled: PolicyIndex, direction: Direction): Selections {
    let selections = this.#selections[direction]
    if (selections === undefined) {
      selections = selectionsOf(this.#findSelections(compiled, direction))
      this.#selections[direction] = selections
    }
    return selections
  }

  #findSelections(compiled: PolicyIndex, direction: Direction): Selection[] {
    const end = this.#end
    if (end.kind === 'unknown') {
      // Nothing certain: it may be a pod of this (or, without a namespace, any) namespace, or no pod at all.
      const policies = (end.namespace === '' ? compiled.everywhere : compiled.byNamespace.get(end.namespace))?.[direction] ?? []
      const match: Match = { certainty: 'maybe', unknowns: [{ kind: 'identity', end }] }
      return policies.filter((p) => p.subject.keys.every((k) => k.whenUnknown !== 'no')).map((policy) => ({ policy, match }))
    }
    if (!isPolicedPod(end)) return []
    const policies = compiled.byNamespace.get(end.namespace)?.[direction] ?? []
    return policies.map((policy) => ({ policy, match: this.matchPod(policy.subject) })).filter((s) => s.match.certainty !== 'no')
  }

  /** Does the selector match the end's own labels? */
  matchPod(selector: CompiledSelector): Match {
    let match = this.#podMatches[selector.id]
    if (match === undefined) {
      const end = this.#end
      match = matchLabels(selector, end.labels, end.labelsComplete, (key) => ({ kind: 'label', end, key }))
      this.#podMatches[selector.id] = match
    }
    return match
  }

  /** Does the selector match the labels of the end's namespace? */
  matchNamespace(selector: CompiledSelector): Match {
    let match = this.#namespaceMatches[selector.id]
    if (match === undefined) {
      const { namespace, namespaceLabelsComplete, settledNamespaceKeys } = this.#end
      const isComplete = (key: string): boolean => namespaceLabelsComplete || settledNamespaceKeys?.includes(key) === true
      match = matchLabels(selector, this.#namespaceLabels, isComplete, (key) => ({ kind: 'namespace-label', namespace, key }))
      this.#namespaceMatches[selector.id] = match
    }
    return match
  }

  /** The same end with every absent label certainly absent. */
  get complete(): EvalEnd {
    this.#complete ??= { ...this.#end, labelsComplete: () => true, namespaceLabelsComplete: true }
    return this.#complete
  }
}

function matchLabels(selector: CompiledSelector, labels: Labels, isComplete: (key: string) => boolean, unknownOf: (key: string) => Unknown): Match {
  let unknowns: Unknown[] | undefined
  for (const { key, requirements, whenUnknown } of selector.keys) {
    const value = labelValue(labels, key)
    if (value !== undefined || isComplete(key)) {
      for (const requirement of requirements) if (!matchRequirement(requirement, value)) return NO
    } else if (whenUnknown === 'no') return NO
    else if (whenUnknown === 'maybe') (unknowns ??= []).push(unknownOf(key))
  }
  return unknowns === undefined ? YES : { certainty: 'maybe', unknowns }
}

/** The states of the ends seen so far; an end that nobody holds any more is forgotten. */
export class EndStates {
  readonly #states = new WeakMap<EvalEnd, EndState>()

  of(end: EvalEnd): EndState {
    let state = this.#states.get(end)
    if (state === undefined) {
      state = new EndState(end)
      this.#states.set(end, state)
    }
    return state
  }
}
