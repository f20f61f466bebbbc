import type { Queryable } from '../db/database.ts'
import { timeUs } from '../db/time-columns.ts'

export interface RecommendationHead {
  /** Rises with time inside a cluster. */
  readonly id: string
  readonly cluster: string
  readonly createdAtUs: number
  readonly schema: string
  /** SHA-256 of the document, hexadecimal: usable as an ETag. */
  readonly contentDigest: string
}

export interface Recommendation extends RecommendationHead {
  /** JSON text exactly as it was saved. */
  readonly document: string
}

interface Row {
  readonly id: string
  readonly cluster: string
  readonly created_us: string
  readonly schema: string
  readonly content_digest: string
}

const HEAD = `recommendations.id, clusters.name as cluster, ${timeUs('recommendations.created_at')} as created_us, schema, content_digest`
const TABLES = 'recommendations join clusters on clusters.id = recommendations.cluster_id'

/** Newest first; `before` is the id of the last one of the previous page. */
export async function selectRecommendations(
  database: Queryable, query: { clusterId: number, limit?: number, before?: string | undefined },
): Promise<RecommendationHead[]> {
  const { rows } = await database.query<Row>(
    `select ${HEAD} from ${TABLES} where cluster_id = $1 and ($2::bigint is null or recommendations.id < $2) order by recommendations.id desc limit $3`,
    [query.clusterId, query.before ?? null, query.limit ?? 100],
  )
  return rows.map(head)
}

/** One recommendation, by id or the newest one. */
export async function selectRecommendation(database: Queryable, query: { clusterId: number, id?: string | undefined }): Promise<Recommendation | undefined> {
  const { rows } = await database.query<Row & { document: string }>(
    `select ${HEAD}, document::text as document from ${TABLES}
     where cluster_id = $1 and ($2::bigint is null or recommendations.id = $2) order by recommendations.id desc limit 1`,
    [query.clusterId, query.id ?? null],
  )
  const row = rows[0]
  return row === undefined ? undefined : { ...head(row), document: row.document }
}

function head(row: Row): RecommendationHead {
  return { id: row.id, cluster: row.cluster, createdAtUs: Number(row.created_us), schema: row.schema, contentDigest: row.content_digest }
}
