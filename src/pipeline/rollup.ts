import type { Cutoffs } from '../core/aggregate/retention.ts'
import type { Database } from '../store/db/database.ts'
import { expireDays, expireHours, expireWindows } from '../store/write/expire-levels.ts'
import { DAYS, HOURS, rollEdges } from '../store/write/rollup-edges.ts'

/** Units worked on. */
export interface RollupCounts {
  readonly hours: number
  readonly days: number
}

/**
 * Rolls the hours, then the days that ended before the watermark, and whatever came late for ones that were rolled or have expired. Changes no
 * reader's result. Any number of processes may run it at once, next to ingest; after a failure the next run goes on.
 */
export async function rollUp(database: Database, clusterId: number, { watermarkUs, signal }: { watermarkUs: number; signal?: AbortSignal | undefined }): Promise<RollupCounts> {
  const options = { beforeUs: watermarkUs, signal }
  return { hours: await rollEdges(database, HOURS, clusterId, options), days: await rollEdges(database, DAYS, clusterId, options) }
}

/** Hours whose windows, days whose hours, and days that are gone. */
export interface ExpiredLevels {
  readonly windows: number
  readonly hours: number
  readonly days: number
}

/** Removes what is older than the cutoffs, finer rows only once the coarser ones hold all of them. As safe to run as rollUp. */
export async function expireLevels(
  database: Database, clusterId: number, { cutoffs, signal }: { cutoffs: Cutoffs; signal?: AbortSignal | undefined },
): Promise<ExpiredLevels> {
  const windows = await expireWindows(database, clusterId, { beforeUs: cutoffs.windowsUs, signal })
  const hours = await expireHours(database, clusterId, { beforeUs: cutoffs.hoursUs, signal })
  return { windows, hours, days: await expireDays(database, clusterId, { beforeUs: cutoffs.daysUs, signal }) }
}
