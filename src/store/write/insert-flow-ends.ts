import { storableText } from '../db/copy.ts'
import type { Queryable } from '../db/database.ts'
import type { StoredEnd } from './flow-end-id.ts'
import { identityId } from './identity-id.ts'

/** An end and the latest UTC day (days since 1970) of a flow that has it. */
export interface FlowEndRow extends StoredEnd {
  readonly lastDay: number
}

/** Makes ends of raw flows known, or known to be used later than so far. Rows are written in id order, so that writers wait for each other instead of deadlocking. */
export async function insertFlowEnds(database: Queryable, clusterId: number, ends: readonly FlowEndRow[]): Promise<void> {
  if (ends.length === 0) return
  await database.query(
    `insert into flow_ends (cluster_id, id, identity_id, last_day, ip, pod, node)
     select $1, id, identity_id, date '1970-01-01' + last_day, ip, pod, node
     from unnest($2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::text[], $7::text[]) as new_rows (id, identity_id, last_day, ip, pod, node)
     order by id
     on conflict (cluster_id, id) do update set last_day = excluded.last_day where flow_ends.last_day < excluded.last_day`,
    [
      clusterId, ends.map((e) => e.id.text), ends.map((e) => identityId(e.end.identity).text), ends.map((e) => e.lastDay),
      ends.map((e) => e.ip), ends.map((e) => storableText(e.end.pod)), ends.map((e) => storableText(e.end.node)),
    ],
  )
}
