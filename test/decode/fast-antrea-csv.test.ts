import { describe, expect, test } from '@jest/globals'
import type { ClusterHistory, HistoryPod } from '../../src/core/cluster/cluster-history.ts'
import { FastAntreaCsv } from '../../src/decode/fast-antrea-csv.ts'
import { antreaCsvLines } from '../bench/format-lines.ts'
import { FastPathPair } from '../support/fast-path-law.ts'
import { createRandom, rounds, type Random } from '../support/random.ts'

const POD: HistoryPod = {
  namespace: 'team-1', name: 'app-3-7d4b9c6f58-x2kdp', labels: { app: 'a' }, namespaceLabels: {},
  workload: { kind: 'Deployment', name: 'app-3' }, hostNetwork: false, nodeName: 'worker-2', ports: [],
}
/** Between the times of the lines. */
const CHANGE_US = (Date.UTC(2026, 0, 1) / 1000 + 63) * 1_000_000
/** Knows a pod from a moment on, a few addresses and a Service. */
const history: ClusterHistory = {
  holderOf: (ip, atUs) => {
    if (ip === '192.0.2.1') return { kind: 'node', node: 'worker-1' }
    return ip === '10.244.0.13' && atUs >= CHANGE_US ? { kind: 'pod', pod: POD } : { kind: 'unknown' }
  },
  podNamed: (namespace, name, atUs) => (namespace === 'team-1' && name === POD.name && atUs >= CHANGE_US ? POD : undefined),
  backendsOf: (ip, port) => (ip === '10.96.0.44' && port === 443 ? { port: 8443, pods: [POD] } : undefined),
}
const OPTIONS = { cluster: 'c', ownWorkloads: ['team-1/app-1', 'team-3'], podCidrs: ['10.244.0.0/16'], history: () => history }

function newPair(): FastPathPair {
  return new FastPathPair(OPTIONS, ({ antreaLines }) => new FastAntreaCsv(antreaLines))
}

/** A line with columns changed, by their numbers from 1. */
function change(line: string, columns: Record<number, string>): string {
  return line.split(',').map((value, i) => columns[i + 1] ?? value).join(',')
}

const NO_SOURCE = { 8: '', 9: '', 10: '' }
const NO_DESTINATION = { 11: '', 12: '', 13: '' }
const ACTIONS = ['', '0', '1', '2', '3', 'NoAction', 'Allow', 'Drop', 'Reject']
const ADDRESSES = [
  '198.51.100.7', '192.0.2.1', '10.244.0.13', '10.0.3.7', '169.254.169.254', 'fd00::7', 'FD00::7', '10.96.0.44', '::1', '224.0.0.251',
]
const SERVICES = ['', '10.96.0.44', 'fd00::7', 'FD00::7']

/** Lines of every shape that the flow logger writes. */
function linesOf(random: Random): string[] {
  const base = antreaCsvLines(400)
  const some = (count: number, columns: () => Record<number, string>): string[] =>
    base.slice(0, count).map((line) => change(line, columns()))
  return [
    ...base,
    ...base.slice(0, 60).map((line) => `${line}\r`),
    ...some(60, () => ({ ...NO_SOURCE, 3: random.pick(ADDRESSES), 10: random.pick(['', 'worker-1']) })),
    ...some(100, () => ({
      ...NO_DESTINATION, 4: random.pick(ADDRESSES), 6: random.pick(['443', '80']), 14: random.pick(SERVICES),
      17: random.pick(['', 'shop/db:pg']),
    })),
    ...some(40, () => ({
      ...NO_DESTINATION, 4: random.pick(['172.18.0.2', '10.96.0.1']), 15: '10.96.0.1', 17: 'default/kubernetes:https',
    })),
    ...some(20, () => ({ ...NO_SOURCE, ...NO_DESTINATION, 3: random.pick(ADDRESSES), 4: random.pick(ADDRESSES) })),
    ...some(60, () => ({ 21: random.pick(ACTIONS), 23: random.pick(['', 'base', 'deny-all']), 26: random.pick(ACTIONS) })),
    ...some(60, () => ({
      1: random.pick(['1767225600', '1767225663', '1767139200']), 5: random.pick(['0', '65535', '40000']),
      7: random.pick(['17', '132', 'TCP', 'UDP', 'SCTP']),
    })),
    ...some(20, () => ({ 9: random.pick(['', 'team-3']), 12: 'team-3' })),
    ...some(10, () => ({ 7: '1', 5: '0', 6: '0' })),
  ]
}

const INSERTED = ['', '0', '2', 'Drop', '6', 'evil', '10.244.0.13', '224.0.0.1', '1767225600', '1,1', '"a,b"', 'Node: x', ' Flow Info: ']

describe('law: the byte path of the lines of Antrea\'s flow log says what splitting them says, or nothing', () => {
  test('it takes the lines that the flow logger writes, and notes the same gaps', () => {
    const pair = newPair()
    const lines = linesOf(createRandom(7))
    for (const line of [...lines, ...lines]) pair.check(line)
    expect(pair.taken).toBeGreaterThan(pair.checked * 0.95)
    const { fast, slow } = pair.coverage()
    expect(fast).toEqual(slow)
  })

  test('lines cut anywhere', () => {
    const pair = newPair()
    const lines = linesOf(createRandom(7))
    const picked = [lines[0], lines[405], lines[470], lines[540]].map((line) => (line ?? '').trim())
    for (const line of picked) for (let i = 0; i <= line.length; i++) pair.check(line.slice(0, i))
    expect(pair.taken).toBe(picked.length)
  })

  test.each<[string, Record<number, string>]>([
    ['a time of eleven digits', { 1: '17672256000' }], ['an end before the start', { 2: '1767225599' }],
    ['a time before 2000', { 1: '0767225600', 2: '0767225600' }],
    ['no source address', { 3: '' }], ['an address that is none', { 4: '10.0.0.256' }], ['no port', { 6: '0' }],
    ['a port too large', { 5: '65536' }], ['ICMP', { 7: '1' }],
    ['a blank in a name', { 8: 'a b' }], ['a blank behind', { 30: ' ' }], ['a service port that is none', { 16: 'pg' }],
    ['an action of no list', { 21: '7' }], ['a column more', { 30: ',' }],
    ['a control character', { 18: 'a\0b' }],
  ])('leaves to the splitting: %s', (_, columns) => {
    const pair = newPair()
    const [line = ''] = antreaCsvLines(1)
    pair.check(line)
    pair.check(change(line, columns))
    expect([pair.checked, pair.taken]).toEqual([2, 1])
  })

  test('mutated lines', () => {
    const random = createRandom(8)
    const pair = newPair()
    const lines = linesOf(random)
    pair.checkChanged(random, lines, INSERTED, rounds({ small: 20_000, full: 200_000 }))
    expect(pair.taken).toBeGreaterThan(pair.checked / 8)
  })
})
