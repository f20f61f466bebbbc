/**
 * How long observations are kept, at which resolution, and when they are summed up. Pure: sources and clock in, times out.
 *
 *   sources ─► watermark ─► hours and days that ended before it are rolled up
 *           └► cluster's clock ─► retention ─► what is older expires
 *
 * Both only decide when work is done and what is kept, never what edges say: late flows are rolled again.
 */
import { US_PER_DAY, US_PER_SECOND } from '../base/time.ts'

/** Whole days. latenessDays < windowDays < hourDays < dayDays; the configuration sees to that. */
export interface Retention {
  readonly rawDays: number
  readonly windowDays: number
  readonly hourDays: number
  readonly dayDays: number
  /** Flows that streams and pushes bring are taken up to this old. */
  readonly latenessDays: number
}

export const DEFAULT_RETENTION: Retention = { rawDays: 7, windowDays: 14, hourDays: 90, dayDays: 400, latenessDays: 8 }

/** How far a source of flows is. */
export interface SourceProgress {
  /** Last instant of its newest flow; `null` when it brought none. */
  readonly newestUs: number | null
  /** When its last batch was stored. */
  readonly recordedAtUs: number
}

/** How far behind the newest flow of a source others of it may still come. More: fewer hours rolled twice; less: hours are there sooner. */
const ALLOWANCE_US = 600 * US_PER_SECOND
/** A source that stored nothing for this long holds nobody back. Longer: pauses roll no hour twice; shorter: a source that ended delays the others less. */
const IDLE_US = 900 * US_PER_SECOND

export interface Watermark {
  /** Before this instant no flow is expected any more. */
  readonly atUs: number
  /** Whether any source is at work. */
  readonly isBusy: boolean
}

/**
 * The slowest source that is not idle, less an allowance; where all are idle, the fastest. Never later than the clock. `undefined` before the first flow.
 */
export function computeWatermark(sources: readonly SourceProgress[], nowUs: number): Watermark | undefined {
  const seen = sources.flatMap(({ newestUs, recordedAtUs }) => (newestUs === null ? [] : [{ newestUs: Math.min(newestUs, nowUs), recordedAtUs }]))
  if (seen.length === 0) return undefined
  const busy = seen.filter((source) => nowUs - source.recordedAtUs <= IDLE_US)
  const isBusy = busy.length > 0
  const newest = (isBusy ? busy : seen).map((source) => source.newestUs).reduce((a, b) => (isBusy ? Math.min(a, b) : Math.max(a, b)))
  return { atUs: newest - ALLOWANCE_US, isBusy }
}

/**
 * The clock of a cluster's retention: its newest flow, never later than the service's clock. So a log of last year keeps its newest days, a collector
 * that stood still for a month loses nothing, and a flow from the future ages nobody. `undefined` before the first flow.
 */
export function clusterClock(sources: readonly SourceProgress[], nowUs: number): number | undefined {
  const newest = sources.reduce((max, { newestUs }) => Math.max(max, newestUs ?? -Infinity), -Infinity)
  return newest === -Infinity ? undefined : Math.min(newest, nowUs)
}

/** Instants before which a level expires, whole UTC days. */
export interface Cutoffs {
  readonly rawUs: number
  readonly windowsUs: number
  readonly hoursUs: number
  readonly daysUs: number
}

/** At least as much as was asked for is kept: the day in which a cutoff lies stays whole. */
export function cutoffsOf(clockUs: number, retention: Retention): Cutoffs {
  const back = (days: number): number => (Math.floor(clockUs / US_PER_DAY) - days) * US_PER_DAY
  return { rawUs: back(retention.rawDays), windowsUs: back(retention.windowDays), hoursUs: back(retention.hourDays), daysUs: back(retention.dayDays) }
}
