import type { CoverageEvent } from '../../core/flow/flow-record.ts'
import type { Queryable } from '../db/database.ts'
import { timeParameter, timeUs } from './time-columns.ts'

/** Signs of incomplete observation in [since, until), in time order. */
export async function selectCoverageEvents(
  database: Queryable, query: { clusterId: number, sinceUs?: number | undefined, untilUs?: number | undefined },
): Promise<CoverageEvent[]> {
  const { rows } = await database.query<{ type: CoverageEvent['type'], at_us: string, node: string, lost: string, detail: string }>(
    `select type, ${timeUs('at')} as at_us, node, lost, detail from coverage_events
     where cluster_id = $1 and ($2::bigint is null or at >= ${timeParameter('$2')}) and ($3::bigint is null or at < ${timeParameter('$3')})
     order by at, type collate "C", node collate "C", lost, detail collate "C"`,
    [query.clusterId, query.sinceUs ?? null, query.untilUs ?? null],
  )
  return rows.map((row) => ({ type: row.type, atUs: Number(row.at_us), node: row.node, lost: Number(row.lost), detail: row.detail }))
}
