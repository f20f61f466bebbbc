import type { FlowRecord } from '../../core/flow/flow-record.ts'
import { copyInto } from '../db/copy.ts'
import type { CopyBuffer } from '../db/copy.ts'
import type { Transaction } from '../db/database.ts'
import { identityId } from './identity-id.ts'

const COLUMNS = [
  'last_at', 'first_at', 'initiator_id', 'responder_id', 'digest', 'flows', 'cluster_id', 'port', 'initiator_port', 'protocol', 'side',
  'observed_verdict', 'orientation', 'format', 'initiator_ip', 'responder_ip', 'initiator_pod', 'responder_pod', 'node',
]
const TARGET = `flows (${COLUMNS.join(', ')})`

/** Writes one flow as a row of `flows`. Hot: no allocation. */
export function encodeFlow(rows: CopyBuffer, clusterId: number, flow: FlowRecord): void {
  const initiator = identityId(flow.initiator)
  const responder = identityId(flow.responder)
  rows.row(COLUMNS.length)
  rows.time(flow.lastAtUs)
  rows.time(flow.firstAtUs)
  rows.halves(initiator.hi, initiator.lo)
  rows.halves(responder.hi, responder.lo)
  rows.halves(flow.digestHi, flow.digestLo)
  rows.bigint(flow.flows)
  rows.int32(clusterId)
  rows.int32(flow.port)
  rows.int32(flow.initiatorPort)
  rows.text(flow.protocol)
  rows.text(flow.side)
  rows.text(flow.observedVerdict)
  rows.text(flow.orientation)
  rows.text(flow.format)
  rows.text(flow.initiatorIp)
  rows.text(flow.responderIp)
  rows.text(flow.initiatorPod)
  rows.text(flow.responderPod)
  rows.text(flow.node)
}

export async function insertFlows(tx: Transaction, rows: CopyBuffer): Promise<void> {
  await copyInto(tx, TARGET, rows)
}
