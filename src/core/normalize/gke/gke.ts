/**
 * Records of GKE Dataplane V2 policy logging to FlowRecords. In: `{"connection":{…},"disposition":"allow","src":{…},"dest":{…},"count":1,
 * "timestamp":"…"}`, as the node writes it or unwrapped from Cloud Logging's jsonPayload. Out: one Outcome. The fields are checked here; what they
 * mean is decided by gke-flow.ts. Field by field: docs/sources/gke.md.
 */
import type { Outcome, Rejection } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressInfo } from '../address-cache.ts'
import { checkTimeUs, InstantParser } from '../instant.ts'
import type { RecordReader } from '../normalize-context.ts'
import { asFlows, readCount, readPort } from '../ports.ts'
import { isObject, reject, shown, wrongType, type RawObject } from '../problems.ts'
import { GkeFacts, type GkeFlows } from './gke-flow.ts'

/** True for records of GKE Dataplane V2 policy logging. */
export function isGke(record: RawObject): boolean {
  return isObject(record.connection) && (record.disposition !== undefined || record.connection.src_ip !== undefined)
}

export class GkeReader implements RecordReader {
  readonly #flows: GkeFlows
  readonly #instant = new InstantParser()
  readonly #facts = new GkeFacts()

  constructor(flows: GkeFlows) {
    this.#flows = flows
  }

  read(record: RawObject): Outcome {
    const connection = record.connection
    if (!isObject(connection)) return wrongType('gke', 'connection', 'an object', connection)
    const facts = this.#facts
    const terms = this.#flows.terms(connection.protocol, record.disposition, connection.direction)
    if (terms.kind !== 'terms') return terms
    const sourcePort = readPort('gke', 'connection.src_port', connection.src_port)
    if (typeof sourcePort !== 'number') return sourcePort
    const port = readPort('gke', 'connection.dest_port', connection.dest_port)
    if (typeof port !== 'number') return port
    if (port === 0) return reject('gke', 'missing-field', 'connection.dest_port: absent')
    const flows = record.count === undefined ? 1 : readCount(record.count)
    if (flows === undefined) return wrongType('gke', 'count', 'a count', record.count)
    const node = this.#flows.node(record.node_name)
    if (node.kind === 'rejected') return node
    facts.terms = terms
    facts.sourcePort = sourcePort
    facts.port = port
    facts.flows = asFlows(flows)
    facts.node = node
    return this.#withEnds(record, connection)
  }

  #withEnds(record: RawObject, connection: RawObject): Outcome {
    const facts = this.#facts
    const from = this.#address('connection.src_ip', connection.src_ip)
    if (from.kind === 'rejected') return from
    const to = this.#address('connection.dest_ip', connection.dest_ip)
    if (to.kind === 'rejected') return to
    const screened = this.#flows.screen(from, to)
    if (screened !== undefined) return screened
    const problem = this.#readTime(record.timestamp)
    if (problem !== null) return problem
    const source = this.#flows.ends.read('src', record.src, from)
    if (source.kind === 'rejected') return source
    const destination = this.#flows.ends.read('dest', record.dest, to)
    if (destination.kind === 'rejected') return destination
    facts.from = from
    facts.to = to
    facts.us = this.#instant.us
    facts.ns = this.#instant.ns
    return this.#flows.decide(facts, source, destination)
  }

  #readTime(timestamp: unknown): Rejection | null {
    if (timestamp === undefined || timestamp === null) return reject('gke', 'missing-field', 'timestamp: absent')
    if (typeof timestamp !== 'string') return wrongType('gke', 'timestamp', 'an RFC 3339 time', timestamp)
    if (timestamp.length > 64 || !this.#instant.parse(timestamp)) return reject('gke', 'bad-time', `timestamp: ${shown(timestamp)} is not an RFC 3339 time`)
    const problem = checkTimeUs(this.#instant.us)
    return problem === '' ? null : reject('gke', problem, `timestamp: ${shown(timestamp)}`)
  }

  #address(field: string, value: unknown): AddressInfo | Rejection {
    if (typeof value === 'string') return this.#flows.addresses.get(value) ?? reject('gke', 'bad-address', `${field}: ${shown(value)} is not an IP address`)
    return value === undefined || value === null ? NO_ADDRESS : wrongType('gke', field, 'an IP address', value)
  }
}
