/**
 * The facts of one Hubble flow to its record: which end is what, who opened the connection, which port is the pod's, and the digest. In: HubbleFacts.
 * Out: a FlowRecord, Ignored or a Rejection that names the field. The one place for all of this, however the facts were read.
 */
import type { FlowRecord, Ignored, Orientation, Rejection } from '../../flow/flow-record.ts'
import type { AddressCache } from '../address-cache.ts'
import { Digest, hashText, type TextHash } from '../digest.ts'
import type { EndResolver } from '../end-resolver.ts'
import { HourlyNote } from '../hourly-note.ts'
import type { End } from '../identity-cache.ts'
import type { NormalizeContext } from '../normalize-context.ts'
import type { Classified, HubbleEnds, Place } from './hubble-ends.ts'
import type { HubbleFacts } from './hubble-facts.ts'
import { checkUnoriented } from './hubble-fields.ts'
import { findOrientation, isFromResponder, isInOrder, isPoliced, sideOf, type Located } from '../orientation.ts'
import type { OwnWorkloads } from '../own-workloads.ts'
import { PROTOCOL_NUMBERS } from '../ports.ts'
import { ignored, reject } from '../problems.ts'

const UNROUTABLE = ignored('hubble', 'multicast-or-link-local')
const NO_ENDPOINT = ignored('hubble', 'no-endpoint')

/** Number of the observation point where a pod's packet is not translated yet. */
const FROM_ENDPOINT = 5

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
  readonly #resolver: EndResolver
  readonly #addresses: AddressCache
  readonly #aggregated: HourlyNote
  readonly #sampled: HourlyNote
  readonly #own: OwnWorkloads

  constructor({ cluster, resolver, addresses, coverage, own }: NormalizeContext, ends: HubbleEnds) {
    this.#ends = ends
    this.#seed = hashText(cluster)
    this.#resolver = resolver
    this.#addresses = addresses
    this.#own = own
    this.#aggregated = new HourlyNote(coverage, 'aggregation', 'the exporter aggregates: a row tells when its first event was, not the others')
    this.#sampled = new HourlyNote(coverage, 'sampling', 'Retina leaves out packets (previously_observed_packets)')
  }

  record(facts: HubbleFacts, from: Classified, to: Classified): FlowRecord | Ignored | Rejection {
    if (facts.sourceAddress.isUnroutable || facts.destinationAddress.isUnroutable) return UNROUTABLE
    if (facts.isReply === false && (facts.isRetina || from.isRaw || to.isRaw)) facts.isReply = undefined
    if (facts.isAggregated) this.#aggregated.note(facts.us, facts.node.name)
    if (facts.isSampled) this.#sampled.note(facts.us, facts.node.name)
    const orientation = findOrientation(facts)
    const isTurned = orientation !== 'unoriented' && isFromResponder(facts, orientation)
    const isForward = orientation !== 'unoriented' && !isTurned
    // A mesh of clusters: the end that has a local endpoint number is ours; the other one says another name.
    const isMesh = from.cluster !== to.cluster && from.cluster !== '' && to.cluster !== ''
    const local = !isMesh ? '' : facts.isSourceLocal ? from.cluster : facts.isDestinationLocal ? to.cluster : facts.node.cluster
    if (local === '' && orientation !== 'unoriented' && from.isSettled && to.isSettled && facts.sourceXlated === '' && facts.sourcePort + facts.destinationPort > 0) {
      this.#digestRecord(facts, from, to)
      return this.#own.screen(this.#settled(facts, from.end, to.end, orientation))
    }
    const { protocol, us: atUs } = facts
    const sourcePlace: Place = { port: facts.sourcePort, protocol, atUs, isService: facts.sourceService !== '', isUntranslated: false, isInitiator: !isTurned, local }
    const source = this.#ends.locate(from, facts.sourceAddress, sourcePlace)
    // Translation comes behind this point; the other points' records of the same connection tell who was reached.
    const isUntranslated = !isTurned && (facts.point === 'FROM_ENDPOINT' || facts.point === FROM_ENDPOINT)
    const destinationPlace: Place = { port: facts.destinationPort, protocol, atUs, isService: facts.destinationService !== '', isUntranslated, isInitiator: !isForward, local }
    const destination = this.#ends.locate(to, facts.destinationAddress, destinationPlace)
    if (!isPoliced(source) && !isPoliced(destination)) return NO_ENDPOINT
    this.#digestRecord(facts, from, to)
    return this.#own.screen(this.#orient(facts, { orientation, isTurned }, [source, destination]))
  }

  #orient(facts: HubbleFacts, { orientation, isTurned }: { orientation: Orientation; isTurned: boolean }, [source, destination]: readonly [Located, Located]): FlowRecord | Rejection {
    if (orientation === 'unoriented') {
      const problem = checkUnoriented(source.port, destination.port, facts.sourceXlated !== '')
      if (problem !== null) return problem
      return isInOrder(source, destination)
        ? this.#make(facts, { orientation, first: source, second: destination, isSourceFirst: true, port: destination.port })
        : this.#make(facts, { orientation, first: destination, second: source, isSourceFirst: false, port: source.port })
    }
    if (facts.sourcePort === 0 && facts.destinationPort === 0) return reject('hubble', 'missing-field', `l4.${facts.protocol}: no source_port and no destination_port`)
    if (!isTurned) return this.#make(facts, { orientation, first: source, second: destination, isSourceFirst: true, port: destination.isService ? 0 : destination.port })
    return this.#make(facts, { orientation, first: destination, second: source, isSourceFirst: false, port: this.#replyPort(facts, source) })
  }

  /** T3: the port of a translated reply is the Service's, not the pod's; cluster state may prove which port of the pods that is. */
  #replyPort(facts: HubbleFacts, source: Located): number {
    if (facts.sourceXlated === '') return source.isService ? 0 : source.port
    const service = this.#addresses.get(facts.sourceXlated)
    return service === null ? 0 : this.#resolver.podPort(service.text, facts.sourcePort, facts.protocol, facts.us)
  }

  /** What #orient makes of two pods that need no answer from cluster state: most records, made without anything in between. */
  #settled(facts: HubbleFacts, source: End, destination: End, orientation: Orientation): FlowRecord {
    const isForward = !isFromResponder(facts, orientation)
    const first = isForward ? source : destination
    const second = isForward ? destination : source
    return {
      kind: 'flow',
      format: 'hubble',
      firstAtUs: facts.us,
      lastAtUs: facts.us,
      initiator: first.identity,
      responder: second.identity,
      initiatorIp: isForward ? facts.sourceAddress.text : facts.destinationAddress.text,
      responderIp: isForward ? facts.destinationAddress.text : facts.sourceAddress.text,
      initiatorPod: first.pod,
      responderPod: second.pod,
      protocol: facts.protocol,
      port: isForward ? facts.destinationPort : facts.sourcePort,
      initiatorPort: 0,
      orientation,
      side: sideOf(facts, facts.direction, isForward),
      observedVerdict: facts.verdict,
      node: facts.node.name,
      flows: facts.flows,
      digestHi: this.#digest.a,
      digestLo: this.#digest.b,
    }
  }

  #make(facts: HubbleFacts, ends: Oriented): FlowRecord {
    const { first, second, orientation } = ends
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

  /** The record's uuid, or else everything that tells one event from another, as the record says it: state that comes later changes nothing. */
  #digestRecord(facts: HubbleFacts, from: Classified, to: Classified): void {
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
    digest.hash(from.end.hash)
    digest.hash(facts.sourceAddress.hash)
    digest.hash(to.end.hash)
    digest.hash(facts.destinationAddress.hash)
    if (from.cluster !== to.cluster) digest.text(`${from.cluster}\n${to.cluster}`)
    digest.number(PROTOCOL_NUMBERS[facts.protocol] * 32 + facts.flags)
    digest.number(facts.sourcePort * 65_536 + facts.destinationPort)
    const reply = facts.isReply === undefined ? 2 : facts.isReply ? 1 : 0
    digest.number(reply)
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
