/**
 * OTLP logs (`ExportLogsServiceRequest`, as JSON or as protobuf turned into the JSON shape) to what each log record carries: a text, or an object
 * made of typed values. hubble-otel marks its records with the attribute `cilium.event_encoding` and puts the flow into the body or the attributes,
 * in one of five encodings. Source: the public OTLP definitions; hubble-otel's common/common.go.
 */
import type { RejectionCode } from '../../core/flow/flow-record.ts'
import { isNative } from '../../core/normalize/detect.ts'
import { isObject, shown, type RawObject } from '../../core/normalize/problems.ts'
import { readTime } from './envelope.ts'
import { flowOfPaths, listLabels } from './flat-flow.ts'

/** One log record: its payload, or the reason why there is none. */
export type OtlpFound =
  | { readonly value: RawObject | string; readonly time: string; readonly problem?: undefined }
  | { readonly problem: RejectionCode; readonly detail: string; readonly time: string }

const NO_RECORD: OtlpFound = { problem: 'not-an-object', detail: 'an OTLP log record must be a JSON object', time: '' }
/** Nested lists and maps of one value. */
const MAX_VALUE_DEPTH = 32
const KIND = 'cilium.event_kind'
const ENCODING = 'cilium.event_encoding'
const ENCODING_OPTIONS = 'cilium.event_encoding_options'
const PAYLOAD = 'cilium.event_object'
const FLOW_PREFIX = 'cilium.flow_event.'

export function isOtlp(record: RawObject): boolean {
  return Array.isArray(record.resourceLogs) || Array.isArray(record.resource_logs)
}

/** Hands every log record of a request to `found`, in order. */
export function readOtlp(request: RawObject, found: (record: OtlpFound) => void): void {
  for (const resource of list(request.resourceLogs ?? request.resource_logs)) {
    // Before 2022 scopes were called instrumentation libraries, and their records first logs.
    for (const scope of list(resource.scopeLogs ?? resource.scope_logs ?? resource.instrumentationLibraryLogs ?? resource.instrumentation_library_logs)) {
      const records: unknown = scope.logRecords ?? scope.log_records ?? scope.logs
      if (Array.isArray(records)) for (const record of records) found(isObject(record) ? readRecord(record) : NO_RECORD)
    }
  }
}

function list(value: unknown): RawObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

function readRecord(record: RawObject): OtlpFound {
  const time = readTime(record.timeUnixNano ?? record.time_unix_nano) || readTime(record.observedTimeUnixNano ?? record.observed_time_unix_nano)
  const reader = new ValueReader()
  const body = reader.read(record.body, 0)
  const attributes = reader.readMap(record.attributes, 0)
  if (reader.isTooDeep) return { problem: 'too-deep', detail: `an OTLP value is nested more than ${MAX_VALUE_DEPTH} deep`, time }
  const encoding = attributes[ENCODING]
  if (encoding !== undefined || attributes[KIND] !== undefined) return readHubble(encoding, body, attributes, time)
  if (isObject(body)) return { value: body, time }
  // A collector's JSON parser puts what it read into the attributes and leaves the line in the body.
  if (isNative(attributes)) return { value: attributes, time }
  if (typeof body === 'string' && body !== '') return { value: body, time }
  if (Array.isArray(body)) return { value: JSON.stringify(body), time }
  return { problem: 'unknown-format', detail: `an OTLP log record whose body is ${shown(body)}`, time }
}

/** The flow of a record that hubble-otel wrote. */
function readHubble(encoding: unknown, body: unknown, attributes: RawObject, time: string): OtlpFound {
  const refuse = (detail: string): OtlpFound => ({ problem: 'unknown-format', detail: `hubble-otel: ${detail}`, time })
  const payload = body ?? attributes[PAYLOAD] ?? pathsOf(attributes)
  switch (encoding) {
    case 'JSON':
    case 'JSON+base64':
      if (typeof payload !== 'string') return refuse(`${ENCODING} is ${encoding}, but the payload is ${shown(payload)}`)
      return { value: encoding === 'JSON' ? payload : Buffer.from(payload, 'base64').toString('utf8'), time }
    case 'TypedMap':
      if (!isObject(payload) || Object.keys(payload).length === 0) return refuse(`no typed map in the body or in ${PAYLOAD}`)
      return { value: { flow: listLabels(payload) }, time }
    case 'FlatStringMap':
    case 'SemiFlatTypedMap': {
      if (!isObject(payload)) return refuse(`no map in the body, in ${PAYLOAD} or under ${FLOW_PREFIX}`)
      const options = attributes[ENCODING_OPTIONS]
      const flow = flowOfPaths(pathsOf(payload, payload), typeof options === 'string' && options.includes('LabelsAsMaps'))
      return typeof flow === 'string' ? refuse(flow) : { value: { flow }, time }
    }
    default:
      return refuse(`${ENCODING} ${shown(encoding)} is not known`)
  }
}

/** The entries under `cilium.flow_event.`, without that; `otherwise` when there are none. */
function pathsOf(map: RawObject, otherwise?: RawObject): RawObject | undefined {
  const entries = Object.entries(map).filter(([key]) => key.startsWith(FLOW_PREFIX)).map(([key, value]) => [key.slice(FLOW_PREFIX.length), value])
  return entries.length > 0 ? Object.fromEntries(entries) as RawObject : otherwise
}

/** OTLP's typed values (`{"stringValue":"x"}`) to plain ones. */
class ValueReader {
  isTooDeep = false

  read(value: unknown, depth: number): unknown {
    if (!isObject(value)) return undefined
    if (depth >= MAX_VALUE_DEPTH) {
      this.isTooDeep = true
      return undefined
    }
    const text = value.stringValue ?? value.string_value
    if (text !== undefined) return text
    const flag = value.boolValue ?? value.bool_value
    if (flag !== undefined) return flag
    const integer = value.intValue ?? value.int_value
    if (integer !== undefined) return toSafeNumber(integer)
    const double = value.doubleValue ?? value.double_value
    if (double !== undefined) return double
    const map = value.kvlistValue ?? value.kvlist_value
    if (isObject(map)) return this.readMap(map.values, depth + 1)
    const array = value.arrayValue ?? value.array_value
    if (isObject(array)) return list(array.values).map((item) => this.read(item, depth + 1))
    const bytes = value.bytesValue ?? value.bytes_value
    return typeof bytes === 'string' ? Buffer.from(bytes, 'base64').toString('utf8') : undefined
  }

  readMap(values: unknown, depth: number): RawObject {
    // Own properties whatever the keys are: `__proto__` is input like any other.
    return Object.fromEntries(list(values).map((entry) => [String(entry.key), this.read(entry.value, depth)]))
  }
}

/** 64-bit integers are text in JSON: a number where that is exact. */
function toSafeNumber(value: unknown): unknown {
  if (typeof value !== 'string' || !/^-?\d{1,20}$/.test(value)) return value
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
