/**
 * JSON values from bytes, mostly without making them: texts and whole values are looked up by a hash of their bytes and compared with remembered
 * ones. In: ASCII bytes and a position. Out: the position behind the value, or -1 when it is to be parsed; what JSON.parse makes of it is in `value`.
 * Arrays and objects are shared between records and must not be changed.
 *
 * A value that mostly goes with another one (the labels with the pod's name) is compared first with the one that went with it last time: then
 * neither its end nor its hash is searched. Memory: MAX_BYTES of remembered bytes, and their values; past it all is forgotten.
 */
import { COMMA, isPlainWord, OPEN_BRACE, PLAIN, QUOTE, Segment, skipValue, textOf } from './fast-hubble-scan.ts'

const OPEN_BRACKET = 91
const BACKSLASH = 92
const DOT = 46
const ZERO = 48
const EXPONENT = 101
const EXPONENT_CAPITAL = 69
/** Digits of the whole numbers that a double holds exactly. */
const MAX_DIGITS = 15
/** Places of a table; values of one place take each other's. Larger: fewer are parsed again where many are in use; smaller: less memory. */
const PLACES = 1 << 15
/** Longer texts are made anew each time. */
const MAX_TEXT = 256
/** Longer values likewise. */
const MAX_VALUE = 4096
const MAX_BYTES = 32 << 20
/** Memory of a value beside its bytes. */
const OVERHEAD = 200

/** A remembered text, array or object: all its bytes, with what opens and closes it, and its value. */
export class Known extends Segment {
  readonly value: unknown
  /** What went with it last time, by kind. */
  readonly followers: (Known | undefined)[] = []

  constructor(bytes: Uint8Array, start: number, end: number, value: unknown) {
    super(bytes, start, end)
    this.value = value
  }
}

export class KnownValues {
  readonly #texts = new Array<Known | undefined>(PLACES).fill(undefined)
  readonly #others = new Array<Known | undefined>(PLACES).fill(undefined)
  #size = 0
  #bytes: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  /** The results of `read`; `known` where it is remembered. */
  value: unknown
  known: Known | undefined

  /** What `read` reads from then on. `view` shows the same bytes. */
  open(bytes: Buffer, view: DataView): void {
    this.#bytes = bytes
    this.#view = view
  }

  /** The value at `at`. */
  read(at: number, end: number): number {
    if (at >= end) return -1
    switch (this.#bytes[at]) {
      case QUOTE: return this.#text(at, end)
      case OPEN_BRACE: case OPEN_BRACKET: return this.#other(at, end)
      default: return this.#number(at, end)
    }
  }

  /** The same for a value of some kind that goes with `leader`. */
  readFollower(at: number, end: number, leader: Known, kind: number): number {
    const expected = leader.followers[kind]
    // A text, array or object is never the beginning of another one.
    if (expected?.isAt(this.#view, at, end) === true) {
      this.value = expected.value
      this.known = expected
      return at + expected.length
    }
    const next = this.read(at, end)
    leader.followers[kind] = this.known
    return next
  }

  #text(at: number, end: number): number {
    const bytes = this.#bytes
    const view = this.#view
    let i = at + 1
    for (const last = end - 4; i <= last && isPlainWord(view.getInt32(i, true)); i += 4);
    while (i < end && PLAIN[bytes[i] as number] === 1) i++
    if (i >= end) return -1
    if (bytes[i] !== QUOTE) return bytes[i] === BACKSLASH ? this.#other(at, end) : -1
    const next = i + 1
    const place = textPlace(view, at, next)
    const known = this.#texts[place]
    if (known !== undefined && known.length === next - at && known.isAt(view, at, next)) {
      this.value = known.value
      this.known = known
      return next
    }
    this.value = textOf(bytes, at + 1, i)
    this.known = next - at <= MAX_TEXT ? this.#remember(this.#texts, place, new Known(bytes, at, next, this.value)) : undefined
    return next
  }

  /** Numbers, and the three words. */
  #number(at: number, end: number): number {
    const bytes = this.#bytes
    let number = 0
    let i = at
    for (; i < end; i++) {
      const digit = (bytes[i] as number) - ZERO
      if (digit < 0 || digit > 9) break
      number = number * 10 + digit
    }
    this.known = undefined
    const byte = i < end ? bytes[i] : COMMA
    const isWhole = i > at && i - at <= MAX_DIGITS && (bytes[at] !== ZERO || i === at + 1)
    if (isWhole && byte !== DOT && byte !== EXPONENT && byte !== EXPONENT_CAPITAL) {
      this.value = number
      return i
    }
    const next = skipValue(this.#view, at, end)
    if (next >= 0) this.value = JSON.parse(textOf(bytes, at, next)) as unknown
    return next
  }

  /** Arrays, objects, texts with escapes. */
  #other(at: number, end: number): number {
    const bytes = this.#bytes
    const next = skipValue(this.#view, at, end)
    if (next < 0) return -1
    const place = placeOf(this.#view, at, next)
    const known = this.#others[place]
    if (known !== undefined && known.length === next - at && known.isAt(this.#view, at, next)) {
      this.value = known.value
      this.known = known
      return next
    }
    this.value = JSON.parse(textOf(bytes, at, next)) as unknown
    this.known = next - at <= MAX_VALUE ? this.#remember(this.#others, place, new Known(bytes, at, next, this.value)) : undefined
    return next
  }

  #remember(table: (Known | undefined)[], place: number, known: Known): Known {
    this.#size += known.length + OVERHEAD
    if (this.#size > MAX_BYTES) {
      this.#texts.fill(undefined)
      this.#others.fill(undefined)
      this.#size = known.length + OVERHEAD
    }
    table[place] = known
    return known
  }
}

/** The place of a text with its quotes: by its length, its beginning, its end and two words between, which tells names, addresses and times apart. */
function textPlace(view: DataView, at: number, end: number): number {
  const length = end - at
  if (length < 6) {
    let place = length
    for (let i = at + 1; i < end; i++) place = Math.imul(place, 31) + view.getUint8(i)
    return place & (PLACES - 1)
  }
  const step = ((length - 6) * 21) >> 6
  const first = at + 1
  const last = end - 5
  let hash = Math.imul(view.getInt32(first, true) ^ length, 0x01000193) ^ Math.imul(view.getInt32(last, true), 0x9e3779b1)
  hash ^= Math.imul(view.getInt32(first + step, true), 0x85ebca6b) ^ Math.imul(view.getInt32(last - step, true), 0x2c1b3c6d)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 17)) & (PLACES - 1)
}

/** The place of any value, by all its bytes. */
function placeOf(view: DataView, at: number, end: number): number {
  if (end - at < 4) return end - at
  const last = end - 4
  let hash = end - at
  for (let i = at; i < last; i += 4) hash = Math.imul(hash ^ view.getInt32(i, true), 0x01000193) ^ (hash >>> 13)
  hash = Math.imul(hash ^ view.getInt32(last, true), 0x01000193)
  return (hash ^ (hash >>> 15)) & (PLACES - 1)
}
