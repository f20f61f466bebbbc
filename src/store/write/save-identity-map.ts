import { storableText } from '../db/copy.ts'
import type { Database } from '../db/database.ts'

export interface NewIdentityMap {
  readonly clusterId: number
  readonly createdAtUs: number
  /** Equal for maps that read identities alike: reasons with counts do not make a new version. */
  readonly contentDigest: string
  /** JSON text. */
  readonly document: string
}

/** Two that save at the same time take the same number once; then the later one sees the other's. */
const TRIES = 10

/** The version of an identity map, saved when its content is new. Versions count from 1 per cluster and never change. */
export async function saveIdentityMap(database: Database, map: NewIdentityMap): Promise<number> {
  const { clusterId, createdAtUs, contentDigest, document } = map
  for (let i = 0; i < TRIES; i++) {
    const known = await database.query<{ version: number }>('select version from identity_maps where cluster_id = $1 and content_digest = $2', [clusterId, contentDigest])
    if (known.rows[0] !== undefined) return known.rows[0].version
    await database.query(
      `insert into identity_maps (cluster_id, version, created_at, content_digest, document)
       select $1, coalesce(max(version), 0) + 1, to_timestamp($2::bigint / 1000000.0), $3, $4::json from identity_maps where cluster_id = $1
       on conflict do nothing`, [clusterId, createdAtUs, contentDigest, storableText(document)],
    )
  }
  throw new Error('Bug: an identity map could not be saved')
}
