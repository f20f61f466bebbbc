import { storableText } from '../db/copy.ts'
import type { Database } from '../db/database.ts'

/** The id of a cluster, made known when it is new. */
export async function ensureCluster(database: Database, name: string): Promise<number> {
  const text = storableText(name)
  const find = async (): Promise<number | undefined> => {
    const { rows } = await database.query<{ id: number }>('select id from clusters where name = $1', [text])
    return rows[0]?.id
  }
  const known = await find()
  if (known !== undefined) return known
  await database.query('insert into clusters (name) values ($1) on conflict do nothing', [text])
  const created = await find()
  if (created === undefined) throw new Error(`Bug: cluster ${JSON.stringify(name)} vanished`)
  return created
}
