/**
 * What an envelope knows of its record: a time and a node, used only where the record lost its own. Shippers stamp times as RFC 3339 text or as
 * seconds, milliseconds, microseconds or nanoseconds since 1970; units are told apart by size, which does not overlap between 2000 and 2200.
 */
import { detectShape } from '../../core/normalize/detect.ts'
import { isObject, type RawObject } from '../../core/normalize/problems.ts'

export interface Envelope {
  /** RFC 3339; '' when no envelope has a time. */
  readonly time: string
  /** '' when no envelope names the node. */
  readonly node: string
}

export const NO_ENVELOPE: Envelope = { time: '', node: '' }

/** In the order of preference: what the shipper says about the record first, about its own reading last. */
const TIME_KEYS = ['@timestamp', 'timestamp', 'time', '_time', 'timeUnixNano', 'observedTimeUnixNano', '__REALTIME_TIMESTAMP', 'date']

/** The envelope `record`, within `outer`: the inner one wins. */
export function readEnvelope(record: RawObject, outer: Envelope): Envelope {
  let time = ''
  for (const key of TIME_KEYS) {
    const value = record[key]
    if (value === undefined) continue
    time = readTime(value)
    if (time !== '') break
  }
  const node = readNode(record)
  if (time === '' && node === '') return outer
  return { time: time === '' ? outer.time : time, node: node === '' ? outer.node : node }
}

/**
 * The node on which a container's log was written, by its pod: the kubernetes metadata of fluent-bit, Fluentd and Vector. Names of shippers' own
 * hosts (`host`, `hostname`, `agent`) say nothing: they are often pods.
 */
function readNode(record: RawObject): string {
  const { kubernetes } = record
  if (!isObject(kubernetes)) return ''
  const node = kubernetes.host ?? kubernetes.pod_node_name ?? (isObject(kubernetes.node) ? kubernetes.node.name : undefined)
  return typeof node === 'string' ? node : ''
}

/** Smallest number that can only be milliseconds, microseconds, nanoseconds since 1970. */
const MILLISECONDS = 1e11
const MICROSECONDS = 1e14
const NANOSECONDS = 1e17
const LATEST_SECONDS = 7_258_118_400
const DATE = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}/
const DIGITS = /^\d{9,19}(?:\.\d{1,9})?$/

/** RFC 3339 text of a time as shippers write it; '' when it is none. */
export function readTime(value: unknown): string {
  if (typeof value === 'string') {
    if (value.length > 64) return ''
    if (DATE.test(value)) return value
    if (!DIGITS.test(value)) return ''
    return value.length >= 18 && !value.includes('.') ? fromNanoseconds(value) : readTime(Number(value))
  }
  if (typeof value !== 'number' || !(value > 0)) return ''
  const seconds = value < MILLISECONDS ? value : value < MICROSECONDS ? value / 1e3 : value < NANOSECONDS ? value / 1e6 : value / 1e9
  // A double holds today's seconds to a quarter of a microsecond.
  const whole = Math.floor(seconds)
  return toRfc3339(whole, String(Math.min(999_999, Math.round((seconds - whole) * 1e6))).padStart(6, '0'))
}

/** Text of nanoseconds, exact. */
function fromNanoseconds(text: string): string {
  return toRfc3339(Number(text.slice(0, -9)), text.slice(-9))
}

function toRfc3339(seconds: number, fraction: string): string {
  return seconds >= LATEST_SECONDS ? '' : `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${fraction}Z`
}

/**
 * Gives a native record that lost its time or node what the envelope knows: Hubble flows (an exporter's field mask, or a shipper that took the time
 * away) and GKE records (Cloud Logging moves `timestamp` into its own entry). Writes into `record`, which must be the caller's own.
 */
export function fillFromEnvelope(record: RawObject, envelope: Envelope): void {
  if (envelope === NO_ENVELOPE) return
  const target = record as Record<string, unknown>
  const shape = detectShape(record)
  if (shape === 'gke') {
    if (record.timestamp === undefined && envelope.time !== '') target.timestamp = envelope.time
    return
  }
  if (shape !== 'hubble-wrapped' && shape !== 'hubble-bare' && shape !== 'hubble-control') return
  const flow = isObject(record.flow) ? record.flow : record
  if (envelope.time !== '' && isAbsent(record.time) && isAbsent(flow.time)) target.time = envelope.time
  if (envelope.node === '' || !isAbsent(record.node_name ?? record.nodeName) || !isAbsent(flow.node_name ?? flow.nodeName)) return
  target.node_name = envelope.node
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null
}

/** The same for a native record to whose top level a shipper added its own keys. Cheap where nothing is missing. */
export function fillFromOwnKeys(record: RawObject): void {
  const flow = record.flow ?? (record.IP === undefined && record.l4 === undefined ? undefined : record)
  if (!isObject(flow) || (flow.time !== undefined && flow.node_name !== undefined)) return
  fillFromEnvelope(record, readEnvelope(record, NO_ENVELOPE))
}
