/**
 *  edge_windows ─► edge_hours ─► edge_days
 *
 * A unit (an hour, a day) is rolled by one statement, which reads the finer rows, writes the coarser ones and notes that it did: readers see all of it
 * or nothing, and a batch that commits meanwhile leaves a mark that is not noted, so that the unit counts as not rolled and is rolled again.
 *
 * - Finer rows not expired: they are the truth, and the coarser rows are replaced by what they add up to.
 * - Finer rows expired: the coarser ones are the truth; what came late is added to them and removed from the finer ones.
 *
 * Which of the two holds is told by the horizon, which cannot move while a rollup runs. Batches are never waited for, nor do they wait.
 */
import { US_PER_HOUR } from '../../core/aggregate/node-hours.ts'
import { US_PER_DAY } from '../../core/base/time.ts'
import { withRetry, withTransaction } from '../db/database.ts'
import type { Database, Transaction } from '../db/database.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'
import { lockHorizons, tryLocks } from './housekeeping-locks.ts'
import type { HousekeepingLock } from './housekeeping-locks.ts'

/** Finer rows and the coarser ones they add up to. */
export interface Level {
  readonly unitUs: number
  /** SQL interval of a unit. */
  readonly interval: string
  readonly finer: { readonly table: string; readonly start: string; readonly marks: string }
  readonly coarser: { readonly table: string; readonly start: string; readonly rollups: string }
  /** SQL: presence bits of a finer row within its unit, which starts at $2. */
  readonly presence: string
  /** Column of edge_horizons: finer rows before it have expired. */
  readonly horizon: string
  readonly locks: (startUs: number) => readonly HousekeepingLock[]
}

const UNIT = timeParameter('$2')

export const HOURS: Level = {
  unitUs: US_PER_HOUR, interval: '1 hour', horizon: 'windows_before',
  finer: { table: 'edge_windows', start: 'window_start', marks: 'edge_window_batches' },
  coarser: { table: 'edge_hours', start: 'hour_start', rollups: 'edge_hour_rollups' },
  presence: `(1 << (extract(epoch from window_start - ${UNIT})::integer / 300))::smallint`,
  // Shared: hours of one day are rolled at once, but not while the day is.
  locks: (startUs) => [{ name: 'hour', startUs }, { name: 'day', startUs: Math.floor(startUs / US_PER_DAY) * US_PER_DAY, isShared: true }],
}

export const DAYS: Level = {
  unitUs: US_PER_DAY, interval: '1 day', horizon: 'hours_before',
  finer: { table: 'edge_hours', start: 'hour_start', marks: 'edge_hour_rollups' },
  coarser: { table: 'edge_days', start: 'day_start', rollups: 'edge_day_rollups' },
  presence: `presence::integer::bit(288) << (extract(epoch from hour_start - ${UNIT})::integer / 300)`,
  locks: (startUs) => [{ name: 'day', startUs }],
}

export interface RollupOptions {
  /** Units that ended by then are rolled; what came late for expired ones always is. */
  readonly beforeUs: number
  readonly signal?: AbortSignal | undefined
}

/** Units rolled in one call at most: a year of hours. */
const UNITS_PER_CALL = 10_000

/** Rolls what is due, oldest first. Units that another worker holds are left to it. Returns how many were rolled. */
export async function rollEdges(database: Database, level: Level, clusterId: number, { beforeUs, signal }: RollupOptions): Promise<number> {
  let rolled = 0
  for (const startUs of await dueUnits(database, level, clusterId, beforeUs)) {
    if (signal?.aborted === true) break
    if (await rollUnit(database, level, clusterId, startUs)) rolled++
  }
  return rolled
}

async function dueUnits(database: Database, { finer, unitUs, interval, horizon }: Level, clusterId: number, beforeUs: number): Promise<number[]> {
  const start = finer.start
  const { rows } = await database.query<{ start_us: string }>(
    `select ${timeUs('unit')} as start_us from (
       select distinct date_bin('${interval}', ${start}, timestamptz 'epoch') as unit from ${finer.marks}
       where cluster_id = $1 and (not is_rolled and ${start} < ${timeParameter('$2')}
         or ${start} < (select ${horizon} from edge_horizons where cluster_id = $1))
     ) units order by unit limit ${UNITS_PER_CALL}`, [clusterId, Math.floor(beforeUs / unitUs) * unitUs],
  )
  return rows.map((row) => Number(row.start_us))
}

/** False when another worker holds the unit. */
export async function rollUnit(database: Database, level: Level, clusterId: number, startUs: number): Promise<boolean> {
  return withRetry(() => withTransaction(database, async (tx) => {
    await lockHorizons(tx, clusterId, 'shared')
    if (!await tryLocks(tx, clusterId, level.locks(startUs))) return false
    const { rows } = await tx.query<{ is_expired: boolean }>(
      `select ${UNIT} < ${level.horizon} as is_expired from edge_horizons where cluster_id = $1`, [clusterId, startUs],
    )
    if (rows[0]?.is_expired === true) await absorb(tx, level, clusterId, startUs)
    else await replace(tx, level, clusterId, startUs)
    return true
  }))
}

const EDGE = 'initiator_id, responder_id, protocol, port, initiator_port, side, observed_verdict'

/** SQL: rows of a unit in a table. */
export function ofUnit(start: string, interval: string): string {
  return `cluster_id = $1 and ${start} >= ${UNIT} and ${start} < ${UNIT} + interval '${interval}'`
}

async function replace(tx: Transaction, level: Level, clusterId: number, startUs: number): Promise<void> {
  const { finer, coarser, interval } = level
  const finerRows = ofUnit(finer.start, interval)
  await tx.query(
    `with noted as (update ${finer.marks} set is_rolled = true where ${finerRows} and not is_rolled),
     gone as (delete from ${coarser.table} where ${ofUnit(coarser.start, interval)}),
     parts as (select ${EDGE}, first_at, last_at, flows, evidence, is_long_lived, ${level.presence} as presence from ${finer.table} where ${finerRows})
     ${written(level)}`, [clusterId, startUs],
  )
}

async function absorb(tx: Transaction, level: Level, clusterId: number, startUs: number): Promise<void> {
  const { finer, coarser, interval } = level
  const finerRows = ofUnit(finer.start, interval)
  await tx.query(
    `with noted as (delete from ${finer.marks} where ${finerRows}),
     late as (delete from ${finer.table} where ${finerRows} returning *),
     known as (delete from ${coarser.table} where ${ofUnit(coarser.start, interval)} returning *),
     parts as (
       select ${EDGE}, first_at, last_at, flows, evidence, is_long_lived, ${level.presence} as presence from late
       union all
       select ${EDGE}, first_at, last_at, flows, evidence, is_long_lived, presence from known
     )
     ${written(level)}`, [clusterId, startUs],
  )
}

/** SQL: joins `parts` to the coarser rows. A sum beyond bigint, which only absurd counts reach, stays at its end. */
function written({ coarser }: Level): string {
  const { table, start, rollups } = coarser
  const isFiner = rollups === 'edge_hour_rollups'
  return `, written as (
       insert into ${table} (cluster_id, ${start}, ${EDGE}, first_at, last_at, flows, evidence, is_long_lived, presence)
       select $1, ${UNIT}, ${EDGE}, min(first_at), max(last_at), least(sum(flows), 9223372036854775807), bit_or(evidence), bool_or(is_long_lived), bit_or(presence)
       from parts group by ${EDGE} returning first_at, last_at
     )
     insert into ${rollups} (cluster_id, ${start}, first_at, last_at${isFiner ? ', is_rolled' : ''})
     select $1, ${UNIT}, min(first_at), max(last_at)${isFiner ? ', false' : ''} from written having count(*) > 0
     on conflict (cluster_id, ${start}) do update set first_at = excluded.first_at, last_at = excluded.last_at${isFiner ? ', is_rolled = false' : ''}`
}
