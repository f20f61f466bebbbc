import { FLAG_ACK, FLAG_SYN } from '../core/normalize/hubble/hubble-fields.ts'
import type { Protocol } from '../core/flow/flow-record.ts'
import { CLOSE_BRACE, COLON, COMMA, OPEN_BRACE, plainEnd, QUOTE, Segment, skipValue, textOf, word } from './fast-hubble-scan.ts'

const W_TCP = word('{"TC')
const W_TCP_END = word('CP":')
const W_UDP = word('{"UD')
const W_UDP_END = word('DP":')
const TCP_LENGTH = 7
const OTHERS: readonly (readonly [Segment, Protocol | 'ICMP'])[] = [
  [Segment.of('{"SCTP":'), 'SCTP'], [Segment.of('{"ICMPv4":'), 'ICMP'], [Segment.of('{"ICMPv6":'), 'ICMP'],
]
const SOURCE_PORT = Segment.of('"source_port":')
const DESTINATION_PORT = Segment.of('"destination_port":')
const FLAGS = Segment.of('"flags":{')
const FLAG_END = word('true')
const W_SYN = word('"SYN')
const W_ACK = word('"ACK')
const W_FIN = word('"FIN')
const W_PSH = word('"PSH')
const W_RST = word('"RST')
const W_COLON = word('":tr')
const MAX_PORT = 65_535

/** Reads `l4` of a flow: one protocol, its ports and flags. */
export class FastTransport {
  // The results of `read`; 0: no port.
  protocol: Protocol | 'ICMP' = 'TCP'
  sourcePort = 0
  destinationPort = 0
  flags = 0

  /** `at` is at the opening brace; the result is behind the closing one, or -1. */
  read(bytes: Buffer, view: DataView, at: number, end: number): number {
    if (at + TCP_LENGTH + 4 > end) return -1
    const head = view.getInt32(at, true)
    const behind = view.getInt32(at + 3, true)
    const isTcp = head === W_TCP && behind === W_TCP_END
    if (isTcp || (head === W_UDP && behind === W_UDP_END)) {
      this.protocol = isTcp ? 'TCP' : 'UDP'
      return closed(bytes, this.#readSegment(bytes, view, at + TCP_LENGTH, end), end)
    }
    for (const [text, protocol] of OTHERS) {
      if (!text.isAt(view, at, end)) continue
      this.protocol = protocol
      return closed(bytes, protocol === 'ICMP' ? skipValue(view, at + text.length, end) : this.#readSegment(bytes, view, at + text.length, end), end)
    }
    return -1
  }

  #readSegment(bytes: Buffer, view: DataView, at: number, end: number): number {
    this.sourcePort = this.destinationPort = this.flags = 0
    if (at >= end || bytes[at] !== OPEN_BRACE) return -1
    let i = at + 1
    // In the exporter's order; others are parsed.
    if (SOURCE_PORT.isAt(view, i, end)) {
      const next = portEnd(bytes, i + SOURCE_PORT.length, end)
      if (next < 0) return -1
      this.sourcePort = numberOf(bytes, i + SOURCE_PORT.length, next)
      i = bytes[next] === COMMA ? next + 1 : next
    }
    if (DESTINATION_PORT.isAt(view, i, end)) {
      const next = portEnd(bytes, i + DESTINATION_PORT.length, end)
      if (next < 0) return -1
      this.destinationPort = numberOf(bytes, i + DESTINATION_PORT.length, next)
      i = bytes[next] === COMMA ? next + 1 : next
    }
    if (FLAGS.isAt(view, i, end)) {
      i = this.#readFlags(bytes, view, i + FLAGS.length, end)
      if (i < 0) return -1
    }
    // A comma before the brace was taken for the start of a next member that is not there.
    return i < end && bytes[i] === CLOSE_BRACE && bytes[i - 1] !== COMMA && this.sourcePort <= MAX_PORT && this.destinationPort <= MAX_PORT ? i + 1 : -1
  }

  /** `at` is behind the opening brace of the flags. Flags that no record keeps are left to the parser. */
  #readFlags(bytes: Buffer, view: DataView, at: number, end: number): number {
    let seen = 0
    let i = at
    for (;;) {
      if (i + 11 > end || view.getInt32(i + 4, true) !== W_COLON || view.getInt32(i + 6, true) !== FLAG_END) return -1
      const bit = flagBit(view.getInt32(i, true))
      if (bit === 0 || (seen & bit) !== 0) return -1
      seen |= bit
      const byte = bytes[i + 10]
      i += 11
      if (byte === CLOSE_BRACE) break
      if (byte !== COMMA) return -1
    }
    this.flags = seen
    return i
  }
}

/** Behind the brace at `at`, or -1. */
function closed(bytes: Uint8Array, at: number, end: number): number {
  return at >= 0 && at < end && bytes[at] === CLOSE_BRACE ? at + 1 : -1
}

/** 0: none that is kept. */
function flagBit(key: number): number {
  switch (key) {
    case W_SYN: return FLAG_SYN
    case W_ACK: return FLAG_ACK
    case W_FIN: return 4
    case W_RST: return 8
    case W_PSH: return 16
    default: return 0
  }
}

/** Behind the digits of a port, followed by another member or the end; -1: no port as exporters write it. */
function portEnd(bytes: Uint8Array, at: number, end: number): number {
  let i = at
  while (i < end && i < at + 6 && (bytes[i] as number) >= 48 && (bytes[i] as number) <= 57) i++
  if (i === at || i >= end || (bytes[at] === 48 && i > at + 1)) return -1
  return bytes[i] === COMMA || bytes[i] === CLOSE_BRACE ? i : -1
}

/** The number of checked digits. */
function numberOf(bytes: Uint8Array, at: number, end: number): number {
  let value = 0
  for (let i = at; i < end; i++) value = value * 10 + (bytes[i] as number) - 48
  return value
}

/** An object of whole numbers that is read key by key: `event_type`. */
export class FastEvent {
  type = 0
  subType = 0

  /** `at` is at the opening brace; the result is behind the closing one, or -1. */
  read(bytes: Buffer, at: number, end: number): number {
    this.type = this.subType = 0
    let seen = 0
    let i = at
    for (;;) {
      // The opening brace, or the comma between two members.
      const isFirst = i === at
      if (i >= end || bytes[i] !== (isFirst ? OPEN_BRACE : COMMA)) return -1
      const keyEnd = i + 1 < end && bytes[i + 1] === QUOTE ? plainEnd(bytes, i + 2, end) : -1
      if (keyEnd < 0 || keyEnd + 1 >= end || bytes[keyEnd + 1] !== COLON) return -1
      const name = textOf(bytes, i + 2, keyEnd)
      const bit = name === 'type' ? 1 : name === 'sub_type' ? 2 : 4
      const next = portEnd(bytes, keyEnd + 2, end)
      if (bit === 4 || (seen & bit) !== 0 || next < 0) return -1
      seen |= bit
      if (bit === 1) this.type = numberOf(bytes, keyEnd + 2, next)
      else this.subType = numberOf(bytes, keyEnd + 2, next)
      if (bytes[next] === CLOSE_BRACE) return next + 1
      i = next
    }
  }
}
