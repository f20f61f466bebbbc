import { EXTERNAL_PEER_LIMIT } from '../../core/flow/edge.ts'
import { withTransaction } from '../db/database.ts'
import type { Database, Transaction } from '../db/database.ts'

/** Advisory lock classes; the second key is the cluster. */
const WINDOW_LOCK = 0x666c_0001
const DAY_LOCK = 0x666c_0002
const HOUR_LOCK = 0x666c_0003

/**
 * Joins the partial rows of windows, days and hours to which two or more batches appended. Changes no reader's result. Any number of
 * processes may run it, next to ingest: a window is folded by one at a time, and rows appended meanwhile stay for the next
 * time. Again after a failure goes on where it stopped. Returns how many of them were folded. `limit` bounds one call (default 10000).
 */
export async function foldEdgeWindows(database: Database, clusterId: number, limit = 10_000): Promise<number> {
  let folded = 0
  for (const start of await crowded(database, 'edge_window_batches', 'window_start', { clusterId, limit })) {
    if (await fold(database, clusterId, { lock: WINDOW_LOCK, start }, foldWindow)) folded++
  }
  for (const start of await crowded(database, 'external_peer_batches', 'day_start', { clusterId, limit })) {
    if (await fold(database, clusterId, { lock: DAY_LOCK, start }, foldDay)) folded++
  }
  for (const start of await crowded(database, 'node_hour_batches', 'hour_start', { clusterId, limit })) {
    if (await fold(database, clusterId, { lock: HOUR_LOCK, start }, foldHour)) folded++
  }
  return folded
}

async function crowded(database: Database, table: string, column: string, of: { clusterId: number, limit: number }): Promise<string[]> {
  const { rows } = await database.query<{ start: string }>(
    `select ${column}::text as start from ${table} where cluster_id = $1 group by ${column} having count(*) > 1 order by ${column} limit $2`, [of.clusterId, of.limit],
  )
  return rows.map((row) => row.start)
}

type FoldOne = (tx: Transaction, clusterId: number, start: string) => Promise<void>

async function fold(database: Database, clusterId: number, what: { lock: number, start: string }, foldOne: FoldOne): Promise<boolean> {
  return withTransaction(database, async (tx) => {
    const { rows } = await tx.query<{ locked: boolean }>(
      `select pg_try_advisory_xact_lock($1, hashtext($2 || ' ' || $3)) as locked`, [what.lock, String(clusterId), what.start],
    )
    if (rows[0]?.locked !== true) return false
    await foldOne(tx, clusterId, what.start)
    return true
  })
}

/**
 * The marks go first: a batch that commits between the two statements leaves its mark, so that its rows, folded or not, are
 * looked at again.
 */
async function foldWindow(tx: Transaction, clusterId: number, start: string): Promise<void> {
  await tx.query(
    `with taken as (delete from edge_window_batches where cluster_id = $1 and window_start = $2 returning cluster_id, window_start)
     insert into edge_window_batches (cluster_id, window_start) select distinct cluster_id, window_start from taken`, [clusterId, start],
  )
  await tx.query(
    `with taken as (delete from edge_windows where cluster_id = $1 and window_start = $2 returning *)
     insert into edge_windows (window_start, first_at, last_at, initiator_id, responder_id, flows, cluster_id, port, initiator_port, evidence,
       is_long_lived, protocol, side, observed_verdict)
     select window_start, min(first_at), max(last_at), initiator_id, responder_id, sum(flows), cluster_id, port, initiator_port, bit_or(evidence),
       bool_or(is_long_lived), protocol, side, observed_verdict
     from taken
     group by window_start, initiator_id, responder_id, cluster_id, port, initiator_port, protocol, side, observed_verdict`, [clusterId, start],
  )
}

/** As foldWindow, and keeps per edge the addresses with the smallest hashes, as core/aggregate/bottom-addresses.ts does in memory. */
async function foldDay(tx: Transaction, clusterId: number, start: string): Promise<void> {
  await tx.query(
    `with taken as (delete from external_peer_batches where cluster_id = $1 and day_start = $2 returning cluster_id, day_start)
     insert into external_peer_batches (cluster_id, day_start) select distinct cluster_id, day_start from taken`, [clusterId, start],
  )
  await tx.query(
    `with taken as (delete from external_peers where cluster_id = $1 and day_start = $2 returning *),
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
     from ranked where place <= $3`, [clusterId, start, EXTERNAL_PEER_LIMIT],
  )
}

/** As foldWindow, for the hours in which nodes reported. */
async function foldHour(tx: Transaction, clusterId: number, start: string): Promise<void> {
  await tx.query(
    `with taken as (delete from node_hour_batches where cluster_id = $1 and hour_start = $2 returning cluster_id, hour_start)
     insert into node_hour_batches (cluster_id, hour_start) select distinct cluster_id, hour_start from taken`, [clusterId, start],
  )
  await tx.query(
    `with taken as (delete from node_hours where cluster_id = $1 and hour_start = $2 returning *)
     insert into node_hours (cluster_id, hour_start, format, node, flows, windows)
     select cluster_id, hour_start, format, node, sum(flows), bit_or(windows) from taken group by cluster_id, hour_start, format, node`, [clusterId, start],
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
