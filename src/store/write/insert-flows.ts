import type { FlowView } from '../../core/flow/flow-block.ts'
import { copyInto } from '../db/copy.ts'
import type { CopyBuffer } from '../db/copy.ts'
import type { Transaction } from '../db/database.ts'
import type { StoredEnd } from './flow-end-id.ts'

const COLUMNS = ['last_at', 'initiator_end', 'responder_end', 'lasted_us', 'cluster_id', 'flows', 'port', 'initiator_port', 'facts', 'addresses']
const TARGET = `flows (${COLUMNS.join(', ')})`
/** What an integer holds: more connections in one record are counted by the edge windows only. */
const MAX_FLOWS = 2_147_483_647

/** Writes one flow as a row of `flows`. Hot: no allocation. */
// eslint-disable-next-line max-params -- hot: an object for two ends would be garbage
export function encodeFlow(rows: CopyBuffer, clusterId: number, flow: FlowView, initiator: StoredEnd, responder: StoredEnd): void {
  rows.row(COLUMNS.length)
  rows.time(flow.lastAtUs)
  rows.halves(initiator.id.hi, initiator.id.lo)
  rows.halves(responder.id.hi, responder.id.lo)
  rows.bigint(flow.lastAtUs - flow.firstAtUs)
  rows.int32(clusterId)
  rows.int32(flow.flows > MAX_FLOWS ? MAX_FLOWS : flow.flows)
  rows.smallint(flow.port)
  rows.smallint(flow.initiatorPort)
  rows.smallint(flow.code)
  rows.bytes(initiator.address, responder.address)
}

export async function insertFlows(tx: Transaction, rows: CopyBuffer): Promise<void> {
  await copyInto(tx, TARGET, rows)
}
