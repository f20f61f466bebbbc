import type { Queryable } from '../db/database.ts'

export interface Position {
  readonly next: number
  readonly fingerprint: string
  readonly records: number
}

/** Where a source resumes; `undefined` for a new one. */
export async function selectPosition(database: Queryable, clusterId: number, source: string): Promise<Position | undefined> {
  const { rows } = await database.query<{ next: string, fingerprint: string, records: string }>(
    'select next, fingerprint, records from positions where cluster_id = $1 and source = $2', [clusterId, source],
  )
  const row = rows[0]
  return row === undefined ? undefined : { next: Number(row.next), fingerprint: row.fingerprint, records: Number(row.records) }
}

/** Positions of further sources that are named like one, with `@…` behind it; newest first. */
export async function selectTwinPositions(database: Queryable, clusterId: number, source: string, limit: number): Promise<(Position & { readonly source: string })[]> {
  const { rows } = await database.query<{ source: string, next: string, fingerprint: string, records: string }>(
    `select source, next, fingerprint, records from positions where cluster_id = $1 and starts_with(source, $2 || '@') order by updated_at desc, source limit $3`,
    [clusterId, source, limit],
  )
  return rows.map((row) => ({ source: row.source, next: Number(row.next), fingerprint: row.fingerprint, records: Number(row.records) }))
}

/** True when records were received from a source of this name, in whatever content. */
export async function wasReceived(database: Queryable, clusterId: number, source: string): Promise<boolean> {
  const { rows } = await database.query('select 1 from ingest_received where cluster_id = $1 and source = $2 limit 1', [clusterId, source])
  return rows.length > 0
}

/** How many records a content held that was stored completely before; `undefined` for an unknown content. */
export async function selectContentRecords(database: Queryable, clusterId: number, digest: Buffer): Promise<number | undefined> {
  const { rows } = await database.query<{ records: string }>('select records from content_digests where cluster_id = $1 and digest = $2', [clusterId, digest])
  return rows[0] === undefined ? undefined : Number(rows[0].records)
}
