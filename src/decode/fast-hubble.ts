/**
 * The fast path of Hubble lines: bytes of an exporter's line to its outcome without JSON.parse. In: an ASCII line {"flow":{…},"node_name":…,"time":…}.
 * Out: what the normalizer would make of it, or `undefined`: then the line is parsed.
 *
 * The whole line is walked once, member by member in any order, so that a key in a string or in another object is never taken for a flow's; keys
 * with escapes, known keys that come twice, blanks between parts, nulls and unknown wrappings are left to the parser, and so is whatever would be
 * rejected. Three parts are not walked but compared with remembered bytes: endpoints (fast-hubble-ends.ts), addresses, and the tail, from the
 * destination to the closing time, which is one of a few for each node. What the facts mean is decided by the normalizer's own HubbleRecorder.
 * Cost: less than half of JSON.parse of the line where a few hundred pods talk (DESIGN.md, Cost). Memory: bounded by what is remembered.
 */
import type { Outcome, Protocol } from '../core/flow/flow-record.ts'
import { nonFlow, type HubbleNormalizer } from '../core/normalize/hubble/hubble.ts'
import { HubbleFacts } from '../core/normalize/hubble/hubble-facts.ts'
import { ICMP } from '../core/normalize/hubble/hubble-fields.ts'
import { checkTimeUs } from '../core/normalize/instant.ts'
import type { FastPath } from './decode-chunk.ts'
import { FlowWalk, hasNeeded, isComplete } from './fast-hubble-walk.ts'

export class FastHubble implements FastPath {
  readonly #hubble: HubbleNormalizer
  readonly #walk: FlowWalk
  readonly #facts = new HubbleFacts()

  constructor(hubble: HubbleNormalizer) {
    this.#hubble = hubble
    this.#walk = new FlowWalk(hubble)
  }

  read(chunk: Buffer, start: number, end: number): Outcome | undefined {
    const walk = this.#walk
    const seen = walk.walk(chunk, start, end)
    if (!hasNeeded(seen)) return undefined
    const nothing = nonFlow(walk.tail.type, walk.tail.eventType)
    if (nothing !== null) return nothing
    if (!isComplete(seen)) return undefined
    const { protocol } = walk.transport
    return protocol === 'ICMP' ? ICMP : this.#record(protocol)
  }

  #record(protocol: Protocol): Outcome | undefined {
    const walk = this.#walk
    const { tail, transport, source, destination, verdict, sourceAddress, destinationAddress } = walk
    if (source === undefined || destination === undefined || sourceAddress === undefined || destinationAddress === undefined) return undefined
    if (verdict === 'retina-dns' || checkTimeUs(walk.times.us) !== '') return undefined
    const facts = this.#facts
    facts.us = walk.times.us
    facts.ns = walk.times.ns
    facts.node = tail.node
    facts.eventType = tail.eventType
    facts.subType = tail.subType
    facts.protocol = protocol
    facts.sourcePort = transport.sourcePort
    facts.destinationPort = transport.destinationPort
    facts.setFlags(transport.flags)
    facts.setVerdict(verdict, tail.dropReason, walk.dropReason)
    facts.isReply = tail.isReply ?? (tail.oldReply ? true : undefined)
    facts.direction = tail.direction
    facts.sourceAddress = sourceAddress
    facts.destinationAddress = destinationAddress
    facts.sourceXlated = walk.sourceXlated
    facts.isSourceLocal = walk.isSourceLocal
    facts.isDestinationLocal = walk.isDestinationLocal
    facts.sourceService = tail.sourceService
    facts.destinationService = tail.destinationService
    facts.point = tail.point
    facts.uuidBytes = walk.bytes
    facts.uuidStart = walk.uuidStart
    facts.uuidEnd = walk.uuidEnd
    const outcome = this.#hubble.recorder.record(facts, source, destination)
    // What is refused is parsed, so that its dead letter shows it.
    return outcome.kind === 'rejected' ? undefined : outcome
  }
}
