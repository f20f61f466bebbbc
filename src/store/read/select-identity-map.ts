import type { Queryable } from '../db/database.ts'
import { timeUs } from '../db/time-columns.ts'

export interface IdentityMapVersion {
  readonly version: number
  readonly createdAtUs: number
  readonly contentDigest: string
}

/** All versions of a cluster's identity map, oldest first. */
export async function selectIdentityMapVersions(database: Queryable, clusterId: number): Promise<IdentityMapVersion[]> {
  const { rows } = await database.query<{ version: number, created_us: string, content_digest: string }>(
    `select version, ${timeUs('created_at')} as created_us, content_digest from identity_maps where cluster_id = $1 order by version`, [clusterId],
  )
  return rows.map((row) => ({ version: row.version, createdAtUs: Number(row.created_us), contentDigest: row.content_digest }))
}
