import { US_PER_SECOND } from '../base/time.ts'
import type { RejectionCode } from '../flow/flow-record.ts'

/** 2000-01-01: earlier times come from clocks that were never set. */
const EARLIEST_US = 946_684_800 * US_PER_SECOND
/** 2200-01-01: later times are in another unit, and would leave the exact range of a double. */
const LATEST_US = 7_258_118_400 * US_PER_SECOND

const RFC3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d+)?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))$/
const DAYS_BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
const DAYS_IN_MONTH = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Why a time cannot be used, or '' when it can. */
export function checkTimeUs(timeUs: number): RejectionCode | '' {
  return timeUs < EARLIEST_US ? 'too-early' : timeUs >= LATEST_US ? 'in-future' : ''
}

/** Parses RFC 3339 times to microseconds and the nanoseconds beyond them. One instance is reused for every record. */
export class InstantParser {
  /** After a successful `parse`: whole microseconds since 1970. */
  us = 0
  /** 0..999: the nanoseconds that microseconds cut off; only digests use them. */
  ns = 0

  /** Takes a protobuf timestamp's parts; nanos below 1e9. */
  set(seconds: number, nanos: number): void {
    const micros = Math.floor(nanos / 1000)
    this.us = seconds * US_PER_SECOND + micros
    this.ns = nanos - micros * 1000
  }

  /** False when the text is not a time. */
  parse(text: string): boolean {
    return this.#parseUtc(text) || this.#parseRare(text)
  }

  /** Offsets, lower-case letters, a space for the T, and more than nine digits. */
  #parseRare(text: string): boolean {
    const parts = RFC3339.exec(text)
    if (parts === null) return false
    const [, date = '', time = '', fraction = '', , sign, hours, minutes] = parts
    if (!this.#parseUtc(`${date}T${time}${fraction.slice(0, 10)}Z`)) return false
    if (sign === undefined) return true
    const offsetMinutes = Number(hours) * 60 + Number(minutes)
    this.us -= (sign === '-' ? -offsetMinutes : offsetMinutes) * 60 * US_PER_SECOND
    return true
  }

  /** `YYYY-MM-DDTHH:MM:SS[.fraction]Z` by character codes: the only form that exporters write. */
  #parseUtc(text: string): boolean {
    const last = text.length - 1
    if (last < 19 || last > 29 || text.charCodeAt(last) !== 90 || text.charCodeAt(10) !== 84) return false
    const year = two(text, 0) * 100 + two(text, 2)
    const month = two(text, 5)
    const day = two(text, 8)
    const hour = two(text, 11)
    const minute = two(text, 14)
    const second = two(text, 17)
    const marks = text.charCodeAt(4) === 45 && text.charCodeAt(7) === 45 && text.charCodeAt(13) === 58 && text.charCodeAt(16) === 58
    if (!marks || !(year >= 1970 && month >= 1 && month <= 12 && day >= 1 && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60)) return false
    const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
    if (day > (DAYS_IN_MONTH[month - 1] as number) || (month === 2 && day === 29 && !isLeap)) return false
    const before = year - 1
    const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400) - 477
    const days = (year - 1970) * 365 + leapDays + (DAYS_BEFORE_MONTH[month - 1] as number) + (month > 2 && isLeap ? 1 : 0) + day - 1
    const nanos = this.#fraction(text, last)
    if (nanos < 0) return false
    this.set(days * 86_400 + hour * 3600 + minute * 60 + second, nanos)
    return true
  }

  /** Nanoseconds of the fraction, 0 without one, -1 when it is malformed. */
  #fraction(text: string, end: number): number {
    if (end === 19) return 0
    if (text.charCodeAt(19) !== 46 || end === 20) return -1
    let nanos = 0
    for (let i = 20; i < 29; i++) {
      const digit = i < end ? text.charCodeAt(i) - 48 : 0
      if (digit < 0 || digit > 9) return -1
      nanos = nanos * 10 + digit
    }
    return nanos
  }
}

/** The number of two digits, or a large negative number. */
function two(text: string, at: number): number {
  const tens = text.charCodeAt(at) - 48
  const ones = text.charCodeAt(at + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1_000_000
}
