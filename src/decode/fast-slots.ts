/**
 * Reads the parts of a line that differ from record to record: a time, an address, a port. In: ASCII bytes and a position. Out: the position behind
 * the part, or -1 when it is not written as exporters write it. What closes the part is the caller's to check. Never reads at or behind `end`.
 */
import { RecentMap } from '../core/base/recent-map.ts'
import type { AddressCache, AddressInfo } from '../core/normalize/address-cache.ts'
import { InstantParser } from '../core/normalize/instant.ts'
import { isText, textOf } from './fast-hubble-scan.ts'

/** Addresses of a generation. Smaller than what is in use: known addresses are parsed again. */
const ADDRESSES = 250_000
/** Larger: fewer of a few hundred pods share a place and are looked up; smaller: less memory (24 bytes a place). */
const LAST_BITS = 13
const MAX_ADDRESS = 64
const DOT = 46
const ZERO = 48
const NINE = 57
const LETTER_T = 84
const LETTER_Z = 90
/** `2026-01-02T03:04:05` */
const SECOND_LENGTH = 19
const POWERS_OF_TEN = [1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 100, 10, 1]
const MAX_PORT_DIGITS = 5
/** The longest IPv4 address and what closes it; a port and what closes it. */
const ADDRESS_ROOM = 16
const PORT_ROOM = 6
const NO_BYTES = Buffer.alloc(0)
/** Four dots; four zeros. */
const DOTS = 0x2e2e2e2e
const ZEROS = 0x30303030
/** 1: a character of an address. */
const ADDRESS = new Uint8Array(256)
for (const c of '0123456789abcdefABCDEF:.') ADDRESS[c.charCodeAt(0)] = 1

/** Shows a chunk as words; made once for each chunk. */
class WordView {
  #bytes: Uint8Array = NO_BYTES
  #view: DataView = new DataView(new ArrayBuffer(0))

  of(bytes: Uint8Array): DataView {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    return this.#view
  }
}

/** The top bit of each of four ASCII bytes that is less than `least` or more than a 9. `least` is four times a byte. No byte borrows from the next. */
function endsOf(word: number, least: number): number {
  return ((word + 0x46464646) | ~((word | 0x80808080) - least)) & 0x80808080
}

/** The number of bytes in front of the first one whose top bit is in `ends`, which is not 0. */
function lengthBefore(ends: number): number {
  return 3 - (Math.clz32(ends & -ends) >> 3)
}

/** Those bytes; the others zero. */
function partBefore(word: number, ends: number): number {
  return word & (((ends & -ends) >>> 7) - 1)
}

const FACTOR = 0x9e3779b1

function placeOf(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), FACTOR) >>> (32 - LAST_BITS)
}

/** Recognises addresses: IPv4 by its bytes or its number, others by a hash of their text, compared afterwards. */
export class AddressSlot {
  readonly #addresses: AddressCache
  readonly #byNumber = new RecentMap<number, AddressInfo>(ADDRESSES)
  /** In front of it, by a few bits of a hash: the last address with them, and its text as four words. */
  readonly #lastTexts = new Int32Array(4 << LAST_BITS)
  readonly #lastInfos = new Array<AddressInfo | undefined>(1 << LAST_BITS).fill(undefined)
  readonly #view = new WordView()
  readonly #byHash = new RecentMap<number, { readonly text: string; readonly info: AddressInfo }>(ADDRESSES)
  /** The result of `read`. */
  info: AddressInfo | undefined

  constructor(addresses: AddressCache) {
    this.#addresses = addresses
  }

  read(bytes: Buffer, at: number, end: number): number {
    if (at + ADDRESS_ROOM > end) return this.#readNumber(bytes, at, end)
    const view = this.#view.of(bytes)
    const a = view.getInt32(at, true)
    if (endsOf(a, DOTS) !== 0) return this.#readNumber(bytes, at, end)
    let b = view.getInt32(at + 4, true)
    let c = 0
    let d = 0
    let from = at + 4
    let ends = endsOf(b, DOTS)
    if (ends !== 0) {
      b = partBefore(b, ends)
    } else {
      c = view.getInt32(from = at + 8, true)
      ends = endsOf(c, DOTS)
      if (ends !== 0) {
        c = partBefore(c, ends)
      } else {
        d = view.getInt32(from = at + 12, true)
        ends = endsOf(d, DOTS)
        if (ends === 0) return this.#readNumber(bytes, at, end)
        d = partBefore(d, ends)
      }
    }
    const behind = from + lengthBefore(ends)
    if (ADDRESS[bytes[behind] as number] === 1) return this.#readNumber(bytes, at, end)
    const place = placeOf(Math.imul(Math.imul(Math.imul(a, FACTOR) ^ b, FACTOR) ^ c, FACTOR) ^ d)
    const texts = this.#lastTexts
    const t = place << 2
    if (texts[t] === a && texts[t + 1] === b && texts[t + 2] === c && texts[t + 3] === d) {
      this.info = this.#lastInfos[place]
      return behind
    }
    const read = this.#readNumber(bytes, at, end)
    if (read !== behind) return read
    texts[t] = a
    texts[t + 1] = b
    texts[t + 2] = c
    texts[t + 3] = d
    this.#lastInfos[place] = this.info
    return read
  }

  #readNumber(bytes: Buffer, at: number, end: number): number {
    let number = 0
    let i = at
    for (let part = 0; ; part++) {
      const from = i
      let value = 0
      while (i < end && i < from + 3 && (bytes[i] as number) >= ZERO && (bytes[i] as number) <= NINE) value = value * 10 + (bytes[i++] as number) - ZERO
      // Only the canonical form has a number of its own: no empty parts, no leading zeros.
      if (i === from || i >= end || value > 255 || (bytes[from] === ZERO && i > from + 1)) return this.#readOther(bytes, at, end)
      number = (number << 8) | value
      if (part === 3) break
      if (bytes[i++] !== DOT) return this.#readOther(bytes, at, end)
    }
    if (ADDRESS[bytes[i] as number] === 1) return this.#readOther(bytes, at, end)
    this.info = this.#byNumber.get(number) ?? this.#learn(bytes, at, i, number)
    return this.info === undefined ? -1 : i
  }

  #learn(bytes: Buffer, at: number, end: number, number: number): AddressInfo | undefined {
    const info = this.#addresses.get(textOf(bytes, at, end))
    if (info === null) return undefined
    this.#byNumber.set(number, info)
    return info
  }

  #readOther(bytes: Buffer, at: number, end: number): number {
    let i = at
    let hash = 0
    while (i < end && i <= at + MAX_ADDRESS && ADDRESS[bytes[i] as number] === 1) hash = Math.imul(hash ^ (bytes[i++] as number), 0x01000193)
    if (i === at || i > at + MAX_ADDRESS) return -1
    const known = this.#byHash.get(hash)
    if (known !== undefined && known.text.length === i - at && isText(bytes, at, i, known.text)) {
      this.info = known.info
      return i
    }
    const text = textOf(bytes, at, i)
    const info = this.#addresses.get(text)
    if (info === null) return -1
    this.info = info
    this.#byHash.set(hash, { text, info })
    return i
  }
}

/** Reads `YYYY-MM-DDTHH:MM:SS[.fraction]Z`; the second is remembered, since the next record is often of the same one. */
export class TimeSlot {
  readonly #instant = new InstantParser()
  readonly #view = new WordView()
  // The bytes of the second by eights, as Segment keeps them; the last ones overlap those before.
  #first = 0
  #middle = 0
  #last = 0
  #secondUs = -1
  /** The results of `read`: microseconds since 1970, and the nanoseconds beyond them. */
  us = 0
  ns = 0

  read(bytes: Buffer, at: number, end: number): number {
    if (at + SECOND_LENGTH + 1 > end) return -1
    if (!this.#isSameSecond(bytes, at) && !this.#readSecond(bytes, at)) return -1
    let i = at + SECOND_LENGTH
    let nanos = 0
    if (bytes[i] === DOT) {
      const from = ++i
      while (i < end && i < from + 9 && (bytes[i] as number) >= ZERO && (bytes[i] as number) <= NINE) nanos = nanos * 10 + (bytes[i++] as number) - ZERO
      if (i === from) return -1
      nanos *= POWERS_OF_TEN[i - from] as number
    }
    if (i >= end || bytes[i] !== LETTER_Z) return -1
    const micros = Math.floor(nanos / 1000)
    this.us = this.#secondUs + micros
    this.ns = nanos - micros * 1000
    return i + 1
  }

  #isSameSecond(bytes: Uint8Array, at: number): boolean {
    if (this.#secondUs < 0) return false
    const view = this.#view.of(bytes)
    // What changes most comes first.
    return view.getFloat64(at + SECOND_LENGTH - 8, true) === this.#last && view.getFloat64(at + 8, true) === this.#middle && view.getFloat64(at, true) === this.#first
  }

  #readSecond(bytes: Buffer, at: number): boolean {
    if (bytes[at + 10] !== LETTER_T || !this.#instant.parse(`${textOf(bytes, at, at + SECOND_LENGTH)}Z`)) return false
    this.#secondUs = this.#instant.us
    const view = this.#view.of(bytes)
    this.#first = view.getFloat64(at, true)
    this.#middle = view.getFloat64(at + 8, true)
    this.#last = view.getFloat64(at + SECOND_LENGTH - 8, true)
    return true
  }
}

/** Reads a port's digits: 0 to 99999, without leading zeros. */
export class PortSlot {
  readonly #view = new WordView()
  /** The result of `read`. */
  port = 0

  read(bytes: Uint8Array, at: number, end: number): number {
    if (at + PORT_ROOM > end) return this.#readDigits(bytes, at, end)
    const word = this.#view.of(bytes).getInt32(at, true)
    const ends = endsOf(word, ZEROS)
    const length = ends === 0 ? 4 : lengthBefore(ends)
    if (length === 0 || ((word & 255) === ZERO && length > 1)) return -1
    // As if zeros stood in front; then pairs of digits, then both pairs.
    const digits = (word << ((4 - length) << 3)) & 0x0f0f0f0f
    const pairs = (digits * 10 + (digits >>> 8)) & 0x00ff00ff
    const value = (pairs & 255) * 100 + (pairs >>> 16)
    const fifth = bytes[at + 4] as number
    const isLong = ends === 0 && fifth >= ZERO && fifth <= NINE
    this.port = isLong ? value * 10 + fifth - ZERO : value
    return isLong ? at + 5 : at + length
  }

  #readDigits(bytes: Uint8Array, at: number, end: number): number {
    let value = 0
    let i = at
    while (i < end && i < at + MAX_PORT_DIGITS && (bytes[i] as number) >= ZERO && (bytes[i] as number) <= NINE) value = value * 10 + (bytes[i++] as number) - ZERO
    if (i === at || (bytes[at] === ZERO && i > at + 1)) return -1
    this.port = value
    return i
  }
}
