/**
 * The audit log of Antrea's network policies: one line for the first packet of a connection that a logged rule decided, packets of one second joined.
 *
 *   2026/01/02 03:04:05.123456 IngressRule K8sNetworkPolicy:shop/db allow-web Ingress Allow 190 shop/db-0 10.0.1.10 40000 10.0.2.20 5432 TCP 60 <nil>
 *
 * Columns: date, time (of the node's clock, taken as UTC), table, policy, rule, direction, action, priority, pod the policy applies to, source,
 * source port, destination, destination port, protocol, length, label, and `[N packets in T]`. `<nil>` is absent.
 */
import type { FlowRecord, ObservedVerdict, Outcome, Rejection } from '../../flow/flow-record.ts'
import type { AddressInfo } from '../address-cache.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { checkTimeUs, InstantParser } from '../instant.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { isPoliced, type Located } from '../orientation.ts'
import { ignored, isStorable, reject, shown } from '../problems.ts'
import { readProtocol } from './antrea-fields.ts'

const UNROUTABLE = ignored('antrea', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('antrea', 'no-endpoint')
/** Columns before `[N packets in T]`. */
const COLUMNS = 16
const TABLE = /^[A-Z][A-Za-z]*(?:Rule|Table)$/
const REPEATS = /^\[(\d{1,9}) packets in (\d{1,9}(?:\.\d{1,9})?)(ms|s)\]$/
const VERDICTS = new Map<string, ObservedVerdict>([['Allow', 'allowed'], ['Drop', 'denied'], ['Reject', 'denied'], ['Redirect', 'allowed'], ['Pass', 'unknown']])
const US: Readonly<Record<string, number>> = { s: 1_000_000, ms: 1000 }

export class AntreaAudit {
  readonly #context: NormalizeContext
  readonly #instant = new InstantParser()
  readonly #digest = new Digest()
  readonly #seed: TextHash

  constructor(context: NormalizeContext) {
    this.#context = context
    this.#seed = hashText(`${context.cluster}\nantrea audit`)
  }

  /** `undefined` when the line, which begins with a date, is no audit line. */
  read(line: string): Outcome | undefined {
    const columns = line.trim().split(' ')
    if (columns.length < 3 || !TABLE.test(columns[2] ?? '')) return undefined
    const repeats = columns.length > COLUMNS ? columns.slice(COLUMNS).join(' ') : ''
    const isComplete = columns.length === COLUMNS || REPEATS.test(repeats)
    if (!isComplete) return malformed(`${columns.length} columns; the audit log has ${COLUMNS}, and may end in [N packets in T]`)
    return this.#readColumns(columns.slice(0, COLUMNS), repeats, line)
  }

  #readColumns(columns: readonly string[], repeats: string, line: string): Outcome {
    const [date = '', time = '', , , , direction = '', action = '', , appliedTo = ''] = columns
    if (!this.#instant.parse(`${date.replaceAll('/', '-')}T${time}Z`)) return malformed(`time: ${shown(`${date} ${time}`)}`)
    const lastAtUs = this.#instant.us
    const problem = checkTimeUs(lastAtUs)
    if (problem !== '') return reject('antrea', problem, `time: ${shown(`${date} ${time}`)}`)
    if (direction !== 'Ingress' && direction !== 'Egress') return malformed(`column 6 (direction): ${shown(direction)}`)
    const observedVerdict = VERDICTS.get(action)
    if (observedVerdict === undefined) return malformed(`column 7 (action): ${shown(action)}`)
    const protocol = readProtocol('column 14 (protocol)', columns[13])
    if (typeof protocol !== 'string') return protocol.kind === 'rejected' ? malformed(protocol.detail) : protocol
    const ends = this.#readEnds(columns, { protocol, atUs: lastAtUs, appliedTo, isIngress: direction === 'Ingress' })
    if ('code' in ends) return ends
    const { source, destination } = ends
    if (source.address.isUnroutable || destination.address.isUnroutable) return UNROUTABLE
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    this.#digest.start(this.#seed)
    this.#digest.text(line.trim())
    this.#digest.finish()
    const flow: FlowRecord = {
      kind: 'flow',
      format: 'antrea',
      firstAtUs: lastAtUs - spanUs(repeats),
      lastAtUs,
      initiator: source.end.identity,
      responder: destination.end.identity,
      initiatorIp: source.address.text,
      responderIp: destination.address.text,
      initiatorPod: source.end.pod,
      responderPod: destination.end.pod,
      protocol,
      port: destination.isService ? 0 : destination.port,
      initiatorPort: 0,
      orientation: 'verdict-event',
      side: direction === 'Ingress' ? 'server' : 'client',
      observedVerdict,
      node: '',
      // Packets of one second are retries of one connection.
      flows: 1,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
    return flow
  }

  #readEnds(columns: readonly string[], asked: { protocol: FlowRecord['protocol']; atUs: number; appliedTo: string; isIngress: boolean }): { source: Located; destination: Located } | Rejection {
    const from = this.#readAddress('column 10 (source IP)', columns[9])
    if (from.kind === 'rejected') return from
    const to = this.#readAddress('column 12 (destination IP)', columns[11])
    if (to.kind === 'rejected') return to
    const sourcePort = readPort('column 11 (source port)', columns[10])
    if (typeof sourcePort !== 'number') return sourcePort
    const destinationPort = readPort('column 13 (destination port)', columns[12])
    if (typeof destinationPort !== 'number') return destinationPort
    const pod = this.#appliedTo(asked.appliedTo, asked.atUs)
    if ('code' in pod) return pod
    const locate = (address: AddressInfo, port: number, isApplied: boolean): Located =>
      isApplied && pod.end !== null ? { end: pod.end, address, port, isService: false }
        : this.#context.resolver.address(address, { port, protocol: asked.protocol, atUs: asked.atUs, privateIs: 'unknown' })
    return { source: locate(from, sourcePort, !asked.isIngress), destination: locate(to, destinationPort, asked.isIngress) }
  }

  /** The pod that the policy applies to; `null` where it applies to a node or the agent could not tell. */
  #appliedTo(text: string, atUs: number): { readonly end: Located['end'] | null } | Rejection {
    if (text === '<nil>') return { end: null }
    const slash = text.indexOf('/')
    if (slash <= 0 || slash === text.length - 1 || text.indexOf('/', slash + 1) >= 0 || !isStorable(text)) return malformed(`column 9 (applied to): ${shown(text)}`)
    return { end: this.#context.resolver.pod({ namespace: text.slice(0, slash), name: text.slice(slash + 1), workload: null }, atUs) }
  }

  #readAddress(field: string, text: string | undefined): AddressInfo | Rejection {
    return this.#context.addresses.get(text ?? '') ?? malformed(`${field}: ${shown(text)} is not an IP address`)
  }
}

function readPort(field: string, text = ''): number | Rejection {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port > 0 && port <= 65_535 ? port : malformed(`${field}: ${shown(text)} is not a port`)
}

function spanUs(repeats: string): number {
  const [, , amount = '0', unit = 's'] = REPEATS.exec(repeats) ?? []
  return Math.round(Number(amount) * (US[unit] ?? 0))
}

function malformed(detail: string): Rejection {
  return reject('antrea', 'malformed-line', detail)
}
