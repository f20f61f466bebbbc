import { describe, expect, test } from '@jest/globals'
import { compileKeyRules, DEFAULT_LABEL_RULES, matchesPattern } from '../../../src/core/flow/label-rules.ts'
import { createRandom, rounds } from '../../support/random.ts'

describe('the lists of label rules', () => {
  test('per-instance and per-release keys are ignored by default; instance and release are not', () => {
    const rule = compileKeyRules(DEFAULT_LABEL_RULES)
    const ignored = ['pod-template-hash', 'helm.sh/chart', 'app.kubernetes.io/version', 'failure-domain.beta.kubernetes.io/zone', 'workflows.argoproj.io/workflow', 'io.cilium.k8s.policy.cluster']
    expect(ignored.map((key) => rule('shop', key))).toEqual(ignored.map(() => 'ignored-by-default'))
    expect(['app', 'app.kubernetes.io/instance', 'release'].map((key) => rule('shop', key))).toEqual(['open', 'open', 'open'])
  })

  test('the narrower list wins, and keep wins within a list', () => {
    const rule = compileKeyRules({
      ignore: ['example.com/*', 'track'], keep: ['app.kubernetes.io/version', 'example.com/team'], detect: true,
      namespaces: { shop: { ignore: ['example.com/team'], keep: ['track'] }, 'dev-*': { ignore: ['tier'], keep: [] } },
    })
    const keys = ['example.com/team', 'example.com/build', 'track', 'app.kubernetes.io/version', 'tier']
    expect(keys.map((key) => rule('shop', key))).toEqual(['ignored-as-configured', 'ignored-as-configured', 'kept', 'kept', 'open'])
    expect(keys.map((key) => rule('dev-1', key))).toEqual(['kept', 'ignored-as-configured', 'ignored-as-configured', 'kept', 'ignored-as-configured'])
  })

  test.each([
    ['a*c', 'abc', true], ['a*c', 'ac', true], ['a*c', 'abd', false], ['*', '', true], ['ab*ba', 'aba', false], ['*x*', 'axb', true], ['*x*y*', 'ayxb', false],
    ['a.c', 'abc', false], ['', '', true], ['', 'a', false], ['**', 'anything', true],
  ])('pattern %s on %s: %s', (pattern, text, expected) => {
    expect(matchesPattern(pattern, text)).toBe(expected)
  })

  test('patterns agree with the regular expression that says the same', () => {
    const random = createRandom(5)
    for (let i = 0; i < rounds({ small: 3000, full: 100_000 }); i++) {
      const text = (length: number, letters: readonly string[]): string => Array.from({ length: random.int(length) }, () => random.pick(letters)).join('')
      const pattern = text(6, ['a', 'b', '*'])
      const subject = text(8, ['a', 'b'])
      expect({ pattern, subject, is: matchesPattern(pattern, subject) }).toEqual({ pattern, subject, is: new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(subject) })
    }
  })
})
