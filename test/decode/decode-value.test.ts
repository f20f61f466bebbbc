import { describe, expect, test } from '@jest/globals'
import type { Outcome } from '../../src/core/flow/flow-record.ts'
import { createNormalizer } from '../../src/core/normalize/normalizer.ts'
import { decodeValue, type ValueOptions } from '../../src/decode/decode-value.ts'
import { createFastPath } from '../../src/decode/fast-path.ts'
import { baseLines } from '../support/fuzz/base-lines.ts'
import { mutateLine } from '../support/fuzz/mutate.ts'
import { createRandom, rounds } from '../support/random.ts'
import { AT, timestamp, flowFields, flow, goldmaneFlow, ipv4, record, antreaFlow, textBody, otlp } from '../support/protobuf-messages.ts'
import { message, type WireField } from '../support/wire.ts'

const FLOW = {
  time: { seconds: String(AT), nanos: 123456789 }, verdict: 'FORWARDED', IP: { source: '10.0.1.10', destination: '10.0.2.20', ipVersion: 'IPv4' },
  l4: { TCP: { source_port: 40000, destination_port: 5432, flags: { SYN: true } } },
  source: { ID: 7, identity: 4711, namespace: 'shop', labels: ['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop'], pod_name: 'web-7d4b9c6f58-x2k9p', workloads: [{ name: 'web', kind: 'Deployment' }] },
  destination: { identity: 4712, namespace: 'shop', labels: ['k8s:app=db'], pod_name: 'db-0' }, Type: 'L3_L4', node_name: 'node-1', event_type: { type: 4, sub_type: 3 },
  traffic_direction: 'EGRESS', trace_observation_point: 'TO_STACK', is_reply: false, uuid: '0c0a5c2e-1111-4222-8333-444455556666',
  ingress_allowed_by: [{ name: 'db', namespace: 'shop', revision: '6' }],
}

const GOLDMANE = {
  Key: {
    source_name: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_type: 1, dest_name: 'db-*', dest_namespace: 'shop', dest_type: 1, dest_port: '5432', proto: 'tcp', reporter: 2, action: 1,
    policies: { enforced_policies: [{ kind: 6, namespace: 'shop', name: 'db', action: 1, rule_index: '-1' }] },
  },
  start_time: String(AT), end_time: String(AT + 300), source_labels: ['app=web'], dest_labels: ['app=db'], packets_in: '12', bytes_in: '9007199254740993', num_connections_started: '3',
}

const IPV6 = Buffer.from('20010db8000000000000000000000001', 'hex')
const RECORD = {
  SrcAddr: '10.0.0.1', DstAddr: '10.0.0.2', SrcPort: 40000, DstPort: 5432, Proto: 6, Etype: 2048, Flags: 2, TimeFlowStartMs: AT * 1000 + 250, TimeFlowEndMs: AT * 1000 + 999,
  AgentIP: '10.0.0.9', Bytes: '1234', Packets: '5', Interfaces: ['eth0'], IfDirections: [1], Sampling: 50,
}

const ANTREA = {
  flowStartSeconds: AT, flowEndSeconds: AT + 60, sourceIP: '10.0.1.10', destinationIP: '10.0.2.20', sourceTransportPort: 40000, destinationTransportPort: 5432, protocolIdentifier: 6, packetDeltaCount: '5',
  sourcePodName: 'web', sourcePodNamespace: 'shop', destinationPodName: 'db-0', destinationPodNamespace: 'shop', destinationClusterIP: '10.96.0.9', destinationServicePort: 5432,
  destinationServicePortName: 'shop/db:pg', ingressNetworkPolicyName: 'db', ingressNetworkPolicyNamespace: 'shop', tcpState: 'ESTABLISHED',
}

function without(record: object, key: string): object {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key))
}

function values(bytes: Buffer, options?: ValueOptions): unknown[] {
  return decodeValue(bytes, options).map(({ problem, value }) => problem === null ? value : problem.kind === 'rejected' ? problem.code : problem.reason)
}

describe('text values', () => {
  test.each([
    ['one object', '{"a":1}', [{ a: 1 }]], ['NDJSON without a last line feed', '{"a":1}\n{"b":2}', [{ a: 1 }, { b: 2 }]], ['an array over several lines', '[\n{"a":1},\n{"b":2}\n]', [{ a: 1 }, { b: 2 }]],
    ['a text line', 'Node: a;SIP: b', ['Node: a;SIP: b']], ['a byte order mark', '\ufeff{"a":1}', [{ a: 1 }]], ['an envelope', '{"log":"{\\"flow\\":{}}"}', [{ flow: {} }]],
    ['a cut object', '{"a":', ['truncated']], ['an empty value', '', ['blank']], ['blanks', ' ', ['blank']], ['an empty array', '[]', ['blank']], ['words', 'é ü', ['é ü']],
    ['an object with NUL', '{"a":"\0"}\n{"b":1}', ['not-text', { b: 1 }]], ['a text with a control character', 'a\u0001b', ['a\u0001b']],
  ])('%s', (_, text, expected) => {
    expect(values(Buffer.from(text))).toEqual(expected)
  })

  test('all but the last record of a value resume at its start', () => {
    const offsets = decodeValue(Buffer.from('{"log":"[{\\"flow\\":{}},{\\"flow\\":{}}]"}')).map((item) => [item.startOffset, item.byteOffset])
    expect(offsets).toEqual([[0, 0], [0, 39]])
    expect(decodeValue(message([1, record(6)], [1, record(17)])).map((item) => item.byteOffset)).toEqual([0, message([1, record(6)], [1, record(17)]).length])
  })
})

describe('protobuf values are known by their signature', () => {
  test('Hubble: a Flow, and a GetFlowsResponse or ExportEvent around it', () => {
    expect(values(flow)).toEqual([{ flow: FLOW }])
    expect(values(message([1, flow], [1000, 'node-1'], [1001, timestamp()]))).toEqual([{ flow: FLOW, node_name: 'node-1', time: FLOW.time }])
  })

  test('a flow reads the same from protobuf and from JSON', () => {
    const normalizer = createNormalizer({ cluster: 'default' })
    const json = { ...FLOW, time: '2026-01-02T03:04:05.123456789Z' }
    const outcome = normalizer.normalize(values(flow)[0])
    expect(outcome).toMatchObject({ kind: 'flow', port: 5432, orientation: 'tcp-flags' })
    expect(outcome).toEqual(normalizer.normalize({ flow: json }))
  })

  test('Hubble: is_reply absent, false and true stay three different things', () => {
    const withReply = (reply: readonly WireField[]): unknown => (values(message([1, timestamp()], [2, 1], [5, [[1, '10.0.0.1']]], ...reply))[0] as { flow: { is_reply?: boolean } }).flow.is_reply
    expect([withReply([]), withReply([[26, []]]), withReply([[26, [[1, 0]]]]), withReply([[26, [[1, 1]]]])]).toEqual([undefined, false, false, true])
  })

  test('Hubble: numbers newer than the tables stay numbers, drop reasons are numbers', () => {
    expect(values(message([1, timestamp()], [2, 15], [25, 133], [5, [[1, '10.0.0.1']]]))).toMatchObject([{ flow: { verdict: 15, drop_reason_desc: 133 } }])
  })

  test('Hubble: control records', () => {
    const lost = message([3, [[1, 2], [2, 5], [3, [[1, 3]]]]], [1000, 'node-1'], [1001, timestamp(0)])
    const expected = { lost_events: { source: 'OBSERVER_EVENTS_QUEUE', num_events_lost: '5', cpu: 3 }, node_name: 'node-1', time: { seconds: String(AT) } }
    expect(values(lost)).toEqual([expected])
    const coverage = { type: 'lost-events', atUs: AT * 1_000_000, node: 'node-1', lost: 5 }
    expect(createNormalizer({ cluster: 'default' }).normalize(expected)).toMatchObject({ kind: 'ignored', reason: 'control', coverage })
    expect(values(message([2, [[1, 2], [2, 'node-2']]], [1000, 'relay'], [1001, timestamp(0)]))).toMatchObject([{ node_status: { state_change: 'NODE_UNAVAILABLE', node_names: ['node-2'] } }])
  })

  test('Goldmane: Flow, FlowResult, FlowUpdate and a list of results', () => {
    expect(values(goldmaneFlow)).toEqual([GOLDMANE])
    expect(values(message([1, 5], [2, goldmaneFlow]))).toEqual([GOLDMANE])
    expect(values(message([1, goldmaneFlow]))).toEqual([GOLDMANE])
    expect(values(message([1, [[1, 1], [2, 2]]], [2, [[1, 5], [2, goldmaneFlow]]], [2, [[1, 6], [2, goldmaneFlow]]]))).toEqual([GOLDMANE, GOLDMANE])
  })

  test('NetObserv: a Record with the keys of enriched flows, and Records', () => {
    expect(values(record(6))).toEqual([RECORD])
    expect(values(message([1, record(6)], [1, record(17)]))).toEqual([RECORD, { ...without(RECORD, 'Flags'), Proto: 17 }])
  })

  test('NetObserv: ICMP has no ports; IPv6, interfaces, drops and translation have their keys', () => {
    expect(values(record(1, [[14, 8]]))).toMatchObject([{ Proto: 1, IcmpType: 8, IcmpCode: 0 }])
    expect(values(record(1))[0]).not.toHaveProperty('DstPort')
    const v6 = message([3, timestamp()], [4, timestamp()], [6, [[1, [[2, IPV6]]], [2, [[2, IPV6]]]]], [7, [[1, 5], [2, 6], [3, 132]]], [17, 4], [20, 2],
      [26, [[1, 'eth0']]], [26, [[1, 'br-ex'], [2, 1], [3, 'udn-a']]], [28, [[1, ipv4(3)], [2, ipv4(4)], [3, 7], [4, 8], [5, 2]]])
    expect(values(v6)).toMatchObject([{
      SrcAddr: '2001:db8:0:0:0:0:0:1', SrcPort: 5, DstPort: 6, Proto: 132, Interfaces: ['eth0', 'br-ex'], IfDirections: [0, 1], Udns: ['', 'udn-a'], PktDropPackets: '4', PktDropLatestDropCause: 2,
      XlatSrcAddr: '10.0.0.3', XlatDstAddr: '10.0.0.4', XlatSrcPort: 7, XlatDstPort: 8, ZoneId: 2,
    }])
  })

  test("Antrea: what the Kafka producer writes, with the names of ClickHouse's rows", () => {
    expect(values(antreaFlow)).toEqual([ANTREA])
    expect(values(message([1, AT], [6, '10.0.1.10'], [7, '10.0.2.20'], [27, AT * 1000]))).toEqual([{ sourceIP: '10.0.1.10', destinationIP: '10.0.2.20', flowStartSeconds: AT }])
  })

  test('OTLP: text, maps and text lines are unwrapped like their JSON', () => {
    const map = message([5, [[6, [[1, [[1, 'flow'], [2, [[6, [[1, [[1, 'verdict'], [2, [[1, 'FORWARDED']]]]], [1, [[1, 'is_reply'], [2, [[2, 0]]]]], [1, [[1, 'n'], [2, [[3, 5]]]]]]]]]]]]]]])
    const line = 'Node: n;SIP: 10.0.0.1;SPORT: 5;DIP: 10.0.0.2;DPORT: 80;PROTOCOL: TCP;PolicyVerdict: ACCEPT'
    expect(values(otlp(textBody('{"flow":{"time":"t"}}\n{"flow":{"time":"u"}}'), map, textBody(line)))).toEqual([
      { flow: { time: 't' } }, { flow: { time: 'u' } }, { flow: { verdict: 'FORWARDED', is_reply: false, n: 5 }, time: '2026-01-02T03:04:05.000000000Z' },
      { message: line, timestamp: '2026-01-02T03:04:05.000000000Z' },
    ])
  })

  test('fields of newer producers are skipped', () => {
    expect(values(message(...flowFields, [77, 'new'], [78, 5], [79, [[1, 2]]]))).toEqual([{ flow: FLOW }])
  })
})

describe('what is refused', () => {
  test.each([
    ['a message of no known kind', message([1, 'some'], [2, 5])],
    ['a flow whose time is in another unit', message([1, [[1, AT * 1000]]], [2, 1], [5, [[1, '10.0.0.1']]])],
    ['a flow whose address is none', message([1, timestamp()], [2, 1], [5, [[1, 'web']]])],
    ['a flow that says nothing', message([1, timestamp()], [2, 1])],
    ['a flow with a wrong wire type', message([1, timestamp()], [2, 'FORWARDED'], [5, [[1, '10.0.0.1']]])],
    ['a Goldmane flow with an action that does not exist', message([1, [[1, 'a'], [3, 1], [4, 'b'], [6, 1], [12, 'tcp'], [13, 1], [14, 9]]], [2, AT])],
    ['a record without addresses', message([3, timestamp()], [6, [[3, 1]]])],
    ['OTLP records without content', otlp(message([7, 1]))],
    ['two events in one', message([1, flow], [3, [[2, 5]]], [1001, timestamp()])],
  ])('%s is malformed-protobuf', (_, bytes) => {
    expect(values(bytes)).toEqual(['malformed-protobuf'])
    expect(values(bytes, { kind: 'protobuf' })).toEqual(['malformed-protobuf'])
  })

  test('a cut message, and one with broken text inside, are none', () => {
    expect(values(flow.subarray(0, flow.length - 3), { kind: 'protobuf' })).toEqual(['malformed-protobuf'])
    expect(values(message([1, timestamp()], [2, 1], [5, [[1, '10.0.0.1'], [2, Buffer.from([0xff, 0xfe])]]]))).toEqual(['malformed-protobuf'])
  })

  test('bytes that are neither text nor protobuf are not-text; what was announced as protobuf is malformed', () => {
    const noise = Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0xff, 0xff])
    expect(values(noise)).toEqual(['not-text'])
    expect(values(noise, { kind: 'protobuf' })).toEqual(['malformed-protobuf'])
    expect(values(Buffer.from('{"flow":{}}'), { kind: 'protobuf' })).toEqual(['malformed-protobuf'])
  })

  test('a value over the limit is refused unread', () => {
    expect(values(flow, { maxBytes: 100 })).toEqual(['too-long'])
  })

  test('groups, field zero, endless varints and lengths beyond the end are no protobuf', () => {
    for (const bytes of [[0x0b, 0x0c], [0x02, 0x00], [0x08, ...Array<number>(11).fill(0xff)], [0x0a, 0x7f, 0x01], [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]]) {
      expect(values(Buffer.from(bytes), { kind: 'protobuf' })).toEqual(['malformed-protobuf'])
    }
  })

  test('a million empty messages are not decoded', () => {
    expect(values(Buffer.alloc(4 << 20, Buffer.from([0x0a, 0x00])), { kind: 'protobuf' })).toEqual(['malformed-protobuf'])
  })

  test('values nested without end do not exhaust the stack', () => {
    let value = message([1, 'x'])
    for (let i = 0; i < 3000; i++) value = message([5, [[1, value]]])
    expect(values(otlp(message([5, value])))).toEqual(['malformed-protobuf'])
    let shallow = message([1, 'x'])
    for (let i = 0; i < 10; i++) shallow = message([5, [[1, shallow]]])
    expect(values(otlp(message([5, shallow])))).toHaveLength(1)
  })
})

describe('laws', () => {
  const seeds = [flow, message([1, flow], [1000, 'n'], [1001, timestamp()]), goldmaneFlow, message([1, 5], [2, goldmaneFlow]), record(6), message([1, record(6)], [1, record(17)]), antreaFlow, otlp(textBody('{"flow":{}}'))]

  test('no bytes throw, and every value gives at least one item', () => {
    const total = rounds({ small: 5000, full: 200_000 })
    const normalizer = createNormalizer({ cluster: 'default' })
    for (let seed = 1; seed <= total; seed++) {
      const random = createRandom(seed)
      const bytes = Buffer.from(random.pick(seeds))
      for (let i = random.int(5); i >= 0; i--) bytes[random.int(bytes.length)] = random.int(256)
      const cut = random.chance(0.3) ? bytes.subarray(random.int(4), 1 + random.int(bytes.length)) : bytes
      const items = decodeValue(cut, random.chance(0.5) ? { kind: 'protobuf' } : {})
      if (items.length === 0) throw new Error(`seed ${seed}: no item of ${cut.toString('hex')}`)
      for (const item of items) {
        const outcome = item.problem ?? normalizer.normalize(item.value)
        if (!['flow', 'rejected', 'ignored'].includes(outcome.kind)) throw new Error(`seed ${seed}: ${outcome.kind}`)
        if (typeof item.raw !== 'string') throw new Error(`seed ${seed}: no evidence`)
      }
    }
  })

  test('a message is recognised as its own kind only: fields in any order give the same records', () => {
    const total = rounds({ small: 200, full: 5000 })
    for (let seed = 1; seed <= total; seed++) {
      const shuffled = message(...createRandom(seed).shuffle(flowFields.filter(([number]) => number !== 21002)))
      const rest = without(FLOW, 'ingress_allowed_by')
      const found = values(shuffled)
      if (JSON.stringify(found.map((one) => Object.keys((one as { flow: object }).flow).length)) !== `[${Object.keys(rest).length}]`) expect({ seed, found }).toEqual({ seed, found: [{ flow: rest }] })
    }
    expect(values(message(...createRandom(1).shuffle(flowFields)))).toEqual([{ flow: FLOW }])
  })
})

test('what the byte path reads of a value, and what is read without it, are the same outcomes', () => {
  const random = createRandom(21)
  const groups = baseLines()
  let direct = 0
  for (let round = 0; round < rounds({ small: 2_000, full: 200_000 }); round++) {
    const line = (): string => random.pick(random.pick(groups))
    const text = random.chance(0.5) ? Buffer.from(line()) : mutateLine(random, line(), line())
    const value = random.chance(0.2) ? Buffer.concat([text, Buffer.from(random.pick(['\n', '\r\n', '\n\n', '\n{}', ' ']))]) : text
    const outcomes = (isFast: boolean): unknown[] => {
      const normalizer = createNormalizer({ cluster: 'test' })
      const items = decodeValue(value, isFast ? { fastPath: createFastPath(normalizer) } : {})
      if (isFast) direct += items.filter((item) => item.outcome !== null).length
      return items.map((item) => plainOutcome(item.problem ?? item.outcome ?? normalizer.normalize(item.value)))
    }
    expect({ round, outcomes: outcomes(true) }).toEqual({ round, outcomes: outcomes(false) })
  }
  expect(direct).toBeGreaterThan(0)
})

/** Without the numbers that only name objects of one process. */
function plainOutcome(outcome: Outcome): unknown {
  return outcome.kind === 'flow' ? { ...outcome, initiator: outcome.initiator.key, responder: outcome.responder.key } : outcome
}
