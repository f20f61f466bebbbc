import { expect, test } from '@jest/globals'
import { isVocabulary, looksGenerated, looksLikeShortHash } from '../../../src/core/flow/label-shapes.ts'

test.each([
  ['6b687c8dcb', true], ['755cdc7957', true], ['0b0c3a52-8f3f-4b2e-9d53-1f0f6f0f6f0f', true], ['28391234', true], ['catalogue', false],
  ['mysql', false], ['v1', false], ['3f2a9c81d4e0b7aa', true], ['redis-cart', false], ['10.0.3.17', true], ['ip-10-0-3-17.ec2.internal', true], ['10-0-3-17', true],
  ['2026-03-01', true], ['2026-03-01T10.15.00Z', true], ['2026-march', false], ['worker-3', false], ['1.2.3', false],
])('%s looks generated: %s', (value, expected) => {
  expect(looksGenerated(value)).toBe(expected)
})

test('a short hash is one only in the company of others: words look like it', () => {
  expect(['a1b2c3d', 'ed25519', 'decade', '1234567'].map(looksLikeShortHash)).toEqual([true, true, false, false])
})

test('a few plain words are a vocabulary, numbers and many words are not', () => {
  expect([['primary', 'replica'], ['v1', 'v2'], [...'abcdefghi']].map((values) => isVocabulary(new Set(values)))).toEqual([true, false, false])
})
