/**
 * The fast path of GKE's policy log: bytes of a line {"connection":{…},"disposition":…,["policies":…,]"src":{…},"dest":{…},"count":1,"timestamp":"…"}
 * to its outcome without JSON.parse. In: an ASCII line. Out: what the normalizer would make of it, or `undefined`: then the line is parsed.
 *
 * The line is walked once, in the one order in which GKE writes its members (Go writes structs in the order of their fields), each at most once:
 * anything else between them, blanks and escapes too, is left to the parser, and so is whatever would be rejected. Ends and the reporting
 * node are compared with remembered bytes. What the facts mean is decided by the normalizer's own GkeFlows.
 * Cost: about 0.6 of JSON.parse of the line. Memory: bounded by what is remembered.
 */
import type { Ignored, Outcome } from '../core/flow/flow-record.ts'
import { GkeFacts, type GkeFlows, type GkeTerms } from '../core/normalize/gke/gke-flow.ts'
import { checkTimeUs } from '../core/normalize/instant.ts'
import { NO_NODE, type NodeName } from '../core/normalize/node-names.ts'
import { asFlows } from '../core/normalize/ports.ts'
import type { FastPath } from './decode-chunk.ts'
import { FastGkeEnds } from './fast-gke-ends.ts'
import { CLOSE_BRACE, COMMA, plainEnd, QUOTE, Segment, skipValue, textOf } from './fast-hubble-scan.ts'
import { AddressSlot, PortSlot, TimeSlot } from './fast-slots.ts'

const HEAD = Segment.of('{"connection":{"src_ip":"')
const DESTINATION_IP = Segment.of('","dest_ip":"')
const SOURCE_PORT = Segment.of(',"src_port":')
const DESTINATION_PORT = Segment.of(',"dest_port":')
const POLICIES = Segment.of('"policies":')
const SOURCE = Segment.of('"src":')
const DESTINATION = Segment.of(',"dest":')
const COUNT = Segment.of(',"count":')
const NODE = Segment.of(',"node_name":"')
const TIME = Segment.of(',"timestamp":"')
/** The first letter of `connection`, after which no other format's lines go on. */
const LETTER_C = 99
const MAX_PORT = 65_535
/** Longer names are left to the parser. */
const MAX_NODE = 256
/** Larger than any cluster; then they are learned anew. */
const MAX_NODES = 20_000

interface KnownTerms {
  readonly segment: Segment
  readonly terms: GkeTerms | Ignored
}

interface KnownNode {
  /** With the closing quote. */
  readonly segment: Segment
  readonly node: NodeName
}

/** From the ports to the policies, in all ways that GKE writes it; the frequent ones first. */
function allTerms(flows: GkeFlows): KnownTerms[] {
  const all: KnownTerms[] = []
  for (const protocol of ['tcp', 'udp', 'sctp', 'icmp', 'icmpv6', 'unknown']) {
    for (const disposition of ['allow', 'deny']) {
      for (const direction of ['ingress', 'egress']) {
        const terms = flows.terms(protocol, disposition, direction)
        if (terms.kind !== 'rejected') all.push({ segment: Segment.of(`,"protocol":"${protocol}","direction":"${direction}"},"disposition":"${disposition}",`), terms })
      }
    }
  }
  return all
}

export class FastGke implements FastPath {
  readonly #flows: GkeFlows
  readonly #terms: readonly KnownTerms[]
  readonly #ends: FastGkeEnds
  readonly #address: AddressSlot
  readonly #number = new PortSlot()
  readonly #time = new TimeSlot()
  readonly #facts = new GkeFacts()
  #nodes = new Map<number, KnownNode>()
  /** The node of the line before is the node of most. */
  #lastNode: KnownNode | undefined
  #bytes: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  /** The result of `#words`. */
  #found: GkeTerms | Ignored | undefined

  constructor(flows: GkeFlows) {
    this.#flows = flows
    this.#terms = allTerms(flows)
    this.#ends = new FastGkeEnds(flows.ends)
    this.#address = new AddressSlot(flows.addresses)
  }

  read(chunk: Buffer, start: number, end: number): Outcome | undefined {
    // Lines of other formats end here.
    if (start + HEAD.length > end || chunk[start + 2] !== LETTER_C) return undefined
    if (chunk !== this.#bytes) {
      this.#bytes = chunk
      this.#view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
      this.#ends.open(chunk, this.#view)
    }
    return HEAD.isAt(this.#view, start, end) ? this.#line(start + HEAD.length, end) : undefined
  }

  /** From the source address on. */
  #line(from: number, end: number): Outcome | undefined {
    const facts = this.#facts
    let at = this.#ports(this.#addresses(from, end), end)
    if (at < 0) return undefined
    at = this.#words(at, end)
    const terms = this.#found
    if (at < 0 || terms === undefined || !SOURCE.isAt(this.#view, at, end)) return undefined
    at = this.#ends.read(at + SOURCE.length, end, facts.from)
    const source = this.#ends.end
    if (at < 0 || source === undefined || !DESTINATION.isAt(this.#view, at, end)) return undefined
    at = this.#ends.read(at + DESTINATION.length, end, facts.to)
    const destination = this.#ends.end
    if (at < 0 || destination === undefined || !this.#tail(at, end)) return undefined
    if (terms.kind === 'ignored') return terms
    if (facts.port === 0) return undefined
    facts.terms = terms
    return this.#flows.screen(facts.from, facts.to) ?? this.#flows.decide(facts, source, destination)
  }

  /** From the source address to the closing quote of the destination's. */
  #addresses(from: number, end: number): number {
    const address = this.#address
    let at = address.read(this.#bytes, from, end)
    if (at < 0 || address.info === undefined || !DESTINATION_IP.isAt(this.#view, at, end)) return -1
    this.#facts.from = address.info
    at = address.read(this.#bytes, at + DESTINATION_IP.length, end)
    this.#facts.to = address.info
    return at >= 0 && at < end && this.#bytes[at] === QUOTE ? at + 1 : -1
  }

  /** Either port may be absent; then it is 0. */
  #ports(from: number, end: number): number {
    const facts = this.#facts
    facts.sourcePort = facts.port = 0
    let at = from
    if (at >= 0 && SOURCE_PORT.isAt(this.#view, at, end)) {
      at = this.#number.read(this.#bytes, at + SOURCE_PORT.length, end)
      facts.sourcePort = this.#number.port
    }
    if (at >= 0 && DESTINATION_PORT.isAt(this.#view, at, end)) {
      at = this.#number.read(this.#bytes, at + DESTINATION_PORT.length, end)
      facts.port = this.#number.port
    }
    return facts.sourcePort > MAX_PORT || facts.port > MAX_PORT ? -1 : at
  }

  /** From the protocol to the comma in front of `src`. What `policies` holds is not read; it must only be JSON. */
  #words(from: number, end: number): number {
    this.#found = undefined
    for (const { segment, terms } of this.#terms) {
      if (!segment.isAt(this.#view, from, end)) continue
      this.#found = terms
      const at = from + segment.length
      if (!POLICIES.isAt(this.#view, at, end)) return at
      const next = skipValue(this.#view, at + POLICIES.length, end)
      return next >= 0 && next < end && this.#bytes[next] === COMMA ? next + 1 : -1
    }
    return -1
  }

  /** From the comma in front of the count to the end. True when it can be used. */
  #tail(from: number, end: number): boolean {
    const facts = this.#facts
    let at = from
    facts.flows = 1
    if (COUNT.isAt(this.#view, at, end)) {
      at = this.#number.read(this.#bytes, at + COUNT.length, end)
      if (at < 0) return false
      facts.flows = asFlows(this.#number.port)
    }
    facts.node = NO_NODE
    const behindNode = this.#node(at, end)
    if (behindNode < 0 || !TIME.isAt(this.#view, behindNode, end)) return false
    const hasNode = behindNode > at
    at = this.#time.read(this.#bytes, behindNode + TIME.length, end)
    if (at < 0 || at >= end || this.#bytes[at] !== QUOTE || checkTimeUs(this.#time.us) !== '') return false
    facts.us = this.#time.us
    facts.ns = this.#time.ns
    at = hasNode ? at + 1 : this.#node(at + 1, end)
    return at === end - 1 && this.#bytes[at] === CLOSE_BRACE
  }

  /** Behind the node's name, or `at` where none stands there; -1 where it cannot be used. */
  #node(at: number, end: number): number {
    if (!NODE.isAt(this.#view, at, end)) return at
    const from = at + NODE.length
    const last = this.#lastNode
    const known = last?.segment.isAt(this.#view, from, end) === true ? last : this.#findNode(from, end)
    if (known === undefined) return -1
    this.#lastNode = known
    this.#facts.node = known.node
    return from + known.segment.length
  }

  #findNode(from: number, end: number): KnownNode | undefined {
    const bytes = this.#bytes
    let hash = 0
    for (let i = from; i < end && bytes[i] !== QUOTE; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
    const known = this.#nodes.get(hash)
    if (known?.segment.isAt(this.#view, from, end) === true) return known
    const close = plainEnd(bytes, from, Math.min(end, from + MAX_NODE))
    const node = close < 0 ? undefined : this.#flows.node(textOf(bytes, from, close))
    if (node?.kind !== 'node') return undefined
    const found = { segment: new Segment(bytes, from, close + 1), node }
    if (this.#nodes.size >= MAX_NODES) this.#nodes.clear()
    this.#nodes.set(hash, found)
    return found
  }
}
