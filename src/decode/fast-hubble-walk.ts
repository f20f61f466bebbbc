/**
 * Walks one Hubble exporter line, {"flow":{…},"node_name":…,"time":…}, member by member, and keeps what a record is made from. See fast-hubble.ts.
 */
import type { AddressInfo } from '../core/normalize/address-cache.ts'
import type { HubbleNormalizer } from '../core/normalize/hubble/hubble.ts'
import type { Classified } from '../core/normalize/hubble/hubble-ends.ts'
import { EVENT_L7, readDirection, readFlowType, readVerdict, type LoggedVerdict } from '../core/normalize/hubble/hubble-enums.ts'
import { readServiceName } from '../core/normalize/hubble/hubble-fields.ts'
import { FastEnds } from './fast-hubble-ends.ts'
import { CLOSE_BRACE, COLON, COMMA, isPlain, isSame, isText, OPEN_BRACE, plainEnd, QUOTE, Segment, skipValue, textOf, word } from './fast-hubble-scan.ts'
import { FastTails, HubbleTail } from './fast-hubble-tails.ts'
import { AddressSlot, TimeSlot } from './fast-slots.ts'
import { FastEvent, FastTransport } from './fast-hubble-transport.ts'

// Members of a flow, as bits of what was seen.
const TIME = 1
const UUID = 2
const VERDICT = 4
const DROP_REASON = 8
const IP = 16
const L4 = 32
const SOURCE = 64
const DESTINATION = 128
const TYPE = 256
const NODE_NAME = 512
const REPLY = 1024
const IS_REPLY = 2048
const EVENT_TYPE = 4096
const SOURCE_SERVICE = 8192
const DESTINATION_SERVICE = 16_384
const DIRECTION = 32_768
const POINT = 65_536
const DROP_REASON_DESC = 131_072
/** The full parse alone reads these: sums, and signs of another producer. */
const PARSED = 262_144
/** Nothing is made from it, but it is on every line. */
const ETHERNET = 524_288
/** Seen before the tail, never in it. */
const HEAD = ETHERNET | TIME | UUID | VERDICT | DROP_REASON | IP | L4 | SOURCE | DESTINATION
/** Without one of these the line is parsed: without event_type and node_name its keys may be lowerCamel. */
const NEEDED = TIME | SOURCE | DESTINATION | EVENT_TYPE | NODE_NAME
const NEEDED_OF_FLOW = NEEDED | VERDICT | IP | L4

const KEYS = new Map<string, number>([
  ['time', TIME], ['uuid', UUID], ['verdict', VERDICT], ['drop_reason', DROP_REASON], ['IP', IP], ['l4', L4], ['source', SOURCE], ['destination', DESTINATION],
  ['Type', TYPE], ['node_name', NODE_NAME], ['reply', REPLY], ['is_reply', IS_REPLY], ['event_type', EVENT_TYPE], ['source_service', SOURCE_SERVICE],
  ['destination_service', DESTINATION_SERVICE], ['traffic_direction', DIRECTION], ['trace_observation_point', POINT], ['drop_reason_desc', DROP_REASON_DESC],
  ['ethernet', ETHERNET], ['aggregate', PARSED], ['extensions', PARSED],
])
const LINE_HEAD = Segment.of('{"flow":{')
const FORWARDED = Segment.of('"FORWARDED"')
// `ethernet` as exporters write it: two addresses of 17 characters.
const MAC_HEAD = Segment.of('{"source":"')
const MAC_MIDDLE = Segment.of('","destination":"')
const MAC_LENGTH = 17
const UUID_LENGTH = 36
const IP_SOURCE_KEY = Segment.of('"source":')
const IP_DESTINATION_KEY = Segment.of('"destination":')
const IP_VERSION = Segment.of('"ipVersion":"IPv4"}')
const NO_BYTES = Buffer.alloc(0)
/** Bytes that may be looked at behind the start of a key. */
const LONGEST_WORD = 16

const W_TIME = word('"tim')
const W_TIME_END = word('me":')
const W_UUID = word('"uui')
const W_UUID_END = word('id":')
const W_VERDICT = word('"ver')
const W_VERDICT_2 = word('dict')
const W_VERDICT_END = word('ct":')
const W_IP = word('"IP"')
const W_L4 = word('"l4"')
const W_SOURCE = word('"sou')
const W_SOURCE_2 = word('rce"')
const W_SOURCE_END = word('ce":')
const W_DESTINATION = word('"des')
const DESTINATION_KEY = Segment.of('"destination":')
const W_ETHERNET = word('"eth')
const ETHERNET_KEY = Segment.of('"ethernet":')

/** True when everything was seen that tells what kind of event a line is. Without verdict, IP and l4 the flow may be another format's record. */
export function hasNeeded(seen: number): boolean {
  return (seen & NEEDED) === NEEDED && (seen & (VERDICT | IP | L4)) !== 0
}

/** True when everything was seen that a record needs. */
export const isComplete = (seen: number): boolean => (seen & NEEDED_OF_FLOW) === NEEDED_OF_FLOW

export class FlowWalk {
  // What the last line said.
  bytes: Buffer = NO_BYTES
  readonly times = new TimeSlot()
  readonly transport = new FastTransport()
  tail = new HubbleTail()
  verdict: LoggedVerdict = 'unknown'
  dropReason: number | undefined = undefined
  sourceAddress: AddressInfo | undefined = undefined
  destinationAddress: AddressInfo | undefined = undefined
  sourceXlated = ''
  source: Classified | undefined = undefined
  destination: Classified | undefined = undefined
  isSourceLocal = false
  isDestinationLocal = false
  uuidStart = 0
  uuidEnd = 0

  readonly #nodes: HubbleNormalizer['nodes']
  readonly #ends: FastEnds
  readonly #addresses: AddressSlot
  readonly #tails = new FastTails()
  readonly #event = new FastEvent()
  #view: DataView = new DataView(new ArrayBuffer(0))
  /** Filled by lines whose tail is not known. */
  #newTail = new HubbleTail()
  /** Where the flow's time stands, quotes included. */
  #timeStart = 0
  #timeEnd = 0
  /** Where the value of the last key starts. */
  #valueAt = 0

  constructor(hubble: HubbleNormalizer) {
    this.#nodes = hubble.nodes
    this.#ends = new FastEnds(hubble.ends)
    this.#addresses = new AddressSlot(hubble.addresses)
  }

  /** Which members were seen; 0 when the line must be parsed. */
  walk(bytes: Buffer, start: number, end: number): number {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    if (!LINE_HEAD.isAt(this.#view, start, end)) return 0
    this.tail = this.#newTail.reset()
    this.uuidStart = this.uuidEnd = 0
    this.dropReason = undefined
    return this.#flow(start + LINE_HEAD.length, end)
  }

  #flow(from: number, end: number): number {
    const { bytes } = this
    let seen = 0
    let at = from
    let tailStart = 0
    let headSeen = 0
    for (;;) {
      const member = this.#key(at, end)
      if (member < 0 || (seen & member) !== 0) return 0
      seen |= member
      at = this.#value(member, this.#valueAt, end)
      if (at < 0 || at >= end) return 0
      const byte = bytes[at++]
      if (byte === CLOSE_BRACE) break
      if (byte !== COMMA) return 0
      if (member !== DESTINATION || (seen & ~HEAD) !== 0 || (seen & TIME) === 0) continue
      const tailEnd = this.#tailEnd(at, end)
      const known = tailEnd < 0 ? undefined : this.#tails.find(this.#view, at, tailEnd)
      if (known !== undefined) {
        this.tail = known
        return seen | known.seen
      }
      tailStart = at
      headSeen = seen
    }
    const timeAt = this.#wrapperEnd(at, end)
    if (timeAt < 0) return 0
    if (tailStart > 0 && headSeen === (seen & HEAD) && timeAt === this.#tailEnd(tailStart, end)) this.#learn(tailStart, timeAt, seen)
    return seen
  }

  /** Where the tail from `at` on would end: before the flow's time, once more, at the end of the line. -1: not there. */
  #tailEnd(at: number, end: number): number {
    const length = this.#timeEnd - this.#timeStart
    const tailEnd = end - 1 - length
    return tailEnd > at && this.bytes[end - 1] === CLOSE_BRACE && isSame(this.#view, this.#timeStart, tailEnd, length) ? tailEnd : -1
  }

  /** Keeps a tail that was walked to the end of its line, unless it is likely to be the only one of its kind. */
  #learn(start: number, end: number, seen: number): void {
    const { tail } = this
    if (tail.type === 'l7' || tail.eventType === EVENT_L7) return
    tail.seen = seen & ~HEAD
    this.#tails.add(this.bytes, this.#view, { at: start, end }, tail)
    this.#newTail = new HubbleTail()
  }

  /** Where the value of `time` starts, when that is the wrapper's last member, else 0; -1 when the line does not end as it must. */
  #wrapperEnd(from: number, end: number): number {
    const { bytes } = this
    let seen = 0
    let timeAt = 0
    let at = from
    for (;;) {
      if (at >= end) return -1
      const byte = bytes[at++]
      if (byte === CLOSE_BRACE) return at === end ? timeAt : -1
      if (byte !== COMMA) return -1
      const isTime = isText(bytes, at, end, '"time":"')
      const bit = isTime ? 1 : isText(bytes, at, end, '"node_name":"') ? 2 : 0
      if (bit === 0 || (seen & bit) !== 0) return -1
      seen |= bit
      const valueAt = at + (isTime ? 7 : 12)
      timeAt = isTime ? valueAt : 0
      const close = plainEnd(bytes, valueAt + 1, end)
      if (close < 0) return -1
      at = close + 1
    }
  }

  /** The member whose key starts at `at`, 0 for one that no record needs, -1 when there is no key. Sets `#valueAt`. */
  #key(at: number, end: number): number {
    if (at + LONGEST_WORD > end) return -1
    const { bytes } = this
    const view = this.#view
    switch (view.getInt32(at, true)) {
      case W_TIME: if (view.getInt32(at + 3, true) === W_TIME_END) return this.#found(TIME, at + 7); break
      case W_UUID: if (view.getInt32(at + 3, true) === W_UUID_END) return this.#found(UUID, at + 7); break
      case W_VERDICT: if (view.getInt32(at + 4, true) === W_VERDICT_2 && view.getInt32(at + 6, true) === W_VERDICT_END) return this.#found(VERDICT, at + 10); break
      case W_IP: if (bytes[at + 4] === COLON) return this.#found(IP, at + 5); break
      case W_L4: if (bytes[at + 4] === COLON) return this.#found(L4, at + 5); break
      case W_SOURCE: if (view.getInt32(at + 4, true) === W_SOURCE_2 && view.getInt32(at + 5, true) === W_SOURCE_END) return this.#found(SOURCE, at + 9); break
      case W_DESTINATION: if (DESTINATION_KEY.isAt(view, at, end)) return this.#found(DESTINATION, at + 14); break
      case W_ETHERNET: if (ETHERNET_KEY.isAt(view, at, end)) return this.#found(ETHERNET, at + 11); break
      default: break
    }
    const close = bytes[at] === QUOTE ? plainEnd(bytes, at + 1, end) : -1
    if (close < 0 || close + 2 >= end || bytes[close + 1] !== COLON) return -1
    return this.#found(KEYS.get(textOf(bytes, at + 1, close)) ?? 0, close + 2)
  }

  #found(member: number, valueAt: number): number {
    this.#valueAt = valueAt
    return member
  }

  /** Reads the value at `at`; the result is behind it, or -1. */
  #value(member: number, at: number, end: number): number {
    const { bytes } = this
    switch (member) {
      case TIME: return this.#time(at, end)
      case UUID: return this.#uuid(at, end)
      case VERDICT: return this.#verdict(at, end)
      case ETHERNET: return this.#ethernet(at, end)
      case IP: return this.#ip(at, end)
      case L4: return this.transport.read(bytes, this.#view, at, end)
      case SOURCE: {
        const next = this.#ends.read(bytes, this.#view, at, end)
        this.source = this.#ends.classified
        this.isSourceLocal = this.#ends.isLocal
        return next
      }
      case DESTINATION: {
        const next = this.#ends.read(bytes, this.#view, at, end)
        this.destination = this.#ends.classified
        this.isDestinationLocal = this.#ends.isLocal
        return next
      }
      case 0: return skipValue(this.#view, at, end)
      case PARSED: return -1
      default: return this.#rare(member, at, end)
    }
  }

  #time(at: number, end: number): number {
    const close = this.bytes[at] === QUOTE ? this.times.read(this.bytes, at + 1, end) : -1
    const next = close >= 0 && close < end && this.bytes[close] === QUOTE ? close + 1 : -1
    this.#timeStart = at
    this.#timeEnd = next
    return next
  }

  #uuid(at: number, end: number): number {
    const { bytes } = this
    if (at >= end || bytes[at] !== QUOTE) return -1
    const common = at + 1 + UUID_LENGTH
    const close = common < end && bytes[common] === QUOTE && isPlain(this.#view, at + 1, UUID_LENGTH) ? common : plainEnd(bytes, at + 1, end)
    if (close < 0) return -1
    this.uuidStart = at + 1
    this.uuidEnd = close
    return close + 1
  }

  /** Steps over the addresses of a frame. */
  #ethernet(at: number, end: number): number {
    const view = this.#view
    const source = at + MAC_HEAD.length
    const destination = source + MAC_LENGTH + MAC_MIDDLE.length
    const close = destination + MAC_LENGTH
    const isCommon = close + 1 < end && MAC_HEAD.isAt(view, at, end) && isPlain(view, source, MAC_LENGTH) && MAC_MIDDLE.isAt(view, source + MAC_LENGTH, end) &&
      isPlain(view, destination, MAC_LENGTH) && this.bytes[close] === QUOTE && this.bytes[close + 1] === CLOSE_BRACE
    return isCommon ? close + 2 : skipValue(this.#view, at, end)
  }

  #verdict(at: number, end: number): number {
    const { bytes } = this
    if (FORWARDED.isAt(this.#view, at, end)) {
      this.verdict = 'allowed'
      return at + FORWARDED.length
    }
    if (bytes[at] !== QUOTE) return -1
    const close = plainEnd(bytes, at + 1, end)
    if (close < 0) return -1
    this.verdict = readVerdict(textOf(bytes, at + 1, close))
    return close + 1
  }

  #ip(from: number, end: number): number {
    const { bytes } = this
    const view = this.#view
    if (bytes[from] !== OPEN_BRACE) return -1
    this.sourceAddress = this.destinationAddress = undefined
    this.sourceXlated = ''
    let seen = 0
    let sourceAt = 0
    let at = from + 1
    for (;;) {
      if (IP_VERSION.isAt(view, at, end)) {
        at += IP_VERSION.length
        break
      }
      const isSource = IP_SOURCE_KEY.isAt(view, at, end)
      const isKnown = isSource || IP_DESTINATION_KEY.isAt(view, at, end)
      const keyEnd = isSource ? at + 8 : isKnown ? at + 13 : at < end && bytes[at] === QUOTE ? plainEnd(bytes, at + 1, end) + 1 : 0
      if (keyEnd <= 0 || keyEnd + 1 >= end || bytes[keyEnd] !== COLON) return -1
      const member = isSource ? IP_SOURCE : isKnown ? IP_DESTINATION : isText(bytes, at, end, '"source_xlated":') ? IP_XLATED : IP_OTHER
      if (member !== IP_OTHER && (seen & member) !== 0) return -1
      seen |= member
      if (isSource) sourceAt = keyEnd + 2
      at = member === IP_OTHER ? skipValue(view, keyEnd + 1, end) : this.#address(member, keyEnd + 1, end)
      if (at < 0 || at >= end) return -1
      const byte = bytes[at++]
      if (byte === CLOSE_BRACE) break
      if (byte !== COMMA) return -1
    }
    if (this.sourceXlated !== '' && isText(bytes, sourceAt, end, `${this.sourceXlated}"`)) this.sourceXlated = ''
    return at
  }

  #address(member: number, at: number, end: number): number {
    const { bytes } = this
    if (bytes[at] !== QUOTE) return -1
    if (member === IP_XLATED) {
      const close = plainEnd(bytes, at + 1, end)
      if (close < 0) return -1
      this.sourceXlated = textOf(bytes, at + 1, close)
      return close + 1
    }
    const next = this.#addresses.read(bytes, at + 1, end)
    if (member === IP_SOURCE) this.sourceAddress = this.#addresses.info
    else this.destinationAddress = this.#addresses.info
    return next >= 0 && next < end && bytes[next] === QUOTE ? next + 1 : -1
  }

  /** Members of the tail: met only where the tail is not known. */
  #rare(member: number, at: number, end: number): number {
    const { bytes, tail } = this
    if (member === EVENT_TYPE) {
      const next = this.#event.read(bytes, at, end)
      tail.eventType = this.#event.type
      tail.subType = this.#event.subType
      return next
    }
    const next = skipValue(this.#view, at, end)
    if (next < 0) return -1
    const value = JSON.parse(textOf(bytes, at, next)) as unknown
    switch (member) {
      case DROP_REASON:
        this.dropReason = typeof value === 'number' ? value : undefined
        return typeof value === 'number' ? next : -1
      case REPLY: case IS_REPLY:
        if (member === REPLY) tail.oldReply = value === true
        else tail.isReply = value === true
        return typeof value === 'boolean' ? next : -1
      case SOURCE_SERVICE: case DESTINATION_SERVICE:
        tail[member === SOURCE_SERVICE ? 'sourceService' : 'destinationService'] = readServiceName(value)
        return next
      default: return typeof value === 'string' && this.#text(member, value) ? next : -1
    }
  }

  /** False when the text cannot be what it stands for. */
  #text(member: number, text: string): boolean {
    const { tail } = this
    if (member === TYPE) tail.type = readFlowType(text)
    else if (member === DIRECTION) tail.direction = readDirection(text)
    else if (member === POINT) tail.point = text
    else if (member === DROP_REASON_DESC) tail.dropReason = text
    else {
      const node = this.#nodes.read(text)
      if (node.kind === 'rejected') return false
      tail.node = node
    }
    return true
  }
}

// Members of `IP`, as bits.
const IP_SOURCE = 1
const IP_DESTINATION = 2
const IP_XLATED = 4
const IP_OTHER = 8
