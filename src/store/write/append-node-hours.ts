import type { NodeHour } from '../../core/aggregate/node-hours.ts'
import { storableKey } from '../db/copy.ts'
import type { Transaction } from '../db/database.ts'

/** Appends partial rows of "which node reported when", and marks the hours they touch. */
export async function appendNodeHours(tx: Transaction, clusterId: number, rows: readonly NodeHour[]): Promise<void> {
  if (rows.length === 0) return
  await tx.query(
    `insert into node_hours (cluster_id, hour_start, format, node, flows, windows)
     select $1, to_timestamp(hour_us / 1000000.0), format, node, flows, windows
     from unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::smallint[]) as hours (hour_us, format, node, flows, windows)`,
    [clusterId, rows.map((r) => r.hourStartUs), rows.map((r) => r.format), rows.map((r) => storableKey(r.node)), rows.map((r) => r.flows), rows.map((r) => r.windows)],
  )
  await tx.query(
    `insert into node_hour_batches (cluster_id, hour_start) select $1, to_timestamp(hour_us / 1000000.0) from unnest($2::bigint[]) as hours (hour_us)`,
    [clusterId, [...new Set(rows.map((r) => r.hourStartUs))]],
  )
}
