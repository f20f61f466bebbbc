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
  /** Line, counted from 1, and first byte of the record in its source. */
  readonly line: number
  readonly byte: number
  readonly sample: string
  /** `sample` is the whole record as it came: it can be read again. */
  readonly isComplete: boolean
  /** The partition of a topic: the letter's source is `kafka:<topic>/<partition>`. */
  readonly partition?: number
}

/** Records received of one source, and the last instant of its newest flow. */
export interface ReceivedRow {
  readonly records: number
  readonly newestUs: number | undefined
}

/** What a limit kept out of the tables. */
export interface LimitRow {
  readonly limit: 'dead-letters' | 'nodes'
  readonly records: number
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

/** Stores dead letters as long as the cluster got fewer than `perMinute` of them in the last minute; returns how many were stored. */
export async function insertRejections(
  tx: Transaction, clusterId: number, source: string, letters: { readonly rows: readonly RejectionRow[]; readonly perMinute: number },
): Promise<number> {
  const { rows, perMinute } = letters
  if (rows.length === 0) return 0
  const { rowCount } = await tx.query(
    `insert into rejections (cluster_id, source, line, byte, format, reason, detail, sample, is_complete)
     select $1, $2 || part, line, byte, format, reason, detail, sample, is_complete
     from unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::boolean[], $11::text[]) with ordinality
       as letters (line, byte, format, reason, detail, sample, is_complete, part, place)
     order by place
     limit greatest(0, $10::bigint - (select count(*) from rejections where cluster_id = $1 and rejected_at > now() - interval '1 minute'))`,
    [
      clusterId, storableText(source), rows.map((r) => r.line), rows.map((r) => r.byte), rows.map((r) => r.format), rows.map((r) => r.reason),
      rows.map((r) => storableText(r.detail)), rows.map((r) => storableText(r.sample)), rows.map((r) => r.isComplete), perMinute,
      rows.map((r) => (r.partition === undefined ? '' : `/${r.partition}`)),
    ],
  )
  return rowCount
}

export async function insertReceived(tx: Transaction, clusterId: number, source: string, received: ReceivedRow): Promise<void> {
  if (received.records === 0) return
  await tx.query(
    `insert into ingest_received (cluster_id, source, records, newest_at) values ($1, $2, $3, to_timestamp($4::bigint / 1000000.0))`,
    [clusterId, storableText(source), received.records, received.newestUs ?? null],
  )
}

export async function insertLimits(tx: Transaction, clusterId: number, source: string, limits: readonly LimitRow[]): Promise<void> {
  const rows = limits.filter((row) => row.records > 0)
  if (rows.length === 0) return
  await tx.query(
    `insert into ingest_limits (cluster_id, source, limit_name, records)
     select $1, $2, limit_name, records from unnest($3::text[], $4::bigint[]) as limits (limit_name, records)`,
    [clusterId, storableText(source), rows.map((r) => r.limit), rows.map((r) => r.records)],
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
