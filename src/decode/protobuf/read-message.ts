/**
 * One protobuf message of a kind that nobody names, to records in their JSON shape. A kind is recognised by its wire signature: the bytes must be
 * well formed for its schema, and what they decode to must be plausible (times between 2000 and 2200, addresses that are addresses, enumerations
 * within their tables). None or several that fit: no record. Page: docs/sources/protobuf.md.
 */
import { isIP } from 'node:net'
import { isObject, type RawObject } from '../../core/normalize/problems.ts'
import { antreaRow, hubbleEvent, hubbleFlow, netobservRow } from './json-shape.ts'
import { messageType, type MessageName } from './schemas.ts'
import { isWellFormed, isWireFormat } from './well-formed.ts'

/** `ambiguous`: several kinds fit. `foreign`: protobuf by its looks, but of no kind that is read. */
export type MessageRecords = RawObject[] | 'ambiguous' | 'foreign' | 'not-protobuf'

interface Kind {
  readonly message: MessageName
  readonly isPlausible: (message: RawObject) => boolean
  /** The records in a plausible message. */
  readonly records: (message: RawObject) => RawObject[]
  /** Enumerations by name; else by number. */
  readonly hasNames?: true
}

const KINDS: readonly Kind[] = [
  { message: 'hubbleEvent', hasNames: true, isPlausible: isHubbleEvent, records: (event) => [hubbleEvent(event)] },
  { message: 'hubbleFlow', hasNames: true, isPlausible: isHubbleFlow, records: (flow) => [{ flow: hubbleFlow(flow) }] },
  { message: 'goldmaneFlow', isPlausible: isGoldmaneFlow, records: (flow) => [flow] },
  { message: 'goldmaneResult', isPlausible: (result) => isGoldmaneFlow(result.flow), records: (result) => [result.flow as RawObject] },
  { message: 'goldmaneUpdate', isPlausible: (update) => isGoldmaneFlow(update.flow), records: (update) => [update.flow as RawObject] },
  { message: 'goldmaneList', isPlausible: isGoldmaneList, records: ({ flows }) => (flows as RawObject[]).map((result) => result.flow as RawObject) },
  { message: 'netobservRecord', isPlausible: isNetobservRecord, records: (record) => [netobservRow(record)] },
  { message: 'netobservRecords', isPlausible: isNetobservRecords, records: ({ entries }) => (entries as RawObject[]).map(netobservRow) },
  { message: 'antreaFlow', isPlausible: isAntreaFlow, records: (flow) => [antreaRow(flow)] },
  { message: 'otlpLogs', isPlausible: isOtlpRequest, records: (request) => [request] },
]

/** The records of one message. An OTLP request is one record, which is unwrapped like its JSON. Never throws on input. */
export function readMessage(bytes: Buffer): MessageRecords {
  let found: RawObject[] | undefined
  for (const kind of KINDS) {
    const message = decode(bytes, kind)
    if (message === undefined || !kind.isPlausible(message)) continue
    if (found !== undefined) return 'ambiguous'
    found = kind.records(message)
  }
  return found ?? (isWireFormat(bytes) ? 'foreign' : 'not-protobuf')
}

function decode(bytes: Buffer, { message, hasNames }: Kind): RawObject | undefined {
  const type = messageType(message)
  if (!isWellFormed(bytes, type)) return undefined
  try {
    return type.toObject(type.decode(bytes), { longs: String, bytes: String, ...(hasNames === true && { enums: String }) })
  } catch {
    return undefined
  }
}

const EARLIEST_SECONDS = 946_684_800
const LATEST_SECONDS = 7_258_118_400

function isPlausibleTime(seconds: unknown): boolean {
  const value = Number(seconds)
  return value >= EARLIEST_SECONDS && value < LATEST_SECONDS
}

function isTimestamp(time: unknown): boolean {
  if (!isObject(time) || !isPlausibleTime(time.seconds)) return false
  const nanos = time.nanos ?? 0
  return typeof nanos === 'number' && nanos >= 0 && nanos < 1e9
}

function isAddress(text: unknown): boolean {
  return typeof text === 'string' && isIP(text) !== 0
}

/** A time, and something that was observed; where an exporter's mask took the time away, both addresses. */
function isHubbleFlow(flow: unknown): boolean {
  if (!isObject(flow)) return false
  const ip = isObject(flow.IP) ? flow.IP : undefined
  if (ip !== undefined && ![ip.source, ip.destination, ip.source_xlated].every((address) => address === undefined || address === '' || isAddress(address))) return false
  if (flow.time === undefined) return ip !== undefined && isAddress(ip.source) && isAddress(ip.destination)
  return isTimestamp(flow.time) && (ip !== undefined || flow.l4 !== undefined || flow.event_type !== undefined || flow.source !== undefined || flow.destination !== undefined)
}

const EVENTS = ['flow', 'node_status', 'lost_events', 'agent_event', 'debug_event']

function isHubbleEvent(event: RawObject): boolean {
  if (event.time !== undefined && !isTimestamp(event.time)) return false
  if (EVENTS.filter((name) => event[name] !== undefined).length !== 1) return false
  return event.flow === undefined ? event.time !== undefined && event.node_name !== undefined : isHubbleFlow(event.flow)
}

const MAX_ENDPOINT_TYPE = 4
const MAX_REPORTER = 2
const MAX_ACTION = 3

function isGoldmaneFlow(flow: unknown): boolean {
  if (!isObject(flow) || !isObject(flow.Key) || !isPlausibleTime(flow.start_time)) return false
  const { source_name: source, dest_name: dest, proto, reporter, action, source_type: from, dest_type: to } = flow.Key
  const isNamed = typeof source === 'string' && typeof dest === 'string' && typeof proto === 'string'
  return isNamed && isWithin(reporter, MAX_REPORTER) && isWithin(action, MAX_ACTION) && isWithin(from, MAX_ENDPOINT_TYPE) && isWithin(to, MAX_ENDPOINT_TYPE)
}

function isWithin(value: unknown, max: number): boolean {
  return typeof value === 'number' && value >= 1 && value <= max
}

function isGoldmaneList({ flows }: RawObject): boolean {
  return Array.isArray(flows) && flows.every((result) => isObject(result) && isGoldmaneFlow(result.flow))
}

function isNetobservRecord(record: unknown): boolean {
  if (!isObject(record) || !isObject(record.network) || !isTimestamp(record.time_flow_end ?? record.time_flow_start)) return false
  return isWireAddress(record.network.src_addr) && isWireAddress(record.network.dst_addr)
}

function isWireAddress(address: unknown): boolean {
  if (!isObject(address)) return false
  return typeof address.ipv4 === 'number' || (typeof address.ipv6 === 'string' && Buffer.byteLength(address.ipv6, 'base64') === 16)
}

function isNetobservRecords({ entries }: RawObject): boolean {
  return Array.isArray(entries) && entries.every(isNetobservRecord)
}

function isAntreaFlow(flow: RawObject): boolean {
  return isAddress(flow.SrcIP) && isAddress(flow.DstIP) && isPlausibleTime(flow.TimeFlowEndInSecs ?? flow.TimeFlowStartInSecs ?? Number(flow.TimeFlowStartInMilliSecs) / 1000)
}

/** Every record has a plausible time and something in it. */
function isOtlpRequest({ resourceLogs }: RawObject): boolean {
  const records = listOf(resourceLogs).flatMap((resource) => listOf(resource.scopeLogs)).flatMap((scope) => listOf(scope.logRecords))
  return records.length > 0 && records.every((record) => {
    const time = record.timeUnixNano ?? record.observedTimeUnixNano
    return (record.body !== undefined || record.attributes !== undefined) && (time === undefined || time === '0' || isPlausibleTime(Number(time) / 1e9))
  })
}

function listOf(value: unknown): RawObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}
