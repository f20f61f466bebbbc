/**
 * Flows of Calico Goldmane (Calico 3.30 and later) to FlowRecords, in every JSON rendering and as decoded from protobuf. In: a record. Out: one Outcome.
 *
 * Renderings: the emitter's (`{"Key": {...}, "start_time": 18, ...}`, enums as numbers, zeros left out), protojson (camelCase, enum names, 64-bit
 * integers as text), the API's FlowResult (`{"id": .., "flow": {...}}`), and Whisker's (flat, times in RFC 3339, labels in one text). Keys, enums and
 * integers are accepted in any mix. Invariants as calico-enterprise.ts; there are no addresses and no source ports. Field by field:
 * docs/sources/goldmane.md.
 */
import type { ObservedVerdict, Outcome, Rejection, Side } from '../../flow/flow-record.ts'
import { NO_ADDRESS } from '../address-cache.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { checkTimeUs, InstantParser } from '../instant.ts'
import type { Fields } from '../field-layouts.ts'
import type { FieldPlan, FieldReader } from '../field-plan.ts'
import type { NormalizeContext, RecordReader } from '../normalize-context.ts'
import { asFlows, readCount, readPort } from '../ports.ts'
import { isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'
import { CalicoEnds, isLabelList, saidHash, type CalicoEnd, type CalicoType } from './calico-ends.ts'
import {
  digestCount, digestName, digestRow, flowRecordOf, nameOf, problemOf, readProtocol, readSeconds, wrongName, type CalicoEndPair, type CalicoRow,
} from './calico-fields.ts'
import { digestHits, readEnforced } from './goldmane-hits.ts'
import { EnforcedHits } from './policy-hits.ts'

const FORMAT = 'goldmane'
/** Between labels that Whisker writes as one text. */
const LABEL_SEPARATOR = ' | '

/** True for records of Calico Goldmane, in any of its JSON renderings. */
export function isGoldmane(record: RawObject): boolean {
  const flow = isObject(record.flow) ? record.flow : record
  const key = flow.Key ?? flow.key
  if (isObject(key)) return (key.source_name ?? key.sourceName ?? key.dest_name ?? key.destName ?? key.reporter) !== undefined
  return isWhisker(flow)
}

/** Whisker's rows are flat: the key's fields beside the flow's. */
function isWhisker(flow: RawObject): boolean {
  return typeof flow.source_name === 'string' && typeof flow.dest_name === 'string' && flow.reporter !== undefined && (flow.protocol ?? flow.proto) !== undefined &&
    flow.source_name_aggr === undefined
}

/** The emitter's rendering; others are left to the parser. */
const PLAN: FieldPlan = {
  read: [
    'start_time', 'end_time', 'source_labels', 'dest_labels', 'packets_in', 'packets_out', 'bytes_in', 'bytes_out', 'num_connections_started', 'num_connections_completed',
    'num_connections_live',
  ],
  unread: [],
  follows: { source_namespace: 'source_name', source_labels: 'source_name', dest_namespace: 'dest_name', dest_labels: 'dest_name' },
  nested: {
    key: 'Key',
    read: [
      'source_name', 'source_namespace', 'source_type', 'dest_name', 'dest_namespace', 'dest_type', 'dest_port', 'dest_service_name', 'dest_service_namespace',
      'dest_service_port_name', 'dest_service_port', 'proto', 'reporter', 'action', 'policies',
    ],
  },
}

export class GoldmaneReader implements RecordReader, FieldReader {
  readonly plan = PLAN
  readonly #ends: CalicoEnds
  readonly #instant = new InstantParser()
  readonly #enforced = new EnforcedHits()
  readonly #digest = new Digest()
  readonly #seed: TextHash

  constructor(context: NormalizeContext) {
    this.#ends = new CalicoEnds(FORMAT, context)
    this.#seed = hashText(`${context.cluster}\n${FORMAT}`)
  }

  readFields(f: Fields): Outcome | undefined {
    if (typeof f[11] !== 'string') return undefined
    // By name again: as objects of one shape that costs little.
    return this.#read({
      start_time: f[0], end_time: f[1], source_labels: f[2], dest_labels: f[3], packets_in: f[4], packets_out: f[5], bytes_in: f[6], bytes_out: f[7],
      num_connections_started: f[8], num_connections_completed: f[9], num_connections_live: f[10],
    }, {
      source_name: f[11], source_namespace: f[12], source_type: f[13], dest_name: f[14], dest_namespace: f[15], dest_type: f[16], dest_port: f[17],
      dest_service_name: f[18], dest_service_namespace: f[19], dest_service_port_name: f[20], dest_service_port: f[21], proto: f[22], reporter: f[23], action: f[24],
      policies: f[25],
    })
  }

  read(record: RawObject): Outcome {
    const flow = isObject(record.flow) ? record.flow : record
    const inner = flow.Key ?? flow.key
    return this.#read(flow, isObject(inner) ? inner : flow)
  }

  #read(flow: RawObject, key: RawObject): Outcome {
    const side = readSide(key.reporter)
    if (typeof side !== 'string') return side
    const protocol = readProtocol(FORMAT, key.proto ?? key.protocol)
    if (typeof protocol !== 'string') return protocol
    const observedVerdict = this.#readVerdict(key)
    if (typeof observedVerdict !== 'string') return observedVerdict
    const firstAtUs = this.#readTime('start_time', flow.start_time ?? flow.startTime ?? flow.end_time ?? flow.endTime)
    if (typeof firstAtUs !== 'number') return firstAtUs
    const end = flow.end_time ?? flow.endTime
    const lastAtUs = end === undefined || end === null ? firstAtUs : this.#readTime('end_time', end)
    if (typeof lastAtUs !== 'number') return lastAtUs
    if (lastAtUs < firstAtUs) return reject(FORMAT, 'bad-time', `end_time: ${shown(end)} is before start_time ${shown(flow.start_time ?? flow.startTime)}`)
    const flows = readFlows(flow)
    if (typeof flows !== 'number') return flows
    return this.#between(flow, key, { protocol, firstAtUs, lastAtUs, side, observedVerdict, host: '', flows })
  }

  #between(flow: RawObject, key: RawObject, row: CalicoRow): Outcome {
    const from = readSource(flow, key)
    if (from.kind === 'rejected') return from
    const to = readDestination(flow, key)
    if (to.kind === 'rejected') return to
    const source = this.#ends.source(from, row)
    if (source.kind === 'rejected') return source
    const destination = this.#ends.destination(to, row, {
      namespace: key.dest_service_namespace ?? key.destServiceNamespace, name: key.dest_service_name ?? key.destServiceName,
    })
    if (destination.kind === 'rejected') return destination
    const problem = problemOf(FORMAT, source, destination)
    if (problem !== null) return problem
    const ends: CalicoEndPair = { source, destination }
    this.#digest.start(this.#seed)
    digestRow(this.#digest, row, { source: saidHash(from), destination: saidHash(to), destinationPort: to.port })
    this.#digest.number(SIDE_NUMBERS[row.side])
    // The names of pods and network sets are in their ends.
    if (from.type !== 'wep' && from.type !== 'ns') this.#digest.text(from.aggregate)
    if (to.type !== 'wep' && to.type !== 'ns') this.#digest.text(to.aggregate)
    this.#digestFields(flow, key)
    return flowRecordOf(FORMAT, row, ends, this.#digest)
  }

  /** What happened: the key's action; pending hits are what staged policies would have done. */
  #readVerdict(key: RawObject): ObservedVerdict | Rejection {
    const action = key.action === 1 ? 'allow' : ACTIONS.get(key.action)
    if (action === undefined) return wrongType(FORMAT, 'action', 'Allow, Deny or Pass', key.action)
    this.#enforced.start()
    readEnforced(key.policies, this.#enforced)
    // Passed to the next tier: what happened there is in the hits.
    return this.#enforced.verdict(action === 'pass' ? 'absent' : action)
  }

  #readTime(field: string, value: unknown): number | Rejection {
    if (typeof value !== 'string' || !value.includes('-')) return readSeconds(FORMAT, field, value)
    if (!this.#instant.parse(value)) return reject(FORMAT, 'bad-time', `${field}: ${shown(value)} is neither Unix seconds nor RFC 3339`)
    const problem = checkTimeUs(this.#instant.us)
    return problem === '' ? this.#instant.us : reject(FORMAT, problem, `${field}: ${shown(value)}`)
  }

  /** The rest of the key, and counters; not the id of a FlowResult, which changes with every restart. */
  #digestFields(flow: RawObject, key: RawObject): void {
    const digest = this.#digest
    digest.number(key.action === 1 ? ACTION_NUMBERS.allow : ACTION_NUMBERS[ACTIONS.get(key.action) ?? 'absent'])
    digestName(digest, key.dest_service_namespace ?? key.destServiceNamespace)
    digestName(digest, key.dest_service_name ?? key.destServiceName)
    digestName(digest, key.dest_service_port_name ?? key.destServicePortName)
    digestCount(digest, key.dest_service_port ?? key.destServicePort ?? 0)
    digestHits(key.policies, digest)
    digestCount(digest, flow.num_connections_started ?? flow.numConnectionsStarted ?? 0)
    digestCount(digest, flow.num_connections_completed ?? flow.numConnectionsCompleted ?? 0)
    digestCount(digest, flow.num_connections_live ?? flow.numConnectionsLive ?? 0)
    digestCount(digest, flow.packets_in ?? flow.packetsIn ?? 0)
    digestCount(digest, flow.packets_out ?? flow.packetsOut ?? 0)
    digestCount(digest, flow.bytes_in ?? flow.bytesIn ?? 0)
    digestCount(digest, flow.bytes_out ?? flow.bytesOut ?? 0)
    digest.finish()
  }
}

/** For digests. */
const SIDE_NUMBERS: Readonly<Record<Side, number>> = { unknown: 0, client: 1, server: 2 }
const ACTION_NUMBERS = { absent: 0, allow: 1, deny: 2, pass: 3 } as const

const ACTIONS = new Map<unknown, 'allow' | 'deny' | 'absent' | 'pass'>([
  [undefined, 'absent'], [null, 'absent'], [0, 'absent'], ['0', 'absent'], ['', 'absent'], ['-', 'absent'], ['ActionUnspecified', 'absent'],
  [1, 'allow'], ['1', 'allow'], ['Allow', 'allow'], ['allow', 'allow'], [2, 'deny'], ['2', 'deny'], ['Deny', 'deny'], ['deny', 'deny'],
  [3, 'pass'], ['3', 'pass'], ['Pass', 'pass'], ['pass', 'pass'],
])

const SIDES = new Map<unknown, Side>([
  [undefined, 'unknown'], [null, 'unknown'], [0, 'unknown'], ['0', 'unknown'], ['', 'unknown'], ['ReporterUnspecified', 'unknown'],
  [1, 'client'], ['1', 'client'], ['Src', 'client'], ['src', 'client'], [2, 'server'], ['2', 'server'], ['Dst', 'server'], ['dst', 'server'],
])

function readSide(value: unknown): Side | Rejection {
  if (value === 1) return 'client'
  if (value === 2) return 'server'
  return SIDES.get(value) ?? wrongType(FORMAT, 'reporter', 'Src or Dst', value)
}

/** Connections that began in the window, so that one that lives on, and is told of in every window, counts once. */
function readFlows(flow: RawObject): number | Rejection {
  const value = flow.num_connections_started ?? flow.numConnectionsStarted
  const started = value === undefined || value === null ? 1 : readCount(value)
  return started === undefined ? wrongType(FORMAT, 'num_connections_started', 'a count', value) : asFlows(started)
}

const TYPES = new Map<unknown, CalicoType>([
  [1, 'wep'], ['1', 'wep'], ['WorkloadEndpoint', 'wep'], ['wep', 'wep'], [2, 'hep'], ['2', 'hep'], ['HostEndpoint', 'hep'], ['hep', 'hep'],
  [3, 'ns'], ['3', 'ns'], ['NetworkSet', 'ns'], ['ns', 'ns'], [4, 'net'], ['4', 'net'], ['Network', 'net'], ['net', 'net'],
])
const NO_TYPES = new Set<unknown>([undefined, null, 0, '0', '', '-', 'EndpointTypeUnspecified'])
/** Whisker's words for Calico's `pub` and `pvt`. */
const NETWORKS = new Map([['PUBLIC NETWORK', 'pub'], ['PRIVATE NETWORK', 'pvt'], ['pub', 'pub'], ['pvt', 'pvt']])

/** The type; where Whisker leaves it out, what the name tells beyond doubt. A name without `*` may be a pod's, a host's or a network set's. */
function typeOf(value: unknown, namespace: string, name: string): CalicoType | undefined {
  if (value === 1) return 'wep'
  const type = TYPES.get(value)
  if (type !== undefined || !NO_TYPES.has(value)) return type
  if (namespace === '') return NETWORKS.has(name) ? 'net' : 'unnamed'
  return name.endsWith('*') ? 'wep' : 'unnamed'
}

function readSource(flow: RawObject, key: RawObject): CalicoEnd | Rejection {
  const namespace = nameOf(key.source_namespace ?? key.sourceNamespace)
  const name = nameOf(key.source_name ?? key.sourceName)
  if (namespace === undefined || name === undefined) {
    return wrongName(FORMAT, [['source_namespace', key.source_namespace ?? key.sourceNamespace], ['source_name', key.source_name ?? key.sourceName]])
  }
  const type = typeOf(key.source_type ?? key.sourceType, namespace, name)
  if (type === undefined) return wrongType(FORMAT, 'source_type', 'an endpoint type', key.source_type ?? key.sourceType)
  const labels = readLabels('source_labels', flow.source_labels ?? flow.sourceLabels)
  if (!isLabelList(labels)) return labels
  const aggregate = type === 'net' ? NETWORKS.get(name) ?? name : name
  return { kind: 'said', prefix: 'source', type, namespace, name: '', aggregate, labels, address: NO_ADDRESS, port: 0, settled: undefined }
}

function readDestination(flow: RawObject, key: RawObject): CalicoEnd | Rejection {
  const namespace = nameOf(key.dest_namespace ?? key.destNamespace)
  const name = nameOf(key.dest_name ?? key.destName)
  if (namespace === undefined || name === undefined) {
    return wrongName(FORMAT, [['dest_namespace', key.dest_namespace ?? key.destNamespace], ['dest_name', key.dest_name ?? key.destName]])
  }
  const type = typeOf(key.dest_type ?? key.destType, namespace, name)
  if (type === undefined) return wrongType(FORMAT, 'dest_type', 'an endpoint type', key.dest_type ?? key.destType)
  const port = readPort(FORMAT, 'dest_port', key.dest_port ?? key.destPort)
  if (typeof port !== 'number') return port
  const labels = readLabels('dest_labels', flow.dest_labels ?? flow.destLabels)
  if (!isLabelList(labels)) return labels
  const aggregate = type === 'net' ? NETWORKS.get(name) ?? name : name
  return { kind: 'said', prefix: 'dest', type, namespace, name: '', aggregate, labels, address: NO_ADDRESS, port, settled: undefined }
}

/** Labels that all pods of the aggregate share; `null` when there are none: Goldmane leaves out an empty list. */
function readLabels(field: string, value: unknown): readonly unknown[] | null | Rejection {
  if (value === undefined || value === null || value === '' || value === '-') return null
  if (typeof value === 'string') return value.split(LABEL_SEPARATOR)
  if (!Array.isArray(value)) return wrongType(FORMAT, field, 'an array of texts', value)
  return value.length === 0 ? null : (value as readonly unknown[])
}
