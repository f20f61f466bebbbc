import { describe, expect, test } from '@jest/globals'
import { flowOf, type Json } from '../hubble-records.ts'

function row(changes: Json = {}): Json {
  return {
    start_time: 1_767_323_045, end_time: 1_767_323_345, source_name: '-', source_name_aggr: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_type: 'wep',
    dest_name: '-', dest_name_aggr: 'db-*', dest_namespace: 'shop', dest_port: 5432, dest_type: 'wep', proto: 'tcp', action: 'allow', reporter: 'dst', ...changes,
  }
}

/** The verdict of a row without action, by its enforced hits. */
function decided(...enforced_policies: unknown[]): string {
  return flowOf(row({ action: undefined, policies: { enforced_policies } })).observedVerdict
}

describe('policy hits of a row without action', () => {
  test('decide in the order of their indices, not of the list; passing on decides nothing', () => {
    expect(decided('0|t|shop/t.a|pass|0', '1|default|shop/default.b|allow|2')).toBe('allowed')
    expect(decided('10|default|shop/default.b|deny|2', '2|t|shop/t.a|allow|0')).toBe('denied')
    expect(decided('2|t|shop/t.a|allow|0', '10|default|shop/default.b|deny|2')).toBe('denied')
    expect(decided('0|t|shop/t.a|pass|0')).toBe('unknown')
    expect(decided()).toBe('unknown')
  })

  const names = [
    'shop/default.x', 'shop/knp.default.x', 'default.x', '__PROFILE__.kns.shop', // before kinds were written
    'np:shop/x', 'gnp:x', 'knp:shop/x', 'kcnp:x', 'pro:kns.shop', 'eot:x',
  ]
  test.each(names)('%s decides, with and without the rule', (name) => {
    expect(decided(`0|default|${name}|allow|0`)).toBe('allowed')
    expect(decided(`0|default|${name}|deny|-1`)).toBe('denied')
    expect(decided(`0|default|${name}|allow`)).toBe('allowed')
  })

  test.each(['shop/staged:default.x', 'staged:default.x', 'shop/staged:knp.default.x', 'snp:shop/x', 'sgnp:x', 'sknp:shop/x'])('%s is staged and hypothetical', (name) => {
    expect(decided(`0|default|${name}|deny|0`)).toBe('unknown')
    expect(decided('0|default|shop/default.y|allow|0', `1|default|${name}|deny|0`)).toBe('allowed')
  })

  test('a profile allows: no policy applied (T23)', () => {
    expect(decided('0|__PROFILE__|__PROFILE__.kns.shop|allow|0')).toBe('allowed')
  })

  test('the end of a tier denies by default, whatever policy it names', () => {
    expect(decided('1|default|shop/default.any|deny|-1', '0|t|shop/t.a|pass|0')).toBe('denied')
  })

  test('two in one place that disagree decide nothing', () => {
    expect(decided('0|default|shop/default.a|allow|0', '0|default|shop/default.b|deny|0')).toBe('unknown')
  })

  test('older rows list all policies, staged ones among them', () => {
    const older = (...all_policies: string[]): string => flowOf(row({ action: null, policies: { all_policies } })).observedVerdict
    expect(older('0|default|shop/default.a|allow', '1|default|shop/staged:default.b|deny')).toBe('allowed')
    expect(older('0|default|shop/staged:default.b|allow')).toBe('unknown')
  })

  test.each(['', '|', '0', '0|default', '0|default|x', '0|default|x|', 'a|default|x|allow|0', '-1|default|x|allow|0', '0|default||allow|0', '0|default|x|ALLOW|0', `0|default|${'x'.repeat(5000)}|allow|0`, 5, null, {}, [[]]])(
    'malformed hits decide nothing and refuse nothing: %j', (hit) => {
      expect(decided(hit)).toBe('unknown')
      expect(decided(hit, '0|default|shop/default.a|deny|0')).toBe('denied')
    })
})

describe('policy hits of a row with action', () => {
  const verdict = (action: string, policies: Json): string => flowOf(row({ action, policies })).observedVerdict

  test('an action wins over staged and pending hits', () => {
    expect(verdict('allow', { enforced_policies: ['0|default|shop/default.a|allow|0'], pending_policies: ['0|default|shop/default.a|deny|0'] })).toBe('allowed')
    expect(verdict('allow', { all_policies: ['0|default|shop/staged:default.a|deny|0', '1|__PROFILE__|__PROFILE__.kns.shop|allow|0'] })).toBe('allowed')
    expect(verdict('deny', { enforced_policies: ['0|default|shop/default.a|deny|0'] })).toBe('denied')
  })

  test('an allow that every enforced hit contradicts is no evidence', () => {
    expect(verdict('allow', { enforced_policies: ['0|default|shop/default.a|deny|0'] })).toBe('unknown')
    expect(verdict('allow', { all_policies: ['0|default|shop/default.a|deny', '1|default|shop/default.b|pass'] })).toBe('unknown')
    expect(verdict('allow', { enforced_policies: ['0|default|shop/default.a|deny|0', '1|default|shop/default.b|allow|0'] })).toBe('allowed')
  })

  test('hits of forwarding through the host say nothing about the connection\'s ends', () => {
    expect(verdict('allow', { transit_policies: ['0|default|default.a|deny|0'] })).toBe('allowed')
  })
})
