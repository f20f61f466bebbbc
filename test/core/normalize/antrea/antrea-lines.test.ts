import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import type { FlowRecord } from '../../../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { describeShared, sharedPath } from '../../../support/shared.ts'

const normalizer = createNormalizer({ cluster: 'c1' })

function flowOf(line: string): FlowRecord {
  const outcome = normalizer.normalize(line)
  if (outcome.kind !== 'flow') throw new Error(`no flow: ${JSON.stringify(outcome)}`)
  return outcome
}

function verdictOf(line: string): string {
  const outcome = normalizer.normalize(line)
  return outcome.kind === 'flow' ? 'flow' : outcome.kind === 'ignored' ? `ignored ${outcome.reason}` : `rejected ${outcome.code}: ${outcome.detail}`
}

const page = readFileSync(new URL('../../../../docs/sources/antrea.md', import.meta.url), 'utf8')
const lineOf = (language: string): string => new RegExp(`\`\`\`${language}\n(.*)\n\`\`\``).exec(page)?.[1] ?? ''

const COLUMNS = '1767323045,1767323105,10.244.1.10,10.244.2.20,40000,5432,6,web-7d4b9c6f58-x2k9p,shop,worker-1,db-0,shop,worker-2,10.96.0.44,,5433,shop/db:pg,db,shop,,1,1,,,,0,0,,,'.split(',')

/** A line of the flow log with columns changed, by their numbers from 1. */
function csv(changes: Record<number, string> = {}): string {
  return COLUMNS.map((value, i) => changes[i + 1] ?? value).join(',')
}

const EDGE = { format: 'antrea', initiatorIp: '10.244.1.10', responderIp: '10.244.2.20', responderPod: 'db-0', protocol: 'TCP', port: 5432, initiatorPort: 0, flows: 1 }

describe('the flow log', () => {
  test('on the page is read as the page says', () => {
    expect(flowOf(lineOf('csv'))).toMatchObject({
      ...EDGE, firstAtUs: 1_767_323_045_000_000, lastAtUs: 1_767_323_105_000_000, initiatorPod: 'web-7d4b9c6f58-x2k9p', orientation: 'conntrack', side: 'server', observedVerdict: 'allowed',
      node: 'worker-2', initiator: { namespace: 'shop', labelQuality: 'none', workload: { kind: 'Deployment', name: 'web' } },
    })
    expect(csv()).toBe(lineOf('csv'))
  })

  test('writes names for numbers where it prints prettily', () => {
    expect(flowOf(csv({ 7: 'UDP', 21: 'Drop', 22: 'K8sNetworkPolicy' }))).toMatchObject({ protocol: 'UDP', observedVerdict: 'denied', side: 'server' })
    expect(flowOf(csv({ 26: 'Reject' }))).toMatchObject({ observedVerdict: 'denied', side: 'client', node: 'worker-1' })
  })

  test('has a Service\'s address beside the pod\'s; alone it is no pod', () => {
    expect(flowOf(csv({ 4: '10.96.0.44', 6: '5433', 11: '', 12: '', 13: '' }))).toMatchObject({ responder: { kind: 'unknown' }, port: 0, side: 'client' })
    expect(flowOf(csv({ 4: '172.18.0.2', 6: '6443', 11: '', 12: '', 13: '', 14: '', 15: '10.96.0.1', 17: 'default/kubernetes:https' }))).toMatchObject({ responder: { kind: 'kube-apiserver' }, port: 6443 })
  })

  test.each<[string, Record<number, string>, string]>([
    ['start', { 1: '17673230450' }, 'rejected in-future'], ['end', { 2: '1767323044' }, 'rejected malformed-line: column 2'], ['source IP', { 3: 'web' }, 'rejected malformed-line: column 3'],
    ['no source IP', { 3: '' }, 'rejected malformed-line: column 3'], ['destination IP', { 4: '10.0.0.256' }, 'rejected malformed-line: column 4'], ['source port', { 5: 'x' }, 'rejected malformed-line: column 5'],
    ['destination port', { 6: '70000' }, 'rejected malformed-line: column 6'], ['no destination port', { 6: '0' }, 'rejected malformed-line: column 6'], ['protocol', { 7: '' }, 'rejected malformed-line: column 7'],
    ['service port', { 16: 'pg' }, 'rejected malformed-line: column 16'], ['ingress action', { 21: 'db' }, 'rejected malformed-line: column 21'], ['egress action', { 26: '7' }, 'rejected malformed-line: column 26'],
    ['ICMP', { 5: '0', 6: '0', 7: '1' }, 'ignored icmp'],
  ])('names the column that is wrong: %s', (_, changes, expected) => {
    expect(verdictOf(csv(changes))).toContain(expected)
  })

  test('has 30 columns, no more and no less', () => {
    expect(verdictOf(`${csv()},`)).toBe('rejected malformed-line: 31 columns; the flow log has 30')
    expect(verdictOf(COLUMNS.slice(0, 29).join(','))).toBe('rejected malformed-line: 29 columns; the flow log has 30')
  })

  test('is not any other line with commas and numbers', () => {
    for (const line of ['1,2,3', '2026-01-02,1767323105,x', ',,,', '1767323045', '1767323045;1767323105']) expect(verdictOf(line)).toMatch(/^rejected malformed-json/)
  })
})

const AUDIT = '2026/01/02 03:04:05.123456 IngressRule K8sNetworkPolicy:shop/db <nil> Ingress Allow 190 shop/db-0 10.244.1.10 40000 10.244.2.20 5432 TCP 60 <nil>'

/** The line with columns changed, by their numbers from 1. */
function audit(changes: Record<number, string> = {}, tail = ''): string {
  return AUDIT.split(' ').map((value, i) => changes[i + 1] ?? value).join(' ') + tail
}

describe('the audit log', () => {
  test('on the page is read as the page says: the first packet of a connection, at the side of the policy', () => {
    expect(lineOf('text')).toBe(AUDIT)
    expect(flowOf(AUDIT)).toMatchObject({
      ...EDGE, firstAtUs: 1_767_323_045_123_456, lastAtUs: 1_767_323_045_123_456, initiatorPod: '', orientation: 'verdict-event', side: 'server', observedVerdict: 'allowed', node: '',
      initiator: { kind: 'unknown' }, responder: { kind: 'pod', namespace: 'shop', workload: { kind: 'StatefulSet', name: 'db' }, labelQuality: 'none' },
    })
  })

  test('of an egress policy names the source', () => {
    expect(flowOf(audit({ 3: 'AntreaPolicyEgressRule', 6: 'Egress', 7: 'Reject', 9: 'shop/web-7d4b9c6f58-x2k9p', 12: '203.0.113.9' }))).toMatchObject({
      initiatorPod: 'web-7d4b9c6f58-x2k9p', responder: { kind: 'external' }, side: 'client', observedVerdict: 'denied',
    })
  })

  test('joins the packets of a second', () => {
    expect(flowOf(audit({}, ' [2 packets in 1.000855539s]'))).toMatchObject({ firstAtUs: 1_767_323_044_122_600, lastAtUs: 1_767_323_045_123_456, flows: 1 })
    expect(flowOf(audit({}, ' [3 packets in 40ms]')).firstAtUs).toBe(1_767_323_045_083_456)
  })

  test('of a policy that applies to no pod is known by addresses', () => {
    expect(verdictOf(audit({ 9: '<nil>', 10: '198.51.100.7', 12: '203.0.113.9' }))).toBe('ignored no-endpoint')
  })

  test.each<[Record<number, string>, string]>([
    [{ 7: 'Drop' }, 'denied'], [{ 7: 'Redirect' }, 'allowed'], [{ 7: 'Pass' }, 'unknown'],
  ])('%j is %s', (changes, verdict) => {
    expect(flowOf(audit(changes)).observedVerdict).toBe(verdict)
  })

  test.each<[string, string, string]>([
    ['ICMP', audit({ 11: '<nil>', 13: '<nil>', 14: 'ICMP' }), 'ignored icmp'], ['other protocols', audit({ 14: 'IGMP' }), 'ignored other-protocol'], ['multicast', audit({ 12: '224.0.0.1' }), 'ignored multicast'],
    ['a time that does not exist', audit({ 2: '25:00:00.000000' }), 'rejected malformed-line: time'], ['a direction', audit({ 6: 'Inwards' }), 'rejected malformed-line: column 6'],
    ['an action', audit({ 7: 'Log' }), 'rejected malformed-line: column 7'], ['a pod without namespace', audit({ 9: 'db-0' }), 'rejected malformed-line: column 9'],
    ['a source', audit({ 10: '<nil>' }), 'rejected malformed-line: column 10'], ['a source port', audit({ 11: '<nil>' }), 'rejected malformed-line: column 11'],
    ['a destination', audit({ 12: 'db' }), 'rejected malformed-line: column 12'], ['a destination port', audit({ 13: '0' }), 'rejected malformed-line: column 13'],
    ['no protocol', audit({ 14: '<nil>' }), 'rejected malformed-line'], ['a column less', AUDIT.split(' ').slice(0, 15).join(' '), 'rejected malformed-line: 15 columns'],
    ['words after the label', audit({}, ' and more'), 'rejected malformed-line: 18 columns'], ['another log with such a date', '2026/01/02 03:04:05 starting', 'rejected malformed-json'],
  ])('%s', (_, line, expected) => {
    expect(verdictOf(line)).toContain(expected)
  })

  test('tells lines apart by all they say', () => {
    const digests = [AUDIT, audit({ 2: '03:04:05.123457' }), audit({ 11: '40001' }), audit({ 7: 'Drop' }), audit({}, ' [2 packets in 1s]')].map((line) => flowOf(line)).map((f) => `${f.digestHi}-${f.digestLo}`)
    expect(new Set(digests).size).toBe(5)
    expect(flowOf(`${AUDIT} `)).toEqual(flowOf(AUDIT))
  })
})

describeShared('audit lines of Antrea\'s documentation', () => {
  test('two TCP connections at the server\'s side; ICMP is no policy\'s business', () => {
    const lines = readFileSync(sharedPath('formats/samples/antrea/np-audit-log-doc.txt') as string, 'utf8').trim().split('\n')
    expect(lines.map((line) => {
      const o = normalizer.normalize(line)
      return o.kind === 'flow' ? `${o.initiator.kind} -> ${o.responderPod}:${o.port} ${o.side} ${o.observedVerdict}` : o.kind === 'ignored' ? o.reason : o.code
    })).toEqual(['unknown -> nettoolv3:80 server denied', 'icmp', 'icmp', 'unknown -> nettool:80 server allowed', 'icmp'])
  })
})
