import type { Ignored, ObservedVerdict, Protocol, Rejection, Side } from '../../flow/flow-record.ts'
import { checkTimeUs } from '../instant.ts'
import { readCount } from '../ports.ts'
import { ignored, isStorable, reject, shown, wrongType, type RawObject } from '../problems.ts'

const FORWARDED = ignored('calico-enterprise', 'forwarded')
const ICMP = ignored('calico-enterprise', 'icmp')
const OTHER_PROTOCOL = ignored('calico-enterprise', 'other-protocol')
const US_PER_SECOND = 1_000_000

/** A text field; absent, null and Calico's "-" are ''. */
export function readText(field: string, value: unknown): string | Rejection {
  if (value === undefined || value === null || value === '-') return ''
  return typeof value === 'string' && isStorable(value) ? value : wrongType('calico-enterprise', field, 'a text', value)
}

/** Which end's node reported. Host forwarding alone (`fwd`) belongs to neither end. */
export function readReporter(value: unknown): Side | Ignored | Rejection {
  if (value === 'src') return 'client'
  if (value === 'dst') return 'server'
  if (value === 'fwd') return FORWARDED
  if (value === undefined || value === null) return 'unknown'
  if (typeof value !== 'string') return wrongType('calico-enterprise', 'reporter', 'src, dst or fwd', value)
  const roles = value.split(',').map((role) => role.trim())
  if (roles.includes('dst')) return 'server'
  if (roles.includes('src')) return 'client'
  return roles.includes('fwd') ? FORWARDED : wrongType('calico-enterprise', 'reporter', 'src, dst or fwd', value)
}

const PROTOCOLS = new Map<unknown, Protocol>([
  ['tcp', 'TCP'], ['TCP', 'TCP'], [6, 'TCP'], ['6', 'TCP'],
  ['udp', 'UDP'], ['UDP', 'UDP'], [17, 'UDP'], ['17', 'UDP'],
  ['sctp', 'SCTP'], ['SCTP', 'SCTP'], [132, 'SCTP'], ['132', 'SCTP'],
])
const ICMP_NAMES = new Set<unknown>(['icmp', 'icmp6', 'icmpv6', 'ICMP', 'ICMPv6', 1, '1', 58, '58'])

export function readProtocol(value: unknown): Protocol | Ignored | Rejection {
  const protocol = PROTOCOLS.get(value)
  if (protocol !== undefined) return protocol
  if (ICMP_NAMES.has(value)) return ICMP
  if (value === undefined || value === null) return reject('calico-enterprise', 'missing-field', 'proto: absent')
  return typeof value === 'string' || typeof value === 'number' ? OTHER_PROTOCOL : wrongType('calico-enterprise', 'proto', 'a protocol', value)
}

/** What happened; staged (pending) policies never count here. */
export function readAction(value: unknown): ObservedVerdict | Rejection {
  if (value === 'allow') return 'allowed'
  if (value === 'deny') return 'denied'
  if (value === undefined || value === null) return 'unknown'
  return typeof value === 'string' ? 'unknown' : wrongType('calico-enterprise', 'action', 'allow or deny', value)
}

/** The window the row speaks of, microseconds. */
export interface Span {
  readonly kind: 'span'
  readonly firstAtUs: number
  readonly lastAtUs: number
}

/** `start_time` and `end_time` are Unix seconds; where a shipper lost them, its own `@timestamp` (milliseconds) is the end. */
export function readSpan(record: RawObject): Span | Rejection {
  const stamp = readCount(record['@timestamp'])
  const end = readSeconds('end_time', record.end_time ?? record.start_time ?? (stamp === undefined ? undefined : stamp / 1000))
  if (typeof end !== 'number') return end
  const start = record.start_time === undefined || record.start_time === null ? end : readSeconds('start_time', record.start_time)
  if (typeof start !== 'number') return start
  if (end < start) return reject('calico-enterprise', 'bad-time', `end_time: ${shown(record.end_time)} is before start_time ${shown(record.start_time)}`)
  return { kind: 'span', firstAtUs: start, lastAtUs: end }
}

function readSeconds(field: string, value: unknown): number | Rejection {
  if (value === undefined || value === null) return reject('calico-enterprise', 'missing-field', `${field}: absent`)
  const seconds = typeof value === 'string' && /^\d{1,12}(\.\d+)?$/.test(value) ? Number(value) : value
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return reject('calico-enterprise', 'bad-time', `${field}: ${shown(value)} is not Unix seconds`)
  const us = Math.round(seconds * US_PER_SECOND)
  const problem = checkTimeUs(us)
  return problem === '' ? us : reject('calico-enterprise', problem, `${field}: ${shown(value)} (Unix seconds)`)
}
