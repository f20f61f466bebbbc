/**
 * Steps over JSON in bytes. In: ASCII bytes and the position of a value. Out: the position behind it, or -1 when it is no JSON value, or one
 * that is not worth reading here. Never reads at or behind `end`. Cost: about a nanosecond a byte.
 */

export const QUOTE = 34
export const COMMA = 44
export const COLON = 58
export const OPEN_BRACE = 123
export const CLOSE_BRACE = 125
const BACKSLASH = 92
const OPEN_BRACKET = 91
const CLOSE_BRACKET = 93
const MINUS = 45
const DOT = 46
const ZERO = 48
const NINE = 57
const LETTER_F = 102
const LETTER_N = 110
const LETTER_T = 116
/** Deeper values are left to JSON.parse. */
const MAX_DEPTH = 16

/** 1: a character that stands for itself in a string. */
export const PLAIN = new Uint8Array(256).fill(1, 32, 128)
PLAIN[QUOTE] = PLAIN[BACKSLASH] = 0
/** 1: may follow a backslash (`u` is another matter). */
const ESCAPED = new Uint8Array(256)
for (const c of '"\\/bfnrt') ESCAPED[c.charCodeAt(0)] = 1
const TRUE = word('true')
const ALSE = word('alse')
const NULL = word('null')
/** 1: a hexadecimal digit. */
const HEX = new Uint8Array(256)
for (const c of '0123456789abcdefABCDEF') HEX[c.charCodeAt(0)] = 1

/** `at` is behind the opening quote; the result is at the closing one. -1 also when the string holds an escape. */
export function plainEnd(bytes: Uint8Array, at: number, end: number): number {
  let i = at
  while (i < end && PLAIN[bytes[i] as number] === 1) i++
  return i < end && bytes[i] === QUOTE ? i : -1
}

/** Where a string, at whose opening quote `at` is, can only be read on byte by byte: there is no character before that is not plain. */
function skipPlain(view: DataView, at: number, end: number): number {
  let i = at
  for (const last = end - 4; i <= last; i += 4) if (!isPlainWord(view.getInt32(i, true))) break
  return i
}

/**
 * True when four ASCII bytes all stand for themselves in a string. A byte that equals the searched one is zero after xor, and only a zero (or a byte
 * under 32) borrows into its top bit when 1 (or 32) is taken from each.
 */
export function isPlainWord(word: number): boolean {
  return ((((word ^ 0x22222222) - 0x01010101) | ((word ^ 0x5c5c5c5c) - 0x01010101) | (word - 0x20202020)) & 0x80808080) === 0
}

/** `at` is at the opening quote. Takes escapes. */
function skipString(view: DataView, at: number, end: number): number {
  let i = skipPlain(view, at + 1, end)
  while (i < end) {
    const byte = view.getUint8(i)
    if (PLAIN[byte] === 1) {
      i++
    } else if (byte === QUOTE) {
      return i + 1
    } else if (byte === BACKSLASH && i + 1 < end) {
      if (ESCAPED[view.getUint8(i + 1)] === 1) i += 2
      else if (view.getUint8(i + 1) === 117 && i + 5 < end && isHex(view, i + 2)) i += 6
      else return -1
      i = skipPlain(view, i, end)
    } else {
      return -1
    }
  }
  return -1
}

function isHex(view: DataView, at: number): boolean {
  for (let i = at; i < at + 4; i++) if (HEX[view.getUint8(i)] !== 1) return false
  return true
}

/** Any value without blanks between its parts, at most 16 levels deep. `view` shows ASCII bytes only, up to `end` at least. */
export function skipValue(view: DataView, at: number, end: number, depth = 0): number {
  if (at >= end) return -1
  switch (view.getUint8(at)) {
    case QUOTE: return skipString(view, at, end)
    case OPEN_BRACE: return depth >= MAX_DEPTH ? -1 : skipObject(view, at, end, depth)
    case OPEN_BRACKET: return depth >= MAX_DEPTH ? -1 : skipArray(view, at, end, depth)
    case LETTER_T: return at + 4 <= end && view.getInt32(at, true) === TRUE ? at + 4 : -1
    case LETTER_F: return at + 5 <= end && view.getInt32(at + 1, true) === ALSE ? at + 5 : -1
    case LETTER_N: return at + 4 <= end && view.getInt32(at, true) === NULL ? at + 4 : -1
    default: return skipNumber(view, at, end)
  }
}

function skipObject(view: DataView, at: number, end: number, depth: number): number {
  let i = at + 1
  if (i < end && view.getUint8(i) === CLOSE_BRACE) return i + 1
  for (;;) {
    if (i >= end || view.getUint8(i) !== QUOTE) return -1
    i = skipString(view, i, end)
    if (i < 0 || i >= end || view.getUint8(i) !== COLON) return -1
    i = skipValue(view, i + 1, end, depth + 1)
    if (i < 0 || i >= end) return -1
    const byte = view.getUint8(i++)
    if (byte === CLOSE_BRACE) return i
    if (byte !== COMMA) return -1
  }
}

function skipArray(view: DataView, at: number, end: number, depth: number): number {
  let i = at + 1
  if (i < end && view.getUint8(i) === CLOSE_BRACKET) return i + 1
  for (;;) {
    i = skipValue(view, i, end, depth + 1)
    if (i < 0 || i >= end) return -1
    const byte = view.getUint8(i++)
    if (byte === CLOSE_BRACKET) return i
    if (byte !== COMMA) return -1
  }
}

function skipDigits(view: DataView, at: number, end: number): number {
  let i = at
  while (i < end && view.getUint8(i) >= ZERO && view.getUint8(i) <= NINE) i++
  return i
}

function skipNumber(view: DataView, at: number, end: number): number {
  let from = view.getUint8(at) === MINUS ? at + 1 : at
  let i = skipDigits(view, from, end)
  if (i === from || (view.getUint8(from) === ZERO && i > from + 1)) return -1
  if (i < end && view.getUint8(i) === DOT) {
    from = i + 1
    i = skipDigits(view, from, end)
    if (i === from) return -1
  }
  if (i < end && (view.getUint8(i) === 101 || view.getUint8(i) === 69)) {
    from = i + 1
    if (from < end && (view.getUint8(from) === MINUS || view.getUint8(from) === 43)) from++
    i = skipDigits(view, from, end)
    if (i === from) return -1
  }
  return i
}

/** True when the ASCII `text` stands at `at`. */
export function isText(bytes: Uint8Array, at: number, end: number, text: string): boolean {
  const { length } = text
  if (at + length > end) return false
  for (let i = 0; i < length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false
  return true
}

/** The text of ASCII bytes. */
export function textOf(bytes: Buffer, start: number, end: number): string {
  return bytes.toString('latin1', start, end)
}

/** Four characters as they lie in memory: to be compared with `view.getInt32(at, true)`. */
export function word(text: string): number {
  return Buffer.from(text, 'latin1').readInt32LE(0)
}

/** True when the `length` (at least 4) ASCII bytes at `at` all stand for themselves in a string. */
export function isPlain(view: DataView, at: number, length: number): boolean {
  const last = at + length - 4
  for (let i = at; ; i += 4) {
    if (!isPlainWord(view.getInt32(i < last ? i : last, true))) return false
    if (i >= last) return true
  }
}

/** True when both places hold the same `length` (at least 8) ASCII bytes; see Segment. */
export function isSame(view: DataView, a: number, b: number, length: number): boolean {
  const last = length - 8
  for (let i = 0; i < last; i += 8) if (view.getFloat64(a + i, true) !== view.getFloat64(b + i, true)) return false
  return view.getFloat64(a + last, true) === view.getFloat64(b + last, true)
}

/**
 * Remembered ASCII bytes. Kept and compared eight at a time as floating point numbers: for ASCII, equal numbers are equal bytes (two zeros and NaN,
 * which break that, have a byte over 127), and a misaligned load costs no more than an aligned one.
 */
export class Segment {
  readonly length: number
  /** The bytes by eights, the last ones overlapping those before; of fewer than eight bytes each for itself. */
  readonly #words: readonly number[]

  /** Copies the bytes. */
  constructor(bytes: Uint8Array, start: number, end: number) {
    const length = this.length = end - start
    const words: number[] = []
    if (length < 8) {
      for (let i = start; i < end; i++) words.push(bytes[i] as number)
    } else {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
      for (let i = start; i < end - 8; i += 8) words.push(view.getFloat64(i, true))
      words.push(view.getFloat64(end - 8, true))
    }
    // Without the room that pushing made.
    this.#words = words.slice()
  }

  /** True when the same bytes stand at `at`. `view` shows ASCII bytes only, up to `end` at least. */
  isAt(view: DataView, at: number, end: number): boolean {
    const { length } = this
    const words = this.#words
    if (at + length > end) return false
    if (length < 8) {
      for (let i = 0; i < length; i++) if (view.getUint8(at + i) !== words[i]) return false
      return true
    }
    const last = words.length - 1
    for (let i = 0, from = at; i < last; i++, from += 8) if (view.getFloat64(from, true) !== words[i]) return false
    return view.getFloat64(at + length - 8, true) === words[last]
  }

  /** The segment of a text. */
  static of(text: string): Segment {
    return new Segment(Buffer.from(text, 'latin1'), 0, text.length)
  }
}
