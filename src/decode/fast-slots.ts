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
const LAST_BITS = 12
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
/** 1: a character of an address. */
const ADDRESS = new Uint8Array(256)
for (const c of '0123456789abcdefABCDEF:.') ADDRESS[c.charCodeAt(0)] = 1

/** Recognises addresses: IPv4 by its number, others by a hash of their text, compared afterwards. */
export class AddressSlot {
  readonly #addresses: AddressCache
  readonly #byNumber = new RecentMap<number, AddressInfo>(ADDRESSES)
  /** In front of it, by a few bits of the number: the last address with them. */
  readonly #lastNumbers = new Int32Array(1 << LAST_BITS)
  readonly #lastInfos = new Array<AddressInfo | undefined>(1 << LAST_BITS).fill(undefined)
  readonly #byHash = new RecentMap<number, { readonly text: string; readonly info: AddressInfo }>(ADDRESSES)
  /** The result of `read`. */
  info: AddressInfo | undefined

  constructor(addresses: AddressCache) {
    this.#addresses = addresses
  }

  read(bytes: Buffer, at: number, end: number): number {
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
    const place = Math.imul(number, 0x9e3779b1) >>> (32 - LAST_BITS)
    const last = this.#lastNumbers[place] === number ? this.#lastInfos[place] : undefined
    this.info = last ?? this.#byNumber.get(number) ?? this.#learn(bytes, at, i, number)
    if (this.info === undefined) return -1
    if (last === undefined) {
      this.#lastNumbers[place] = number
      this.#lastInfos[place] = this.info
    }
    return i
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
  readonly #second = new Uint8Array(SECOND_LENGTH)
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
    const second = this.#second
    // What changes most comes last.
    for (let i = SECOND_LENGTH - 1; i >= 0; i--) if (bytes[at + i] !== second[i]) return false
    return true
  }

  #readSecond(bytes: Buffer, at: number): boolean {
    if (bytes[at + 10] !== LETTER_T || !this.#instant.parse(`${textOf(bytes, at, at + SECOND_LENGTH)}Z`)) return false
    this.#secondUs = this.#instant.us
    for (let i = 0; i < SECOND_LENGTH; i++) this.#second[i] = bytes[at + i] as number
    return true
  }
}

/** Reads a port's digits: 0 to 99999, without leading zeros. */
export class PortSlot {
  /** The result of `read`. */
  port = 0

  read(bytes: Uint8Array, at: number, end: number): number {
    let value = 0
    let i = at
    while (i < end && i < at + MAX_PORT_DIGITS && (bytes[i] as number) >= ZERO && (bytes[i] as number) <= NINE) value = value * 10 + (bytes[i++] as number) - ZERO
    if (i === at || (bytes[at] === ZERO && i > at + 1)) return -1
    this.port = value
    return i
  }
}
