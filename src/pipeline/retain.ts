/**
 *  partial rows ─► fold ─► windows ─► hours ─► days       behind the watermark (rollup.ts)
 *  raw flows, windows, hours, days, coverage ─► expire    by the newest flow of their cluster (docs/retention.md)
 *  totals ─► sum            digests of contents and batches, dead letters ─► expire after 14 days
 *                           cluster state that ended ─► expires after 400 days
 *
 * Housekeeping. No reader sees a difference but for what has expired. Any number of processes may run it at once, next to ingest. A step that fails does
 * not stop the others; the next run goes on where it stopped.
 */
import { clusterClock, computeWatermark, cutoffsOf, DEFAULT_RETENTION } from '../core/aggregate/retention.ts'
import type { Retention } from '../core/aggregate/retention.ts'
import { US_PER_DAY } from '../core/base/time.ts'
import type { HousekeepingStep } from '../observe/events.ts'
import { withRetry } from '../store/db/database.ts'
import type { Database, Queryable } from '../store/db/database.ts'
import { selectClusters } from '../store/read/select-clusters.ts'
import { selectReceived } from '../store/read/select-ingest-status.ts'
import { deleteExpiredCoverage, deleteExpiredDigests } from '../store/write/delete-expired.ts'
import { ensureFlowPartitions } from '../store/write/ensure-flow-partitions.ts'
import { deleteExpiredEnds, expireFlows } from '../store/write/expire-flows.ts'
import type { RawNeed } from '../store/write/expire-flows.ts'
import { foldEdgeWindows, foldIngestTotals } from '../store/write/fold-edge-windows.ts'
import { deleteExpiredClusterState } from '../store/write/save-cluster-state.ts'
import { expireLevels, rollUp } from './rollup.ts'

export interface HousekeepingReport {
  /** Windows, days and hours whose partial rows were joined. */
  folded: number
  /** Hours and days rolled up. */
  rolled: number
  /** Hours and days whose rows expired, and days of raw flows dropped. */
  expired: number
  /** How far the rollups may be behind the clock: of the cluster that is furthest behind among those that receive flows. */
  watermarkLagUs: number | undefined
  readonly failures: { readonly step: HousekeepingStep; readonly error: unknown }[]
}

export interface HousekeepingOptions {
  /** Default: DEFAULT_RETENTION. */
  readonly retention?: Retention | undefined
  /** Stops between two units of work. */
  readonly signal?: AbortSignal | undefined
}

interface Round extends HousekeepingOptions {
  readonly nowUs: number
}

/** The housekeeping of one cluster: run it after ingest. `nowUs`: the service's clock. Throws what the first step that failed threw, after the others ran. */
export async function retain(database: Database, clusterId: number, nowUs: number, options: HousekeepingOptions = {}): Promise<HousekeepingReport> {
  const report = emptyReport()
  await keepCluster(database, clusterId, { ...options, nowUs }, report)
  await keepStore(database, { ...options, nowUs, done: new Set() }, report)
  if (report.failures[0] !== undefined) throw report.failures[0].error
  return report
}

export interface Housekeeper {
  /** One round over all clusters of the store. Never throws for a step: see `failures`. */
  run(nowUs: number, options?: HousekeepingOptions): Promise<HousekeepingReport>
}

/** The housekeeping of a service: run it every minute. Remembers what it need not look at again. */
export function createHousekeeper(database: Database): Housekeeper {
  const done = new Set<string>()
  const days = new Set<number>()
  return {
    run: async (nowUs, options = {}) => {
      const report = emptyReport()
      const today = Math.floor(nowUs / US_PER_DAY)
      // Ahead of the first batch of a day, which then finds its partition.
      await attempt(report, 'partitions', () => ensureFlowPartitions(database, [today, today + 1], nowUs, days))
      for (const { id } of await withRetry(() => selectClusters(database))) {
        if (options.signal?.aborted !== true) await keepCluster(database, id, { ...options, nowUs }, report)
      }
      await keepStore(database, { ...options, nowUs, done }, report)
      return report
    },
  }
}

function emptyReport(): HousekeepingReport {
  return { folded: 0, rolled: 0, expired: 0, watermarkLagUs: undefined, failures: [] }
}

/** A restart of the database fits; the next round comes in a minute anyway. */
const PATIENCE_MS = 20_000

async function attempt(report: HousekeepingReport, step: HousekeepingStep, work: () => Promise<void>): Promise<void> {
  try {
    // Every step goes on where it stopped.
    await withRetry(work, { giveUpAfterMs: PATIENCE_MS })
  } catch (error) {
    report.failures.push({ step, error })
  }
}

async function keepCluster(database: Database, clusterId: number, options: Round, report: HousekeepingReport): Promise<void> {
  const { nowUs, retention = DEFAULT_RETENTION, signal } = options
  await attempt(report, 'fold', async () => {
    report.folded += await foldEdgeWindows(database, clusterId, { signal })
    await withRetry(() => foldIngestTotals(database, clusterId))
  })
  await attempt(report, 'roll-up', async () => {
    const watermark = computeWatermark(await selectReceived(database, clusterId), nowUs)
    if (watermark === undefined) return
    const { hours, days } = await rollUp(database, clusterId, { watermarkUs: watermark.atUs, signal })
    report.rolled += hours + days
    if (watermark.isBusy) report.watermarkLagUs = Math.max(report.watermarkLagUs ?? 0, nowUs - watermark.atUs)
  })
  const clockUs = await withRetry(() => clockOf(database, clusterId, nowUs), { giveUpAfterMs: PATIENCE_MS }).catch((error: unknown) => { report.failures.push({ step: 'expire-edges', error }) })
  if (clockUs === undefined) return
  const cutoffs = cutoffsOf(clockUs, retention)
  await attempt(report, 'expire-edges', async () => {
    const { windows, hours, days } = await expireLevels(database, clusterId, { cutoffs, signal })
    report.expired += windows + hours + days
  })
  await attempt(report, 'expire-coverage', () => withRetry(() => deleteExpiredCoverage(database, clusterId, cutoffs)))
}

async function clockOf(database: Queryable, clusterId: number, nowUs: number): Promise<number | undefined> {
  return clusterClock(await selectReceived(database, clusterId), nowUs)
}

/** What concerns all clusters. */
async function keepStore(database: Database, options: Round & { readonly done: Set<string> }, report: HousekeepingReport): Promise<void> {
  const { nowUs, retention = DEFAULT_RETENTION, signal, done } = options
  await attempt(report, 'expire-digests', async () => {
    await withRetry(() => deleteExpiredDigests(database, nowUs))
    await withRetry(() => deleteExpiredClusterState(database, nowUs))
  })
  await attempt(report, 'expire-flows', async () => {
    const { partitions } = await expireFlows(database, {
      needs: (on) => rawNeeds(on, retention, nowUs), emptyBeforeUs: cutoffsOf(nowUs, retention).rawUs, done, signal,
    })
    report.expired += partitions
    for (const need of await rawNeeds(database, retention, nowUs)) {
      const key = `ends ${need.clusterId} ${need.sinceUs}`
      if (!done.has(key)) await deleteExpiredEnds(database, need)
      done.add(key)
    }
  })
}

async function rawNeeds(on: Queryable, retention: Retention, nowUs: number): Promise<RawNeed[]> {
  const needs: RawNeed[] = []
  for (const { id } of await selectClusters(on)) {
    const sources = await selectReceived(on, id)
    const clockUs = clusterClock(sources, nowUs)
    if (clockUs === undefined) continue
    // Not the clock: flows from the future lie in partitions, too.
    needs.push({ clusterId: id, sinceUs: cutoffsOf(clockUs, retention).rawUs, newestUs: clusterClock(sources, Infinity) ?? clockUs })
  }
  return needs
}
