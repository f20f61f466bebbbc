/**
 * The fast path of Antrea's flow log: bytes of a line START,END,IP,IP,PORT,PORT,PROTOCOL, 3 columns of each pod, 17 of Service and
 * policies, to its outcome without splitting it. In: the bytes of an ASCII line. Out: what the normalizer would make of it, or `undefined`:
 * then the line is split.
 *
 * Times, addresses and ports are read from the bytes, as the flow aggregator writes them; the columns behind them are compared with
 * remembered ones (fast-antrea-parts.ts). Whatever else a line may be, and whatever would be rejected, is left to the normalizer. What the
 * facts mean is decided by its own AntreaPlainLines.
 * Cost: about one and a half times splitting the line at its commas. Memory: bounded by what is remembered.
 */
import { US_PER_SECOND } from '../core/base/time.ts'
import type { Outcome, Protocol } from '../core/flow/flow-record.ts'
import { LineFacts } from '../core/normalize/antrea/antrea-line-facts.ts'
import { LINE_PROTOCOLS, type AntreaPlainLines } from '../core/normalize/antrea/antrea-plain-lines.ts'
import { checkTimeUs } from '../core/normalize/instant.ts'
import type { FastPath } from './decode-chunk.ts'
import { FastAntreaParts } from './fast-antrea-parts.ts'
import { COMMA, isText, Segment, textOf } from './fast-hubble-scan.ts'
import { AddressSlot, PortSlot } from './fast-slots.ts'

const RETURN = 13
const ZERO = 48
/** Of Unix seconds from 2001 to 2286. */
const TIME_DIGITS = 10
/** Behind both times and their commas. */
const TIMES = 2 * TIME_DIGITS + 2
/** Shorter than any line with 30 columns and a flow. */
const MIN_LINE = 64
const MAX_PORT = 65_535

interface KnownProtocol {
  /** With the commas around it. */
  readonly segment: Segment
  readonly protocol: Protocol
}

export class FastAntreaCsv implements FastPath {
  readonly #lines: AntreaPlainLines
  readonly #protocols: readonly KnownProtocol[] = [...LINE_PROTOCOLS].map(
    ([text, protocol]) => ({ segment: Segment.of(`,${text},`), protocol }),
  )
  readonly #parts: FastAntreaParts
  readonly #first = new SecondsSlot()
  readonly #last = new SecondsSlot()
  readonly #address: AddressSlot
  readonly #port = new PortSlot()
  readonly #facts = new LineFacts()
  /** Where the destination's address starts and ends. */
  #addressStart = 0
  #addressEnd = 0
  #bytes: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))

  constructor(lines: AntreaPlainLines) {
    this.#lines = lines
    this.#parts = new FastAntreaParts(lines)
    this.#address = new AddressSlot(lines.addresses)
  }

  read(chunk: Buffer, start: number, end: number): Outcome | undefined {
    // Lines of other formats end here.
    if (end - start < MIN_LINE || chunk[start + TIME_DIGITS] !== COMMA || chunk[start + TIMES - 1] !== COMMA) return undefined
    if (chunk !== this.#bytes) {
      this.#bytes = chunk
      this.#view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
      this.#parts.open(chunk, this.#view)
    }
    // Blanks around a line are no part of it; one of a Windows file is all that is met.
    return this.#times(start) ? this.#line(start + TIMES, chunk[end - 1] === RETURN ? end - 1 : end) : undefined
  }

  #times(start: number): boolean {
    const facts = this.#facts
    facts.firstAtUs = this.#first.read(this.#view, start) * US_PER_SECOND
    facts.lastAtUs = this.#last.read(this.#view, start + TIME_DIGITS + 1) * US_PER_SECOND
    return facts.firstAtUs <= facts.lastAtUs && checkTimeUs(facts.firstAtUs) === '' && checkTimeUs(facts.lastAtUs) === ''
  }

  /** From the source address on. */
  #line(from: number, end: number): Outcome | undefined {
    const facts = this.#facts
    let at = this.#protocol(this.#ports(this.#addresses(from, end), end), end)
    if (at < 0) return undefined
    const parts = this.#parts
    at = parts.readEnd(at, end, facts.from)
    if (at < 0 || parts.node === undefined) return undefined
    facts.sourcePod = parts.pod
    facts.sourceNode = parts.node
    at = parts.readEnd(at, end, facts.to)
    if (at < 0 || !parts.readRest(at, end) || parts.rest === undefined) return undefined
    facts.destinationPod = parts.pod
    facts.destinationNode = parts.node
    facts.rest = parts.rest
    facts.toText = parts.pod === undefined ? this.#addressText() : ''
    const outcome = this.#lines.decide(facts)
    // What is refused is split, so that its dead letter names the column.
    return outcome?.kind === 'rejected' ? undefined : outcome
  }

  /** From the source address to the comma behind the destination's. */
  #addresses(from: number, end: number): number {
    const address = this.#address
    const bytes = this.#bytes
    const facts = this.#facts
    let at = address.read(bytes, from, end)
    if (at < 0 || at >= end || address.info === undefined || bytes[at] !== COMMA) return -1
    facts.from = address.info
    this.#addressStart = at + 1
    at = address.read(bytes, at + 1, end)
    if (at < 0 || at >= end || bytes[at] !== COMMA) return -1
    facts.to = address.info
    this.#addressEnd = at
    return at + 1
  }

  /** The destination's address as it is written; mostly that is its canonical text. */
  #addressText(): string {
    const { text } = this.#facts.to
    const start = this.#addressStart
    const end = this.#addressEnd
    return text.length === end - start && isText(this.#bytes, start, end, text) ? text : textOf(this.#bytes, start, end)
  }

  /** From the source port to the comma behind the destination's. */
  #ports(from: number, end: number): number {
    if (from < 0) return -1
    const slot = this.#port
    const facts = this.#facts
    let at = slot.read(this.#bytes, from, end)
    if (at < 0 || at >= end || this.#bytes[at] !== COMMA) return -1
    facts.sourcePort = slot.port
    at = slot.read(this.#bytes, at + 1, end)
    facts.port = slot.port
    return facts.sourcePort > MAX_PORT || facts.port === 0 || facts.port > MAX_PORT ? -1 : at
  }

  /** From the comma in front of the protocol to behind the one after it. */
  #protocol(at: number, end: number): number {
    if (at < 0) return -1
    for (const { segment, protocol } of this.#protocols) {
      if (!segment.isAt(this.#view, at, end)) continue
      this.#facts.protocol = protocol
      return at + segment.length
    }
    return -1
  }
}

/** Reads Unix seconds of ten digits. The first eight are remembered, since most lines are of the same minute or so. */
class SecondsSlot {
  /** The digits as they lie in memory (see Segment), and their number. */
  #first = 0
  #hundreds = 0

  /** NaN for anything but ten digits. */
  read(view: DataView, at: number): number {
    const first = view.getFloat64(at, true)
    if (first !== this.#first) {
      const hundreds = digitsAt(view, at, 4) * 10_000 + digitsAt(view, at + 4, 4)
      if (Number.isNaN(hundreds)) return NaN
      this.#first = first
      this.#hundreds = hundreds
    }
    return this.#hundreds * 100 + digitsAt(view, at + 8, 2)
  }
}

/** The number of so many digits; NaN for anything else. */
function digitsAt(view: DataView, at: number, length: number): number {
  let number = 0
  for (let i = at; i < at + length; i++) {
    const digit = view.getUint8(i) - ZERO
    if (digit < 0 || digit > 9) return NaN
    number = number * 10 + digit
  }
  return number
}
