import { describe, expect, test } from '@jest/globals'
import { isEmptySelector, matchSelector, selectorKey } from '../../../src/core/policy/label-selector.ts'
import type { LabelOperator, LabelSelector } from '../../../src/core/policy/label-selector.ts'

function expression(key: string, operator: LabelOperator, ...values: string[]): LabelSelector {
  return { matchLabels: {}, matchExpressions: [{ key, operator, values }] }
}

describe('label selectors', () => {
  test.each([
    ['In', ['x', 'y'], [true, false, false]],
    ['NotIn', ['x', 'y'], [false, true, true]],
    ['Exists', [], [true, true, false]],
    ['DoesNotExist', [], [false, false, true]],
  ] as const)('%s %j on a listed value, another value and a missing key: %j', (operator, values, expected) => {
    const selector = expression('a', operator, ...values)
    expect([matchSelector(selector, { a: 'x' }), matchSelector(selector, { a: 'z' }), matchSelector(selector, { b: 'x' })]).toEqual(expected)
  })

  test('all parts must hold; no part matches everything, also pods without labels', () => {
    const both: LabelSelector = { matchLabels: { a: 'x' }, matchExpressions: [{ key: 'b', operator: 'Exists', values: [] }] }
    expect([matchSelector(both, { a: 'x' }), matchSelector(both, { a: 'x', b: '' })]).toEqual([false, true])
    const empty: LabelSelector = { matchLabels: {}, matchExpressions: [] }
    expect([matchSelector(empty, {}), isEmptySelector(empty), isEmptySelector(both)]).toEqual([true, true, false])
  })

  test('an empty value needs the key', () => {
    expect([matchSelector({ matchLabels: { a: '' }, matchExpressions: [] }, { a: '' }), matchSelector({ matchLabels: { a: '' }, matchExpressions: [] }, {})]).toEqual([true, false])
  })

  test('keys that every object inherits are not labels', () => {
    expect([matchSelector(expression('toString', 'Exists'), {}), matchSelector(expression('constructor', 'DoesNotExist'), {})]).toEqual([false, true])
  })

  test('equal parts in any order have one key, different ones different keys', () => {
    const a: LabelSelector = { matchLabels: { x: '1', y: '2' }, matchExpressions: [{ key: 'k', operator: 'In', values: ['b', 'a'] }] }
    const b: LabelSelector = { matchLabels: { y: '2', x: '1' }, matchExpressions: [{ key: 'k', operator: 'In', values: ['a', 'b', 'a'] }] }
    expect(selectorKey(a)).toBe(selectorKey(b))
    expect(selectorKey(expression('k', 'In', 'a'))).not.toBe(selectorKey(expression('k', 'NotIn', 'a')))
  })
})
