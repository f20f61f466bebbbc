/**
 * One policy verdict of GKE to a FlowRecord. In: the checked facts and what the record says of its ends. Out: one Outcome.
 *
 * Invariants: the records are made of policy-verdict events, so the source of the connection is its initiator. GKE logs allowed connections only
 * where a policy matched: every stretch of records leaves a coverage note, because silence proves nothing. Field by field: docs/sources/gke.md.
 */
import type { FlowRecord, Ignored, ObservedVerdict, Outcome, Protocol, Rejection } from '../../flow/flow-record.ts'
import { NO_ADDRESS, type AddressCache, type AddressInfo } from '../address-cache.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import { HourlyNote } from '../hourly-note.ts'
import { NO_NODE, NodeNames, type NodeName } from '../node-names.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import { isPoliced, type Located } from '../orientation.ts'
import { PROTOCOL_NUMBERS } from '../ports.ts'
import { ignored, reject, wrongType } from '../problems.ts'
import { GkeEnds, type GkeEnd } from './gke-ends.ts'

const ICMP = ignored('gke', 'icmp')
const OTHER_PROTOCOL = ignored('gke', 'other-protocol')
const UNROUTABLE = ignored('gke', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('gke', 'no-endpoint')

/** What a record says in words. */
export interface GkeTerms {
  readonly kind: 'terms'
  readonly protocol: Protocol
  readonly verdict: ObservedVerdict
  readonly isIngress: boolean
}

/** All terms of a protocol: denied egress, allowed egress, denied ingress, allowed ingress. */
type Variants = readonly [GkeTerms, GkeTerms, GkeTerms, GkeTerms]

function variants(protocol: Protocol): Variants {
  const terms = (isIngress: boolean, verdict: ObservedVerdict): GkeTerms => ({ kind: 'terms', protocol, verdict, isIngress })
  return [terms(false, 'denied'), terms(false, 'allowed'), terms(true, 'denied'), terms(true, 'allowed')]
}

const TCP = variants('TCP')
const PROTOCOLS = new Map<unknown, Variants | Ignored>([
  ['tcp', TCP], ['udp', variants('UDP')], ['sctp', variants('SCTP')], ['icmp', ICMP], ['icmpv6', ICMP], ['unknown', OTHER_PROTOCOL],
])

/** A checked verdict, apart from its ends; one instance is reused for every record. */
export class GkeFacts {
  us = 0
  ns = 0
  terms: GkeTerms = TCP[0]
  node: NodeName = NO_NODE
  from: AddressInfo = NO_ADDRESS
  to: AddressInfo = NO_ADDRESS
  sourcePort = 0
  port = 0
  /** At least 1. */
  flows = 1
}

export class GkeFlows {
  readonly #context: NormalizeContext
  /** Those that all of a normalizer's formats share. */
  readonly addresses: AddressCache
  readonly ends: GkeEnds
  readonly #nodes = new NodeNames('gke', 'node_name')
  readonly #digest = new Digest()
  readonly #seed: TextHash
  readonly #uncovered: HourlyNote

  constructor(context: NormalizeContext) {
    this.#context = context
    this.addresses = context.addresses
    this.ends = new GkeEnds(context)
    this.#seed = hashText(`${context.cluster}\ngke`)
    this.#uncovered = new HourlyNote(context.coverage, 'aggregation', 'GKE logs only traffic that a policy matched')
  }

  /** What the words say; an Outcome where they decide already. */
  terms(protocol: unknown, disposition: unknown, direction: unknown): GkeTerms | Ignored | Rejection {
    const known = PROTOCOLS.get(protocol)
    if (known === undefined) return unknownProtocol(protocol)
    if ('kind' in known) return known
    if (disposition !== 'allow' && disposition !== 'deny') return wrongType('gke', 'disposition', 'allow or deny', disposition)
    if (direction !== 'ingress' && direction !== 'egress') return wrongType('gke', 'connection.direction', 'ingress or egress', direction)
    if (direction === 'ingress') return disposition === 'allow' ? known[3] : known[2]
    return disposition === 'allow' ? known[1] : known[0]
  }

  node(value: unknown): NodeName | Rejection {
    return this.#nodes.read(value)
  }

  /** The outcome where the addresses decide already. */
  screen(from: AddressInfo, to: AddressInfo): Ignored | undefined {
    return from.isUnroutable || to.isUnroutable ? UNROUTABLE : undefined
  }

  /** The outcome of screened facts with a port (1 to 65535) and a time that can be used. */
  decide(facts: GkeFacts, source: GkeEnd, destination: GkeEnd): Outcome {
    const { from, to, port, sourcePort, us: atUs } = facts
    const { protocol, isIngress } = facts.terms
    const node = facts.node.name
    const initiator = this.ends.locate(source, { address: from, port: sourcePort, protocol, atUs, localNode: isIngress ? node : '' })
    const responder = this.ends.locate(destination, { address: to, port, protocol, atUs, localNode: isIngress ? '' : node })
    this.#uncovered.note(atUs, node)
    if (!isPoliced(initiator) && !isPoliced(responder)) return NO_ENDPOINT
    this.#digestRecord(facts, source.hash, destination.hash)
    return this.#context.own.screen(this.#flow(facts, initiator, responder))
  }

  #flow(facts: GkeFacts, source: Located, destination: Located): FlowRecord {
    const { terms } = facts
    return {
      kind: 'flow',
      format: 'gke',
      firstAtUs: facts.us,
      lastAtUs: facts.us,
      initiator: source.end.identity,
      responder: destination.end.identity,
      initiatorIp: source.address.text,
      responderIp: destination.address.text,
      initiatorPod: source.end.pod,
      responderPod: destination.end.pod,
      protocol: terms.protocol,
      port: destination.isService ? 0 : destination.port,
      initiatorPort: 0,
      orientation: 'verdict-event',
      side: terms.isIngress ? 'server' : 'client',
      observedVerdict: terms.verdict,
      node: facts.node.name,
      flows: facts.flows,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  #digestRecord(facts: GkeFacts, source: TextHash, destination: TextHash): void {
    const { terms } = facts
    const digest = this.#digest
    digest.start(this.#seed)
    digest.number(facts.us)
    digest.number(facts.ns)
    digest.hash(facts.from.hash)
    digest.hash(facts.to.hash)
    digest.hash(source)
    digest.hash(destination)
    digest.number(facts.sourcePort * 65_536 + facts.port)
    digest.number(PROTOCOL_NUMBERS[terms.protocol] * 4 + (terms.isIngress ? 2 : 0) + (terms.verdict === 'allowed' ? 1 : 0))
    digest.number(facts.flows)
    digest.hash(facts.node.hash)
    digest.finish()
  }
}

function unknownProtocol(value: unknown): Ignored | Rejection {
  if (value === undefined || value === null) return reject('gke', 'missing-field', 'connection.protocol: absent')
  return typeof value === 'string' ? OTHER_PROTOCOL : wrongType('gke', 'connection.protocol', 'a protocol', value)
}
