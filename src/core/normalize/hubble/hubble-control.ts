import type { CoverageEvent, Outcome } from '../../flow/flow-record.ts'
import { checkTimeUs, InstantParser } from '../instant.ts'
import { readCount } from '../ports.ts'
import { ignored, isObject, isStorable, printable, wrongType, type RawObject } from '../problems.ts'
import { snakeKeys } from '../snake-keys.ts'

const CONTROL = ignored('hubble', 'control')
const LOSS_SOURCES = ['UNKNOWN_LOST_EVENT_SOURCE', 'PERF_EVENT_RING_BUFFER', 'OBSERVER_EVENTS_QUEUE', 'HUBBLE_RING_BUFFER']
const NODE_STATES = ['UNKNOWN_NODE_STATE', 'NODE_CONNECTED', 'NODE_UNAVAILABLE', 'NODE_GONE', 'NODE_ERROR']

/**
 * Records about the observation itself. Lost events and node states become coverage events when they carry a usable time; agent and debug
 * events say nothing about traffic.
 */
export function normalizeHubbleControl(raw: RawObject): Outcome {
  const record = snakeKeys(raw)
  const lost = record.lost_events
  const status = record.node_status
  if (lost !== undefined) return isObject(lost) ? withCoverage(lostEvents(record, lost)) : wrongType('hubble', 'lost_events', 'an object', lost)
  if (status !== undefined) return isObject(status) ? withCoverage(nodeStatus(record, status)) : wrongType('hubble', 'node_status', 'an object', status)
  return CONTROL
}

function withCoverage(coverage: CoverageEvent | null): Outcome {
  return coverage === null ? CONTROL : { kind: 'ignored', format: 'hubble', reason: 'control', coverage }
}

function lostEvents(record: RawObject, lost: RawObject): CoverageEvent | null {
  const atUs = timeOf(record.time) ?? timeOf(lost.last)
  if (atUs === undefined) return null
  const cpu = readCount(lost.cpu)
  const detail = printable(`${nameOf(lost.source, LOSS_SOURCES)}${cpu === undefined ? '' : ` on CPU ${cpu}`}`)
  return { type: 'lost-events', atUs, node: nodeOf(record.node_name), lost: readCount(lost.num_events_lost) ?? 0, detail }
}

function nodeStatus(record: RawObject, status: RawObject): CoverageEvent | null {
  const atUs = timeOf(record.time)
  if (atUs === undefined) return null
  const names = Array.isArray(status.node_names) ? status.node_names.filter((name) => typeof name === 'string') : []
  const message = typeof status.message === 'string' && status.message !== '' ? `: ${status.message}` : ''
  const detail = printable(`${nameOf(status.state_change, NODE_STATES)}${names.length > 0 ? ` ${names.join(', ')}` : ''}${message}`)
  // One event per record: with several nodes the detail lists them.
  return { type: 'node-status', atUs, node: names.length === 1 ? nodeOf(names[0]) : nodeOf(record.node_name), lost: 0, detail }
}

function nameOf(value: unknown, names: readonly string[]): string {
  if (typeof value === 'string') return value
  return typeof value === 'number' ? (names[value] ?? String(value)) : (names[0] as string)
}

function nodeOf(value: unknown): string {
  return typeof value === 'string' && isStorable(value) ? value.slice(value.indexOf('/') + 1) : ''
}

/** RFC 3339, or the object form of a protobuf timestamp. */
function timeOf(value: unknown): number | undefined {
  const instant = new InstantParser()
  if (isObject(value)) {
    const seconds = readCount(value.seconds)
    const nanos = readCount(value.nanos ?? 0)
    if (seconds === undefined || nanos === undefined || nanos >= 1e9) return undefined
    instant.set(seconds, nanos)
  } else if (typeof value !== 'string' || value.length > 64 || !instant.parse(value)) return undefined
  return checkTimeUs(instant.us) === '' ? instant.us : undefined
}
