import { US_PER_HOUR } from '../../core/aggregate/node-hours.ts'
import { EXTERNAL_PEER_LIMIT } from '../../core/flow/edge.ts'
import { withRetry, withTransaction } from '../db/database.ts'
import type { Database, Transaction } from '../db/database.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'
import { tryLocks } from './housekeeping-locks.ts'
import type { HousekeepingLock } from './housekeeping-locks.ts'

/** One table of partial rows, joined per (cluster, start). */
interface Fold {
  readonly marks: string
  readonly start: string
  readonly locks: (startUs: number) => readonly HousekeepingLock[]
  readonly run: (tx: Transaction, clusterId: number, startUs: number) => Promise<void>
}

const FOLDS: readonly Fold[] = [
  {
    marks: 'edge_window_batches', start: 'window_start', run: foldWindow,
    // Shared with the other windows of the hour, and kept by a rollup for itself: it must not read a window in the middle of a fold.
    locks: (startUs) => [{ name: 'fold-window', startUs }, { name: 'hour', startUs: Math.floor(startUs / US_PER_HOUR) * US_PER_HOUR, isShared: true }],
  },
  { marks: 'external_peer_batches', start: 'day_start', run: foldDay, locks: (startUs) => [{ name: 'fold-day', startUs }] },
  { marks: 'node_hour_batches', start: 'hour_start', run: foldHour, locks: (startUs) => [{ name: 'fold-hour', startUs }] },
]

/**
 * Joins the partial rows of windows, days and hours to which two or more batches appended. Changes no reader's result. Any number of
 * processes may run it, next to ingest: a window is folded by one at a time, and rows appended meanwhile stay for the next
 * time. Again after a failure goes on where it stopped. Returns how many of them were folded. `limit` bounds one call per table.
 */
export async function foldEdgeWindows(database: Database, clusterId: number, options: { readonly limit?: number; readonly signal?: AbortSignal | undefined } = {}): Promise<number> {
  let folded = 0
  for (const fold of FOLDS) {
    for (const startUs of await crowded(database, fold, clusterId, options.limit ?? 10_000)) {
      if (options.signal?.aborted === true) return folded
      if (await withRetry(() => foldOne(database, fold, clusterId, startUs))) folded++
    }
  }
  return folded
}

async function crowded(database: Database, { marks, start }: Fold, clusterId: number, limit: number): Promise<number[]> {
  const { rows } = await database.query<{ start_us: string }>(
    `select ${timeUs(start)} as start_us from ${marks} where cluster_id = $1 group by ${start} having count(*) > 1 order by ${start} limit $2`, [clusterId, limit],
  )
  return rows.map((row) => Number(row.start_us))
}

async function foldOne(database: Database, fold: Fold, clusterId: number, startUs: number): Promise<boolean> {
  return withTransaction(database, async (tx) => {
    if (!await tryLocks(tx, clusterId, fold.locks(startUs))) return false
    await fold.run(tx, clusterId, startUs)
    return true
  })
}

/**
 * The marks go first: a batch that commits between the two statements leaves its mark, so that its rows, folded or not, are
 * looked at again. What is in the hour's rows stays marked so.
 */
async function foldWindow(tx: Transaction, clusterId: number, startUs: number): Promise<void> {
  await tx.query(
    `with taken as (delete from edge_window_batches where cluster_id = $1 and window_start = ${timeParameter('$2')} returning cluster_id, window_start, is_rolled)
     insert into edge_window_batches (cluster_id, window_start, is_rolled) select cluster_id, window_start, bool_and(is_rolled) from taken group by cluster_id, window_start`, [clusterId, startUs],
  )
  await tx.query(
    `with taken as (delete from edge_windows where cluster_id = $1 and window_start = ${timeParameter('$2')} returning *)
     insert into edge_windows (window_start, first_at, last_at, initiator_id, responder_id, flows, cluster_id, port, initiator_port, evidence,
       is_long_lived, protocol, side, observed_verdict)
     select window_start, min(first_at), max(last_at), initiator_id, responder_id, sum(flows), cluster_id, port, initiator_port, bit_or(evidence),
       bool_or(is_long_lived), protocol, side, observed_verdict
     from taken
     group by window_start, initiator_id, responder_id, cluster_id, port, initiator_port, protocol, side, observed_verdict`, [clusterId, startUs],
  )
}

/** As foldWindow, and keeps per edge the addresses with the smallest hashes, as core/aggregate/bottom-addresses.ts does in memory. */
async function foldDay(tx: Transaction, clusterId: number, startUs: number): Promise<void> {
  await tx.query(
    `with taken as (delete from external_peer_batches where cluster_id = $1 and day_start = ${timeParameter('$2')} returning cluster_id, day_start)
     insert into external_peer_batches (cluster_id, day_start) select distinct cluster_id, day_start from taken`, [clusterId, startUs],
  )
  await tx.query(
    `with taken as (delete from external_peers where cluster_id = $1 and day_start = ${timeParameter('$2')} returning *),
     summed as (
       select day_start, min(first_at) as first_at, max(last_at) as last_at, initiator_id, responder_id, sum(flows) as flows, ip_hash, cluster_id, port,
         initiator_port, protocol, side, observed_verdict, ip
       from taken
       group by day_start, initiator_id, responder_id, ip_hash, cluster_id, port, initiator_port, protocol, side, observed_verdict, ip
     ),
     ranked as (
       select *, dense_rank() over (partition by initiator_id, responder_id, protocol, port, initiator_port order by ip_hash, ip) as place from summed
     ),
     marked as (
       insert into external_overflows (cluster_id, day_start, initiator_id, responder_id, protocol, port, initiator_port)
       select distinct cluster_id, day_start, initiator_id, responder_id, protocol, port, initiator_port from ranked where place > $3
       on conflict do nothing
     )
     insert into external_peers (day_start, first_at, last_at, initiator_id, responder_id, flows, ip_hash, cluster_id, port, initiator_port, protocol,
       side, observed_verdict, ip)
     select day_start, first_at, last_at, initiator_id, responder_id, flows, ip_hash, cluster_id, port, initiator_port, protocol, side,
       observed_verdict, ip
     from ranked where place <= $3`, [clusterId, startUs, EXTERNAL_PEER_LIMIT],
  )
}

/** As foldWindow, for the hours in which nodes reported. */
async function foldHour(tx: Transaction, clusterId: number, startUs: number): Promise<void> {
  await tx.query(
    `with taken as (delete from node_hour_batches where cluster_id = $1 and hour_start = ${timeParameter('$2')} returning cluster_id, hour_start)
     insert into node_hour_batches (cluster_id, hour_start) select distinct cluster_id, hour_start from taken`, [clusterId, startUs],
  )
  await tx.query(
    `with taken as (delete from node_hours where cluster_id = $1 and hour_start = ${timeParameter('$2')} returning *)
     insert into node_hours (cluster_id, hour_start, format, node, flows, windows)
     select cluster_id, hour_start, format, node, sum(flows), bit_or(windows) from taken group by cluster_id, hour_start, format, node`, [clusterId, startUs],
  )
}

/** Joins the rows of ingest_totals, ingest_received and ingest_limits that several batches appended. Changes no reader's result. */
export async function foldIngestTotals(database: Database, clusterId: number): Promise<void> {
  await database.query(
    `with taken as (delete from ingest_totals where cluster_id = $1 returning *)
     insert into ingest_totals (cluster_id, source, format, outcome, reason, records, recorded_at)
     select cluster_id, source, format, outcome, reason, sum(records), max(recorded_at) from taken group by cluster_id, source, format, outcome, reason`,
    [clusterId],
  )
  await database.query(
    `with taken as (delete from ingest_received where cluster_id = $1 returning *)
     insert into ingest_received (cluster_id, source, records, newest_at, recorded_at)
     select cluster_id, source, sum(records), max(newest_at), max(recorded_at) from taken group by cluster_id, source`,
    [clusterId],
  )
  await database.query(
    `with taken as (delete from ingest_limits where cluster_id = $1 returning *)
     insert into ingest_limits (cluster_id, source, limit_name, records, recorded_at)
     select cluster_id, source, limit_name, sum(records), max(recorded_at) from taken group by cluster_id, source, limit_name`,
    [clusterId],
  )
}
