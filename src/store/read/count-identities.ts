import type { Queryable } from '../db/database.ts'

export async function countIdentities(database: Queryable, clusterId: number): Promise<number> {
  const { rows } = await database.query<{ n: string }>('select count(*) as n from identities where cluster_id = $1', [clusterId])
  return Number(rows[0]?.n ?? 0)
}

/** Which of these ids (signed decimal text) are stored. */
export async function selectKnownIds(database: Queryable, clusterId: number, ids: readonly string[]): Promise<Set<string>> {
  const { rows } = await database.query<{ id: string }>('select id from identities where cluster_id = $1 and id = any($2::bigint[])', [clusterId, ids])
  return new Set(rows.map((row) => row.id))
}

/** Names of the nodes that reported so far, at most `limit` of them. */
export async function selectNodes(database: Queryable, clusterId: number, limit: number): Promise<string[]> {
  const { rows } = await database.query<{ node: string }>(`select distinct node from node_hours where cluster_id = $1 and node <> '' limit $2`, [clusterId, limit])
  return rows.map((row) => row.node)
}
