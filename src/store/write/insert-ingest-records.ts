import type { CoverageEvent } from '../../core/flow/flow-record.ts'
import { storableKey, storableText } from '../db/copy.ts'
import type { Transaction } from '../db/database.ts'

/** How many records of a format ended how. `reason` is '' for stored and duplicate. */
export interface TotalRow {
  readonly format: string
  readonly outcome: 'stored' | 'duplicate' | 'rejected' | 'ignored'
  readonly reason: string
  readonly records: number
}

/** A dead letter; `sample` is redacted and at most 4 KiB. */
export interface RejectionRow {
  readonly format: string
  readonly reason: string
  readonly detail: string
  /** Line, offset or whatever leads a person there. */
  readonly position: string
  readonly sample: string
}

export async function insertTotals(tx: Transaction, clusterId: number, source: string, totals: readonly TotalRow[]): Promise<void> {
  if (totals.length === 0) return
  await tx.query(
    `insert into ingest_totals (cluster_id, source, format, outcome, reason, records)
     select $1, $2, format, outcome, reason, records
     from unnest($3::text[], $4::text[], $5::text[], $6::bigint[]) as totals (format, outcome, reason, records)`,
    [clusterId, storableText(source), totals.map((t) => t.format), totals.map((t) => t.outcome), totals.map((t) => t.reason), totals.map((t) => t.records)],
  )
}

export async function insertRejections(tx: Transaction, clusterId: number, source: string, rejections: readonly RejectionRow[]): Promise<void> {
  if (rejections.length === 0) return
  await tx.query(
    `insert into rejections (cluster_id, source, position, format, reason, detail, sample)
     select $1, $2, position, format, reason, detail, sample
     from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) as letters (position, format, reason, detail, sample)`,
    [
      clusterId, storableText(source), rejections.map((r) => r.position), rejections.map((r) => r.format), rejections.map((r) => r.reason),
      rejections.map((r) => storableText(r.detail)), rejections.map((r) => storableText(r.sample)),
    ],
  )
}

export async function insertCoverageEvents(tx: Transaction, clusterId: number, events: readonly CoverageEvent[]): Promise<void> {
  if (events.length === 0) return
  await tx.query(
    `insert into coverage_events (cluster_id, at, type, node, lost, detail)
     select $1, to_timestamp(at_us / 1000000.0), type, node, lost, detail
     from unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[]) as events (at_us, type, node, lost, detail)
     order by 2, 3, 4, 5, 6
     on conflict do nothing`,
    [
      clusterId, events.map((e) => e.atUs), events.map((e) => e.type), events.map((e) => storableKey(e.node)), events.map((e) => e.lost),
      events.map((e) => storableKey(e.detail, 500)),
    ],
  )
}
