/**
 * Puts other rows in the place of a day's edge windows and outside addresses, in one transaction. While it runs, nobody folds, rolls up or expires them
 * (lockDay), and batches append beside it: what they commit after the transaction's snapshot is not deleted, and what they committed before is in the raw
 * flows that it reads.
 */
import { US_PER_HOUR } from '../../core/aggregate/node-hours.ts'
import { US_PER_DAY } from '../../core/base/time.ts'
import type { Queryable, Transaction } from '../db/database.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'
import { tryLocks } from './housekeeping-locks.ts'

/** Keeps housekeeping away from a day until the transaction ends, however long that takes; false when it is at work there. Never waits. */
export async function lockDay(tx: Transaction, clusterId: number, dayStartUs: number): Promise<boolean> {
  await tx.query('set local idle_in_transaction_session_timeout = 0')
  const hours = Array.from({ length: US_PER_DAY / US_PER_HOUR }, (_, i) => ({ name: 'hour' as const, startUs: dayStartUs + i * US_PER_HOUR }))
  return tryLocks(tx, clusterId, [...hours, { name: 'fold-day', startUs: dayStartUs }])
}

/** Starts of the days of which edge windows are stored, ascending. */
export async function selectWindowDays(database: Queryable, clusterId: number): Promise<number[]> {
  const { rows } = await database.query<{ us: string }>(
    `select distinct ${timeUs(`date_bin('1 day', window_start, timestamptz 'epoch')`)} as us from edge_window_batches where cluster_id = $1 order by us`, [clusterId],
  )
  return rows.map(({ us }) => Number(us))
}

/** Whether windows of the day have expired: then its hours are the truth. */
export async function isExpiredDay(on: Queryable, clusterId: number, dayStartUs: number): Promise<boolean> {
  const { rows } = await on.query(`select 1 from edge_horizons where cluster_id = $1 and windows_before > ${timeParameter('$2')}`, [clusterId, dayStartUs])
  return rows.length > 0
}

/** Edge windows that count more flows than there are raw ones. */
export interface Uncovered {
  readonly windows: number
  readonly firstUs: number
  readonly lastUs: number
}

/**
 * Whether raw flows hold everything that the day's windows were made of: theirs, and those of the day after, which may have been there for a day.
 * Counts are compared by window, protocol and verdict, which no change of an end moves. `undefined`: they do.
 */
export async function findUncovered(snapshot: Queryable, clusterId: number, dayStartUs: number): Promise<Uncovered | undefined> {
  const inRange = (column: string): string => `cluster_id = $1 and ${column} >= ${timeParameter('$2')} and ${column} < ${timeParameter('$3')}`
  const { rows } = await snapshot.query<{ windows: number; first_us: string | null; last_us: string | null }>(
    `with edges as (
       select window_start, protocol, observed_verdict, sum(flows) as n from edge_windows where ${inRange('window_start')} and flows > 0 group by 1, 2, 3
     ),
     raw as (
       select date_bin('5 minutes', last_at, timestamptz 'epoch') as window_start, words.protocol, words.observed_verdict, sum(n) as n
       from (
         select date_bin('5 minutes', last_at, timestamptz 'epoch') as last_at, facts, sum(flows) as n from flows where ${inRange('last_at')} group by 1, 2
       ) counted cross join lateral flow_facts(facts) words
       group by 1, 2, 3
     )
     select count(distinct window_start)::integer as windows, ${timeUs('min(window_start)')} as first_us, ${timeUs('max(window_start)')} as last_us
     from edges left join raw using (window_start, protocol, observed_verdict) where edges.n > coalesce(raw.n, 0)`,
    [clusterId, dayStartUs, dayStartUs + 2 * US_PER_DAY],
  )
  const row = rows[0]
  if (row === undefined || row.windows === 0) return undefined
  return { windows: row.windows, firstUs: Number(row.first_us), lastUs: Number(row.last_us) }
}

/**
 * Removes the day's windows and outside addresses, and marks the windows as not rolled up, so that hours and days are made of what comes in their place.
 * Marks of too many outside addresses stay: they say so for ever, and those of edges that are gone are not read.
 */
export async function deleteDay(tx: Transaction, clusterId: number, dayStartUs: number): Promise<void> {
  await tx.query(
    `with gone as (delete from edge_windows where cluster_id = $1 and window_start >= ${timeParameter('$2')} and window_start < ${timeParameter('$3')} returning window_start),
     peers as (delete from external_peers where cluster_id = $1 and day_start = ${timeParameter('$2')})
     insert into edge_window_batches (cluster_id, window_start) select distinct $1::integer, window_start from gone`, [clusterId, dayStartUs, dayStartUs + US_PER_DAY],
  )
}
