/**
 * Calico Enterprise and Calico Cloud flow logs (one JSON object per row, written by each node) to FlowRecords. In: a parsed row. Out: one Outcome.
 *
 * Invariants: the outcome depends on the row and the options only. Calico follows connections, so rows name the true initiator (evidence
 * `conntrack`); source and destination rows of one connection are two sides of one edge. Field by field: docs/sources/calico-enterprise.md.
 */
import type { FlowRecord, Outcome, Protocol } from '../../flow/flow-record.ts'
import { CalicoEnds } from './calico-ends.ts'
import { readAction, readProtocol, readReporter, readSpan, readText, type Span } from './calico-fields.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { isPoliced, type Located } from '../orientation.ts'
import { asFlows, PROTOCOL_NUMBERS, readCount } from '../ports.ts'
import { ignored, isObject, reject, wrongType, type RawObject } from '../problems.ts'

const UNROUTABLE = ignored('calico-enterprise', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('calico-enterprise', 'no-endpoint')

/** Rows of one window that are equal in every other respect differ in these. */
const COUNTERS = [
  'source_port', 'num_flows', 'num_flows_started', 'num_flows_completed', 'bytes_in', 'bytes_out', 'packets_in', 'packets_out',
  'process_id', 'num_process_names', 'num_process_ids', 'dest_service_port_num',
]
const NAMES = ['reporter', 'action', 'process_name', 'dest_service_namespace', 'dest_service_name', 'dest_service_port', 'source_name_aggr', 'dest_name_aggr']
const POLICY_LISTS = ['enforced_policies', 'all_policies', 'pending_policies', 'transit_policies']

/** The facts of a row that the digest takes beside the record itself. */
interface Row {
  readonly record: RawObject
  readonly source: Located
  readonly destination: Located
  readonly protocol: Protocol
  readonly span: Span
  readonly node: string
}

export class CalicoNormalizer {
  readonly #ends: CalicoEnds
  readonly #digest = new Digest()
  readonly #seed: TextHash

  constructor({ cluster, identities, addresses }: NormalizeContext) {
    this.#ends = new CalicoEnds(cluster, identities, addresses)
    this.#seed = hashText(`${cluster}\ncalico-enterprise`)
  }

  normalize(record: RawObject): Outcome {
    const side = readReporter(record.reporter)
    if (typeof side !== 'string') return side
    const protocol = readProtocol(record.proto)
    if (typeof protocol !== 'string') return protocol
    const observedVerdict = readAction(record.action)
    if (typeof observedVerdict !== 'string') return observedVerdict
    const span = readSpan(record)
    if (span.kind === 'rejected') return span
    const node = readText('host', record.host)
    if (typeof node !== 'string') return node
    const flows = record.num_flows === undefined || record.num_flows === null ? 1 : readCount(record.num_flows)
    if (flows === undefined) return wrongType('calico-enterprise', 'num_flows', 'a count', record.num_flows)
    const source = this.#ends.read(record, 'source')
    if ('code' in source) return source
    const destination = this.#ends.read(record, 'dest')
    if ('code' in destination) return destination
    if (source.address.isUnroutable || destination.address.isUnroutable) return UNROUTABLE
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    if (destination.port === 0) return reject('calico-enterprise', 'no-port', 'dest_port: absent; flow-log aggregation level 3 drops it, use 2 or lower')
    this.#digestRow({ record, source, destination, protocol, span, node })
    const flow: FlowRecord = {
      kind: 'flow',
      format: 'calico-enterprise',
      firstAtUs: span.firstAtUs,
      lastAtUs: span.lastAtUs,
      initiator: source.end.identity,
      responder: destination.end.identity,
      initiatorIp: source.address.text,
      responderIp: destination.address.text,
      initiatorPod: source.end.pod,
      responderPod: destination.end.pod,
      protocol,
      port: destination.isService ? 0 : destination.port,
      initiatorPort: 0,
      orientation: 'conntrack',
      side,
      observedVerdict,
      node,
      flows: asFlows(flows),
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
    return flow
  }

  #digestRow(row: Row): void {
    const { record, source, destination, span } = row
    const digest = this.#digest
    digest.start(this.#seed)
    digest.number(span.firstAtUs)
    digest.number(span.lastAtUs)
    digest.text(row.node)
    digest.hash(source.end.hash)
    digest.hash(source.address.hash)
    digest.hash(destination.end.hash)
    digest.hash(destination.address.hash)
    digest.number(destination.port)
    digest.number(PROTOCOL_NUMBERS[row.protocol])
    for (const field of NAMES) digest.text(typeof record[field] === 'string' ? record[field] : '')
    for (const field of COUNTERS) digest.number(readCount(record[field]) ?? -1)
    const policies = isObject(record.policies) ? record.policies : {}
    for (const field of POLICY_LISTS) {
      const list: readonly unknown[] = Array.isArray(policies[field]) ? policies[field] : []
      digest.number(list.length)
      for (const hit of list) digest.text(typeof hit === 'string' ? hit : '')
    }
    digest.finish()
  }
}
