import type { ExternalOverflow } from '../../core/aggregate/bottom-addresses.ts'
import { foldEdges } from '../../core/aggregate/fold-edges.ts'
import { planLevels } from '../../core/aggregate/level-spans.ts'
import type { LevelSpans, Span } from '../../core/aggregate/level-spans.ts'
import { invariant } from '../../core/base/invariant.ts'
import { US_PER_DAY } from '../../core/base/time.ts'
import type { EdgeWindow, ExternalPeer, ObservedEdge } from '../../core/flow/edge.ts'
import type { ObservedVerdict, Protocol, Side } from '../../core/flow/flow-record.ts'
import type { Identity } from '../../core/flow/identity.ts'
import { inSnapshot } from '../db/database.ts'
import type { Queryable } from '../db/database.ts'
import { selectIdentitiesById } from './select-identities.ts'
import { inSpans, selectLevelState } from './select-levels.ts'
import { timeParameter, timeUs } from '../db/time-columns.ts'

export interface EdgeQuery {
  readonly clusterId: number
  /** Half-open range [since, until); without a bound, everything on that side. */
  readonly sinceUs?: number | undefined
  readonly untilUs?: number | undefined
}

interface EdgeRow {
  readonly initiator_id: string
  readonly responder_id: string
  readonly protocol: Protocol
  readonly port: number
  readonly initiator_port: number
}

interface SightingRow extends EdgeRow {
  readonly side: Side
  readonly observed_verdict: ObservedVerdict
  readonly flows: string
  readonly first_us: string
  readonly last_us: string
}

const EDGE = 'initiator_id, responder_id, protocol, port, initiator_port'
const SIGHTING = `${EDGE}, side, observed_verdict`
const AMOUNTS = `sum(flows) as flows, ${timeUs('min(first_at)')} as first_us, ${timeUs('max(last_at)')} as last_us`

/** The tables of edges, finest last; each with the column of its unit's start, and with the table of its units. */
const LEVELS = [
  { table: 'edge_days', start: 'day_start', of: 'days', units: 'edge_day_rollups' },
  { table: 'edge_hours', start: 'hour_start', of: 'hours', units: 'edge_hour_rollups' },
  { table: 'edge_windows', start: 'window_start', of: 'windows', units: undefined },
] as const

/**
 * SQL: the rows of a level in its spans. Unit by unit (`offset 0` keeps it so) where units are known: their rows lie together, which the planner does not
 * know, so that for many of them it would rather read the whole table than use the index.
 */
function levelRows({ table, start, units }: typeof LEVELS[number], spans: readonly Span[], values: unknown[]): string {
  const rows = `select ${SIGHTING}, flows, first_at, last_at, evidence from ${table} where cluster_id = $1`
  if (units === undefined) return `${rows} and ${inSpans(start, spans, values)}`
  return `select ${SIGHTING}, flows, first_at, last_at, evidence
     from (select ${start} as unit from ${units} where cluster_id = $1 and ${inSpans(start, spans, values)}) as units
     cross join lateral (${rows} and ${start} = unit offset 0) as unit_rows`
}

/**
 * The edges of a cluster seen in a range, folded over days, hours and windows: the coarsest that hold it exactly. A window counts when any part of it
 * lies in the range; where windows have expired an hour does, and where hours have, a day. Outside addresses are kept per UTC day, so those of
 * the whole first and last day are given. Folded and partial rows, rolled up or not, read alike.
 * Give it a database, or a transaction that is a snapshot.
 */
export async function selectEdges(database: Queryable, query: EdgeQuery): Promise<ObservedEdge[]> {
  return inSnapshot(database, (tx) => readEdges(tx, query))
}

async function readEdges(tx: Queryable, query: EdgeQuery): Promise<ObservedEdge[]> {
  const { clusterId, sinceUs = -Infinity, untilUs = Infinity } = query
  const spans = planLevels({ sinceUs, untilUs }, await selectLevelState(tx, clusterId))
  const sightings = await selectSightings(tx, clusterId, spans)
  const peers = await tx.query<SightingRow & { ip: string }>(
    `select ${SIGHTING}, ip, ${AMOUNTS} from external_peers where ${inRange('day_start')} group by ${SIGHTING}, ip`, rangeValues(query, US_PER_DAY),
  )
  const overflows = await tx.query<EdgeRow>(
    `select distinct ${EDGE} from external_overflows where ${inRange('day_start')}`, rangeValues(query, US_PER_DAY),
  )
  const ids = new Set(sightings.flatMap((row) => [row.initiator_id, row.responder_id]))
  const identities = await selectIdentitiesById(tx, clusterId, [...ids])
  // Outside addresses are those of whole days: some are of edges that the range does not touch.
  const known = (row: EdgeRow): boolean => ids.has(row.initiator_id) && ids.has(row.responder_id)
  return foldEdges(
    sightings.map((row): EdgeWindow => ({ ...ends(row, identities), ...amounts(row), evidence: row.evidence, windowStartUs: 0, isLongLived: false })),
    peers.rows.filter(known).map((row): ExternalPeer => ({ ...ends(row, identities), ...amounts(row), ip: row.ip, dayStartUs: 0 })),
    overflows.rows.filter(known).map((row): ExternalOverflow => ({ ...ends(row, identities), dayStartUs: 0 })),
  )
}

/** One row per edge, side and verdict. */
async function selectSightings(tx: Queryable, clusterId: number, spans: LevelSpans): Promise<(SightingRow & { evidence: number })[]> {
  const values: unknown[] = [clusterId]
  const parts = LEVELS.filter(({ of }) => spans[of].length > 0).map((level) => levelRows(level, spans[level.of], values))
  if (parts.length === 0) return []
  const { rows } = await tx.query<SightingRow & { evidence: number }>(
    `select ${SIGHTING}, ${AMOUNTS}, bit_or(evidence) as evidence from (${parts.join('\n union all ')}) as parts group by ${SIGHTING}`, values,
  )
  return rows
}

/**
 * First instant and the one after the last of everything observed of a cluster; `undefined` when nothing was. Reads one row per day and hour, and only the
 * windows that are not rolled up yet. Give it a database, or a transaction that is a snapshot.
 */
export async function selectObservedRange(database: Queryable, clusterId: number): Promise<{ sinceUs: number, untilUs: number } | undefined> {
  return inSnapshot(database, async (tx) => {
    const { days, hours, windows } = planLevels({ sinceUs: -Infinity, untilUs: Infinity }, await selectLevelState(tx, clusterId))
    const values: unknown[] = [clusterId]
    const { rows } = await tx.query<{ first_us: string | null, last_us: string | null }>(
      `select ${timeUs('min(first_at)')} as first_us, ${timeUs('max(last_at)')} as last_us from (
         select first_at, last_at from edge_day_rollups where cluster_id = $1 and ${inSpans('day_start', days, values)}
         union all select first_at, last_at from edge_hour_rollups where cluster_id = $1 and ${inSpans('hour_start', hours, values)}
         union all select first_at, last_at from edge_windows where cluster_id = $1 and ${inSpans('window_start', windows, values)}
       ) as parts`, values,
    )
    const row = rows[0]
    if (row === undefined || row.first_us === null || row.last_us === null) return undefined
    return { sinceUs: Number(row.first_us), untilUs: Number(row.last_us) + 1 }
  })
}

/** Half-open: a day [start, start + length) lies in [since, until) in part when it starts before `until` and after `since - length`. */
function inRange(column: string): string {
  return `cluster_id = $1 and ($2::bigint is null or ${column} > ${timeParameter('$2')}) and ($3::bigint is null or ${column} < ${timeParameter('$3')})`
}

function rangeValues(query: EdgeQuery, lengthUs: number): unknown[] {
  return [query.clusterId, query.sinceUs === undefined ? null : query.sinceUs - lengthUs, query.untilUs ?? null]
}

function ends(row: EdgeRow, identities: ReadonlyMap<string, Identity>) {
  const from = identities.get(row.initiator_id)
  const to = identities.get(row.responder_id)
  invariant(from !== undefined && to !== undefined, 'an edge names an identity that is not stored', { row })
  return { from, to, protocol: row.protocol, port: row.port, fromPort: row.initiator_port }
}

function amounts(row: SightingRow) {
  return {
    side: row.side, verdict: row.observed_verdict, flows: Number(row.flows), firstAtUs: Number(row.first_us), lastAtUs: Number(row.last_us),
  }
}
