import { describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { parseYaml } from '../../src/manifests/parse-documents.ts'
import { printYaml } from '../../src/manifests/print-manifests.ts'

describe('printing YAML', () => {
  test('keeps the order of keys, separates documents and has no closing marker', () => {
    expect(printYaml([{ b: 1, a: { d: [], c: {} } }, { list: [{ x: 'z' }] }])).toBe('b: 1\na:\n  d: []\n  c: {}\n---\nlist:\n  - x: z\n')
    expect(printYaml([])).toBe('')
  })

  const odd = ['yes', 'no', 'on', 'off', 'y', 'n', 'true', 'null', '~', '', ' ', '1', '1.0', '1e3', '0x10', '010', '0o17', '1_000', '1:30', '2001-01-01', '.inf', '---', '- a', 'a: b', '#x', '*a', '&a', '!x', '%x', '@x', '`x', '{', '[', 'multi\nline', 'tail ', '\ttab', '\u0000', 'é', 'a\u2028b', `${'long '.repeat(60)}`, '<<', '=']

  test('every text comes back as the same text, for readers of YAML 1.2 and 1.1', () => {
    const printed = printYaml(odd.map((value) => ({ value, list: [value] })))
    expect(parseYaml(printed)).toEqual(odd.map((value) => ({ value, list: [value] })))
    for (const value of odd) expect(parse(printYaml([{ value }]), { version: '1.1' })).toEqual({ value })
  })

  test('shared objects are written out, never as aliases', () => {
    const shared = { matchLabels: { app: 'web' } }
    expect(printYaml([{ a: shared, b: shared }])).toBe('a:\n  matchLabels:\n    app: web\nb:\n  matchLabels:\n    app: web\n')
  })
})
