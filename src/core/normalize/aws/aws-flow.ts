/**
 * One decision of the AWS VPC CNI network policy agent to a FlowRecord. In: the fields of any of its forms, and the time. Out: one Outcome.
 *
 * Invariants: ends are known by address only, so cluster state of the flow's own moment names them, or they stay unknown. The digest covers what
 * the log wrote and not what state made of it: the same line sent again is a repeat even where state has learned since.
 * Field by field: docs/sources/aws-vpc-cni.md.
 */
import type { FlowRecord, ObservedVerdict, Outcome, Protocol, Rejection, Side } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressCache, type AddressInfo } from '../address-cache.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import type { End } from '../identity-cache.ts'
import type { InstantParser } from '../instant.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { NO_NODE, NodeNames, type NodeName } from '../node-names.ts'
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

/** Of a digest: two for each of time (two), nanoseconds, addresses, ports, what is decided, node, tier. */
const MAX_WORDS = 18
const SOURCE = 0
const DESTINATION = 1

/** What the fields of one decision say that most decisions of a node share. */
export interface AwsTerms {
  readonly kind: 'terms'
  readonly protocol: Protocol
  readonly verdict: ObservedVerdict
  readonly direction: 'egress' | 'ingress' | undefined
  readonly node: NodeName
  /** `null`: the record does not tell. */
  readonly tier: TextHash | null
}

/** A checked decision; one instance is reused for every record. */
export class AwsFacts {
  us = 0
  ns = 0
  terms: AwsTerms = { kind: 'terms', protocol: 'TCP', verdict: 'unknown', direction: undefined, node: NO_NODE, tier: null }
  from: AddressInfo = NO_ADDRESS
  to: AddressInfo = NO_ADDRESS
  sourcePort = 0
  destinationPort = 0
}

/** Where an end lies that no state was asked about; reused for every record, because making it costs as much as finding it. */
class Place implements Located {
  end: End
  address: AddressInfo = NO_ADDRESS
  port = 0
  readonly isService = false

  constructor(end: End) {
    this.end = end
  }
}

export class AwsFlows {
  readonly #context: NormalizeContext
  /** Those that all of a normalizer's formats share. */
  readonly addresses: AddressCache
  readonly #nodes = new NodeNames(FORMAT, 'Node')
  readonly #digest = new Digest()
  readonly #seed: TextHash
  #tier = ''
  #tierHash: TextHash = { a: 0, b: 0 }
  #terms: AwsTerms | undefined
  readonly #facts = new AwsFacts()
  readonly #places: [source: Place | undefined, destination: Place | undefined] = [undefined, undefined]
  /** What the digest covers, as pairs of words. */
  readonly #words = new Int32Array(MAX_WORDS)
  #wordCount = 0
  /** The terms that the words hold already. */
  #wordTerms: AwsTerms | undefined

  constructor(context: NormalizeContext) {
    this.#context = context
    this.addresses = context.addresses
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
    const verdict = readVerdict(fields)
    if (typeof verdict !== 'string') return verdict
    const sourcePort = readPort('Src Port', fields.sourcePort)
    if (typeof sourcePort !== 'number') return sourcePort
    const destinationPort = readPort('Dest Port', fields.destinationPort)
    if (typeof destinationPort !== 'number') return destinationPort
    const from = this.#address('Src IP', fields.sourceIp)
    if (from.kind === 'rejected') return from
    const to = this.#address('Dest IP', fields.destinationIp)
    if (to.kind === 'rejected') return to
    if (from.isUnroutable || to.isUnroutable) return UNROUTABLE
    const terms = this.#termsOf(fields, verdict)
    if (terms.kind !== 'terms') return terms
    const facts = this.#facts
    facts.us = instant.us
    facts.ns = instant.ns
    facts.terms = terms
    facts.from = from
    facts.to = to
    facts.sourcePort = sourcePort
    facts.destinationPort = destinationPort
    return this.decide(facts)
  }

  /** What all decisions with these fields, apart from time, addresses and ports, have in common; an Outcome where that decides already. */
  terms(fields: AwsFields): AwsTerms | Outcome {
    const screened = this.screen(fields)
    if (screened !== undefined) return screened
    const verdict = readVerdict(fields)
    return typeof verdict === 'string' ? this.#termsOf(fields, verdict) : verdict
  }

  /** The terms of the decision before are those of most. */
  #termsOf(fields: AwsFields, verdict: ObservedVerdict): AwsTerms | Rejection {
    const node = this.#nodes.read(fields.node)
    if (node.kind === 'rejected') return node
    const protocol = PROTOCOLS.get(fields.protocol) as Protocol
    const direction = DIRECTIONS.get(fields.direction)
    const tier = typeof fields.tier === 'string' && fields.tier !== '' ? this.#hashOf(fields.tier) : null
    const last = this.#terms
    if (last?.node === node && last.tier === tier && last.protocol === protocol && last.verdict === verdict && last.direction === direction) return last
    this.#terms = { kind: 'terms', protocol, verdict, direction, node, tier }
    return this.#terms
  }

  /** The outcome of a decision with ports (1 to 65535), a time that can be used, and an address at each end. */
  decide(facts: AwsFacts): Outcome {
    const { from, to } = facts
    if (from.isUnroutable || to.isUnroutable) return UNROUTABLE
    const source = this.#locate(SOURCE, from, facts.sourcePort, facts)
    const destination = this.#locate(DESTINATION, to, facts.destinationPort, facts)
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    this.#digestRecord(facts)
    return this.#context.own.screen(this.#orient(facts, source, destination))
  }

  #locate(which: 0 | 1, address: AddressInfo, port: number, { us, terms }: AwsFacts): Located {
    const { resolver } = this.#context
    const end = resolver.withoutState(address, 'unknown')
    if (end === undefined) return resolver.address(address, { port, protocol: terms.protocol, atUs: us, privateIs: 'unknown' })
    const place = (this.#places[which] ??= new Place(end))
    place.end = end
    place.address = address
    place.port = port
    return place
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
    return this.addresses.get(value) ?? reject(FORMAT, 'bad-address', `${field}: ${shown(value)} is not an IP address`)
  }

  #orient(facts: AwsFacts, source: Located, destination: Located): FlowRecord | Rejection {
    // Nobody opens a connection from a Service's address: this is an answer whose connection the agent had forgotten.
    if (isServiceEnd(source, facts.from)) return reject(FORMAT, 'no-port', `Src Port: ${facts.sourcePort} is a Service's, and an answer from a Service tells no pod port`)
    // A Service's address before translation is nothing but a responder.
    const orientation = isServiceEnd(destination, facts.to) ? 'conntrack' : orientTuple(facts.destinationPort, facts.sourcePort)
    const isSourceFirst = orientation === 'conntrack' || isInOrder(source, destination)
    const { terms } = facts
    const first = isSourceFirst ? source : destination
    const second = isSourceFirst ? destination : source
    return {
      kind: 'flow',
      format: FORMAT,
      firstAtUs: facts.us,
      lastAtUs: facts.us,
      initiator: first.end.identity,
      responder: second.end.identity,
      initiatorIp: first.address.text,
      responderIp: second.address.text,
      initiatorPod: first.end.pod,
      responderPod: second.end.pod,
      protocol: terms.protocol,
      port: second.isService ? 0 : second.port,
      initiatorPort: orientation === 'unoriented' ? first.port : 0,
      orientation,
      side: sideOfHook(terms.direction, isSourceFirst),
      observedVerdict: terms.verdict,
      node: terms.node.name,
      flows: 1,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  /** In words as Digest.number makes them: a time that can be used, long after 1970, is two, everything else is one. */
  #digestRecord({ us, ns, from, to, sourcePort, destinationPort, terms }: AwsFacts): void {
    const words = this.#words
    if (terms !== this.#wordTerms) this.#setTerms(terms)
    words[0] = words[1] = us | 0
    words[2] = words[3] = Math.floor(us / 4_294_967_296) | 0
    words[4] = words[5] = ns
    words[6] = from.hash.a
    words[7] = from.hash.b
    words[8] = to.hash.a
    words[9] = to.hash.b
    words[10] = words[11] = (sourcePort << 16) + destinationPort
    const digest = this.#digest
    digest.start(this.#seed)
    digest.pairs(words, this.#wordCount)
    digest.finish()
  }

  #setTerms(terms: AwsTerms): void {
    const words = this.#words
    const { protocol, verdict, direction, node, tier } = terms
    words[12] = words[13] = PROTOCOL_NUMBERS[protocol] * 8 + VERDICT_NUMBERS[verdict] * 3 + (direction === undefined ? 0 : direction === 'egress' ? 1 : 2)
    words[14] = node.hash.a
    words[15] = node.hash.b
    if (tier !== null) {
      words[16] = tier.a
      words[17] = tier.b
    }
    this.#wordCount = tier === null ? MAX_WORDS - 2 : MAX_WORDS
    this.#wordTerms = terms
  }
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

/** A verdict about a packet, or the outcome of what is none. */
function readVerdict(fields: AwsFields): ObservedVerdict | Outcome {
  const verdict = VERDICTS.get(fields.verdict)
  if (verdict === undefined) return reject(FORMAT, 'wrong-type', `Verdict: expected ACCEPT or DENY, got ${shown(fields.verdict)}`)
  return verdict === 'expired' ? CONTROL : verdict
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
