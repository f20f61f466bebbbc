import { describe, expect, test } from '@jest/globals'
import { createNormalizer } from '../../../src/core/normalize/normalizer.ts'
import { createDecoder } from '../../../src/decode/decode-chunk.ts'
import type { DecodedItem } from '../../../src/decode/item-list.ts'

type Any = Record<string, unknown>

/** A value as OTLP's JSON writes it. */
function any(value: unknown): Any {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }
  if (Array.isArray(value)) return { arrayValue: { values: value.map(any) } }
  return { kvlistValue: { values: pairs(value as object) } }
}

function pairs(map: object): Any[] {
  return Object.entries(map).map(([key, value]) => ({ key, value: any(value) }))
}

function request(...logRecords: Any[]): Any {
  return { resourceLogs: [{ resource: { attributes: [] }, scopeLogs: [{ scope: {}, logRecords }] }] }
}

function decode(value: Any): DecodedItem[] {
  const decoder = createDecoder()
  return decoder.push(Buffer.from(`${JSON.stringify(value)}\n`))
}

function values(value: Any): unknown[] {
  return decode(value).map((item) => item.problem === null ? item.value : item.problem.kind === 'rejected' ? `${item.problem.code}: ${item.problem.detail}` : item.problem.reason)
}

/** An invented flow. */
const FLOW = {
  time: '2026-01-02T03:04:05.123456789Z', verdict: 'FORWARDED', IP: { source: '10.0.1.10', destination: '10.0.2.20', ipVersion: 'IPv4' },
  l4: { TCP: { source_port: 40000, destination_port: 5432, flags: { SYN: true } } },
  source: { ID: 7, identity: 4711, namespace: 'shop', labels: ['k8s:app.kubernetes.io/name=web', 'reserved:host'], pod_name: 'web-7d4b9c6f58-x2k9p', workloads: [{ name: 'web', kind: 'Deployment' }] },
  destination: { identity: 4712, namespace: 'shop', labels: ['k8s:app=db'], pod_name: 'db-0' },
  Type: 'L3_L4', node_name: 'node-1', is_reply: false, event_type: { type: 4, sub_type: 3 }, traffic_direction: 'EGRESS',
}

/** As hubble-otel flattens it: every scalar at the end of its path. */
function paths(value: unknown, prefix: string, text: (value: unknown) => unknown, into: Any = {}): Any {
  if (typeof value !== 'object' || value === null) into[prefix] = text(value)
  else for (const [key, inner] of Object.entries(value)) paths(inner, prefix === '' ? key : `${prefix}.${key}`, text, into)
  return into
}

/** Enumerations are numbers in a FlatStringMap. */
const NUMBERED = { ...FLOW, verdict: 1, Type: 1, traffic_direction: 2, IP: { ...FLOW.IP, ipVersion: 1 } }
const flat = paths(NUMBERED, '', String)
const unlabelled = Object.fromEntries(Object.entries(flat).filter(([path]) => !path.includes('labels')))
const flatWithLabelMaps = { ...unlabelled, 'source.labels.k8s:app.kubernetes.io/name': 'web', 'source.labels.reserved:host': '', 'destination.labels.k8s:app': 'db' }
const semiFlat: Any = {
  ...paths({ ...FLOW, source: { ...FLOW.source, labels: 0 }, destination: { ...FLOW.destination, labels: 0 } }, '', (value) => value),
  'source.labels': FLOW.source.labels, 'destination.labels': FLOW.destination.labels,
}
const typedWithLabelMaps = {
  ...FLOW, source: { ...FLOW.source, labels: { 'k8s:app.kubernetes.io/name': 'web', 'reserved:host': '' } }, destination: { ...FLOW.destination, labels: { 'k8s:app': 'db' } },
}
const attributes = (encoding: string, options = ''): Any => ({ 'cilium.event_kind': 'flow/v1alpha2', 'cilium.event_encoding': encoding, 'cilium.event_encoding_options': options })
const prefixed = (map: object): Any => Object.fromEntries(Object.entries(map).map(([key, value]) => [`cilium.flow_event.${key}`, value as unknown]))

describe('records of the OpenTelemetry collector', () => {
  test('a body of text, of a map, of bytes; the file reader\'s attributes are ignored', () => {
    const file = pairs({ 'log.file.name': 'events.log' })
    expect(values(request({ body: any(JSON.stringify({ flow: FLOW })), attributes: file }))).toEqual([{ flow: FLOW }])
    expect(values(request({ body: any({ flow: FLOW }), attributes: file }))).toEqual([{ flow: FLOW }])
    expect(values(request({ body: { bytesValue: Buffer.from(JSON.stringify({ flow: FLOW })).toString('base64') } }))).toEqual([{ flow: FLOW }])
  })

  test('a JSON parser that put the record into the attributes', () => {
    expect(values(request({ body: any('the line'), attributes: pairs({ flow: FLOW, node_name: 'node-1' }) }))).toEqual([{ flow: FLOW, node_name: 'node-1' }])
  })

  test('several records, scopes and the older names of both', () => {
    const record = { body: any({ flow: FLOW }) }
    const scopes = { resourceLogs: [{ scopeLogs: [{ logRecords: [record, record] }, { logRecords: [record] }] }, { instrumentationLibraryLogs: [{ logs: [record] }] }] }
    expect(values(scopes)).toHaveLength(4)
    expect(values({ resource_logs: [{ scope_logs: [{ log_records: [{ body: { kvlist_value: { values: [{ key: 'flow', value: { kvlist_value: { values: [] } } }] } } }] }] }] })).toEqual([{ flow: {} }])
  })

  test('a record without body, or that is no object, is refused alone', () => {
    const odd = request({ body: any({ flow: FLOW }) }, { timeUnixNano: '5' })
    ;(odd.resourceLogs as { scopeLogs: { logRecords: unknown[] }[] }[])[0]?.scopeLogs[0]?.logRecords.push(7)
    expect(values(odd)).toEqual([{ flow: FLOW }, 'unknown-format: an OTLP log record whose body is undefined', 'not-an-object: an OTLP log record must be a JSON object'])
  })

  test('values nested too deep are refused, not followed', () => {
    let value = any('x')
    for (let i = 0; i < 500; i++) value = { arrayValue: { values: [value] } }
    expect(values(request({ body: value }))).toEqual(['too-deep: an OTLP value is nested more than 32 deep'])
  })

  test('64-bit integers that a number cannot hold stay text', () => {
    expect(values(request({ body: any({ flow: { a: 5 } }) }))).toEqual([{ flow: { a: 5 } }])
    const body = { kvlistValue: { values: [{ key: 'flow', value: { kvlistValue: { values: [{ key: 'cgroup_id', value: { intValue: '9007199254740993' } }] } } }] } }
    expect(values(request({ body }))).toEqual([{ flow: { cgroup_id: '9007199254740993' } }])
  })
})

describe('flows of hubble-otel', () => {
  const json = JSON.stringify(FLOW)
  const base64 = Buffer.from(json).toString('base64').replace(/=+$/, '')

  test.each([
    ['JSON in the body', { attributes: attributes('JSON'), body: json }],
    ['JSON in the attributes', { attributes: { ...attributes('JSON'), 'cilium.event_object': json } }],
    ['JSON+base64', { attributes: attributes('JSON+base64'), body: base64 }],
  ])('%s is a bare flow', (_, { attributes: map, body }: { attributes: Any; body?: string }) => {
    expect(values(request({ attributes: pairs(map), ...(body !== undefined && { body: any(body) }) }))).toEqual([FLOW])
  })

  test.each([
    ['TypedMap in the body', attributes('TypedMap'), FLOW],
    ['TypedMap in the attributes', { ...attributes('TypedMap'), 'cilium.event_object': FLOW }, undefined],
    ['TypedMap with labels as maps', attributes('TypedMap', 'LabelsAsMaps'), typedWithLabelMaps],
    ['SemiFlatTypedMap in the body', attributes('SemiFlatTypedMap', 'LogPayloadAsBody'), semiFlat],
    ['SemiFlatTypedMap, top-level attributes', { ...attributes('SemiFlatTypedMap', 'TopLevelKeys'), ...prefixed(semiFlat) }, undefined],
  ])('%s is the flow', (_, map, body) => {
    expect(values(request({ attributes: pairs(map), ...(body !== undefined && { body: any(body) }) }))).toEqual([{ flow: FLOW }])
  })

  test.each([
    ['in the attributes', { ...attributes('FlatStringMap', 'TopLevelKeys'), ...prefixed(flat) }, undefined],
    ['in the body', attributes('FlatStringMap', 'LogPayloadAsBody'), flat],
    ['in the body with prefixed keys', attributes('FlatStringMap', 'TopLevelKeys,LogPayloadAsBody'), prefixed(flat)],
    ['with labels as maps', attributes('FlatStringMap', 'LabelsAsMaps'), flatWithLabelMaps],
  ])('FlatStringMap %s: text becomes what the schema says, and the flow reads the same', (_, map, body) => {
    const [value] = values(request({ attributes: pairs(map), ...(body !== undefined && { body: any(body) }) }))
    expect(value).toEqual({ flow: NUMBERED })
    const normalizer = createNormalizer({ cluster: 'default' })
    expect(normalizer.normalize(value)).toEqual(normalizer.normalize({ flow: FLOW }))
  })

  test.each([
    ['an encoding of another version', attributes('Parquet'), 'x', 'cilium.event_encoding "Parquet" is not known'],
    ['a kind without encoding', { 'cilium.event_kind': 'flow/v1' }, 'x', 'cilium.event_encoding undefined is not known'],
    ['JSON that is a map', attributes('JSON'), { a: 1 }, 'cilium.event_encoding is JSON, but the payload is an object'],
    ['a map that is text', attributes('FlatStringMap'), 'x', 'no map in the body, in cilium.event_object or under cilium.flow_event.'],
    ['a map of other fields', attributes('FlatStringMap'), { a: '1' }, 'the map has no field of a flow'],
    ['a path through a number', attributes('FlatStringMap'), { 'l4.TCP.source_port.x': '1' }, 'l4.TCP.source_port.x: source_port has no fields'],
    ['an index out of all bounds', attributes('FlatStringMap'), { 'source.labels.4000000000': 'a' }, 'source.labels.4000000000: no index of a list'],
    ['no payload', attributes('TypedMap'), undefined, 'no typed map in the body or in cilium.event_object'],
  ])('%s is refused with the reason', (_, map, body, detail) => {
    expect(values(request({ attributes: pairs(map), ...(body !== undefined && { body: any(body) }) }))).toEqual([`unknown-format: hubble-otel: ${detail}`])
  })
})
