import type { RejectionCode } from '../../flow/flow-record.ts'
import { checkTimeUs, type InstantParser } from '../instant.ts'

/** Smallest number that can only be milliseconds, microseconds, nanoseconds since 1970; between 2000 and 2200 the units do not overlap. */
const MILLISECONDS = 1e11
const MICROSECONDS = 1e14
const NANOSECONDS = 1e17

/**
 * Reads a time as loggers and shippers write it into `instant`: RFC 3339, or a number (also as text) of seconds, milliseconds, microseconds or
 * nanoseconds since 1970. The reason when it cannot be used, else ''.
 */
export function readLoggedTime(value: unknown, instant: InstantParser): RejectionCode | '' {
  if (typeof value === 'string' && value.length <= 64) {
    if (instant.parse(value)) return checkTimeUs(instant.us)
    return /^\d{9,19}(\.\d{1,9})?$/.test(value) ? readLoggedTime(Number(value), instant) : 'bad-time'
  }
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) return 'bad-time'
  const seconds = value < MILLISECONDS ? value : value < MICROSECONDS ? value / 1e3 : value < NANOSECONDS ? value / 1e6 : value / 1e9
  const whole = Math.floor(seconds)
  // A double holds today's seconds to a quarter of a microsecond.
  const micros = Math.min(999_999, Math.round((seconds - whole) * 1e6))
  instant.set(whole, micros * 1000)
  return checkTimeUs(instant.us)
}
