import { US_PER_SECOND } from '../../base/time.ts'
import type { Ignored, Protocol, Rejection } from '../../flow/flow-record.ts'
import { checkTimeUs, InstantParser } from '../instant.ts'
import { readCount } from '../ports.ts'
import { ignored, reject, shown, wrongType } from '../problems.ts'

const ICMP = ignored('antrea', 'icmp')
const OTHER_PROTOCOL = ignored('antrea', 'other-protocol')

/** A record's values under one set of names, still unchecked: ClickHouse columns, IPFIX elements, go-ipfix' protobuf fields, the CSV's columns. */
export interface AntreaRow {
  readonly start: unknown
  readonly end: unknown
  readonly sourceIp: unknown
  readonly destinationIp: unknown
  readonly sourcePort: unknown
  readonly destinationPort: unknown
  readonly protocol: unknown
  readonly sourcePod: unknown
  readonly sourceNamespace: unknown
  readonly sourceNode: unknown
  readonly destinationPod: unknown
  readonly destinationNamespace: unknown
  readonly destinationNode: unknown
  /** Address of the Service that was dialled; `destinationIp` is behind it. */
  readonly serviceIp: unknown
  /** `namespace/service:port`. */
  readonly servicePortName: unknown
  readonly ingressAction: unknown
  readonly egressAction: unknown
  readonly flowType: unknown
  readonly sourceLabels: unknown
  readonly destinationLabels: unknown
  readonly tcpState: unknown
  /** Counters that tell records of one connection apart. */
  readonly packets: unknown
  readonly reversePackets: unknown
  readonly bytes: unknown
}

/** How the record's own format calls the fields, for messages. */
export interface RowNames {
  readonly start: string
  readonly end: string
  readonly sourceIp: string
  readonly destinationIp: string
  readonly sourcePort: string
  readonly destinationPort: string
  readonly protocol: string
  readonly sourcePrefix: string
  readonly destinationPrefix: string
}

export function readProtocol(field: string, value: unknown): Protocol | Ignored | Rejection {
  switch (value) {
    case 6: case '6': case 'TCP': return 'TCP'
    case 17: case '17': case 'UDP': return 'UDP'
    case 132: case '132': case 'SCTP': return 'SCTP'
    case 1: case '1': case 58: case '58': case 'ICMP': case 'ICMPv6': return ICMP
    case undefined: case null: case '': return reject('antrea', 'missing-field', `${field}: absent`)
    default: break
  }
  const isOther = readCount(value) !== undefined || (typeof value === 'string' && /^[A-Za-z][\w-]{0,15}$/.test(value))
  return isOther ? OTHER_PROTOCOL : wrongType('antrea', field, 'a protocol', value)
}

const instant = new InstantParser()
const CLICKHOUSE_TIME = /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(?:\.\d{1,9})?$/

/** Unix seconds, or a time as ClickHouse prints it (taken as UTC) or RFC 3339, in microseconds; 0 when absent or zero. */
export function readTime(field: string, value: unknown): number | Rejection {
  if (value === undefined || value === null || value === '' || value === 0 || value === '0') return 0
  const us = typeof value === 'number' ? value * US_PER_SECOND : typeof value === 'string' ? textUs(value) : undefined
  if (us === undefined || !Number.isFinite(us)) return reject('antrea', 'bad-time', `${field}: ${shown(value)} is neither Unix seconds nor a time`)
  if (us === 0) return 0
  const problem = checkTimeUs(us)
  return problem === '' ? Math.round(us) : reject('antrea', problem, `${field}: ${shown(value)}`)
}

/** Times read before: the records of one moment share theirs, and parsing costs a tenth of a record. */
const knownTimes = new Map<string, number | undefined>()
const MAX_TIMES = 4096

function textUs(text: string): number | undefined {
  if (text.length > 64) return undefined
  const known = knownTimes.get(text)
  if (known !== undefined) return known
  const us = parseTime(text)
  if (knownTimes.size >= MAX_TIMES) knownTimes.clear()
  knownTimes.set(text, us)
  return us
}

function parseTime(text: string): number | undefined {
  if (/^\d{1,12}$/.test(text)) return Number(text) * US_PER_SECOND
  const written = CLICKHOUSE_TIME.test(text) ? `${text.slice(0, 10)}T${text.slice(11)}Z` : text
  return instant.parse(written) ? instant.us : undefined
}

/** What a NetworkPolicy's rule did to the connection in one direction. `none`: no rule of Antrea's decided; `absent`: the format does not tell. */
export type RuleAction = 'allow' | 'deny' | 'none' | 'absent' | 'unknown'

export function readAction(value: unknown): RuleAction {
  switch (value) {
    case undefined: case null: return 'absent'
    case 0: case '0': case '': case 'None': case 'NoAction': return 'none'
    case 1: case '1': case 'Allow': return 'allow'
    case 2: case '2': case 'Drop': case 3: case '3': case 'Reject': return 'deny'
    default: return 'unknown'
  }
}

/** Where the connection goes, as the agent found it by pod networks. */
export type FlowType = 'inside' | 'to-outside' | 'from-outside' | 'unknown'

export function readFlowType(value: unknown): FlowType {
  switch (value) {
    case 1: case '1': case 2: case '2': return 'inside'
    case 3: case '3': return 'to-outside'
    case 4: case '4': return 'from-outside'
    default: return 'unknown'
  }
}
