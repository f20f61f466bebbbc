import type { EdgeWindow } from '../../core/flow/edge.ts'
import { copyInto } from '../db/copy.ts'
import type { CopyBuffer } from '../db/copy.ts'
import type { Transaction } from '../db/database.ts'
import { identityId } from './identity-id.ts'

const COLUMNS = [
  'window_start', 'first_at', 'last_at', 'initiator_id', 'responder_id', 'flows', 'cluster_id', 'port', 'initiator_port', 'evidence',
  'is_long_lived', 'protocol', 'side', 'observed_verdict',
]
const TARGET = `edge_windows (${COLUMNS.join(', ')})`

/** Writes the rows of one batch and returns the starts of the windows they belong to, ascending. */
export function encodeEdgeWindows(rows: CopyBuffer, clusterId: number, windows: readonly EdgeWindow[]): number[] {
  const starts = new Set<number>()
  for (const window of windows) {
    const initiator = identityId(window.from)
    const responder = identityId(window.to)
    starts.add(window.windowStartUs)
    rows.row(COLUMNS.length)
    rows.time(window.windowStartUs)
    rows.time(window.firstAtUs)
    rows.time(window.lastAtUs)
    rows.halves(initiator.hi, initiator.lo)
    rows.halves(responder.hi, responder.lo)
    rows.bigint(window.flows)
    rows.int32(clusterId)
    rows.int32(window.port)
    rows.int32(window.fromPort)
    rows.smallint(window.evidence)
    rows.boolean(window.isLongLived)
    rows.text(window.protocol)
    rows.text(window.side)
    rows.text(window.verdict)
  }
  return [...starts].sort((a, b) => a - b)
}

/** Appends partial rows and notes per window that a batch did. */
export async function appendEdgeWindows(
  tx: Transaction, clusterId: number, rows: CopyBuffer, windowStarts: readonly number[],
): Promise<void> {
  if (windowStarts.length === 0) return
  await copyInto(tx, TARGET, rows)
  await tx.query(
    `insert into edge_window_batches (cluster_id, window_start)
     select $1, to_timestamp(start_us / 1000000.0) from unnest($2::bigint[]) as starts (start_us)`,
    [clusterId, windowStarts],
  )
}
