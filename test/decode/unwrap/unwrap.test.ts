import { describe, expect, test } from '@jest/globals'
import { createNormalizer } from '../../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../../src/decode/decode-chunk.ts'
import type { DecodedItem } from '../../../src/decode/item-list.ts'
import { createRandom, rounds, type Random } from '../../support/random.ts'

/** Invented records in the exact shapes. */
const HUBBLE = {
  flow: {
    time: '2026-01-02T03:04:05.123456789Z', uuid: '0c0a5c2e-1111-4222-8333-444455556666', verdict: 'FORWARDED', IP: { source: '10.0.1.10', destination: '10.0.2.20', ipVersion: 'IPv4' },
    l4: { TCP: { source_port: 40000, destination_port: 5432, flags: { SYN: true } } },
    source: { namespace: 'shop', labels: ['k8s:app=web'], pod_name: 'web-7d4b9c6f58-x2k9p' }, destination: { namespace: 'shop', labels: ['k8s:app=db'], pod_name: 'db-0' },
    Type: 'L3_L4', node_name: 'node-1', is_reply: false, event_type: { type: 4, sub_type: 3 }, traffic_direction: 'EGRESS',
  },
  node_name: 'node-1', time: '2026-01-02T03:04:05.123456789Z',
}
const CALICO = {
  start_time: 1767323045, end_time: 1767323345, source_name: 'web-7d4b9c6f58-x2k9p', source_name_aggr: 'web-7d4b9c6f58-*', source_namespace: 'shop', source_type: 'wep',
  source_labels: { labels: ['app=web'] }, dest_name: 'db-0', dest_name_aggr: 'db-*', dest_namespace: 'shop', dest_port: 5432, dest_type: 'wep', dest_labels: { labels: ['app=db'] },
  proto: 'tcp', action: 'allow', reporter: 'dst', host: 'node-1',
}
const GKE = {
  connection: { src_ip: '10.0.1.10', dest_ip: '10.0.2.20', src_port: 40000, dest_port: 5432, protocol: 'tcp', direction: 'ingress' }, disposition: 'allow',
  policies: [{ name: 'db', namespace: 'shop' }], src: { pod_name: 'web', pod_namespace: 'shop' }, dest: { pod_name: 'db-0', pod_namespace: 'shop' }, count: 1,
}
const AWS = 'Node: ip-10-0-1-5.ec2.internal;SIP: 10.0.1.28;SPORT: 55484;DIP: 10.0.1.132;DPORT: 80;PROTOCOL: TCP;PolicyVerdict: ACCEPT'
const AWS_INFO = 'Flow Info: Src IP: 10.0.1.28 Src Port: 55484 Dest IP: 10.0.1.132 Dest Port: 80 Proto TCP Verdict ACCEPT Direction egress'
const AUDIT = '2026/01/02 03:04:05.123456 IngressDefaultRule K8sNetworkPolicy:shop/db <nil> Drop <nil> 10.0.1.10 40000 10.0.2.20 5432 TCP 60'

function decode(input: unknown): DecodedItem[] {
  const decoder = createDecoder({ isFinished: true })
  const text = typeof input === 'string' ? input : JSON.stringify(input)
  return [...decoder.push(Buffer.from(`${text}\n`)), ...decoder.end()]
}

function values(input: unknown): unknown[] {
  return decode(input).map((item) => item.problem === null ? item.value : codeOf(item))
}

function codeOf({ problem }: DecodedItem): string {
  return problem === null ? 'record' : problem.kind === 'rejected' ? problem.code : problem.reason
}

function without(record: object, key: string): object {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key))
}

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** How shippers wrap one line. */
const TEXT_ENVELOPES: Readonly<Record<string, (line: string) => unknown>> = {
  'fluent-bit log': (log) => ({ '@timestamp': 1767323045.25, log }),
  'fluent-bit with kubernetes metadata': (log) => ({ '@timestamp': '2026-01-02T03:04:05.250Z', log: `${log}\n`, stream: 'stdout', kubernetes: { pod_name: 'cilium-abcde', namespace_name: 'kube-system', host: 'node-1' } }),
  Vector: (message) => ({ file: '/var/run/cilium/hubble/events.log', host: 'vector-x1', message, source_type: 'file', timestamp: '2026-01-02T03:04:05.25Z' }),
  Fluentd: (message) => ({ message, '@timestamp': '2026-01-02T03:04:05.250+00:00', host: 'node-1', tag: 'flows' }),
  Filebeat: (message) => ({
    '@timestamp': '2026-01-02T03:04:05.250Z', '@metadata': { beat: 'filebeat', type: '_doc' }, message, log: { offset: 12, file: { path: '/var/log/flows.log' } }, input: { type: 'filestream' },
    agent: { type: 'filebeat', name: 'node-1' }, ecs: { version: '8.0.0' }, host: { name: 'node-1' }, event: { dataset: 'flows' },
  }),
  Logstash: (message) => ({ '@timestamp': '2026-01-02T03:04:05.250Z', '@version': '1', message, event: { original: message } }),
  'Splunk HEC': (event) => ({ time: 1767323045.25, host: 'node-1', source: 'hubble', sourcetype: '_json', index: 'k8s', event }),
  'Splunk search result': (line) => ({ preview: false, offset: 0, result: { _raw: line, _time: '2026-01-02T03:04:05.250+00:00', host: 'node-1' } }),
  'Cloud Logging textPayload': (textPayload) => ({ insertId: 'a1', logName: 'projects/p/logs/stdout', resource: { type: 'k8s_container' }, severity: 'INFO', textPayload, timestamp: '2026-01-02T03:04:05.25Z' }),
  'Pub/Sub push of a log entry': (line) => ({
    message: { data: base64(JSON.stringify({ textPayload: line, timestamp: '2026-01-02T03:04:05.25Z' })), messageId: '1', publishTime: '2026-01-02T03:05:00Z' }, subscription: 'projects/p/subscriptions/s',
  }),
  'CloudWatch Logs subscription': (message) => ({
    messageType: 'DATA_MESSAGE', owner: '123456789012', logGroup: '/aws/eks/c/cluster', logStream: 'flows', subscriptionFilters: ['f'], logEvents: [{ id: '1', timestamp: 1767323045250, message }],
  }),
  'Elasticsearch hit': (message) => ({ _index: 'logs', _id: '1', _source: { '@timestamp': '2026-01-02T03:04:05.250Z', message } }),
  journald: (MESSAGE) => ({ MESSAGE, __REALTIME_TIMESTAMP: '1767323045250000', _HOSTNAME: 'node-1', PRIORITY: '6', SYSLOG_IDENTIFIER: 'hubble' }),
  Docker: (line) => ({ log: `${line}\n`, stream: 'stdout', time: '2026-01-02T03:04:05.25Z' }),
  'OTLP JSON': (stringValue) => ({
    resourceLogs: [{ resource: { attributes: [] }, scopeLogs: [{ scope: {}, logRecords: [{ timeUnixNano: '1767323045250000000', body: { stringValue }, attributes: [{ key: 'log.file.name', value: { stringValue: 'f' } }] }] }] }],
  }),
  'the text alone, as a JSON string': (line) => line,
}

/** How shippers that parse the line keep it. */
const OBJECT_ENVELOPES: Readonly<Record<string, (record: object) => unknown>> = {
  'Splunk HEC': (event) => ({ time: '1767323045.250', host: 'node-1', sourcetype: '_json', event }),
  'Splunk search result': (result) => ({ preview: false, result }),
  'Cloud Logging jsonPayload': (jsonPayload) => ({ insertId: 'a1', jsonPayload, resource: { type: 'k8s_node' }, timestamp: '2026-01-02T03:04:05.25Z' }),
  'Elasticsearch hit': (record) => ({ _index: 'logs', _id: '1', _source: record }),
  'fluent-bit nest filter': (record) => ({ '@timestamp': 1767323045.25, hubble_event: record }),
  'fluent-bit merged log': (record) => ({ log: JSON.stringify(record), log_processed: record, stream: 'stdout' }),
}

describe('every wrapping gives the record inside', () => {
  describe.each(Object.keys(TEXT_ENVELOPES))('%s', (name) => {
    const wrap = TEXT_ENVELOPES[name] as (line: string) => unknown

    test.each([['a Hubble flow', HUBBLE], ['a Calico row', CALICO]])('around the JSON of %s', (_, record) => {
      expect(values(JSON.stringify(wrap(JSON.stringify(record))))).toEqual([record])
    })

    test('around lines and arrays of them, each an item of its own', () => {
      const text = `${JSON.stringify(HUBBLE)}\n[${JSON.stringify(CALICO)},${JSON.stringify(HUBBLE)}]\n${JSON.stringify(CALICO)}`
      expect(values(JSON.stringify(wrap(text)))).toEqual([HUBBLE, CALICO, HUBBLE, CALICO])
    })

    test('around a line of a container runtime', () => {
      expect(values(JSON.stringify(wrap(`2026-01-02T03:04:05.1Z stdout F ${JSON.stringify(HUBBLE)}`)))).toEqual(name.startsWith('the text') ? ['not-an-object'] : [HUBBLE])
    })
  })

  test.each(Object.keys(TEXT_ENVELOPES).filter((name) => !name.startsWith('the text')))('%s around text lines', (name) => {
    const wrap = TEXT_ENVELOPES[name] as (line: string) => unknown
    expect(values(wrap(AUDIT))).toEqual([AUDIT])
    // The text has no time of its own: it is handed on with the envelope's, or the envelope is the agent's own form.
    const normalizer = createNormalizer({ cluster: 'default' })
    for (const line of [AWS, AWS_INFO]) {
      const outcomes = decode(wrap(line)).map((item) => normalizer.normalize(item.value))
      expect(outcomes).toMatchObject([{ kind: 'flow', format: 'aws-vpc-cni', firstAtUs: 1767323045250000 }])
    }
  })

  test.each(Object.keys(OBJECT_ENVELOPES))('%s around objects', (name) => {
    const wrap = OBJECT_ENVELOPES[name] as (record: object) => unknown
    for (const record of [HUBBLE, CALICO]) expect(values(wrap(record))).toEqual([record])
  })

  test('JSON escaped twice', () => {
    expect(values(JSON.stringify({ log: JSON.stringify(JSON.stringify(HUBBLE)) }))).toEqual([HUBBLE])
  })

  test('a flow inside an envelope takes a lost time from beside itself before it takes the one around it', () => {
    const inside = { ...HUBBLE.flow, time: undefined, '@timestamp': 1767323045.5 }
    for (const record of [{ _source: inside }, { '@timestamp': '2026-03-01T00:00:00Z', _source: inside }]) {
      expect((values(record)[0] as { time?: string }).time).toBe('2026-01-02T03:04:05.500000Z')
    }
  })

  test('a record of another format that a shipper nested under the key flow', () => {
    for (const record of [CALICO, { ...GKE, timestamp: '2026-01-02T03:04:05Z' }]) expect(values({ flow: record, tag: 'x' })).toEqual([record])
    // Neither does a key of that name take a record away from its format.
    for (const flow of ['egress', null, {}, { id: 5 }]) {
      const named = { ...CALICO, flow }
      expect(values(named)).toEqual([named])
      expect(createNormalizer({ cluster: 'default' }).normalize(named)).toMatchObject({ kind: 'flow', format: 'calico-enterprise' })
    }
    expect(values(`${'{"flow":'.repeat(50_000)}{}${'}'.repeat(50_000)}`)).toHaveLength(1)
  })

  test('text lines of container runtimes, with JSON or text', () => {
    expect(values(`2026-01-02T03:04:05.123456789Z stdout F ${JSON.stringify(HUBBLE)}`)).toEqual([HUBBLE])
    expect(values(`2026-01-02T03:04:05.1+01:00 stderr F ${AUDIT}`)).toEqual([AUDIT])
    expect(values(`2026-01-02T03:04:05.1Z stdout P ${JSON.stringify(HUBBLE).slice(0, 90)}`)).toEqual(['malformed-json'])
    // A cut port would be another port.
    expect(values(`2026-01-02T03:04:05.1Z stdout P ${AWS.slice(0, AWS.indexOf('PORT: 80') + 7)}`)).toEqual(['truncated'])
  })
})

describe('what is no envelope stays what it is', () => {
  test('a native record is never unwrapped, whatever shippers added to it', () => {
    const merged = { ...HUBBLE, message: JSON.stringify(CALICO), log: 'x', event: CALICO, '@timestamp': 5, kubernetes: { host: 'other' } }
    expect(values(merged)).toEqual([merged])
    expect(values({ ...CALICO, message: JSON.stringify(HUBBLE) })).toEqual([{ ...CALICO, message: JSON.stringify(HUBBLE) }])
  })

  test("a program's own log object stays one, unless its message holds a flow", () => {
    const log = { level: 'info', message: 'Starting', component: 'agent' }
    expect(values(log)).toEqual([log])
    expect(values({ level: 'info', message: AUDIT })).toEqual([AUDIT])
    const config = { level: 'info', message: '{"config":1}' }
    expect(values(config)).toEqual([config])
    expect(values({ level: 'info', message: JSON.stringify(HUBBLE) })).toEqual([HUBBLE])
    expect(values({ severity: 'INFO', message: JSON.stringify({ log: JSON.stringify(CALICO) }) })).toEqual([CALICO])
    const agent = { level: 'info', ts: '2026-01-02T03:04:05.25Z', msg: AWS_INFO }
    expect(values({ log: JSON.stringify(agent) })).toEqual([agent])
  })

  test('an object of no known kind is handed on whole', () => {
    for (const odd of [{ some: 'thing' }, {}, { message: 5 }, { message: null, log: [1] }]) expect(values(odd)).toEqual([odd])
  })

  test('a key called __proto__ is a key like any other', () => {
    expect(values('{"__proto__":{"flow":{"verdict":"FORWARDED"}},"log":5}')).toEqual([{ flow: { verdict: 'FORWARDED' } }])
    expect(Object.hasOwn({}, 'flow')).toBe(false)
  })

  test('an ECS document: the text line counts, not the facts beside it', () => {
    const ecs = { '@timestamp': '2026-01-02T03:04:05Z', message: AUDIT, log: { file: { path: '/x' } }, event: { dataset: 'audit', kind: 'event' } }
    expect(values(ecs)).toEqual([AUDIT])
  })
})

describe('what the envelope knows is used only where the record lost it', () => {
  const flow = without(HUBBLE.flow, 'time')

  test('a Hubble flow without time gets the time nearest to it', () => {
    const [bare] = values({ '@timestamp': 1767323045.25, log: JSON.stringify({ log: JSON.stringify(flow), time: '2026-01-02T03:04:05.5Z', stream: 'stdout' }) })
    expect(bare).toEqual({ ...flow, time: '2026-01-02T03:04:05.5Z' })
    expect(values({ '@timestamp': 1767323045.25, log: JSON.stringify({ flow }) })).toEqual([{ flow, time: '2026-01-02T03:04:05.250000Z' }])
    expect(values(TEXT_ENVELOPES['OTLP JSON']?.(JSON.stringify({ flow })))).toEqual([{ flow, time: '2026-01-02T03:04:05.250000000Z' }])
  })

  test('a bare flow of which fluent-bit took the time (Time_Key) gets it from @timestamp', () => {
    const record = { '@timestamp': 1767323045.123456, ...flow }
    expect(values(record)).toEqual([{ ...record, time: '2026-01-02T03:04:05.123456Z' }])
    expect(createNormalizer({ cluster: 'default' }).normalize(values(record)[0])).toMatchObject({ kind: 'flow', firstAtUs: 1767323045123456 })
  })

  test('a flow that has its time and node keeps them', () => {
    expect(values({ '@timestamp': 5e9, kubernetes: { host: 'other' }, log: JSON.stringify(HUBBLE) })).toEqual([HUBBLE])
    expect(values({ '@timestamp': 5e9, ...HUBBLE.flow })).toEqual([{ '@timestamp': 5e9, ...HUBBLE.flow }])
  })

  test("the node comes from the pod's metadata, never from the shipper's host", () => {
    const rest = without(HUBBLE.flow, 'node_name')
    expect(values({ kubernetes: { host: 'node-9' }, host: 'vector-x', log: JSON.stringify({ flow: rest }) })).toEqual([{ flow: rest, node_name: 'node-9' }])
    expect(values({ host: 'vector-x', hostname: 'v', log: JSON.stringify({ flow: rest }) })).toEqual([{ flow: rest }])
  })

  test("a GKE record gets Cloud Logging's time; a Calico row gets nothing", () => {
    expect(values({ jsonPayload: GKE, timestamp: '2026-01-02T03:04:05.25Z' })).toEqual([{ ...GKE, timestamp: '2026-01-02T03:04:05.25Z' }])
    expect(values({ jsonPayload: { ...GKE, timestamp: '2026-01-01T00:00:00Z' }, timestamp: '2026-01-02T03:04:05Z' })).toEqual([{ ...GKE, timestamp: '2026-01-01T00:00:00Z' }])
    expect(values({ '@timestamp': 5, log: JSON.stringify(CALICO) })).toEqual([CALICO])
  })

  test.each([
    ['seconds', 1767323045, '2026-01-02T03:04:05.000000Z'], ['milliseconds', 1767323045250, '2026-01-02T03:04:05.250000Z'], ['text of seconds', '1767323045.25', '2026-01-02T03:04:05.250000Z'],
    ['text of nanoseconds', '1767323045123456789', '2026-01-02T03:04:05.123456789Z'], ['microseconds', 1767323045250001, '2026-01-02T03:04:05.250001Z'],
    ['a negative number', -5, undefined], ['nothing readable', 'yesterday', undefined], ['beyond 2200', 7_258_118_400, undefined], ['not a number', null, undefined],
  ])('times as shippers write them: %s', (_, time, expected) => {
    expect(values({ time, log: JSON.stringify({ flow }) })).toEqual([expected === undefined ? { flow } : { flow, time: expected }])
  })
})

describe('hostile and broken input', () => {
  test('five envelopes are taken off, a sixth is refused as too deep', () => {
    let line = JSON.stringify(HUBBLE)
    for (let i = 0; i < 5; i++) line = JSON.stringify({ log: line })
    expect(values(line)).toEqual([HUBBLE])
    const [item] = decode(JSON.stringify({ log: line }))
    expect(item).toMatchObject({ value: undefined, problem: { code: 'too-deep' } })
    expect(item?.raw).toContain('{"log":"')
    expect(values('{"result":'.repeat(50_000) + '1' + '}'.repeat(50_000))).toEqual(['too-deep'])
    expect(values(JSON.stringify({ log: '['.repeat(50_000) + ']'.repeat(50_000) }))).toEqual(['too-deep'])
  })

  test('JSON that was cut inside its envelope is malformed, and shows its text', () => {
    const [item] = decode({ log: '{"flow":{"time":"2026', stream: 'stdout' })
    expect(item).toMatchObject({ problem: { code: 'malformed-json' }, raw: '{"flow":{"time":"2026' })
    expect(values({ log: `{"flow":\n${JSON.stringify(CALICO)}\n{"x"` })).toEqual(['malformed-json', CALICO, 'malformed-json'])
  })

  test('empty envelopes count as blank', () => {
    for (const empty of [{ resourceLogs: [] }, { logEvents: [] }, { log: '[]' }, { message: { data: '' } }]) expect(values(empty)).toEqual(['blank'])
  })

  test("CloudWatch's check of its destination is a foreign log", () => {
    expect(values({ messageType: 'CONTROL_MESSAGE', logEvents: [{ id: '', timestamp: 1, message: 'CWL CONTROL MESSAGE: Checking health of destination.' }] })).toEqual(['foreign-log'])
  })

  test('what stands between the records of an array is refused one by one', () => {
    expect(values({ message: JSON.stringify([HUBBLE, 1, null, 'x', [CALICO]]) })).toEqual([HUBBLE, 'not-an-object', 'not-an-object', 'not-an-object', CALICO])
  })

  test('a hundred thousand records of one value are read, and the rest is one refusal', () => {
    const items = decode(JSON.stringify({ log: '{}\n'.repeat(170_000) }))
    expect(items).toHaveLength(100_001)
    expect(items.at(-1)).toMatchObject({ problem: { code: 'too-long' } })
  })

  test('a line inside an envelope is bounded like any other', () => {
    const decoder = createDecoder({ maxLineBytes: 200 })
    const inner = `${'x'.repeat(150)}\n${'y'.repeat(20)}`
    expect(decoder.push(Buffer.from(`${JSON.stringify({ log: inner })}\n`)).map((item) => item.value)).toEqual(['x'.repeat(150), 'y'.repeat(20)])
  })

  test('NUL and lone surrogates inside an envelope do no harm', () => {
    expect(values('{"log":"a\\u0000b"}')).toEqual(['not-text'])
    expect(values('{"log":"\\ud800"}')).toEqual(['\ud800'])
  })
})

function randomRecord(random: Random, n: number): object {
  return random.pick([{ ...HUBBLE, n }, { ...CALICO, n }, { some: 'thing', n }])
}

function randomWrap(random: Random, depth: number, record: object): unknown {
  if (depth === 0) return record
  const inner = JSON.stringify(randomWrap(random, depth - 1, record))
  const names = Object.keys(TEXT_ENVELOPES).filter((name) => !name.startsWith('the text') && !name.startsWith('Pub') && !name.startsWith('CloudW') && !name.startsWith('Splunk s') && !name.startsWith('El'))
  return (TEXT_ENVELOPES[random.pick(names)] as (line: string) => unknown)(inner)
}

describe('laws', () => {
  test('conservation: every record inside comes out once, in order, however it is wrapped and cut into chunks', () => {
    const total = rounds({ small: 300, full: 20_000 })
    for (let seed = 1; seed <= total; seed++) {
      const random = createRandom(seed)
      const lines = Array.from({ length: 1 + random.int(4) }, (_, i) => {
        const records = Array.from({ length: 1 + random.int(3) }, (__, j) => randomRecord(random, i * 10 + j))
        const text = random.chance(0.5) ? records.map((record) => JSON.stringify(record)).join('\n') : JSON.stringify(records)
        const wrapped = random.chance(0.7) ? randomWrap(random, random.int(3), { '@timestamp': 1767323045, log: text }) : { log: text }
        return { records, line: JSON.stringify(wrapped) }
      })
      const input = Buffer.from(`${lines.map(({ line }) => line).join('\n')}\n`)
      const decoder = createDecoder()
      const items: DecodedItem[] = []
      for (let at = 0; at < input.length;) {
        const size = 1 + random.int(random.pick([7, 300, 5000]))
        items.push(...decoder.push(Buffer.from(input.subarray(at, at + size))))
        at += size
      }
      items.push(...decoder.end())
      const repro = `seed ${seed}: ${input.toString()}`
      const found = items.map((item) => item.value)
      const expected = lines.flatMap(({ records }) => records)
      // By text first: matchers cost more than decoding.
      if (JSON.stringify(found) !== JSON.stringify(expected)) expect({ repro, found }).toEqual({ repro, found: expected })
      // All but the last record of a line resume at its start.
      let at = 0
      let i = 0
      for (const { records, line } of lines) {
        const next = at + Buffer.byteLength(line) + 1
        for (let j = 0; j < records.length; j++) {
          const item = items[i++] as DecodedItem
          const isRight = item.startOffset === at && item.byteOffset === (j === records.length - 1 ? next : at)
          if (!isRight) expect({ repro, at, j, item }).toBe('resumes at the start of the line, the last one behind it')
        }
        at = next
      }
    }
  })

  test('mutated envelopes give at least one item each and never throw', () => {
    const total = rounds({ small: 2000, full: 100_000 })
    const normalizer = createNormalizer({ cluster: 'default' })
    for (let seed = 1; seed <= total; seed++) {
      const random = createRandom(seed)
      const names = Object.keys(TEXT_ENVELOPES)
      const bytes = Buffer.from(JSON.stringify((TEXT_ENVELOPES[random.pick(names)] as (line: string) => unknown)(random.pick([JSON.stringify(HUBBLE), AWS, AUDIT, `[${JSON.stringify(CALICO)}]`]))))
      for (let i = random.int(6); i >= 0; i--) bytes[random.int(bytes.length)] = random.pick([random.int(256), 34, 92, 123, 125, 91, 93])
      const cut = random.chance(0.2) ? bytes.subarray(0, random.int(bytes.length)) : bytes
      const decoder = createDecoder({ isFinished: random.chance(0.5) })
      const items = [...decoder.push(cut), ...decoder.end()]
      if (cut.length > 0 && items.length === 0) throw new Error(`seed ${seed}: no item of ${cut.toString('latin1')}`)
      for (const item of items) {
        const { kind } = item.problem ?? normalizer.normalize(item.value)
        if (!['flow', 'rejected', 'ignored'].includes(kind)) throw new Error(`seed ${seed}: ${kind}`)
      }
    }
  })
})
