import type { LevelState, Span } from '../../core/aggregate/level-spans.ts'
import type { Queryable } from '../db/database.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'

/** Which hours and days of a cluster hold what, as planLevels needs it. Read it in the snapshot in which the rows are read. */
export async function selectLevelState(snapshot: Queryable, clusterId: number): Promise<LevelState> {
  const horizons = await snapshot.query<{ windows_us: string | null, hours_us: string | null }>(
    `select case when isfinite(windows_before) then ${timeUs('windows_before')} end as windows_us, case when isfinite(hours_before) then ${timeUs('hours_before')} end as hours_us
     from edge_horizons where cluster_id = $1`, [clusterId],
  )
  const dirty = await snapshot.query<{ level: 'hour' | 'day', us: string }>(
    `select 'hour' as level, ${timeUs('hour')} as us from (
       select distinct date_bin('1 hour', window_start, timestamptz 'epoch') as hour from edge_window_batches
       where cluster_id = $1 and (not is_rolled or window_start < (select windows_before from edge_horizons where cluster_id = $1))
     ) hours
     union all
     select 'day', ${timeUs('day')} from (
       select distinct date_bin('1 day', hour_start, timestamptz 'epoch') as day from edge_hour_rollups where cluster_id = $1 and not is_rolled
     ) days`, [clusterId],
  )
  const { windows_us: windows = null, hours_us: hours = null } = horizons.rows[0] ?? {}
  const startsOf = (level: string): number[] => dirty.rows.filter((row) => row.level === level).map((row) => Number(row.us))
  return {
    windowsBeforeUs: windows === null ? -Infinity : Number(windows), hoursBeforeUs: hours === null ? -Infinity : Number(hours),
    dirtyHours: startsOf('hour'), dirtyDays: startsOf('day'),
  }
}

/** SQL: whether a start lies in one of the spans. Adds their bounds to `values`; the planner sees them and takes the index where it pays. */
export function inSpans(column: string, spans: readonly Span[], values: unknown[]): string {
  const bound = (timeUs: number, operator: string): string => (Number.isFinite(timeUs) ? `${column} ${operator} ${timeParameter(`$${values.push(timeUs)}`)}` : 'true')
  const parts = spans.map(({ sinceUs, untilUs }) => `${bound(sinceUs, '>=')} and ${bound(untilUs, '<')}`)
  return parts.length === 0 ? 'false' : `(${parts.join(' or ')})`
}
