import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { createNormalizer } from '../../../../src/core/normalize/normalizer.ts'
import { DB, flow, flowOf, normalize, pod, tcp, TIME, udp, verdictOf, WEB, WORLD, wrap, type Json } from '../hubble-records.ts'

function camel(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camel)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()), camel(v)]))
}

describe('shapes', () => {
  const expected = flowOf(wrap(flow()))

  test('exporter, flow only, and bare flow give the same record', () => {
    expect(flowOf({ flow: flow() })).toEqual(expected)
    expect(flowOf(flow())).toEqual(expected)
    expect(flowOf({ flow: { ...flow(), time: undefined, node_name: undefined }, time: TIME, node_name: 'node-1' })).toEqual(expected)
  })

  test('lowerCamel keys give the same record', () => {
    expect(flowOf(camel(wrap(flow())))).toEqual(expected)
    expect(flowOf(camel(flow()))).toEqual(expected)
  })

  test('enum numbers give the same record as names', () => {
    const numbers = { verdict: 1, Type: 1, traffic_direction: 2, trace_observation_point: 'TO_STACK' }
    expect(flowOf(flow(numbers))).toEqual(expected)
  })

  test('the order of keys does not matter, nor do unknown keys', () => {
    const reversed = Object.fromEntries(Object.entries(flow()).reverse())
    expect(flowOf({ extra: { deep: [1] }, flow: { ...reversed, new_field: 'x' } })).toEqual(expected)
  })

  test('null means absent', () => {
    expect(flowOf(flow({ uuid: null, ethernet: null, drop_reason: null, aggregate: null, destination_service: null }))).toEqual(expected)
  })

  test('a time in protobuf form is read', () => {
    expect(flowOf(flow({ time: { seconds: '1767323045', nanos: 123_456_789 } }))).toEqual(expected)
  })
})

describe('record fields', () => {
  test('are filled from the flow', () => {
    expect(flowOf(wrap(flow({ node_name: 'prod/node-1' })))).toMatchObject({
      kind: 'flow', format: 'hubble', firstAtUs: 1_767_323_045_123_456, lastAtUs: 1_767_323_045_123_456, initiatorIp: '10.0.1.10', responderIp: '10.0.2.20',
      protocol: 'TCP', port: 5432, initiatorPort: 0, observedVerdict: 'allowed', node: 'node-1', flows: 1,
    })
  })

  test('UDP, SCTP and high ports are learnt', () => {
    expect(flowOf(flow({ l4: udp(40_000, 51_820) }))).toMatchObject({ protocol: 'UDP', port: 51_820 })
    expect(flowOf(flow({ l4: { SCTP: { source_port: 40_000, destination_port: 3868 } } }))).toMatchObject({ protocol: 'SCTP', port: 3868 })
  })

  test('IPv6 addresses are canonical, mapped ones become IPv4', () => {
    const record = flowOf(flow({ IP: { source: '2001:DB8:0:0::1', destination: '::ffff:10.0.2.20' } }))
    expect([record.initiatorIp, record.responderIp]).toEqual(['2001:db8::1', '10.0.2.20'])
  })

  test('an aggregated row counts the events it stands for', () => {
    expect(flowOf(flow({ aggregate: { egress_flow_count: 5, ingress_flow_count: '2' } })).flows).toBe(7)
    expect(flowOf(flow({ aggregate: {} })).flows).toBe(1)
    expect(verdictOf(flow({ aggregate: { egress_flow_count: 'many' } }))).toBe('rejected wrong-type')
  })

  test('addresses may be masked away between pods', () => {
    expect(flowOf(flow({ IP: undefined }))).toMatchObject({ initiatorIp: '', responderIp: '', port: 5432 })
  })
})

describe('observed verdicts', () => {
  const cases: [string, Json, string][] = [
    ['forwarded', { verdict: 'FORWARDED' }, 'allowed'],
    ['redirected to the proxy is allowed at layer 4', { verdict: 'REDIRECTED' }, 'allowed'],
    ['redirected by number', { verdict: 5 }, 'allowed'],
    ['audit', { verdict: 'AUDIT' }, 'audit'],
    ['error', { verdict: 'ERROR' }, 'error'],
    ['absent', { verdict: undefined }, 'unknown'],
    ['a newer name', { verdict: 'SOMETHING_NEW' }, 'unknown'],
    ['Retina retransmission', { verdict: 15 }, 'unknown'],
    ['default deny', { verdict: 'DROPPED', drop_reason_desc: 'POLICY_DENIED' }, 'denied'],
    ['explicit deny', { verdict: 'DROPPED', drop_reason_desc: 'POLICY_DENY' }, 'denied'],
    ['authentication required', { verdict: 'DROPPED', drop_reason_desc: 'AUTH_REQUIRED' }, 'denied'],
    ['deny by numbers', { verdict: 2, drop_reason_desc: 181 }, 'denied'],
    ['deny by the old reason', { verdict: 'DROPPED', drop_reason: 133 }, 'denied'],
    ['a dropping policy verdict whose reason was masked', { verdict: 'DROPPED', event_type: { type: 5 } }, 'denied'],
    ['a drop for another reason is no policy', { verdict: 'DROPPED', drop_reason_desc: 'STALE_OR_UNROUTABLE_IP' }, 'error'],
    ['a drop without reason is no policy', { verdict: 'DROPPED' }, 'error'],
  ]
  test.each(cases)('%s', (_, changes, verdict) => {
    expect(flowOf(flow(changes)).observedVerdict).toBe(verdict)
  })
})

describe('what makes no edge is ignored with its reason', () => {
  const cases: [string, Json, string][] = [
    ['L7 records', flow({ Type: 'L7', l7: { type: 'REQUEST', http: { url: 'http://x/?token=1' } } }), 'enrichment'],
    ['L7 by event number', flow({ Type: undefined, event_type: { type: 129 } }), 'enrichment'],
    ['Retina DNS records', flow({ verdict: 16 }), 'enrichment'],
    ['socket translation', flow({ Type: 'SOCK', verdict: 'TRACED' }), 'socket-translation'],
    ['socket translation by number', flow({ Type: 3, verdict: 7 }), 'socket-translation'],
    ['ICMP echo reply, whose zeros are omitted', flow({ l4: { ICMPv4: {} } }), 'icmp'],
    ['ICMPv6', flow({ l4: { ICMPv6: { type: 133 } } }), 'icmp'],
    ['VRRP', flow({ l4: { VRRP: { type: 1 } } }), 'other-protocol'],
    ['IGMP', flow({ l4: { IGMP: {} } }), 'other-protocol'],
    ['IPv6 multicast', flow({ IP: { source: '2001:db8::1', destination: 'ff02::2' } }), 'multicast-or-link-local'],
    ['IPv6 link-local, with zone', flow({ IP: { source: 'fe80::1%eth0', destination: '2001:db8::1' } }), 'multicast-or-link-local'],
    ['IPv4 multicast', flow({ IP: { source: '10.0.0.1', destination: '224.0.0.251' } }), 'multicast-or-link-local'],
    ['broadcast', flow({ IP: { source: '10.0.0.1', destination: '255.255.255.255' } }), 'multicast-or-link-local'],
    ['DHCP from nowhere', flow({ IP: { source: '0.0.0.0', destination: '10.0.0.1' } }), 'multicast-or-link-local'],
    ['host to world', flow({ source: { labels: ['reserved:host'] }, destination: WORLD }), 'no-endpoint'],
    ['ends without any content', flow({ source: {}, destination: {}, IP: undefined }), 'no-endpoint'],
    ['an empty flow', {}, 'empty'],
    ['a flow without verdict and layer 4', { time: TIME, source: { namespace: 'a', pod_name: 'x' } }, 'empty'],
  ]
  test.each(cases)('%s', (_, inner, reason) => {
    expect(verdictOf({ flow: inner })).toBe(`ignored ${reason}`)
  })

  test('IPv4 link-local is real traffic: metadata and node-local DNS', () => {
    for (const ip of ['169.254.169.254', '169.254.20.10']) {
      expect(flowOf(flow({ destination: WORLD, IP: { source: '10.0.1.10', destination: ip } }))).toMatchObject({ responder: { kind: 'external' }, responderIp: ip })
    }
  })
})

describe('control records', () => {
  test('are ignored; lost events and node states become coverage events', () => {
    const lost = { source: 'HUBBLE_RING_BUFFER', num_events_lost: '12', cpu: 5 }
    const coverage = { type: 'lost-events', atUs: 1_767_323_045_123_456, node: 'node-1', lost: 12, detail: 'HUBBLE_RING_BUFFER on CPU 5' }
    expect(normalize({ lost_events: lost, node_name: 'kind/node-1', time: TIME })).toEqual({ kind: 'ignored', format: 'hubble', reason: 'control', coverage })
    expect(normalize({ lostEvents: { source: 3, numEventsLost: 12, cpu: 5 }, nodeName: 'node-1', time: TIME })).toEqual({ kind: 'ignored', format: 'hubble', reason: 'control', coverage })
    // As read from protobuf: times are objects, 64-bit numbers text.
    const time = { seconds: '1767323045', nanos: 123_456_789 }
    expect(normalize({ lost_events: { source: 3, num_events_lost: '12', cpu: 5 }, node_name: 'node-1', time })).toEqual({ kind: 'ignored', format: 'hubble', reason: 'control', coverage })
    expect(normalize({ lost_events: { ...lost, first: time, last: time }, node_name: 'node-1' })).toMatchObject({ coverage })
    expect(normalize({ nodeStatus: { stateChange: 2, nodeNames: ['node-2'] }, time })).toMatchObject({ coverage: { type: 'node-status', node: 'node-2', detail: 'NODE_UNAVAILABLE node-2' } })
    expect(normalize({ node_status: { state_change: 'NODE_UNAVAILABLE', node_names: ['kind/node-2'], message: 'gone\nfor good' }, time: TIME })).toMatchObject({
      reason: 'control', coverage: { type: 'node-status', node: 'node-2', lost: 0, detail: 'NODE_UNAVAILABLE kind/node-2: gone\\u000afor good' },
    })
    expect(normalize({ agent_event: {}, time: TIME })).toMatchObject({ reason: 'control', coverage: null })
    expect(normalize({ debugEvent: {}, time: TIME })).toMatchObject({ reason: 'control', coverage: null })
  })

  test('without a usable time they are counted only', () => {
    expect(normalize({ lost_events: {}, time: '1970-01-01T00:00:04Z' })).toMatchObject({ reason: 'control', coverage: null })
    expect(normalize({ lost_events: {}, time: { seconds: 'x' } })).toMatchObject({ reason: 'control', coverage: null })
    expect(normalize({ lost_events: {}, time: { seconds: 1_767_323_045, nanos: 1e9 } })).toMatchObject({ reason: 'control', coverage: null })
    expect(normalize({ lost_events: 5 })).toMatchObject({ kind: 'rejected', code: 'wrong-type' })
  })
})

describe('records that are told apart', () => {
  test('the uuid decides alone, within a cluster', () => {
    const digest = (raw: Json, cluster = 'c1'): string => {
      const r = flowOf(raw, { cluster })
      return `${r.digestHi}-${r.digestLo}`
    }
    expect(digest(flow({ uuid: 'a1' }))).toBe(digest(flow({ uuid: 'a1', verdict: 'AUDIT' })))
    expect(digest(flow({ uuid: 'a1' }))).not.toBe(digest(flow({ uuid: 'a2' })))
    expect(digest(flow({ uuid: 'a1' }))).not.toBe(digest(flow({ uuid: 'a1' }), 'c2'))
    expect(digest(flow())).not.toBe(digest(flow(), 'c2'))
  })

  test('without uuid every field that distinguishes events does', () => {
    const variants: Json[] = [
      {}, { time: '2026-01-02T03:04:05.123456788Z' }, { node_name: 'node-2' }, { verdict: 'AUDIT' }, { traffic_direction: 'INGRESS' }, { traffic_direction: undefined },
      { event_type: { type: 4, sub_type: 3 } }, { event_type: { type: 5 } }, { trace_observation_point: 'TO_OVERLAY' }, { is_reply: true }, { is_reply: undefined },
      { l4: tcp(40_001, 5432, 'ACK') }, { l4: tcp(40_000, 5433, 'ACK') }, { l4: tcp(40_000, 5432, 'ACK', 'PSH') }, { l4: udp(40_000, 5432) },
      { IP: { source: '10.0.1.11', destination: '10.0.2.20' } }, { IP: { source: '10.0.1.10', destination: '10.0.2.21' } },
      { source: pod('shop/web-7d4b9c6f58-x2k9p', 'app=other') }, { destination: pod('shop/db-1', 'app=db') }, { source: DB, destination: WEB }, { aggregate: { egress_flow_count: 2 } },
    ]
    const digests = variants.map((v) => flowOf(flow(v))).map((r) => `${r.digestHi}-${r.digestLo}`)
    expect(new Set(digests).size).toBe(variants.length)
    expect(digests.every((d) => /^\d+-\d+$/.test(d))).toBe(true)
  })

  test('equal records have equal digests, whatever a normalizer saw before', () => {
    const warm = createNormalizer({ cluster: 'c1' })
    for (let i = 0; i < 50; i++) warm.normalize(flow({ source: pod(`shop/web-7d4b9c6f58-x2k${i}`, `app=a${i}`) }))
    expect(warm.normalize(wrap(flow()))).toMatchObject({ digestHi: flowOf(flow()).digestHi, digestLo: flowOf(flow()).digestLo })
  })
})

test('the format page shows a line that is read', () => {
  const page = readFileSync(new URL('../../../../docs/sources/hubble.md', import.meta.url), 'utf8')
  const line = /```json\n([^\n]+)\n```/.exec(page)?.[1] ?? ''
  expect(flowOf(JSON.parse(line))).toMatchObject({ initiator: { labels: { app: 'web' } }, responder: { labels: { app: 'db' } }, port: 5432, orientation: 'tcp-flags', side: 'client', node: 'node-1' })
})
