import type { Labels } from '../flow/end.ts'
import { LABEL_OPERATORS } from './label-selector.ts'
import type { LabelOperator, LabelRequirement, LabelSelector } from './label-selector.ts'
import { labelKeyProblem, labelValueProblem } from './label-syntax.ts'
import type { ObjectReader } from '../base/object-reader.ts'

/** Parses a label selector that is present; absence is the caller's business, because it means something else than `{}`. */
export function parseSelector(value: unknown, field: string, reader: ObjectReader): LabelSelector {
  const object = reader.object(value, field, ['matchLabels', 'matchExpressions'])
  const matchLabels = parseLabels(object.matchLabels, `${field}.matchLabels`, reader)
  const matchExpressions: LabelRequirement[] = []
  for (const [i, item] of reader.list(object.matchExpressions, `${field}.matchExpressions`).entries()) {
    const requirement = parseRequirement(item, `${field}.matchExpressions[${i}]`, reader)
    if (requirement !== undefined) matchExpressions.push(requirement)
  }
  return { matchLabels, matchExpressions }
}

/** Labels with their syntax checked. */
export function parseLabels(value: unknown, field: string, reader: ObjectReader): Labels {
  const labels = reader.texts(value, field)
  for (const [key, text] of Object.entries(labels)) {
    const keyProblem = labelKeyProblem(key)
    if (keyProblem !== undefined) reader.invalid(field, key, keyProblem)
    const valueProblem = labelValueProblem(text)
    if (valueProblem !== undefined) reader.invalid(field, text, valueProblem)
  }
  return labels
}

function parseRequirement(value: unknown, field: string, reader: ObjectReader): LabelRequirement | undefined {
  const object = reader.object(value, field, ['key', 'operator', 'values'])
  const key = reader.text(object.key, `${field}.key`) ?? ''
  const keyProblem = labelKeyProblem(key)
  if (keyProblem !== undefined) reader.invalid(`${field}.key`, key, keyProblem)
  const values: string[] = []
  for (const [i, item] of reader.list(object.values, `${field}.values`).entries()) {
    const text = reader.text(item, `${field}.values[${i}]`) ?? ''
    const problem = labelValueProblem(text)
    if (problem !== undefined) reader.invalid(`${field}.values[${i}]`, text, problem)
    values.push(text)
  }
  const operator = object.operator
  if (!isOperator(operator)) {
    reader.invalid(`${field}.operator`, operator ?? '', `not a valid selector operator: use one of ${LABEL_OPERATORS.join(', ')}`)
    return undefined
  }
  const needsValues = operator === 'In' || operator === 'NotIn'
  if (needsValues && values.length === 0) reader.add(`${field}.values`, 'Required value: must be specified when `operator` is \'In\' or \'NotIn\'')
  if (!needsValues && values.length > 0) reader.add(`${field}.values`, 'Forbidden: may not be specified when `operator` is \'Exists\' or \'DoesNotExist\'')
  return { key, operator, values }
}

function isOperator(value: unknown): value is LabelOperator {
  return LABEL_OPERATORS.some((o) => o === value)
}
