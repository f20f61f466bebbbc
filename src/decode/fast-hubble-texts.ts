import type { AddressCache, AddressInfo } from '../core/normalize/address-cache.ts'
import { InstantParser } from '../core/normalize/instant.ts'
import { RecentMap } from '../core/base/recent-map.ts'
import { isText, plainEnd, QUOTE, Segment, textOf } from './fast-hubble-scan.ts'

/** Addresses of a generation. Smaller than what is in use: known addresses are parsed again. */
const ADDRESSES = 250_000
const MAX_ADDRESS = 64
const DOT = 46
/** `2026-01-02T03:04:05` */
const SECOND_LENGTH = 19
const POWERS_OF_TEN = [1e9, 1e8, 1e7, 1e6, 1e5, 1e4, 1e3, 100, 10, 1]

/** Recognises addresses: IPv4 by its number, others by a hash of their text, compared afterwards. */
export class FastAddresses {
  readonly #addresses: AddressCache
  readonly #byNumber = new RecentMap<number, AddressInfo>(ADDRESSES)
  readonly #byHash = new RecentMap<number, { readonly text: string; readonly info: AddressInfo }>(ADDRESSES)
  /** The result of `read`. */
  info: AddressInfo | undefined

  constructor(addresses: AddressCache) {
    this.#addresses = addresses
  }

  /** `at` is behind the opening quote; the result is behind the closing one, or -1. */
  read(bytes: Buffer, at: number, end: number): number {
    let number = 0
    let i = at
    for (let part = 0; ; part++) {
      const from = i
      let value = 0
      while (i < end && (bytes[i] as number) >= 48 && (bytes[i] as number) <= 57 && value < 256) value = value * 10 + (bytes[i++] as number) - 48
      // Only the canonical form has a number of its own: no empty parts, no leading zeros.
      if (i === from || i >= end || value > 255 || (bytes[from] === 48 && i > from + 1)) return this.#readOther(bytes, at, end)
      number = (number << 8) | value
      if (part === 3) break
      if (bytes[i++] !== DOT) return this.#readOther(bytes, at, end)
    }
    if (bytes[i] !== QUOTE) return this.#readOther(bytes, at, end)
    this.info = this.#byNumber.get(number)
    if (this.info === undefined) {
      const info = this.#addresses.get(textOf(bytes, at, i))
      if (info === null) return -1
      this.info = info
      this.#byNumber.set(number, info)
    }
    return i + 1
  }

  #readOther(bytes: Buffer, at: number, end: number): number {
    const textEnd = plainEnd(bytes, at, Math.min(end, at + MAX_ADDRESS + 1))
    if (textEnd < 0) return -1
    let hash = 0
    for (let i = at; i < textEnd; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
    const known = this.#byHash.get(hash)
    if (known !== undefined && known.text.length === textEnd - at && isText(bytes, at, textEnd, known.text)) {
      this.info = known.info
      return textEnd + 1
    }
    const text = textOf(bytes, at, textEnd)
    const info = this.#addresses.get(text)
    if (info === null) return -1
    this.info = info
    this.#byHash.set(hash, { text, info })
    return textEnd + 1
  }
}

/** Reads RFC 3339 times as exporters write them; the second is remembered, since the next flow is often of the same one. */
export class FastTimes {
  readonly #instant = new InstantParser()
  #second = Segment.of('no second read yet')
  #secondUs = 0
  /** The results of `read`: microseconds since 1970, and the nanoseconds beyond them. */
  us = 0
  ns = 0

  /** `at` is behind the opening quote; the result is behind the closing one, or -1. */
  read(bytes: Buffer, view: DataView, at: number, end: number): number {
    if (at + SECOND_LENGTH + 2 > end) return -1
    if (!this.#second.isAt(view, at, end) && !this.#readSecond(bytes, at)) return -1
    let i = at + SECOND_LENGTH
    let nanos = 0
    if (bytes[i] === DOT) {
      const from = ++i
      while (i < end && i < from + 9 && (bytes[i] as number) >= 48 && (bytes[i] as number) <= 57) nanos = nanos * 10 + (bytes[i++] as number) - 48
      if (i === from) return -1
      nanos *= POWERS_OF_TEN[i - from] as number
    }
    if (i + 2 > end || bytes[i] !== 90 || bytes[i + 1] !== QUOTE) return -1
    const micros = Math.floor(nanos / 1000)
    this.us = this.#secondUs + micros
    this.ns = nanos - micros * 1000
    return i + 2
  }

  #readSecond(bytes: Buffer, at: number): boolean {
    const text = textOf(bytes, at, at + SECOND_LENGTH)
    if (!this.#instant.parse(`${text}Z`) || text.charCodeAt(10) !== 84) return false
    this.#secondUs = this.#instant.us
    this.#second = new Segment(bytes, at, at + SECOND_LENGTH)
    return true
  }
}
