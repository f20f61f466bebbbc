import { expect, describe, test } from '@jest/globals'
import { sharedPath, describeShared } from '../../../support/shared.ts'
import { readFileSync } from 'node:fs'
import { flowOf, normalize, verdictOf } from '../hubble-records.ts'

const COLUMNS = [
  'start', 'end', 'sourceType', 'sourceNamespace', 'sourceName', 'sourceLabels', 'destType', 'destNamespace', 'destName', 'destLabels', 'sourceIp', 'destIp',
  'proto', 'sourcePort', 'destPort', 'flows', 'started', 'completed', 'reporter', 'packetsIn', 'packetsOut', 'bytesIn', 'bytesOut', 'action',
] as const
const ROW = '1767323045 1767323345 wep shop web-7d4b9c6f58-* - wep shop db-* - - - 6 - 5432 7 3 4 out 154 61 70111 49404 allow'.split(' ')

/** A line of the default aggregation, with columns changed. */
function line(changes: Partial<Record<(typeof COLUMNS)[number], string>> = {}): string {
  return COLUMNS.map((name, i) => changes[name] ?? ROW[i]).join(' ')
}

describe('space-delimited lines', () => {
  test('become records like rows do', () => {
    expect(flowOf(line())).toMatchObject({
      kind: 'flow', format: 'calico-enterprise', firstAtUs: 1_767_323_045_000_000, lastAtUs: 1_767_323_345_000_000, initiatorIp: '', responderIp: '', initiatorPod: '',
      protocol: 'TCP', port: 5432, orientation: 'conntrack', side: 'client', observedVerdict: 'allowed', node: '', flows: 3,
      initiator: { kind: 'pod', namespace: 'shop', labels: {}, labelQuality: 'none', workload: { kind: 'Deployment', name: 'web' } }, responder: { workload: { kind: 'Workload', name: 'db' } },
    })
    expect(flowOf(line({ reporter: 'in', action: 'deny' }))).toMatchObject({ side: 'server', observedVerdict: 'denied' })
  })

  test('may name pods, addresses, ports and labels', () => {
    expect(flowOf(line({ sourceName: 'web-7d4b9c6f58-x2k9p', sourceIp: '10.0.1.10', sourcePort: '40000', sourceLabels: '[app=web,note=a=b]', destIp: '10.0.2.20', destLabels: '[]' }))).toMatchObject({
      initiatorPod: 'web-7d4b9c6f58-x2k9p', initiatorIp: '10.0.1.10', responderIp: '10.0.2.20',
      initiator: { labels: { app: 'web', note: 'a=b' }, labelQuality: 'full' }, responder: { labels: {}, labelQuality: 'intersection' },
    })
  })

  test('write aggregates with or without the dash before "*"', () => {
    expect(flowOf(line({ sourceName: 'web-7d4b9c6f58*' })).initiator).toBe(flowOf(line()).initiator)
  })

  test('know networks as types, hosts and network sets', () => {
    expect(flowOf(line({ destType: 'pub', destNamespace: '-', destName: '-', destIp: '203.0.113.9' }))).toMatchObject({ responder: { kind: 'external', name: '' }, responderIp: '203.0.113.9' })
    expect(flowOf(line({ destType: 'pvt', destNamespace: '-', destName: '-' })).responder).toMatchObject({ kind: 'external', name: 'pvt' })
    expect(flowOf(line({ destType: 'net', destNamespace: '-', destName: 'pvt' })).responder).toMatchObject({ kind: 'external', name: 'pvt' })
    expect(flowOf(line({ sourceType: 'hep', sourceNamespace: '-', sourceName: 'node-1' })).initiator.kind).toBe('node')
    expect(flowOf(line({ destType: 'ns', destNamespace: '-', destName: 'partners' })).responder).toMatchObject({ kind: 'networkset', name: 'partners' })
  })

  test('are the same record when they come again, and another when anything differs', () => {
    const digest = (text: string): string => `${flowOf(text).digestHi}-${flowOf(text).digestLo}`
    const others = [line({ flows: '8' }), line({ bytesOut: '1' }), line({ reporter: 'in' }), line({ destPort: '5433' }), line({ end: '1767323346' }), line({ proto: '17' }), line({ action: 'deny' }), line({ sourceLabels: '[a=b]' })]
    expect(new Set([line(), ...others].map(digest)).size).toBe(others.length + 1)
    expect(digest(line())).toBe(digest(line()))
  })

  const cases: [string, string, string][] = [
    ['ICMP', line({ proto: '1', destPort: '-' }), 'ignored icmp'],
    ['no destination port', line({ destPort: '-' }), 'rejected no-port'],
    ['between networks', line({ sourceType: 'net', destType: 'net', sourceNamespace: '-', destNamespace: '-', sourceName: 'pub', destName: 'pub' }), 'ignored no-endpoint'],
    ['the seventies', line({ start: '000000018', end: '000000028' }), 'rejected too-early'],
    ['end before start', line({ end: '1767323000' }), 'rejected bad-time'],
    ['a port that is text', line({ destPort: 'http' }), 'rejected malformed-line'],
    ['a port that is too large', line({ destPort: '70000' }), 'rejected malformed-line'],
    ['a bad address', line({ destIp: '10.0.0.256' }), 'rejected malformed-line'],
    ['no protocol', line({ proto: '' }), 'rejected malformed-line'],
    ['an unknown reporter', line({ reporter: 'me' }), 'rejected malformed-line'],
    ['an unknown action', line({ action: 'maybe' }), 'rejected malformed-line'],
    ['a count that is text', line({ bytesIn: 'x' }), 'rejected malformed-line'],
    ['a count that is negative', line({ started: '-1' }), 'rejected malformed-line'],
    ['labels without brackets', line({ sourceLabels: 'a=b' }), 'rejected malformed-line'],
    ['a column too few', line().slice(0, -6), 'rejected malformed-json'],
    ['a column too many', `${line()} x`, 'rejected malformed-json'],
    ['types of another format', line({ sourceType: 'pod' }), 'rejected malformed-json'],
    ['times of another format', line({ start: '2026-01-02T03:04:05Z' }), 'rejected malformed-json'],
  ]
  test.each(cases)('%s', (_, text, expected) => {
    expect(verdictOf(text)).toBe(expected)
  })

  test('that are malformed name the column', () => {
    expect(normalize(line({ bytesIn: 'x' }))).toMatchObject({ detail: 'bytes_in: expected a count, got "x"' })
    expect(normalize(line({ destLabels: 'x' }))).toMatchObject({ detail: 'destination labels: expected [key=value,...] or -, got "x"' })
    expect(normalize(line({ destPort: 'http' }))).toMatchObject({ detail: 'dest_port: expected a port number, got "http"' })
  })
})

describeShared('the documented line', () => {
  test('is read', () => {
    const text = readFileSync(sharedPath('formats/samples/calico/space-delimited-fragment.txt') ?? '', 'utf8').trim()
    expect(flowOf(text)).toMatchObject({ initiator: { namespace: 'dev', workload: { name: 'rails-81531' } }, responder: { workload: { name: 'memcached-38456' } }, port: 3000, side: 'client', flows: 3 })
  })
})
