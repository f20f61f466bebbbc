/**
 * Which rows to read for a range: days where a whole day is rolled up, hours likewise, windows elsewhere. Pure.
 *
 *  time ──────────── hours expired before ─────── windows expired before ─────────────────────────────► now
 *  truth:   days                            hours                          windows
 *           and what came late: hours, windows      and late windows       (hours and days only repeat them)
 *
 * The spans of the three levels together hold every observation of the range exactly once.
 */
import { US_PER_DAY } from '../base/time.ts'
import { WINDOW_US } from '../flow/edge.ts'
import { US_PER_HOUR } from './node-hours.ts'

/** Half-open; without a bound -Infinity or Infinity. */
export interface Span {
  readonly sinceUs: number
  readonly untilUs: number
}

/** What the store says about its levels. */
export interface LevelState {
  /** A whole hour: windows before it have expired; -Infinity when none have. */
  readonly windowsBeforeUs: number
  /** A whole day, not after windowsBeforeUs. */
  readonly hoursBeforeUs: number
  /** Starts of hours that hold windows which are not in the hour's rows. */
  readonly dirtyHours: readonly number[]
  /** Starts of days that hold hours which are not in the day's rows. */
  readonly dirtyDays: readonly number[]
}

export interface LevelSpans {
  readonly days: readonly Span[]
  readonly hours: readonly Span[]
  readonly windows: readonly Span[]
}

/**
 * The spans to read for [since, until). A window counts when any part of it lies in the range; where windows have expired an hour does, and where hours
 * have, a day.
 */
export function planLevels(range: Span, state: LevelState): LevelSpans {
  const { windowsBeforeUs, hoursBeforeUs } = state
  const widened = widen(range, state)
  const oldest = clip(widened, -Infinity, hoursBeforeUs)
  const dirtyHours = new Set(state.dirtyHours)
  const dirtyDays = new Set([...state.dirtyDays, ...state.dirtyHours.map((hour) => floorTo(hour, US_PER_DAY))])
  const byDay = clip(widened, hoursBeforeUs, Infinity).map((span) => split(span, US_PER_DAY, dirtyDays))
  const rest = byDay.flatMap((s) => s.rest)
  const expired = rest.flatMap((span) => clip(span, -Infinity, windowsBeforeUs))
  const byHour = rest.flatMap((span) => clip(span, windowsBeforeUs, Infinity)).map((span) => split(span, US_PER_HOUR, dirtyHours))
  return {
    days: joined([...oldest, ...byDay.flatMap((s) => s.whole)]),
    hours: joined([...oldest, ...expired, ...byHour.flatMap((s) => s.whole)]),
    windows: joined([...oldest, ...expired, ...byHour.flatMap((s) => s.rest)]),
  }
}

function widen({ sinceUs, untilUs }: Span, { windowsBeforeUs, hoursBeforeUs }: LevelState): Span {
  return {
    sinceUs: floorTo(sinceUs, sinceUs < hoursBeforeUs ? US_PER_DAY : sinceUs < windowsBeforeUs ? US_PER_HOUR : WINDOW_US),
    untilUs: ceilTo(untilUs, untilUs > windowsBeforeUs ? WINDOW_US : untilUs > hoursBeforeUs ? US_PER_HOUR : US_PER_DAY),
  }
}

/** Cuts a span into runs of whole units that are not dirty, and what is left between and around them. */
function split(span: Span, unitUs: number, dirty: ReadonlySet<number>): { whole: Span[]; rest: Span[] } {
  const [first, last] = [ceilTo(span.sinceUs, unitUs), floorTo(span.untilUs, unitUs)]
  const holes = [...dirty].filter((start) => start >= first && start < last).sort((a, b) => a - b)
  const whole: Span[] = []
  const rest: Span[] = []
  let at = span.sinceUs
  const add = (sinceUs: number, untilUs: number): void => {
    if (sinceUs >= untilUs) return
    if (at < sinceUs) rest.push({ sinceUs: at, untilUs: sinceUs })
    whole.push({ sinceUs, untilUs })
    at = untilUs
  }
  let next = first
  for (const hole of holes) {
    add(next, hole)
    next = hole + unitUs
  }
  add(next, last)
  if (at < span.untilUs) rest.push({ sinceUs: at, untilUs: span.untilUs })
  return { whole, rest }
}

/** The part of a span in [since, until): one or none. */
function clip(span: Span, sinceUs: number, untilUs: number): Span[] {
  const part = { sinceUs: Math.max(span.sinceUs, sinceUs), untilUs: Math.min(span.untilUs, untilUs) }
  return part.sinceUs < part.untilUs ? [part] : []
}

/** Sorted, neighbours joined. */
function joined(spans: readonly Span[]): Span[] {
  const result: Span[] = []
  for (const span of [...spans].sort((a, b) => a.sinceUs - b.sinceUs)) {
    const before = result.at(-1)
    if (before?.untilUs === span.sinceUs) result[result.length - 1] = { sinceUs: before.sinceUs, untilUs: span.untilUs }
    else result.push(span)
  }
  return result
}

function floorTo(timeUs: number, unitUs: number): number {
  return Math.floor(timeUs / unitUs) * unitUs
}

function ceilTo(timeUs: number, unitUs: number): number {
  return Math.ceil(timeUs / unitUs) * unitUs
}
