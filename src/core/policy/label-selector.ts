import { compareText, sortedBy } from '../base/order.ts'
import type { Labels } from '../flow/end.ts'

export type LabelOperator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
export const LABEL_OPERATORS: readonly LabelOperator[] = ['In', 'NotIn', 'Exists', 'DoesNotExist']

export interface LabelRequirement {
  readonly key: string
  readonly operator: LabelOperator
  /** At least one for In and NotIn, none for the others. */
  readonly values: readonly string[]
}

/** A parsed label selector: all parts must hold; without parts it matches everything. */
export interface LabelSelector {
  readonly matchLabels: Labels
  readonly matchExpressions: readonly LabelRequirement[]
}

/** The value of a label, or `undefined` when the key is missing; keys such as `constructor` are only labels. */
export function labelValue(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined
}

/** One requirement on the value of its key; `undefined` = the key is missing. NotIn matches a missing key. */
export function matchRequirement(requirement: LabelRequirement, value: string | undefined): boolean {
  switch (requirement.operator) {
    case 'In': return value !== undefined && requirement.values.includes(value)
    case 'NotIn': return value === undefined || !requirement.values.includes(value)
    case 'Exists': return value !== undefined
    case 'DoesNotExist': return value === undefined
  }
}

/** True when the selector matches exactly these labels. `matchLabels {k: ""}` needs the key with the empty value. */
export function matchSelector(selector: LabelSelector, labels: Labels): boolean {
  for (const key of Object.keys(selector.matchLabels)) if (labelValue(labels, key) !== selector.matchLabels[key]) return false
  return selector.matchExpressions.every((r) => matchRequirement(r, labelValue(labels, r.key)))
}

/** All parts as requirements: matchLabels become In with one value. */
export function selectorRequirements(selector: LabelSelector): LabelRequirement[] {
  const exact = Object.entries(selector.matchLabels).map(([key, value]): LabelRequirement => ({ key, operator: 'In', values: [value] }))
  return [...exact, ...selector.matchExpressions]
}

export function isEmptySelector(selector: LabelSelector): boolean {
  return selector.matchExpressions.length === 0 && Object.keys(selector.matchLabels).length === 0
}

/** Keys, expressions and values in code-unit order, duplicates dropped. Matches what the given one matches. */
export function canonicalSelector(selector: LabelSelector): LabelSelector {
  const matchLabels: Record<string, string> = {}
  for (const [key, value] of Object.entries(selector.matchLabels).sort((a, b) => compareText(a[0], b[0]))) matchLabels[key] = value
  const expressions = new Map<string, LabelRequirement>()
  for (const { key, operator, values } of selector.matchExpressions) {
    const sorted = [...new Set(values)].sort(compareText)
    expressions.set(JSON.stringify([key, operator, sorted]), { key, operator, values: sorted })
  }
  return { matchLabels, matchExpressions: sortedBy(expressions, ([text]) => text).map(([, r]) => r) }
}

/** Canonical text: equal for selectors of equal parts in any order. */
export function selectorKey(selector: LabelSelector): string {
  const { matchLabels, matchExpressions } = canonicalSelector(selector)
  return JSON.stringify([Object.entries(matchLabels), matchExpressions.map((r) => [r.key, r.operator, r.values])])
}
