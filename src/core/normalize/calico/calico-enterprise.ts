/**
 * Calico Enterprise and Calico Cloud flow logs (one JSON object per row, written by each node) to FlowRecords. In: a parsed row. Out: one Outcome.
 *
 * Invariants: the outcome depends on the row, the options and cluster state at its window only. Calico follows connections, so rows name the true
 * initiator (evidence `conntrack`); source and destination rows of one connection are two sides of one edge. What aggregation dropped is noted as
 * coverage where something is lost by it. Field by field: docs/sources/calico-enterprise.md.
 */
import type { ObservedVerdict, Outcome, Rejection } from '../../flow/flow-record.ts'
import type { AddressCache } from '../address-cache.ts'
import type { ClusterClaims } from '../cluster-claims.ts'
import type { CoverageNotes } from '../coverage-notes.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { NodeNames } from '../node-names.ts'
import type { Fields } from '../field-layouts.ts'
import type { FieldPlan, FieldReader } from '../field-plan.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { asFlows, readCount, readPort } from '../ports.ts'
import { isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'
import { CalicoEnds, isLabelList, noteAggregation, saidHash, type CalicoEnd, type CalicoType } from './calico-ends.ts'
import {
  digestCount, digestName, digestRow, flowRecordOf, nameOf, problemOf, readAddress, readProtocol, readReporter, readSeconds, wrongName, type CalicoEndPair,
  type CalicoRow,
} from './calico-fields.ts'
import { EnforcedHits, HitTexts, type TextHit } from './policy-hits.ts'

const FORMAT = 'calico-enterprise'
const NO_HITS: readonly unknown[] = []
const NO_HIT: TextHit = { index: 0, effect: 'none', hash: { a: 0, b: 0 } }

const PLAN: FieldPlan = {
  read: [
    'source_name_aggr', 'dest_name_aggr', 'start_time', 'end_time', 'source_ip', 'source_name', 'source_namespace', 'source_port', 'source_type', 'source_labels',
    'dest_ip', 'dest_name', 'dest_namespace', 'dest_port', 'dest_type', 'dest_labels', 'dest_service_namespace', 'dest_service_name', 'dest_service_port',
    'dest_service_port_num', 'proto', 'action', 'reporter', 'policies', 'bytes_in', 'bytes_out', 'packets_in', 'packets_out', 'num_flows', 'num_flows_started',
    'num_flows_completed', 'process_name', 'process_id', 'num_process_names', 'num_process_ids', 'host', '@timestamp', 'cluster',
  ],
  unread: [
    'dest_domains', 'http_requests_allowed_in', 'http_requests_denied_in', 'original_source_ips', 'num_original_source_ips', 'nat_outgoing_ports', 'process_args',
    'num_process_args', 'tcp_mean_send_congestion_window', 'tcp_min_send_congestion_window', 'tcp_mean_smooth_rtt', 'tcp_max_smooth_rtt', 'tcp_mean_min_rtt',
    'tcp_max_min_rtt', 'tcp_mean_mss', 'tcp_min_mss', 'tcp_total_retransmissions', 'tcp_lost_packets', 'tcp_unrecovered_to', 'id', 'generated_time',
  ],
  follows: { source_namespace: 'source_name_aggr', source_labels: 'source_name_aggr', dest_namespace: 'dest_name_aggr', dest_labels: 'dest_name_aggr' },
}

export class CalicoNormalizer implements FieldReader {
  readonly plan = PLAN
  readonly #ends: CalicoEnds
  readonly #nodes = new NodeNames(FORMAT, 'host')
  readonly #addresses: AddressCache
  readonly #coverage: CoverageNotes
  readonly #hits = new HitTexts()
  readonly #enforced = new EnforcedHits()
  /** The enforced hits of the current row: its other lists mostly repeat them, and comparing texts costs less than looking them up. */
  #enforcedTexts: readonly unknown[] = NO_HITS
  readonly #enforcedHits: TextHit[] = []
  readonly #claims: ClusterClaims
  readonly #digest = new Digest()
  readonly #seed: TextHash

  constructor(context: NormalizeContext) {
    this.#ends = new CalicoEnds(FORMAT, context)
    this.#addresses = context.addresses
    this.#coverage = context.coverage
    this.#claims = context.claims
    this.#seed = hashText(`${context.cluster}\n${FORMAT}`)
  }

  readFields(f: Fields): Outcome | undefined {
    if (f[0] === undefined || f[1] === undefined) return undefined
    // By name again: as an object of one shape that costs little.
    return this.normalize({
      source_name_aggr: f[0], dest_name_aggr: f[1], start_time: f[2], end_time: f[3], source_ip: f[4], source_name: f[5], source_namespace: f[6], source_port: f[7],
      source_type: f[8], source_labels: f[9], dest_ip: f[10], dest_name: f[11], dest_namespace: f[12], dest_port: f[13], dest_type: f[14], dest_labels: f[15],
      dest_service_namespace: f[16], dest_service_name: f[17], dest_service_port: f[18], dest_service_port_num: f[19], proto: f[20], action: f[21], reporter: f[22],
      policies: f[23], bytes_in: f[24], bytes_out: f[25], packets_in: f[26], packets_out: f[27], num_flows: f[28], num_flows_started: f[29],
      num_flows_completed: f[30], process_name: f[31], process_id: f[32], num_process_names: f[33], num_process_ids: f[34], host: f[35], '@timestamp': f[36], cluster: f[37],
    })
  }

  normalize(record: RawObject): Outcome {
    const foreign = this.#claims.refusal(FORMAT, record.cluster)
    if (foreign !== undefined) return foreign
    const side = readReporter(record.reporter)
    if (typeof side !== 'string') return side
    const protocol = readProtocol(FORMAT, record.proto)
    if (typeof protocol !== 'string') return protocol
    const observedVerdict = this.#readVerdict(record)
    if (typeof observedVerdict !== 'string') return observedVerdict
    const lastAtUs = readEnd(record)
    if (typeof lastAtUs !== 'number') return lastAtUs
    const firstAtUs = readStart(record, lastAtUs)
    if (typeof firstAtUs !== 'number') return firstAtUs
    const node = this.#nodes.read(record.host === '-' ? '' : record.host)
    if (node.kind === 'rejected') return node
    const flows = readFlows(record)
    if (typeof flows !== 'number') return flows
    const from = this.#readSource(record)
    if (from.kind === 'rejected') return from
    const to = this.#readDestination(record)
    if (to.kind === 'rejected') return to
    const row: CalicoRow = { protocol, firstAtUs, lastAtUs, side, observedVerdict, host: node.name, flows }
    const source = this.#ends.source(from, row)
    if (source.kind === 'rejected') return source
    const destination = this.#ends.destination(to, row, { namespace: record.dest_service_namespace, name: record.dest_service_name })
    if (destination.kind === 'rejected') return destination
    noteAggregation(this.#coverage, { from, to }, row)
    const problem = problemOf(FORMAT, source, destination)
    if (problem !== null) return problem
    const ends: CalicoEndPair = { source, destination }
    this.#digest.start(this.#seed)
    digestRow(this.#digest, row, { source: saidHash(from), destination: saidHash(to), destinationPort: to.port })
    this.#digest.hash(node.hash)
    this.#digest.hash(from.address.hash)
    this.#digest.hash(to.address.hash)
    this.#digestFields(record, from, to)
    return flowRecordOf(FORMAT, row, ends, this.#digest)
  }

  /** What happened; staged and pending policies never count here. */
  #readVerdict(record: RawObject): ObservedVerdict | Rejection {
    const { action } = record
    const isText = typeof action === 'string'
    if (!isText && action !== undefined && action !== null) return wrongType(FORMAT, 'action', 'allow or deny', action)
    const enforced = this.#enforced
    enforced.start()
    // Older builds list all policies, staged ones among them.
    const list = isObject(record.policies) ? record.policies.enforced_policies ?? record.policies.all_policies : undefined
    this.#enforcedTexts = Array.isArray(list) ? list : NO_HITS
    this.#enforcedHits.length = 0
    for (const text of this.#enforcedTexts) {
      const hit = typeof text === 'string' ? this.#hits.read(text) : NO_HIT
      enforced.add(hit.index, hit.effect)
      this.#enforcedHits.push(hit)
    }
    if (!isText || action === '' || action === '-') return enforced.verdict('absent')
    return enforced.verdict(action === 'allow' || action === 'deny' ? action : 'other')
  }

  #readSource(record: RawObject): CalicoEnd | Rejection {
    const namespace = nameOf(record.source_namespace)
    const name = nameOf(record.source_name)
    const aggregate = nameOf(record.source_name_aggr)
    if (namespace === undefined || name === undefined || aggregate === undefined) {
      return wrongName(FORMAT, [['source_namespace', record.source_namespace], ['source_name', record.source_name], ['source_name_aggr', record.source_name_aggr]])
    }
    const type = typeOf(record.source_type, namespace, aggregate)
    if (type === undefined) return wrongType(FORMAT, 'source_type', 'wep, hep, ns or net', record.source_type)
    const address = readAddress(this.#addresses, 'source_ip', record.source_ip)
    if (address.kind === 'rejected') return address
    const port = readPort(FORMAT, 'source_port', record.source_port === '-' ? null : record.source_port)
    if (typeof port !== 'number') return port
    const labels = readList('source_labels', record.source_labels)
    if (!isLabelList(labels)) return labels
    return { kind: 'said', prefix: 'source', type, namespace, name, aggregate, labels, address, port, settled: undefined }
  }

  #readDestination(record: RawObject): CalicoEnd | Rejection {
    const namespace = nameOf(record.dest_namespace)
    const name = nameOf(record.dest_name)
    const aggregate = nameOf(record.dest_name_aggr)
    if (namespace === undefined || name === undefined || aggregate === undefined) {
      return wrongName(FORMAT, [['dest_namespace', record.dest_namespace], ['dest_name', record.dest_name], ['dest_name_aggr', record.dest_name_aggr]])
    }
    const type = typeOf(record.dest_type, namespace, aggregate)
    if (type === undefined) return wrongType(FORMAT, 'dest_type', 'wep, hep, ns or net', record.dest_type)
    const address = readAddress(this.#addresses, 'dest_ip', record.dest_ip)
    if (address.kind === 'rejected') return address
    const port = readPort(FORMAT, 'dest_port', record.dest_port === '-' ? null : record.dest_port)
    if (typeof port !== 'number') return port
    const labels = readList('dest_labels', record.dest_labels)
    if (!isLabelList(labels)) return labels
    return { kind: 'said', prefix: 'dest', type, namespace, name, aggregate, labels, address, port, settled: undefined }
  }

  /** Rows have no id: everything that tells rows of one window apart. */
  #digestFields(record: RawObject, from: CalicoEnd, to: CalicoEnd): void {
    const digest = this.#digest
    digestName(digest, record.reporter)
    digestName(digest, record.action)
    digestName(digest, record.process_name)
    digestName(digest, record.dest_service_namespace)
    digestName(digest, record.dest_service_name)
    digestName(digest, record.dest_service_port)
    // The names of pods and network sets are in their ends.
    if (from.type === 'hep' || from.type === 'net') digest.text(from.aggregate)
    if (to.type === 'hep' || to.type === 'net') digest.text(to.aggregate)
    digestCount(digest, record.source_port)
    digestCount(digest, record.num_flows)
    digestCount(digest, record.num_flows_started)
    digestCount(digest, record.num_flows_completed)
    digestCount(digest, record.bytes_in)
    digestCount(digest, record.bytes_out)
    digestCount(digest, record.packets_in)
    digestCount(digest, record.packets_out)
    digestCount(digest, record.process_id)
    digestCount(digest, record.num_process_names)
    digestCount(digest, record.num_process_ids)
    digestCount(digest, record.dest_service_port_num)
    if (isObject(record.policies)) {
      this.#digestHits(record.policies.enforced_policies)
      this.#digestHits(record.policies.all_policies)
      this.#digestHits(record.policies.pending_policies)
      this.#digestHits(record.policies.transit_policies)
    } else for (let i = 0; i < 4; i++) digest.number(0)
    digest.finish()
  }

  #digestHits(value: unknown): void {
    const list: readonly unknown[] = Array.isArray(value) ? value : NO_HITS
    this.#digest.number(list.length)
    for (let i = 0; i < list.length; i++) {
      const text = list[i]
      const known = text === this.#enforcedTexts[i] ? this.#enforcedHits[i] : undefined
      if (known !== undefined) this.#digest.hash(known.hash)
      else if (typeof text === 'string') this.#digest.hash(this.#hits.read(text).hash)
      else this.#digest.hash(NO_HIT.hash)
    }
  }
}

/** Connections that began in the window, so that one connection counts once however long it lives; where only live ones are counted, those. */
function readFlows(record: RawObject): number | Rejection {
  const value = record.num_flows_started ?? record.num_flows
  const flows = value === undefined || value === null ? 1 : readCount(value)
  return flows === undefined ? wrongType(FORMAT, 'num_flows', 'a count', value) : asFlows(flows)
}

/** `end_time` in Unix seconds; where a shipper lost the times, its own `@timestamp` (milliseconds). */
function readEnd(record: RawObject): number | Rejection {
  const end = record.end_time ?? record.start_time
  if (end !== undefined && end !== null) return readSeconds(FORMAT, 'end_time', end)
  const stamp = readCount(record['@timestamp'])
  return readSeconds(FORMAT, 'end_time', stamp === undefined ? undefined : stamp / 1000)
}

function readStart(record: RawObject, endUs: number): number | Rejection {
  if (record.start_time === undefined || record.start_time === null) return endUs
  const start = readSeconds(FORMAT, 'start_time', record.start_time)
  if (typeof start !== 'number' || start <= endUs) return start
  return reject(FORMAT, 'bad-time', `end_time: ${shown(record.end_time)} is before start_time ${shown(record.start_time)}`)
}

const TYPES = new Map<unknown, CalicoType>([['wep', 'wep'], ['hep', 'hep'], ['ns', 'ns'], ['net', 'net']])

/** The type, or what the names say where a fragment lacks it; `undefined` when neither tells. */
function typeOf(value: unknown, namespace: string, aggregate: string): CalicoType | undefined {
  if (value === 'wep' || value === 'net') return value
  const type = TYPES.get(value)
  if (type !== undefined || nameOf(value) !== '') return type
  if (aggregate === 'pub' || aggregate === 'pvt') return 'net'
  return namespace === '' ? undefined : 'wep'
}

/** The label list inside `{"labels": [...]}`; `null` when the row has none. */
function readList(field: string, value: unknown): readonly unknown[] | null | Rejection {
  if (value === undefined || value === null || value === '-') return null
  if (!isObject(value)) return wrongType(FORMAT, field, 'an object with labels', value)
  const list = value.labels
  if (list === undefined || list === null) return null
  return Array.isArray(list) ? (list as readonly unknown[]) : wrongType(FORMAT, `${field}.labels`, 'an array of texts', list)
}
