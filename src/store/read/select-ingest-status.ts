import type { NodeHour } from '../../core/aggregate/node-hours.ts'
import type { CoverageEvent, FlowFormat } from '../../core/flow/flow-record.ts'
import type { Queryable } from '../db/database.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'

/** What a limit kept out of the tables: dead letters, names of nodes. */
type LimitName = 'dead-letters' | 'nodes'

/** What one source sent, counted before any of it was judged. */
export interface SourceReceived {
  readonly source: string
  readonly records: number
  /** Last instant of its newest flow; `null` when it brought none. */
  readonly newestUs: number | null
  /** When its last batch was stored, by the database's clock. */
  readonly recordedAtUs: number
}

/** By source, in that order. */
export async function selectReceived(database: Queryable, clusterId: number): Promise<SourceReceived[]> {
  const { rows } = await database.query<{ source: string, records: string, newest_us: string | null, recorded_us: string }>(
    `select source, sum(records) as records, ${timeUs('max(newest_at)')} as newest_us, ${timeUs('max(recorded_at)')} as recorded_us
     from ingest_received where cluster_id = $1 group by source order by source collate "C"`, [clusterId],
  )
  return rows.map((row) => ({
    source: row.source, records: Number(row.records), newestUs: row.newest_us === null ? null : Number(row.newest_us), recordedAtUs: Number(row.recorded_us),
  }))
}

/** Records that a limit kept out of the tables, by limit. */
export async function selectLimits(database: Queryable, clusterId: number): Promise<ReadonlyMap<LimitName, number>> {
  const { rows } = await database.query<{ limit_name: LimitName, records: string }>(
    'select limit_name, sum(records) as records from ingest_limits where cluster_id = $1 group by limit_name', [clusterId],
  )
  return new Map(rows.map((row) => [row.limit_name, Number(row.records)]))
}

interface Range {
  readonly clusterId: number
  /** Half-open; without a bound, everything on that side. */
  readonly sinceUs?: number | undefined
  readonly untilUs?: number | undefined
}

const IN_RANGE = (column: string): string =>
  `cluster_id = $1 and ($2::bigint is null or ${column} >= ${timeParameter('$2')}) and ($3::bigint is null or ${column} < ${timeParameter('$3')})`

function valuesOf({ clusterId, sinceUs, untilUs }: Range): unknown[] {
  return [clusterId, sinceUs ?? null, untilUs ?? null]
}

export interface CoverageCount {
  readonly type: CoverageEvent['type']
  readonly events: number
  readonly lost: number
}

export async function countCoverage(database: Queryable, range: Range): Promise<CoverageCount[]> {
  const { rows } = await database.query<{ type: CoverageEvent['type'], events: string, lost: string }>(
    `select type, count(*) as events, sum(lost) as lost from coverage_events where ${IN_RANGE('at')} group by type order by type collate "C"`, valuesOf(range),
  )
  return rows.map((row) => ({ type: row.type, events: Number(row.events), lost: Number(row.lost) }))
}

/** Newest first. */
export async function selectCoverage(database: Queryable, range: Range, limit: number): Promise<CoverageEvent[]> {
  const { rows } = await database.query<{ type: CoverageEvent['type'], at_us: string, node: string, lost: string, detail: string }>(
    `select type, ${timeUs('at')} as at_us, node, lost, detail from coverage_events where ${IN_RANGE('at')}
     order by at desc, type collate "C", node collate "C", lost, detail collate "C" limit $4`, [...valuesOf(range), limit],
  )
  return rows.map((row) => ({ type: row.type, atUs: Number(row.at_us), node: row.node, lost: Number(row.lost), detail: row.detail }))
}

/** Which node reported when, joined over partial rows. */
export async function selectNodeHours(database: Queryable, range: Range): Promise<NodeHour[]> {
  const { rows } = await database.query<{ format: FlowFormat, node: string, hour_us: string, flows: string, windows: number }>(
    `select format, node, ${timeUs('hour_start')} as hour_us, sum(flows) as flows, bit_or(windows) as windows
     from node_hours where ${IN_RANGE('hour_start')} group by format, node, hour_start`, valuesOf(range),
  )
  return rows.map((row) => ({ format: row.format, node: row.node, hourStartUs: Number(row.hour_us), flows: Number(row.flows), windows: row.windows }))
}
