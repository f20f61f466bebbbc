/**
 * Expiry of windows and hours. Finer rows go unit by unit, oldest first, in the statement that sees that the coarser rows hold all of them and that moves
 * the horizon behind them. Rows that a batch brings later for an expired unit are no mistake: rollups add them to the coarser rows.
 */
import { US_PER_DAY } from '../../core/base/time.ts'
import { withRetry, withTransaction } from '../db/database.ts'
import type { Database, Transaction } from '../db/database.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'
import { lockHorizons, tryLocks } from './housekeeping-locks.ts'
import { DAYS, HOURS, ofUnit, rollUnit } from './rollup-edges.ts'
import type { Level } from './rollup-edges.ts'

export interface ExpiryOptions {
  /** Whole days. */
  readonly beforeUs: number
  readonly signal?: AbortSignal | undefined
}

/** Removes windows of hours that are rolled up; what is not is rolled first. Stops early where others are at work. Returns the hours expired. */
export async function expireWindows(database: Database, clusterId: number, options: ExpiryOptions): Promise<number> {
  return expireUnits(database, HOURS, clusterId, options)
}

/** As expireWindows, hours of days; never of days that still have windows. */
export async function expireHours(database: Database, clusterId: number, { beforeUs, signal }: ExpiryOptions): Promise<number> {
  const { rows } = await database.query<{ us: string }>(
    `select ${timeUs('windows_before')} as us from edge_horizons where cluster_id = $1 and isfinite(windows_before)`, [clusterId],
  )
  if (rows[0] === undefined) return 0
  const windowsBeforeUs = Math.floor(Number(rows[0].us) / US_PER_DAY) * US_PER_DAY
  return expireUnits(database, DAYS, clusterId, { beforeUs: Math.min(beforeUs, windowsBeforeUs), signal })
}

async function expireUnits(database: Database, level: Level, clusterId: number, { beforeUs, signal }: ExpiryOptions): Promise<number> {
  let expired = 0
  while (signal?.aborted !== true) {
    const startUs = await oldestUnit(database, level, clusterId, beforeUs)
    if (startUs === undefined) {
      await withRetry(() => moveOverNothing(database, level, clusterId, beforeUs))
      break
    }
    let isGone = await withRetry(() => expireUnit(database, level, clusterId, startUs))
    if (!isGone && await rollUnit(database, level, clusterId, startUs)) isGone = await withRetry(() => expireUnit(database, level, clusterId, startUs))
    if (!isGone) break
    expired++
  }
  return expired
}

/** SQL: how far this level's finer rows have expired. */
function horizonOf({ horizon }: Level): string {
  return `coalesce((select ${horizon} from edge_horizons where cluster_id = $1), '-infinity')`
}

async function oldestUnit(database: Database, level: Level, clusterId: number, beforeUs: number): Promise<number | undefined> {
  const { marks, start } = level.finer
  const { rows } = await database.query<{ us: string | null }>(
    `select ${timeUs(`date_bin('${level.interval}', min(${start}), timestamptz 'epoch')`)} as us
     from ${marks} where cluster_id = $1 and ${start} >= ${horizonOf(level)} and ${start} < ${timeParameter('$2')}`, [clusterId, beforeUs],
  )
  const us = rows[0]?.us ?? null
  return us === null ? undefined : Number(us)
}

/** False when the unit is not rolled up completely, has an older one before it, or is held by another worker. */
async function expireUnit(database: Database, level: Level, clusterId: number, startUs: number): Promise<boolean> {
  const { table, marks, start } = level.finer
  const rowsOfUnit = ofUnit(start, level.interval)
  const unit = timeParameter('$2')
  return withTransaction(database, async (tx) => {
    await lockHorizons(tx, clusterId, 'exclusive')
    if (!await tryLocks(tx, clusterId, level.locks(startUs))) return false
    const { rowCount } = await tx.query(
      `with hindrance as (
         (select 1 from ${marks} where ${rowsOfUnit} and not is_rolled limit 1)
         union all
         (select 1 from ${marks} where cluster_id = $1 and ${start} >= ${horizonOf(level)} and ${start} < ${unit} limit 1)
       ),
       unmarked as (delete from ${marks} where ${rowsOfUnit} and not exists (select from hindrance)),
       removed as (delete from ${table} where ${rowsOfUnit} and not exists (select from hindrance))
       ${moved(level, `${unit} + interval '${level.interval}'`)} where not exists (select from hindrance)
       ${onlyForward(level)}`, [clusterId, startUs],
    )
    return rowCount > 0
  })
}

async function moveOverNothing(database: Database, level: Level, clusterId: number, beforeUs: number): Promise<void> {
  const { marks, start } = level.finer
  const before = timeParameter('$2')
  await withTransaction(database, async (tx: Transaction) => {
    await lockHorizons(tx, clusterId, 'exclusive')
    await tx.query(
      `${moved(level, before)} where not exists (
         select 1 from ${marks} where cluster_id = $1 and ${start} >= ${horizonOf(level)} and ${start} < ${before})
       ${onlyForward(level)}`, [clusterId, beforeUs],
    )
  })
}

function moved({ horizon }: Level, before: string): string {
  return `insert into edge_horizons (cluster_id, ${horizon}) select $1::integer, ${before}`
}

function onlyForward({ horizon }: Level): string {
  return `on conflict (cluster_id) do update set ${horizon} = excluded.${horizon} where edge_horizons.${horizon} < excluded.${horizon}`
}

/** Removes days, and the outside addresses of those days. Never days whose hours still stand. Returns how many days. */
export async function expireDays(database: Database, clusterId: number, { beforeUs, signal }: ExpiryOptions): Promise<number> {
  const before = `least(${timeParameter('$2')}, ${horizonOf(DAYS)})`
  const { rows } = await database.query<{ us: string }>(
    `select ${timeUs('day_start')} as us from (
       select day_start from edge_day_rollups where cluster_id = $1 and day_start < ${before}
       union
       select day_start from external_peer_batches where cluster_id = $1 and day_start < ${before}
     ) days order by day_start`, [clusterId, beforeUs],
  )
  let expired = 0
  for (const { us } of rows) {
    if (signal?.aborted === true) break
    if (await withRetry(() => expireDay(database, clusterId, Number(us)))) expired++
  }
  return expired
}

async function expireDay(database: Database, clusterId: number, startUs: number): Promise<boolean> {
  return withTransaction(database, async (tx) => {
    if (!await tryLocks(tx, clusterId, [...DAYS.locks(startUs), { name: 'fold-day', startUs }])) return false
    const ofDay = `cluster_id = $1 and day_start = ${timeParameter('$2')}`
    await tx.query(
      `with days as (delete from edge_days where ${ofDay}), rollups as (delete from edge_day_rollups where ${ofDay}),
       peers as (delete from external_peers where ${ofDay}), batches as (delete from external_peer_batches where ${ofDay})
       delete from external_overflows where ${ofDay}`, [clusterId, startUs],
    )
    return true
  })
}
