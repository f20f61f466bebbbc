import { withRetry } from '../store/db/database.ts'
import type { Database } from '../store/db/database.ts'
import { deleteExpiredDigests } from '../store/write/delete-expired.ts'
import { foldEdgeWindows, foldIngestTotals } from '../store/write/fold-edge-windows.ts'
import { deleteExpiredClusterState } from '../store/write/save-cluster-state.ts'

/**
 *  edge windows, outside addresses (partial rows) ─► fold ─► one row per edge, window, side and verdict
 *  totals ─► sum            digests of contents and batches, dead letters ─► expire after 14 days
 *                           cluster state that ended ─► expires after 400 days
 *
 * Housekeeping of one cluster: run it after ingest and every minute in a service. No reader sees a difference. Any number of
 * processes may run it at once.
 */
export async function retain(database: Database, clusterId: number, nowUs: number): Promise<void> {
  await withRetry(() => foldEdgeWindows(database, clusterId))
  await withRetry(() => foldIngestTotals(database, clusterId))
  await withRetry(() => deleteExpiredDigests(database, nowUs))
  await withRetry(() => deleteExpiredClusterState(database, nowUs))
}
