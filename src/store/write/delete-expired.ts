import type { Database } from '../db/database.ts'
import { timeParameter } from '../db/time-columns.ts'

/** How long what was stored before is recognised, in days. Longer: replays of older files still change nothing; more rows kept. */
const LEDGER_DAYS = 14

/** Forgets content digests, batch digests and dead letters older than the ledger's horizon. Edges never depend on them, only counts of replays do. */
export async function deleteExpiredDigests(database: Database, nowUs: number): Promise<void> {
  const before = [nowUs - LEDGER_DAYS * 86_400_000_000]
  await database.query('delete from content_digests where stored_at < to_timestamp($1::bigint / 1000000.0)', before)
  await database.query('delete from rejections where rejected_at < to_timestamp($1::bigint / 1000000.0)', before)
  await database.query('delete from ingest_batches where committed_at < to_timestamp($1::bigint / 1000000.0)', before)
}

/** Forgets which nodes reported in hours, and signs of incomplete observation, before the given times. */
export async function deleteExpiredCoverage(database: Database, clusterId: number, { hoursUs, daysUs }: { readonly hoursUs: number; readonly daysUs: number }): Promise<void> {
  await database.query(
    `with marks as (delete from node_hour_batches where cluster_id = $1 and hour_start < ${timeParameter('$2')})
     delete from node_hours where cluster_id = $1 and hour_start < ${timeParameter('$2')}`, [clusterId, hoursUs],
  )
  await database.query(`delete from coverage_events where cluster_id = $1 and at < ${timeParameter('$2')}`, [clusterId, daysUs])
}
