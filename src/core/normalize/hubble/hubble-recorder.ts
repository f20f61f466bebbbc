/**
 * The facts of one Hubble flow to its record: which end is what, who opened the connection, which port is the pod's, and the digest. In: HubbleFacts.
 * Out: a FlowRecord, Ignored or a Rejection that names the field. The one place for all of this, however the facts were read.
 */
import type { FlowRecord, Ignored, Orientation, Rejection } from '../../flow/flow-record.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import type { Classified, HubbleEnds } from './hubble-ends.ts'
import type { HubbleFacts } from './hubble-facts.ts'
import { checkUnoriented } from './hubble-fields.ts'
import { findOrientation, isFromResponder, isInOrder, isPoliced, sideOf, type Located } from '../orientation.ts'
import { PROTOCOL_NUMBERS } from '../ports.ts'
import { ignored, reject } from '../problems.ts'

const UNROUTABLE = ignored('hubble', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('hubble', 'no-endpoint')

/** The ends, put in order. */
interface Oriented {
  readonly orientation: Orientation
  readonly first: Located
  readonly second: Located
  readonly isSourceFirst: boolean
  readonly port: number
}

export class HubbleRecorder {
  readonly #ends: HubbleEnds
  readonly #digest = new Digest()
  readonly #seed: TextHash

  constructor(cluster: string, ends: HubbleEnds) {
    this.#ends = ends
    this.#seed = hashText(cluster)
  }

  record(facts: HubbleFacts, from: Classified, to: Classified): FlowRecord | Ignored | Rejection {
    if (facts.sourceAddress.isUnroutable || facts.destinationAddress.isUnroutable) return UNROUTABLE
    const source = this.#ends.locate(from, facts.sourceAddress, { port: facts.sourcePort, isService: facts.sourceService !== '' })
    const destination = this.#ends.locate(to, facts.destinationAddress, { port: facts.destinationPort, isService: facts.destinationService !== '' })
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    if (from.cluster === to.cluster || from.cluster === '' || to.cluster === '') return this.#orient(facts, source, destination)
    // A mesh of clusters: the end that has a local endpoint number is ours; the other one says another name.
    const local = facts.isSourceLocal ? from.cluster : facts.isDestinationLocal ? to.cluster : facts.node.cluster
    return this.#orient(facts, this.#ends.inMesh(source, from, local), this.#ends.inMesh(destination, to, local))
  }

  #orient(facts: HubbleFacts, source: Located, destination: Located): FlowRecord | Rejection {
    const orientation = findOrientation(facts)
    const isTranslated = facts.sourceXlated !== ''
    if (orientation === 'unoriented') {
      const problem = checkUnoriented(source.port, destination.port, isTranslated)
      if (problem !== null) return problem
      return isInOrder(source, destination)
        ? this.#make(facts, { orientation, first: source, second: destination, isSourceFirst: true, port: destination.port })
        : this.#make(facts, { orientation, first: destination, second: source, isSourceFirst: false, port: source.port })
    }
    if (source.port === 0 && destination.port === 0) return reject('hubble', 'missing-field', `l4.${facts.protocol}: no source_port and no destination_port`)
    if (!isFromResponder(facts, orientation)) {
      return this.#make(facts, { orientation, first: source, second: destination, isSourceFirst: true, port: destination.isService ? 0 : destination.port })
    }
    // T3: the port of a translated reply is the Service's, not the pod's.
    return this.#make(facts, { orientation, first: destination, second: source, isSourceFirst: false, port: isTranslated || source.isService ? 0 : source.port })
  }

  #make(facts: HubbleFacts, ends: Oriented): FlowRecord {
    const { first, second, orientation } = ends
    this.#digestRecord(facts, ends)
    return {
      kind: 'flow',
      format: 'hubble',
      firstAtUs: facts.us,
      lastAtUs: facts.us,
      initiator: first.end.identity,
      responder: second.end.identity,
      initiatorIp: first.address.text,
      responderIp: second.address.text,
      initiatorPod: first.end.pod,
      responderPod: second.end.pod,
      protocol: facts.protocol,
      port: ends.port,
      initiatorPort: orientation === 'unoriented' ? first.port : 0,
      orientation,
      side: sideOf(facts, facts.direction, ends.isSourceFirst),
      observedVerdict: facts.verdict,
      node: facts.node.name,
      flows: facts.flows,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  /** The record's uuid, or else everything that tells one event from another. */
  #digestRecord(facts: HubbleFacts, ends: Oriented): void {
    const digest = this.#digest
    digest.start(this.#seed)
    if (facts.uuid !== '' || facts.uuidEnd > facts.uuidStart) {
      digest.number(1)
      if (facts.uuid !== '') digest.text(facts.uuid)
      else digest.ascii(facts.uuidBytes, facts.uuidStart, facts.uuidEnd)
      digest.finish()
      return
    }
    digest.number(2)
    digest.number(facts.us)
    digest.number(facts.ns)
    digest.hash(facts.node.hash)
    digest.hash(ends.first.end.hash)
    digest.hash(ends.first.address.hash)
    digest.hash(ends.second.end.hash)
    digest.hash(ends.second.address.hash)
    digest.number(PROTOCOL_NUMBERS[facts.protocol] * 32 + facts.flags)
    digest.number(facts.sourcePort * 65_536 + facts.destinationPort)
    const reply = facts.isReply === undefined ? 2 : facts.isReply ? 1 : 0
    digest.number((ends.isSourceFirst ? 4 : 0) + reply)
    digest.number(facts.flows)
    digest.number(facts.eventType)
    digest.number(facts.subType)
    digest.text(facts.direction)
    digest.text(facts.verdict)
    if (typeof facts.point === 'string') digest.text(facts.point)
    else digest.number(facts.point)
    digest.finish()
  }
}
