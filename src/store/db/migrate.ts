/**
 * Brings the schema up to date: plain SQL files in migrations/, forward only, each recorded in schema_migrations. Any number
 * of processes may call it at once: an advisory lock makes them take turns, and the late ones find nothing to do.
 */
import { readdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import { AppError } from '../../core/base/app-error.ts'
import type { Database } from './database.ts'

const directory = fileURLToPath(new URL('../../../migrations', import.meta.url))

/** Returns the names of the migrations that ran now. A database newer than this program is refused: AppError `conflict`. */
export async function migrate(database: Database): Promise<string[]> {
  const client = await database.pool.connect()
  try {
    // Waiting for the lock and building indexes may take longer than a statement of daily work.
    await client.query('set statement_timeout = 0')
    const ran = await runner({
      dbClient: client, dir: directory, direction: 'up', migrationsTable: 'schema_migrations', checkOrder: true,
      singleTransaction: true, advisoryLockMode: 'wait', log: () => undefined,
    })
    await refuseNewer(database)
    return ran.map((migration) => migration.name)
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('Not run migration')) {
      throw new AppError('conflict', `The database was migrated by another program: ${error.message}. Use a database of flowfence's own.`, { cause: error })
    }
    throw error
  } finally {
    // The session's settings were changed: do not hand it to others.
    client.release(true)
  }
}

async function refuseNewer(database: Database): Promise<void> {
  const known = new Set((await readdir(directory)).map((file) => file.replace(/\.sql$/, '')))
  const { rows } = await database.query<{ name: string }>('select name from schema_migrations order by id')
  const newer = rows.find((row) => !known.has(row.name))
  if (newer === undefined) return
  throw new AppError('conflict', `The database holds migration ${newer.name}, which this version of flowfence does not know. Use the newer version.`)
}

/** Names of the migrations this program brings and the database lacks; all of them where nothing was migrated yet. */
export async function pendingMigrations(database: Database): Promise<string[]> {
  const brought = (await readdir(directory)).map((file) => file.replace(/\.sql$/, '')).sort()
  const table = await database.query<{ exists: boolean }>("select to_regclass('schema_migrations') is not null as exists")
  if (table.rows[0]?.exists !== true) return brought
  const { rows } = await database.query<{ name: string }>('select name from schema_migrations')
  const applied = new Set(rows.map((row) => row.name))
  return brought.filter((name) => !applied.has(name))
}
