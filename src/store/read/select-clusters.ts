import { AppError } from '../../core/base/app-error.ts'
import type { Queryable } from '../db/database.ts'
import { timeUs } from '../db/time-columns.ts'

export interface Cluster {
  readonly id: number
  readonly name: string
  readonly createdAtUs: number
}

/** All clusters, by name. */
export async function selectClusters(database: Queryable): Promise<Cluster[]> {
  const { rows } = await database.query<{ id: number, name: string, created_us: string }>(
    `select id, name, ${timeUs('created_at')} as created_us from clusters order by name`,
  )
  return rows.map((row) => ({ id: row.id, name: row.name, createdAtUs: Number(row.created_us) }))
}

/**
 * The cluster of a name; without a name the only one there is. AppError `not-found` names the clusters that exist;
 * `usage` when several exist and none was named.
 */
export async function findCluster(database: Queryable, name: string | undefined): Promise<Cluster> {
  const clusters = await selectClusters(database)
  const names = clusters.map((cluster) => cluster.name).join(', ')
  if (clusters.length === 0) throw new AppError('not-found', 'The database holds no flows yet: run `flowfence ingest` first.')
  if (name === undefined) {
    const [only] = clusters
    if (only === undefined || clusters.length > 1) throw new AppError('usage', `The database holds several clusters: say --cluster with one of ${names}.`)
    return only
  }
  const found = clusters.find((cluster) => cluster.name === name)
  if (found === undefined) throw new AppError('not-found', `There is no cluster ${JSON.stringify(name)}; known: ${names}.`)
  return found
}
