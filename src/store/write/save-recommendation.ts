import { createHash } from 'node:crypto'
import type { Database } from '../db/database.ts'

export interface NewRecommendation {
  readonly clusterId: number
  readonly createdAtUs: number
  /** For example `flowfence.recommendation/v1`. */
  readonly schema: string
  /** JSON text; kept and delivered byte for byte. */
  readonly document: string
}

/** Saves a recommendation and returns its id. Saving the same document as the newest one of the cluster again returns that one's id. */
export async function saveRecommendation(database: Database, recommendation: NewRecommendation): Promise<string> {
  const { clusterId, createdAtUs, schema, document } = recommendation
  const digest = createHash('sha256').update(document).digest('hex')
  const newest = await database.query<{ id: string, content_digest: string }>(
    'select id, content_digest from recommendations where cluster_id = $1 order by id desc limit 1', [clusterId],
  )
  if (newest.rows[0]?.content_digest === digest) return newest.rows[0].id
  const { rows } = await database.query<{ id: string }>(
    `insert into recommendations (cluster_id, created_at, schema, content_digest, document)
     values ($1, to_timestamp($2::bigint / 1000000.0), $3, $4, $5) returning id`, [clusterId, createdAtUs, schema, digest, document],
  )
  const id = rows[0]?.id
  if (id === undefined) throw new Error('Bug: insert returned no id')
  return id
}
