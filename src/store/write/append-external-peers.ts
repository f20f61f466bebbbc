import { addressHash } from '../../core/aggregate/bottom-addresses.ts'
import type { ExternalOverflow } from '../../core/aggregate/bottom-addresses.ts'
import type { ExternalPeer } from '../../core/flow/edge.ts'
import { copyInto } from '../db/copy.ts'
import type { CopyBuffer } from '../db/copy.ts'
import type { Transaction } from '../db/database.ts'
import { identityId } from './identity-id.ts'

const COLUMNS = [
  'day_start', 'first_at', 'last_at', 'initiator_id', 'responder_id', 'flows', 'ip_hash', 'cluster_id', 'port', 'initiator_port', 'protocol',
  'side', 'observed_verdict', 'ip',
]
const TARGET = `external_peers (${COLUMNS.join(', ')})`

/** Writes the rows of one batch and returns the starts of the UTC days they belong to, ascending. */
export function encodeExternalPeers(rows: CopyBuffer, clusterId: number, peers: readonly ExternalPeer[]): number[] {
  const days = new Set<number>()
  for (const peer of peers) {
    const initiator = identityId(peer.from)
    const responder = identityId(peer.to)
    days.add(peer.dayStartUs)
    rows.row(COLUMNS.length)
    rows.time(peer.dayStartUs)
    rows.time(peer.firstAtUs)
    rows.time(peer.lastAtUs)
    rows.halves(initiator.hi, initiator.lo)
    rows.halves(responder.hi, responder.lo)
    rows.bigint(peer.flows)
    rows.bigint(addressHash(peer.ip))
    rows.int32(clusterId)
    rows.int32(peer.port)
    rows.int32(peer.fromPort)
    rows.text(peer.protocol)
    rows.text(peer.side)
    rows.text(peer.verdict)
    rows.text(peer.ip)
  }
  return [...days].sort((a, b) => a - b)
}

/** Appends partial rows and notes per day that a batch did. */
export async function appendExternalPeers(tx: Transaction, clusterId: number, rows: CopyBuffer, dayStarts: readonly number[]): Promise<void> {
  if (dayStarts.length === 0) return
  await copyInto(tx, TARGET, rows)
  await tx.query(
    `insert into external_peer_batches (cluster_id, day_start)
     select $1, to_timestamp(start_us / 1000000.0) from unnest($2::bigint[]) as starts (start_us)`,
    [clusterId, dayStarts],
  )
}

/** Marks edges that had more outside addresses on a day than are kept. Marking twice is harmless. */
export async function markExternalOverflows(tx: Transaction, clusterId: number, overflows: readonly ExternalOverflow[]): Promise<void> {
  if (overflows.length === 0) return
  await tx.query(
    `insert into external_overflows (cluster_id, day_start, initiator_id, responder_id, protocol, port, initiator_port)
     select $1, to_timestamp(day_us / 1000000.0), initiator_id, responder_id, protocol, port, initiator_port
     from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::integer[], $7::integer[])
       as marks (day_us, initiator_id, responder_id, protocol, port, initiator_port)
     order by 2, 3, 4, 5, 6, 7
     on conflict do nothing`,
    [
      clusterId, overflows.map((o) => o.dayStartUs), overflows.map((o) => identityId(o.from).text), overflows.map((o) => identityId(o.to).text),
      overflows.map((o) => o.protocol), overflows.map((o) => o.port), overflows.map((o) => o.fromPort),
    ],
  )
}
