import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import type { ClusterHistory, HistoryPod } from '../../../../src/core/cluster/cluster-history.ts'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { describeShared, sharedPath } from '../../../support/shared.ts'
import { edgeOf, flowOf, normalize, verdictOf, type Json } from '../hubble-records.ts'

const TS = '2026-01-02T03:04:05.678Z'
const AT_US = 1_767_323_045_678_000

/** The first generation: a key for each field. */
function keyed(changes: Json = {}): Json {
  return {
    level: 'info', ts: TS, logger: 'ebpf-client', caller: 'events/events.go:193', msg: 'Flow Info:  ',
    'Src IP': '10.0.1.28', 'Src Port': 40_000, 'Dest IP': '10.0.1.132', 'Dest Port': 5432, Proto: 'TCP', Verdict: 'ACCEPT', ...changes,
  }
}

/** The later generations: everything in the message. */
function said(msg: string): Json {
  return { level: 'debug', ts: TS, caller: 'runtime/asm_amd64.s:1700', msg }
}

const MESSAGE = 'Flow Info: Src IP: 10.0.1.28 Src Port: 40000 Dest IP: 10.0.1.132 Dest Port: 5432 Proto TCP Verdict ACCEPT Direction egress'
const CLOUDWATCH = 'Node: ip-10-0-1-5.ec2.internal;SIP: 10.0.1.28;SPORT: 40000;DIP: 10.0.1.132;DPORT: 5432;PROTOCOL: TCP;PolicyVerdict: ACCEPT'

const DECISION = {
  kind: 'flow', format: 'aws-vpc-cni', firstAtUs: AT_US, lastAtUs: AT_US, initiatorIp: '10.0.1.28', responderIp: '10.0.1.132', protocol: 'TCP', port: 5432,
  initiatorPort: 0, orientation: 'conntrack', observedVerdict: 'allowed', flows: 1,
}

describe('every form of a decision', () => {
  test.each<[string, unknown, string, string]>([
    ['a key for each field', keyed(), 'unknown', ''],
    ['with the time as epoch seconds', keyed({ ts: AT_US / 1e6 }), 'unknown', ''],
    ['with the time as milliseconds under another key', keyed({ ts: undefined, timestamp: AT_US / 1e3 }), 'unknown', ''],
    ['ports as text', keyed({ 'Src Port': '40000', 'Dest Port': '5432' }), 'unknown', ''],
    ['all in the message', said(MESSAGE), 'client', ''],
    ['with a tier', said(`${MESSAGE}, Tier NETWORK_POLICY`), 'client', ''],
    ['with colons behind every name', said('Flow Info: Src IP: 10.0.1.28 Src Port: 40000 Dest IP: 10.0.1.132 Dest Port: 5432 Proto: TCP Verdict: ACCEPT Direction: ingress Tier: DEFAULT'), 'server', ''],
    ['message handed on as a text line', `${TS} ${MESSAGE}`, 'client', ''],
    ['CloudWatch text with a time in front', `${TS} ${CLOUDWATCH}`, 'unknown', 'ip-10-0-1-5.ec2.internal'],
    ['CloudWatch text with time and stream', `${TS} aws-network-policy-agent-audit-1f ${CLOUDWATCH};Tier: ADMIN`, 'unknown', 'ip-10-0-1-5.ec2.internal'],
    ['CloudWatch event', { timestamp: AT_US / 1e3, message: CLOUDWATCH }, 'unknown', 'ip-10-0-1-5.ec2.internal'],
    ['CloudWatch text from a shipper', { '@timestamp': TS, message: `${CLOUDWATCH}\n` }, 'unknown', 'ip-10-0-1-5.ec2.internal'],
  ])('%s', (_, raw, side, node) => {
    expect(flowOf(raw)).toMatchObject({ ...DECISION, side, node })
  })

  test('IPv6', () => {
    const raw = said('Flow Info: Src IP: 2001:DB8::1 Src Port: 40000 Dest IP: fd00:10::2 Dest Port: 53 Proto: UDP Verdict: DENY Direction: egress Tier: NETWORK_POLICY')
    expect(flowOf(raw)).toMatchObject({ initiatorIp: '2001:db8::1', responderIp: 'fd00:10::2', protocol: 'UDP', port: 53, observedVerdict: 'denied', side: 'client' })
    expect(edgeOf(raw)).toBe('external -> unknown:53')
  })

  test('the same record again has the same digest, another one has not', () => {
    const digest = (raw: unknown): string => `${flowOf(raw).digestHi}-${flowOf(raw).digestLo}`
    const variants = [
      said(MESSAGE), said(MESSAGE.replace('egress', 'ingress')), said(MESSAGE.replace('ACCEPT', 'DENY')), said(MESSAGE.replace('40000', '40001')), said(MESSAGE.replace('5432', '5433')),
      said(MESSAGE.replace('TCP', 'UDP')), said(MESSAGE.replace('10.0.1.28', '10.0.1.29')), said(`${MESSAGE}, Tier ADMIN`), { ...said(MESSAGE), ts: '2026-01-02T03:04:05.679Z' },
      `${TS} ${CLOUDWATCH}`,
    ]
    expect(new Set(variants.map(digest)).size).toBe(variants.length)
    expect(digest(said(MESSAGE))).toBe(digest(`${TS} ${MESSAGE}`))
  })
})

describe('what is refused or ignored', () => {
  test.each<[string, unknown, string]>([
    ['ICMP', keyed({ Proto: 'ICMP', 'Src Port': 0, 'Dest Port': 0 }), 'ignored icmp'],
    ['a protocol without name', keyed({ Proto: 'UNKNOWN' }), 'ignored other-protocol'],
    ['the end of a remembered connection', keyed({ Verdict: 'EXPIRED/DELETED' }), 'ignored control'],
    ['multicast', keyed({ 'Dest IP': '224.0.0.251' }), 'ignored multicast-or-link-local'],
    ['broadcast of a starting machine', keyed({ 'Src IP': '0.0.0.0', 'Dest IP': '255.255.255.255' }), 'ignored multicast-or-link-local'],
    ['two outside addresses', keyed({ 'Src IP': '192.0.2.1', 'Dest IP': '198.51.100.1' }), 'ignored no-endpoint'],
    ['another line of the agent', { level: 'info', ts: TS, logger: 'ebpf-client', msg: 'Starting up', 'Src IP': '10.0.0.1' }, 'ignored foreign-log'],
    ['a verdict that is none', keyed({ Verdict: 'MAYBE' }), 'rejected wrong-type'],
    ['a port of 0', keyed({ 'Dest Port': 0 }), 'rejected bad-port'],
    ['a port above 65535', said(MESSAGE.replace('5432', '65536')), 'rejected bad-port'],
    ['a port that is a word', said(MESSAGE.replace('5432', 'https')), 'rejected wrong-type'],
    ['an address that is none', said(MESSAGE.replace('10.0.1.28', '10.0.1')), 'rejected bad-address'],
    ['an address that is a number', keyed({ 'Src IP': 5 }), 'rejected wrong-type'],
    ['a time before clocks were set', keyed({ ts: '1970-01-01T00:00:01Z' }), 'rejected too-early'],
    ['a time that is an object', keyed({ ts: {} }), 'rejected bad-time'],
    ['CloudWatch text without a time', CLOUDWATCH, 'rejected missing-field'],
    ['a message without a time', MESSAGE, 'rejected missing-field'],
    ['CloudWatch text behind something that is no time', `12:30 ${CLOUDWATCH}`, 'rejected bad-time'],
    ['CloudWatch text cut short', `${TS} Node: a;SIP: 10.0.1.28;SPORT: 40000`, 'rejected missing-field'],
    ['a node name with NUL', `${TS} ${CLOUDWATCH.replace('ip-', '\0')}`, 'rejected wrong-type'],
  ])('%s', (_, raw, outcome) => {
    expect(verdictOf(raw)).toBe(outcome)
  })

  test.each<[string, string]>([
    ['Src IP', 'Src IP: absent'], ['Src Port', 'Src Port: absent'], ['Dest IP', 'Dest IP: absent'], ['Dest Port', 'Dest Port: absent'], ['Proto', 'Proto: absent'],
    ['Verdict', 'Verdict: absent'], ['ts', 'ts: absent, and no timestamp'],
  ])('a line without %s says so', (key, detail) => {
    expect(normalize(keyed({ [key]: undefined }))).toEqual({ kind: 'rejected', format: 'aws-vpc-cni', code: 'missing-field', detail })
  })

  test.each(['Src IP', 'Src Port', 'Dest IP', 'Dest Port'])('a message without %s says so', (field) => {
    expect(normalize(said(MESSAGE.replace(new RegExp(` ${field}: \\S+`), '')))).toMatchObject({ code: 'missing-field', detail: `${field}: absent` })
  })

  test.each(['Proto', 'Verdict'])('a message without %s says so', (field) => {
    expect(normalize(said(MESSAGE.replace(new RegExp(` ${field} \\S+`), '')))).toMatchObject({ code: 'missing-field', detail: `${field}: absent` })
  })

  test.each([['SIP', 'Src IP'], ['SPORT', 'Src Port'], ['DIP', 'Dest IP'], ['DPORT', 'Dest Port'], ['PROTOCOL', 'Proto'], ['PolicyVerdict', 'Verdict']])('CloudWatch text without %s says so', (key, field) => {
    expect(normalize(`${TS} ${CLOUDWATCH.replace(new RegExp(`;${key}: [^;]+`), '')}`)).toMatchObject({ kind: 'rejected', detail: `${field}: absent` })
  })

  test('lines of other programs are left to others', () => {
    expect(verdictOf('Node: x is not ready')).toBe('rejected malformed-json')
    expect(verdictOf('2026-01-02 Flow Info')).toBe('rejected malformed-json')
    expect(verdictOf('level=info msg="Flow Info: Src IP: 10.0.0.1"')).toBe('ignored foreign-log')
  })
})

describe('who opened the connection', () => {
  test('a tuple towards a port that kernels give to clients proves nothing', () => {
    const late = flowOf(said('Flow Info: Src IP: 10.0.1.132 Src Port: 5432 Dest IP: 10.0.1.28 Dest Port: 40000 Proto TCP Verdict DENY Direction egress'))
    expect([late.initiatorIp, late.initiatorPort, late.responderIp, late.port, late.orientation, late.side]).toEqual(['10.0.1.132', 5432, '10.0.1.28', 40_000, 'unoriented', 'client'])
    const turned = flowOf(said('Flow Info: Src IP: 10.0.1.28 Src Port: 50051 Dest IP: 10.0.1.132 Dest Port: 40000 Proto TCP Verdict DENY Direction ingress'))
    expect([turned.initiatorIp, turned.initiatorPort, turned.orientation, turned.side]).toEqual(['10.0.1.132', 40_000, 'unoriented', 'client'])
  })
})

function statePod(name: string, changes: Partial<HistoryPod> = {}): HistoryPod {
  return { namespace: 'shop', name, labels: { app: 'db' }, namespaceLabels: {}, workload: { kind: 'StatefulSet', name: 'db' }, hostNetwork: false, nodeName: 'n', ports: [], ...changes }
}

/** db-0 holds 10.0.1.132 until AT_US + 1 s, then web has it; 172.20.0.10 is a Service in front of db-0's port 15432, 172.20.0.99 one that nothing proves. */
const HISTORY: ClusterHistory = {
  holderOf: (ip, atUs) => {
    if (ip === '10.0.1.132') return { kind: 'pod', pod: atUs < AT_US + 1e6 ? statePod('db-0') : statePod('web-7d4b9c6f58-x2k9p', { labels: { app: 'web' }, workload: { kind: 'Deployment', name: 'web' } }) }
    if (ip === '10.0.1.28') return { kind: 'pod', pod: statePod('api-0', { labels: { app: 'api' } }) }
    if (ip === '10.0.1.5') return { kind: 'node', node: 'n' }
    return ip.startsWith('172.20.') ? { kind: 'service', namespace: 'shop', name: 'db' } : { kind: 'nobody' }
  },
  podNamed: () => undefined,
  backendsOf: (ip, port) => (ip === '172.20.0.10' && port === 5432 ? { pods: [statePod('db-0')], port: 15_432 } : undefined),
}

describe('with cluster state', () => {
  const normalizer = createNormalizer({ cluster: 'c1', history: () => HISTORY })
  const edge = (changes: Json): string => {
    const outcome = normalizer.normalize(keyed(changes))
    if (outcome.kind !== 'flow') return `${outcome.kind} ${'code' in outcome ? outcome.code : outcome.reason}`
    const name = (end: typeof outcome.initiator): string => (end.kind === 'pod' ? `${end.namespace}/${end.labels.app ?? ''}` : end.kind)
    return `${name(outcome.initiator)} -> ${name(outcome.responder)}:${outcome.port} ${outcome.orientation}`
  }

  test('ends are the pods that held the addresses at that moment', () => {
    expect(edge({})).toBe('shop/api -> shop/db:5432 conntrack')
    expect(edge({ ts: '2026-01-02T03:04:07Z' })).toBe('shop/api -> shop/web:5432 conntrack')
    expect(edge({ 'Dest IP': '10.0.1.5' })).toBe('shop/api -> node:5432 conntrack')
    expect(edge({ 'Dest IP': '10.0.7.7' })).toBe('shop/api -> external:5432 conntrack')
  })

  test('a Service becomes its pods and their port where state proves it, else the port is not known', () => {
    expect(edge({ 'Dest IP': '172.20.0.10' })).toBe('shop/api -> shop/db:15432 conntrack')
    expect(edge({ 'Dest IP': '172.20.0.99' })).toBe('shop/api -> unknown:0 conntrack')
    expect(edge({ 'Dest IP': '172.20.0.99', 'Dest Port': 50_051 })).toBe('shop/api -> unknown:0 conntrack')
  })

  test('nobody connects from a Service: that is an answer, and tells no pod port', () => {
    expect(edge({ 'Src IP': '172.20.0.10', 'Src Port': 5432, 'Dest IP': '10.0.1.28', 'Dest Port': 40_000, Verdict: 'DENY' })).toBe('rejected no-port')
  })

  test('what state learns later makes no new record of an old one', () => {
    const before = flowOf(keyed())
    const after = normalizer.normalize(keyed())
    expect(after).toMatchObject({ kind: 'flow', digestHi: before.digestHi, digestLo: before.digestLo })
  })
})

describeShared('the reference lines', () => {
  test('are read, ignored or refused with the field that is wrong', () => {
    const lines = readFileSync(sharedPath('formats/samples/aws/illumio-test-inputs.ndjson') as string, 'utf8').trim().split('\n')
    const normalizer = createNormalizer({ cluster: 'c1' })
    expect(lines.map((line) => {
      const o = normalizer.normalize(JSON.parse(line))
      return o.kind === 'flow' ? `${o.orientation} ${o.side} ${o.observedVerdict} ${o.initiatorIp} -> ${o.responder.kind} ${o.responderIp}:${o.port}/${o.protocol}` : o.kind === 'ignored' ? o.reason : `${o.code} ${o.detail}`
    })).toEqual([
      'conntrack unknown allowed 10.0.141.167 -> unknown 172.20.0.10:53/TCP',
      'conntrack unknown denied 10.0.141.167 -> unknown 172.20.2.72:14220/TCP',
      'conntrack unknown allowed 192.168.87.155 -> external 64.6.160.1:53/UDP',
      'icmp',
      'foreign-log',
      'missing-field Proto: absent',
      'missing-field Src IP: absent',
      'missing-field Dest IP: absent',
      'other-protocol',
      'conntrack client allowed 10.0.1.28 -> unknown 10.0.1.132:80/TCP',
      'conntrack server allowed 10.0.1.28 -> unknown 10.0.1.132:80/TCP',
      'conntrack client allowed 192.168.1.10 -> unknown 10.0.0.53:53/UDP',
      'conntrack client denied 10.0.2.50 -> unknown 10.0.1.100:443/TCP',
      'missing-field Dest IP: absent',
      'missing-field ts: absent, and no timestamp',
      'bad-time ts: "not-a-timestamp" is no usable time',
      'bad-time ts: "` + ts + `" is no usable time',
      'foreign-log',
    ])
  })
})

describe('the format page', () => {
  test('shows lines that are read', () => {
    const page = readFileSync(new URL('../../../../docs/sources/aws-vpc-cni.md', import.meta.url), 'utf8')
    const lines = [...page.matchAll(/```(?:json|text)\n([^`]+)\n```/g)].flatMap(([, block = '']) => block.split('\n'))
    expect(lines.map((line) => verdictOf(line.startsWith('{') ? JSON.parse(line) : line))).toEqual(['flow', 'flow', 'flow'])
  })
})
