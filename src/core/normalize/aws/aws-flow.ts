/**
 * One decision of the AWS VPC CNI network policy agent to a FlowRecord. In: the fields of any of its forms, and the time. Out: one Outcome.
 *
 * Invariants: ends are known by address only, so cluster state of the flow's own moment names them, or they stay unknown. The digest covers what
 * the log wrote and not what state made of it: the same line sent again is a repeat even where state has learned since.
 * Field by field: docs/sources/aws-vpc-cni.md.
 */
import type { FlowRecord, ObservedVerdict, Outcome, Protocol, Rejection, Side } from '../../flow/flow-record.ts'
import type { AddressInfo } from '../address-cache.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import type { InstantParser } from '../instant.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { NodeNames } from '../node-names.ts'
import { isInOrder, isPoliced, orientTuple, type Located } from '../orientation.ts'
import { PROTOCOL_NUMBERS } from '../ports.ts'
import { ignored, reject, shown } from '../problems.ts'
import type { AwsFields } from './aws-fields.ts'

const FORMAT = 'aws-vpc-cni'
const ICMP = ignored(FORMAT, 'icmp')
const OTHER_PROTOCOL = ignored(FORMAT, 'other-protocol')
const CONTROL = ignored(FORMAT, 'control')
const UNROUTABLE = ignored(FORMAT, 'multicast-or-link-local')
const NO_ENDPOINT = ignored(FORMAT, 'no-endpoint')

const PROTOCOLS = new Map<unknown, Protocol | 'ICMP'>([['TCP', 'TCP'], ['UDP', 'UDP'], ['SCTP', 'SCTP'], ['ICMP', 'ICMP'], ['ICMPv6', 'ICMP'], ['ICMPV6', 'ICMP']])
/** `expired`: the end of a remembered connection, not a decision. */
const VERDICTS = new Map<unknown, ObservedVerdict | 'expired'>([
  ['ACCEPT', 'allowed'], ['DENY', 'denied'], ['EXPIRED/DELETED', 'expired'], ['EXPIRED', 'expired'], ['DELETED', 'expired'],
])
const DIRECTIONS = new Map<unknown, 'egress' | 'ingress'>([['egress', 'egress'], ['ingress', 'ingress'], ['Egress', 'egress'], ['Ingress', 'ingress']])

/** A checked decision. */
interface Decision {
  readonly protocol: Protocol
  readonly verdict: ObservedVerdict
  readonly direction: 'egress' | 'ingress' | undefined
  readonly node: string
  readonly source: Located
  readonly destination: Located
  readonly sourcePort: number
  readonly destinationPort: number
  /** The destination is a Service's address before translation: nothing but a responder. */
  readonly isToService: boolean
}

export class AwsFlows {
  readonly #context: NormalizeContext
  readonly #nodes = new NodeNames(FORMAT, 'Node')
  readonly #digest = new Digest()
  readonly #seed: TextHash
  #tier = ''
  #tierHash: TextHash = { a: 0, b: 0 }

  constructor(context: NormalizeContext) {
    this.#context = context
    this.#seed = hashText(`${context.cluster}\n${FORMAT}`)
  }

  /** What becomes of the fields before the time is looked at; `undefined`: a decision that `record` reads. */
  screen(fields: AwsFields): Outcome | undefined {
    if (fields.sourceIp === '' || fields.sourceIp === undefined) return missing('Src IP')
    if (fields.destinationIp === '' || fields.destinationIp === undefined) return missing('Dest IP')
    if (fields.protocol === '' || fields.protocol === undefined) return missing('Proto')
    if (fields.verdict === '' || fields.verdict === undefined) return missing('Verdict')
    const protocol = PROTOCOLS.get(fields.protocol)
    if (protocol === 'ICMP') return ICMP
    if (protocol === undefined) return typeof fields.protocol === 'string' ? OTHER_PROTOCOL : reject(FORMAT, 'wrong-type', `Proto: expected a protocol, got ${shown(fields.protocol)}`)
    return undefined
  }

  /** The outcome of screened fields; `instant` holds their time. */
  record(fields: AwsFields, instant: InstantParser): Outcome {
    const verdict = VERDICTS.get(fields.verdict)
    if (verdict === undefined) return reject(FORMAT, 'wrong-type', `Verdict: expected ACCEPT or DENY, got ${shown(fields.verdict)}`)
    if (verdict === 'expired') return CONTROL
    const sourcePort = readPort('Src Port', fields.sourcePort)
    if (typeof sourcePort !== 'number') return sourcePort
    const destinationPort = readPort('Dest Port', fields.destinationPort)
    if (typeof destinationPort !== 'number') return destinationPort
    const from = this.#address('Src IP', fields.sourceIp)
    if (from.kind === 'rejected') return from
    const to = this.#address('Dest IP', fields.destinationIp)
    if (to.kind === 'rejected') return to
    if (from.isUnroutable || to.isUnroutable) return UNROUTABLE
    const node = this.#nodes.read(fields.node)
    if (node.kind === 'rejected') return node
    const protocol = PROTOCOLS.get(fields.protocol) as Protocol
    const direction = DIRECTIONS.get(fields.direction)
    const { resolver } = this.#context
    const source = resolver.address(from, { port: sourcePort, protocol, atUs: instant.us, privateIs: 'unknown' })
    const destination = resolver.address(to, { port: destinationPort, protocol, atUs: instant.us, privateIs: 'unknown' })
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    this.#digestRecord({ fields, from, to, sourcePort, destinationPort, protocol, verdict, direction: direction ?? '', node: node.hash }, instant)
    return this.#orient({ protocol, verdict, direction, node: node.name, source, destination, sourcePort, destinationPort, isToService: isServiceEnd(destination, to) }, from, instant)
  }

  /** The tier of the record before is the tier of most. */
  #hashOf(tier: string): TextHash {
    if (tier !== this.#tier) {
      this.#tier = tier
      this.#tierHash = hashText(tier)
    }
    return this.#tierHash
  }

  #address(field: string, value: unknown): AddressInfo | Rejection {
    if (typeof value !== 'string') return reject(FORMAT, 'wrong-type', `${field}: expected an IP address, got ${shown(value)}`)
    return this.#context.addresses.get(value) ?? reject(FORMAT, 'bad-address', `${field}: ${shown(value)} is not an IP address`)
  }

  #orient(d: Decision, from: AddressInfo, instant: InstantParser): FlowRecord | Rejection {
    // Nobody opens a connection from a Service's address: this is an answer whose connection the agent had forgotten.
    if (isServiceEnd(d.source, from)) return reject(FORMAT, 'no-port', `Src Port: ${d.sourcePort} is a Service's, and an answer from a Service tells no pod port`)
    const orientation = d.isToService ? 'conntrack' : orientTuple(d.destinationPort)
    if (orientation === 'conntrack') return this.#flow(d, { orientation, isSourceFirst: true }, instant)
    return this.#flow(d, { orientation, isSourceFirst: isInOrder(d.source, d.destination) }, instant)
  }

  #flow(d: Decision, order: { orientation: 'conntrack' | 'unoriented'; isSourceFirst: boolean }, instant: InstantParser): FlowRecord {
    const { orientation, isSourceFirst } = order
    const first = isSourceFirst ? d.source : d.destination
    const second = isSourceFirst ? d.destination : d.source
    return {
      kind: 'flow',
      format: FORMAT,
      firstAtUs: instant.us,
      lastAtUs: instant.us,
      initiator: first.end.identity,
      responder: second.end.identity,
      initiatorIp: first.address.text,
      responderIp: second.address.text,
      initiatorPod: first.end.pod,
      responderPod: second.end.pod,
      protocol: d.protocol,
      port: second.isService ? 0 : second.port,
      initiatorPort: orientation === 'unoriented' ? first.port : 0,
      orientation,
      side: sideOfHook(d.direction, isSourceFirst),
      observedVerdict: d.verdict,
      node: d.node,
      flows: 1,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  #digestRecord(raw: RawDecision, instant: InstantParser): void {
    const digest = this.#digest
    digest.start(this.#seed)
    digest.number(instant.us)
    digest.number(instant.ns)
    digest.hash(raw.from.hash)
    digest.hash(raw.to.hash)
    digest.number(raw.sourcePort * 65_536 + raw.destinationPort)
    digest.number(PROTOCOL_NUMBERS[raw.protocol] * 8 + VERDICT_NUMBERS[raw.verdict] * 3 + (raw.direction === '' ? 0 : raw.direction === 'egress' ? 1 : 2))
    digest.hash(raw.node)
    const tier = raw.fields.tier
    if (typeof tier === 'string' && tier !== '') digest.hash(this.#hashOf(tier))
    digest.finish()
  }
}

interface RawDecision {
  readonly fields: AwsFields
  readonly from: AddressInfo
  readonly to: AddressInfo
  readonly sourcePort: number
  readonly destinationPort: number
  readonly protocol: Protocol
  readonly verdict: ObservedVerdict
  readonly direction: '' | 'egress' | 'ingress'
  readonly node: TextHash
}

const VERDICT_NUMBERS: Readonly<Record<ObservedVerdict, number>> = { allowed: 0, denied: 1, audit: 2, error: 2, unknown: 2 }

/** True when the end stands for a Service's address: not resolved, or resolved to the pods behind it, which then have no address. */
function isServiceEnd(located: Located, address: AddressInfo): boolean {
  return located.isService || located.address !== address
}

/** The hook sits at the pod's own interface: egress is the packet's source, ingress its destination. */
function sideOfHook(direction: 'egress' | 'ingress' | undefined, isSourceFirst: boolean): Side {
  if (direction === undefined) return 'unknown'
  return (direction === 'egress') === isSourceFirst ? 'client' : 'server'
}

function missing(field: string): Rejection {
  return reject(FORMAT, 'missing-field', `${field}: absent`)
}

/** The number of one to nine digits. */
function digitsOf(text: string): number | undefined {
  if (text.length > 9) return undefined
  let number = 0
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return undefined
    number = number * 10 + digit
  }
  return number
}

/** A port of a protocol that has ports; 0 is none. */
function readPort(field: string, value: unknown): number | Rejection {
  if (value === '' || value === undefined || value === null) return missing(field)
  const port = typeof value === 'string' ? digitsOf(value) ?? value : value
  if (typeof port !== 'number') return reject(FORMAT, 'wrong-type', `${field}: expected a port number, got ${shown(value)}`)
  return Number.isInteger(port) && port >= 1 && port <= 65_535 ? port : reject(FORMAT, 'bad-port', `${field}: ${shown(value)} is not a port (1 to 65535)`)
}
